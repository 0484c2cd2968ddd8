"""The agent: the run is a function of its config, kept and continued to the bit."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from environments import Countdown, Endless, Failing
from gymnasium.vector import SyncVectorEnv, VectorEnv

from fastfisher import get_num_threads, set_num_threads
from fastfisher.policies import GaussianHead, LinearPolicy, MLPPolicy, NetworkPolicy
from fastfisher.training import NPG, TRPO, IterationInfo, UserError
from fastfisher.training.baselines.ridge import RidgeBaseline
from fastfisher.training.batch import Batch
from fastfisher.training.config import TrainConfig
from fastfisher.training.learner import Learner, Update

SMALL: dict[str, Any] = {"batch_steps": 300, "workers": 1}


def timeless(info: IterationInfo) -> dict[str, Any]:
    row = info.as_row()
    return {key: value for key, value in row.items() if not key.startswith(("seconds", "steps_per_second"))}


def rows_of(agent: NPG, steps: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    agent.learn(steps, callback=lambda info: rows.append(timeless(info)))
    return rows


def assert_same_rows(one: list[dict[str, Any]], two: list[dict[str, Any]]) -> None:
    assert [repr(row) for row in one] == [repr(row) for row in two]


@pytest.mark.parametrize("policy", ["linear", "rbf", "mlp"])
@pytest.mark.parametrize("env", ["CartPole-v1", "Pendulum-v1"])
@pytest.mark.parametrize("normalize", [False, True])
def test_a_loaded_agent_continues_to_the_bit(tmp_path: Path, env: str, policy: Any, normalize: bool) -> None:
    options: dict[str, Any] = {
        **SMALL, "hidden": (8,), "rbf_features": 10, "normalize_observations": normalize, "seed": 3
    }  # fmt: skip
    whole = NPG(env, policy=policy, **options)
    rows = rows_of(whole, 1_500)
    halves = NPG(env, policy=policy, **options)
    first = rows_of(halves, 600)
    halves.save(tmp_path / "run.zip")
    del halves
    again = NPG.load(tmp_path / "run.zip")
    assert again.config == whole.config
    second = rows_of(again, whole.steps - again.steps)
    assert_same_rows(rows, first + second)
    assert again.policy.parameters.tobytes() == whole.policy.parameters.tobytes()
    assert (again.steps, again.iteration, again.episodes) == (whole.steps, whole.iteration, whole.episodes)


def test_a_value_network_and_a_squashed_dependent_std_continue_to_the_bit(tmp_path: Path) -> None:
    options: dict[str, Any] = {
        **SMALL, "policy": "mlp", "hidden": (8,), "baseline": "mlp", "baseline_hidden": (6,),
        "baseline_batches": 2, "baseline_lambda": 0.9, "squash": True, "std": "dependent", "seed": 3,
    }  # fmt: skip
    whole = NPG("Pendulum-v1", **options)
    rows = rows_of(whole, 2_000)
    threads = get_num_threads()
    try:
        set_num_threads(1)
        half = NPG("Pendulum-v1", **options)
        first = rows_of(half, 800)
        half.save(tmp_path / "run.zip")
        set_num_threads(2)
        again = NPG.load(tmp_path / "run.zip")
        assert_same_rows(rows, first + rows_of(again, whole.steps - again.steps))
    finally:
        set_num_threads(threads)
    assert again.policy.parameters.tobytes() == whole.policy.parameters.tobytes()


@pytest.mark.parametrize("algorithm", [NPG, TRPO])
def test_the_logged_std_of_a_dependent_one_is_the_mean_over_the_batch(
    algorithm: type[NPG], monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[Batch] = []
    update = Learner.update

    def watched(learner: Learner, batch: Batch, progress: float) -> Update:
        batches.append(batch)
        return update(learner, batch, progress)

    monkeypatch.setattr(Learner, "update", watched)
    agent = algorithm("Pendulum-v1", **{**SMALL, "policy": "mlp", "hidden": (4,), "std": "dependent"})
    for row in rows_of(agent, 800):
        assert 0.0 < row["std"] < math.exp(2.0)
    policy, obs = agent.policy, batches[-1].observations
    assert isinstance(policy, NetworkPolicy)
    _, log_std = policy.head.moments(policy.at(obs).z, np.zeros(0))  # type: ignore[attr-defined]
    assert log_std.std() > 0.0
    assert row["std"] == np.exp(log_std).mean()


def test_one_and_two_workers_train_to_the_same_bits() -> None:
    def factory() -> gymnasium.Env:  # type: ignore[type-arg]
        return Countdown()

    one = NPG(factory, batch_steps=200, workers=1, seed=5)
    rows = rows_of(one, 2_000)
    with NPG(factory, batch_steps=200, workers=2, seed=5) as two:
        assert_same_rows(rows, rows_of(two, 2_000))
        assert two.policy.parameters.tobytes() == one.policy.parameters.tobytes()


def test_the_threads_of_numpys_products_do_not_change_the_bits() -> None:
    script = (
        "import fastfisher as ff\n"
        "for policy in ('linear', 'rbf', 'mlp'):\n"
        "    agent = ff.NPG('HalfCheetah-v5', policy=policy, batch_steps=1_500, workers=1, damping=0.1)\n"
        "    print(policy, agent.learn(3_000).policy.parameters.tobytes().hex())\n"
    )

    def bits(threads: str) -> str:
        environ = {**os.environ, "OPENBLAS_NUM_THREADS": threads, "FASTFISHER_NUM_THREADS": threads}
        done = subprocess.run(
            [sys.executable, "-c", script], env=environ, capture_output=True, text=True, check=True
        )
        return done.stdout

    one, two = bits("1"), bits("2")
    assert one.count("\n") == 3
    assert one == two


def test_seeds_differ() -> None:
    one, two = (rows_of(NPG("CartPole-v1", seed=seed, **SMALL), 300)[0] for seed in (0, 1))
    assert one["return_mean"] != two["return_mean"]


def test_rows_start_as_promised_and_are_plain() -> None:
    infos: list[IterationInfo] = []
    agent = NPG("CartPole-v1", **SMALL).learn(900, callback=infos.append)
    assert list(infos[0].as_row())[:5] == ["iteration", "steps", "episodes", "return_mean", "return_std"]
    assert all(isinstance(value, (int, float, str)) for value in infos[0].as_row().values())
    assert [info.iteration for info in infos] == [1, 2, 3]
    assert infos[-1].steps == agent.steps == sum(info.batch_steps for info in infos)
    assert infos[-1].episodes == sum(info.batch_episodes for info in infos)
    # A step is worth 1 in CartPole, and each of these episodes is whole.
    for info in infos:
        assert (
            info.return_mean
            == info.episode_length_mean
            == pytest.approx(info.batch_steps / info.batch_episodes)
        )


def test_a_callback_stops_and_steps_default_to_the_configs() -> None:
    agent = NPG("CartPole-v1", steps=1_000, **SMALL)
    agent.learn(callback=lambda info: info.iteration == 2)
    assert agent.iteration == 2
    agent.learn()
    assert 1_000 <= agent.steps < 1_000 + 300 + 500


def test_an_interrupted_iteration_never_happened(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = NPG("CartPole-v1", policy="linear", **SMALL)
    rows = rows_of(whole, 900)
    agent = NPG("CartPole-v1", policy="linear", **SMALL)
    first = rows_of(agent, 300)
    with monkeypatch.context() as patch:

        def interrupt(*_: Any) -> None:
            raise KeyboardInterrupt

        patch.setattr(RidgeBaseline, "fit", interrupt)
        with pytest.raises(KeyboardInterrupt):
            agent.learn(300)
    assert_same_rows(rows, first + rows_of(agent, 600 - 1))


def test_predict_takes_one_or_many_and_keeps_the_bounds() -> None:
    agent = NPG("Pendulum-v1", policy="linear", workers=1, initial_log_std=3.0)
    space = agent.action_space
    one, state = agent.predict(np.zeros(3, dtype=np.float32), state="kept")
    assert state == "kept"
    assert space.contains(one)
    many, _ = agent.predict(np.zeros((5, 3)))
    assert many.shape == (5, 1)
    assert all(space.contains(row) for row in many)
    assert len(np.unique(agent.predict(np.zeros((200, 3)))[0])) > 2
    np.testing.assert_array_equal(agent.predict(np.ones(3), deterministic=True)[0], [0.0])
    with pytest.raises(ValueError, match=r"observation: expected shape \(3,\) or \(n, 3\), got \(4,\)"):
        agent.predict(np.zeros(4))
    discrete = NPG("CartPole-v1", workers=1)
    assert discrete.action_space.contains(discrete.predict(np.zeros(4))[0])


def test_evaluate_is_a_function_of_its_arguments_and_leaves_training_alone() -> None:
    agent, twin = NPG("CartPole-v1", **SMALL), NPG("CartPole-v1", **SMALL)
    agent.learn(300)
    twin.learn(300)
    result = agent.evaluate(4, deterministic=False, seed=1)
    assert result.returns.shape == (4,)
    np.testing.assert_array_equal(result.returns, result.lengths)
    np.testing.assert_array_equal(agent.evaluate(4, deterministic=False, seed=1).returns, result.returns)
    assert not np.array_equal(agent.evaluate(4, deterministic=False, seed=2).returns, result.returns)
    assert_same_rows(rows_of(agent, 300), rows_of(twin, 300))


def test_an_environment_object_a_vector_and_num_envs_train() -> None:
    infos: list[IterationInfo] = []
    agent = NPG(gymnasium.make("CartPole-v1"), batch_steps=300, workers=2).learn(300, callback=infos.append)
    assert infos[0].notes == ("rollouts in this process: an environment object cannot be copied to workers",)
    assert agent.config.env == ""
    vector = NPG(SyncVectorEnv([Countdown] * 3), batch_steps=300).learn(600)
    assert vector.steps >= 600
    with pytest.raises(UserError, match="single environment"):
        vector.evaluate()
    twins = [NPG("CartPole-v1", num_envs=4, batch_steps=300) for _ in range(2)]
    assert_same_rows(rows_of(twins[0], 900), rows_of(twins[1], 900))


def test_what_is_never_seen_is_said() -> None:
    def notes_of(env: Any, **options: Any) -> tuple[str, ...]:
        infos: list[IterationInfo] = []
        with NPG(env, policy="linear", workers=1, **options) as agent:
            agent.learn(1, callback=infos.append)
        return infos[0].notes

    (note,) = notes_of("CartPole-v1", num_envs=4, batch_steps=300)
    assert note.startswith("4 environments share an iteration's 300 steps, 75 each")
    assert notes_of("CartPole-v1", num_envs=4, batch_steps=2_000) == ()
    (note,) = notes_of(Endless, batch_steps=50)
    assert note.startswith("the environment has no time limit: episodes are cut after 50 steps")
    assert notes_of(Countdown, batch_steps=50) == ()


def test_the_time_limit_is_the_environments_whatever_it_is_given_as() -> None:
    def vector() -> VectorEnv[Any, Any, Any]:
        return gymnasium.make_vec("Pendulum-v1", num_envs=2, vectorization_mode="sync")

    configs = [NPG(env).config for env in ("Pendulum-v1", gymnasium.make("Pendulum-v1"), vector())]
    assert len({config.gamma for config in configs}) == 1
    assert configs[0].gamma == pytest.approx(math.exp(-2.5 / 200))
    with pytest.raises(UserError, match=r"max_episode_steps: expected at most 200, .* got 500"):
        NPG("Pendulum-v1", max_episode_steps=500)
    longer = NPG("Pendulum-v1", env_kwargs={"max_episode_steps": 500}, policy="linear", **SMALL)
    assert longer.evaluate(1).lengths.tolist() == [500]


def test_a_policy_object_takes_the_defaults_of_its_kind() -> None:
    head, rng = GaussianHead(1, -1.0), np.random.default_rng(0)
    network = NPG("Pendulum-v1", policy=MLPPolicy(3, (8,), head, rng)).config
    assert network == NPG("Pendulum-v1", policy="mlp").config
    linear = NPG("Pendulum-v1", policy=LinearPolicy(3, head, rng)).config
    assert linear == NPG("Pendulum-v1", policy="linear").config
    assert linear.cg_iterations != network.cg_iterations


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda agent: agent.learn(float("nan")), ValueError, "total_steps: .* number >= 0, got nan"),
        (lambda agent: agent.learn(-5), ValueError, "total_steps: .* number >= 0, got -5"),
        (lambda agent: agent.evaluate(0), ValueError, "episodes: expected a whole number >= 1, got 0"),
        (lambda agent: agent.evaluate(1.5), TypeError, "episodes: expected a whole number >= 1, got 1.5"),
        (lambda agent: agent.evaluate(1, seed=-1), ValueError, "seed: expected a whole number >= 0, got -1"),
        (lambda _: NPG(42), TypeError, r"env: expected an environment's id, .*, got 42 \(int\)"),
    ],
)
def test_bad_arguments_are_named(call: Callable[[NPG], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(NPG("CartPole-v1", policy="linear", **SMALL))


def test_discrete_observations_and_time_limits() -> None:
    agent = NPG("FrozenLake-v1", policy="linear", max_episode_steps=5, **SMALL)
    lengths: list[float] = []
    agent.learn(300, callback=lambda info: lengths.append(info.episode_length_mean))
    assert lengths[0] <= 5.0
    assert agent.policy.parameters.shape == (17 * 4,)
    assert agent.action_space.contains(agent.predict(3)[0])
    assert agent.predict(np.array([3, 4, 5]))[0].shape == (3,)


def test_a_policy_object_is_used_and_loaded_into(tmp_path: Path) -> None:
    def policy() -> LinearPolicy:
        return LinearPolicy(3, GaussianHead(1, -1.0), np.random.default_rng(0))

    agent = NPG("Pendulum-v1", policy=policy(), **SMALL).learn(300)
    agent.save(tmp_path / "run.zip")
    with pytest.raises(UserError, match=r"policy of your own; pass one like it"):
        NPG.load(tmp_path / "run.zip")
    again = NPG.load(tmp_path / "run.zip", policy=policy())
    np.testing.assert_array_equal(again.policy.parameters, agent.policy.parameters)


def test_an_agent_without_an_id_is_loaded_with_its_environment(tmp_path: Path) -> None:
    agent = NPG(Countdown, batch_steps=100, workers=1).learn(100)
    agent.save(tmp_path / "run.zip")
    with pytest.raises(UserError, match=r"NPG\.load\(path, env=\.\.\.\)"):
        NPG.load(tmp_path / "run.zip")
    assert_same_rows(rows_of(NPG.load(tmp_path / "run.zip", env=Countdown), 300), rows_of(agent, 300))


@pytest.mark.parametrize(
    ("env", "options", "message"),
    [
        ("HalfCheeta-v5", {}, "environment 'HalfCheeta-v5' is not registered"),
        ("HalfCheetah-v99", {}, "environment 'HalfCheetah-v99' is not registered"),
        ("no_such_package:Thing-v0", {}, "not registered"),
        ("CartPole-v1", {"env_kwargs": {"gravity_of_the_situation": 1}}, "does not take env_kwargs"),
    ],
)
def test_what_the_user_can_mend_is_one_line(env: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        NPG(env, **options)
    assert "\n" not in str(caught.value)


def test_unsupported_spaces_are_one_line() -> None:
    class Several(Countdown):
        action_space = gymnasium.spaces.OneOf([gymnasium.spaces.Discrete(2)] * 2)  # type: ignore[assignment]

    class Unbounded(Countdown):
        observation_space = gymnasium.spaces.Sequence(gymnasium.spaces.Discrete(2))  # type: ignore[assignment]

    for env, message in ((Several, "actions of OneOf"), (Unbounded, "no fixed size")):
        with pytest.raises(UserError, match=message):
            NPG(env)


def test_an_environment_that_raises_leaves_a_traceback_and_a_usable_agent() -> None:
    agent = NPG(lambda: Failing(deadly=False), batch_steps=100, workers=1)
    theta = agent.policy.parameters.copy()
    with pytest.raises(ArithmeticError, match="on fire"):
        agent.learn(100)
    np.testing.assert_array_equal(agent.policy.parameters, theta)
    assert agent.steps == 0


def test_an_environment_no_worker_can_make_trains_here_and_says_so() -> None:
    made = []

    def factory() -> gymnasium.Env:  # type: ignore[type-arg]
        made.append(1)
        if len(made) != 1:
            raise FileNotFoundError("only one licence")
        return Countdown()

    made_here = NPG(factory, batch_steps=100, workers=2)
    infos: list[IterationInfo] = []
    with pytest.warns(UserWarning, match="training in one process"):
        made_here.learn(100, callback=infos.append)
    assert "FileNotFoundError: only one licence" in infos[0].notes[0]


def test_config_of_an_agent() -> None:
    config = TrainConfig("CartPole-v1", seed=4, batch_steps=200, workers=1)
    assert_same_rows(
        rows_of(NPG.from_config(config), 400),
        rows_of(NPG("CartPole-v1", seed=4, batch_steps=200, workers=1), 400),
    )
