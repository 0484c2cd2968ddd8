"""Evaluations during training: the right returns, the best kept, and no bit of the training changed."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from environments import Countdown
from gymnasium.vector import SyncVectorEnv

from fastfisher.training import NPG, IterationInfo, UserError
from fastfisher.training.seeding import Stream, stream

OPTIONS: dict[str, Any] = {"policy": "linear", "seed": 3, "batch_steps": 400}
EVERY: dict[str, Any] = {"evaluate_every": 2, "evaluation_episodes": 3}


def infos_of(agent: NPG, steps: int, **options: Any) -> list[IterationInfo]:
    infos: list[IterationInfo] = []
    agent.learn(steps, callback=infos.append, **options)
    return infos


def evaluations(infos: list[IterationInfo]) -> list[str]:
    return [repr((i.iteration, i.evaluation_mean, i.evaluation_std, i.evaluation_best)) for i in infos]


def returns_of(agent: NPG, iteration: int, episodes: int) -> list[float]:
    """Run the episodes of an evaluation on gymnasium alone, by the agent's predictions."""
    returns = []
    with gymnasium.make("Pendulum-v1") as env:
        for k in range(episodes):
            observation, _ = env.reset(seed=stream(3, Stream.EVALUATION_IN_TRAINING, iteration, k)[0])
            total, over = 0.0, False
            while not over:
                observation, reward, terminated, truncated, _ = env.step(
                    agent.predict(observation, deterministic=True)[0]
                )
                total, over = total + float(reward), terminated or truncated
            returns.append(total)
    return returns


@pytest.mark.parametrize(
    "options",
    [{"workers": 1}, {"workers": 2}, {"workers": 4}, {"num_envs": 2}, {"num_envs": 2, "backend": "envpool"}],
)
def test_training_has_the_same_bits_with_evaluations_and_without(options: dict[str, Any]) -> None:
    if "backend" in options:
        pytest.importorskip("envpool")
    with NPG("Pendulum-v1", **OPTIONS, **options) as agent:
        plain = infos_of(agent, 1_600)
        parameters = agent.policy.parameters.tobytes()
    with NPG("Pendulum-v1", **OPTIONS, **EVERY, **options) as agent:
        evaluated = infos_of(agent, 1_600)
        assert agent.policy.parameters.tobytes() == parameters
    assert [i.return_mean for i in plain] == [i.return_mean for i in evaluated]
    assert not any(math.isfinite(i.evaluation_mean) or math.isfinite(i.evaluation_best) for i in plain)
    assert [math.isnan(i.evaluation_mean) for i in evaluated] == [True, False, True, False]


def test_every_number_of_workers_finds_the_returns_that_gymnasium_has() -> None:
    found = []
    for workers in (1, 2, 4):
        with NPG("Pendulum-v1", **OPTIONS, **EVERY, workers=workers) as agent:
            infos = infos_of(agent, 1_600)
            expected = returns_of(agent, 4, 3)
        assert infos[-1].evaluation_mean == pytest.approx(np.mean(expected), rel=1e-12)
        assert infos[-1].evaluation_std == pytest.approx(np.std(expected), rel=1e-9)
        assert infos[-1].seconds_evaluation > 0.0
        found.append(evaluations(infos))
    assert found[0] == found[1] == found[2]


def test_the_best_is_kept_and_known_after_a_save(tmp_path: Path) -> None:
    file, options = tmp_path / "best.zip", {**OPTIONS, "evaluate_every": 1, "evaluation_episodes": 2}
    parameters: list[bytes] = []
    with NPG("Pendulum-v1", **options, workers=1) as agent:
        assert (agent.best_return, agent.best_iteration) == (-math.inf, 0)
        whole: list[IterationInfo] = []

        def take_in(info: IterationInfo) -> None:
            whole.append(info)
            parameters.append(agent.policy.parameters.tobytes())

        agent.learn(4_000, callback=take_in, keep_best=file)
        means = [info.evaluation_mean for info in whole]
        best = int(np.argmax(means))
        assert 0 < best < len(means) - 1, means  # the last policy is not the best, nor the first
        assert (agent.best_return, agent.best_iteration) == (means[best], best + 1)
        np.testing.assert_array_equal([i.evaluation_best for i in whole], np.maximum.accumulate(means))
    with NPG.load(file) as kept:
        assert (kept.iteration, kept.best_return) == (best + 1, means[best])
        assert kept.policy.parameters.tobytes() == parameters[best]
    # A run that is saved and loaded knows the best, and writes the same file.
    with NPG("Pendulum-v1", **options, workers=1) as agent:
        first = infos_of(agent, (best + 1) * 400, keep_best=tmp_path / "again.zip")
        agent.save(tmp_path / "run.zip")
    with NPG.load(tmp_path / "run.zip") as agent:
        assert (agent.best_return, agent.best_iteration) == (means[best], best + 1)
        rest = infos_of(agent, 4_000 - agent.steps, keep_best=tmp_path / "none.zip")
    assert evaluations(first + rest) == evaluations(whole)
    assert (tmp_path / "again.zip").exists()
    assert not (tmp_path / "none.zip").exists()


class Exploding(Countdown):
    """Raises at each step, once it is broken."""

    broken = False

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        if Exploding.broken:
            raise ArithmeticError("the simulator is on fire")
        return super().step(action)


def test_an_evaluation_that_fails_undoes_its_iteration(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail_after_the_update(agent: NPG) -> Any:
        update = agent._learner.update

        def updating(*arguments: Any) -> Any:
            done = update(*arguments)
            monkeypatch.setattr(Exploding, "broken", True)
            return done

        return updating

    undisturbed = NPG(Countdown, **OPTIONS, workers=1).learn(1_200)
    with NPG(Exploding, **OPTIONS, workers=1, evaluate_every=3) as agent:
        agent.learn(800)
        before = agent.policy.parameters.tobytes()
        with monkeypatch.context() as patch:
            patch.setattr(agent._learner, "update", fail_after_the_update(agent))
            with pytest.raises(ArithmeticError, match="on fire"):
                agent.learn(400)
        assert (agent.iteration, agent.policy.parameters.tobytes()) == (2, before)
        monkeypatch.setattr(Exploding, "broken", False)
        agent.learn(400)
        assert agent.policy.parameters.tobytes() == undisturbed.policy.parameters.tobytes()
        assert agent.best_iteration == 3


class Counting(Countdown):
    """Rewards by the number of its resets: an environment that another user of it would disturb."""

    def __init__(self) -> None:
        self.resets = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        self.resets += 1
        return super().reset(seed=seed)

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        observation, reward, *rest = super().step(action)
        return observation, reward * self.resets, *rest  # type: ignore[return-value]


def test_evaluations_have_an_environment_of_their_own() -> None:
    runs = []
    for options in ({}, {"evaluate_every": 1}):
        with NPG(Counting, **OPTIONS, workers=1, **options) as agent:
            runs.append((agent.learn(1_200).policy.parameters.tobytes(), agent.last_return))
    assert runs[0] == runs[1]


@pytest.mark.parametrize("env", [Countdown(), SyncVectorEnv([Countdown] * 2)])
def test_an_environment_that_is_in_training_is_not_evaluated_on(env: Any) -> None:
    with pytest.raises(UserError, match=r"^evaluate_every needs an environment id or a function"):
        NPG(env, **OPTIONS, evaluate_every=1)
    NPG(env, **OPTIONS, evaluate_every=0)


def one_and_the_same(env: Countdown) -> Countdown:
    return env


@pytest.mark.parametrize("workers", [1, 2])
def test_a_function_must_make_another_environment(workers: int) -> None:
    with NPG(partial(one_and_the_same, Countdown()), **OPTIONS, workers=workers, evaluate_every=1) as agent:
        with pytest.raises(UserError, match="at each call, got one that returns the same one again"):
            agent.learn(1)
        assert agent.iteration == 0


def test_the_best_needs_evaluations(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^keep_best: expected an agent with evaluate_every of at least 1"):
        NPG("Pendulum-v1", **OPTIONS, workers=1).learn(1, keep_best=tmp_path / "best.zip")


def test_more_workers_than_episodes_and_more_episodes_than_steps() -> None:
    found = []
    for workers in (1, 3):
        with NPG(
            Countdown, policy="linear", batch_steps=5, workers=workers, max_episode_steps=2,
            evaluate_every=1, evaluation_episodes=50,
        ) as agent:  # fmt: skip
            found.append(evaluations(infos_of(agent, 10)))
        with NPG(Countdown, **OPTIONS, workers=workers, evaluate_every=1, evaluation_episodes=1) as agent:
            found.append(evaluations(infos_of(agent, 10)))
    assert found[:2] == found[2:]
