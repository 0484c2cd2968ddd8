"""NaN and infinities of the environment: training stops before it acts on one, or drops the episode."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle  # type: ignore[import-untyped]
import numpy as np
import pytest
from environments import Broken, SometimesBroken
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from fastfisher.policies import GaussianHead, LinearPolicy, Policy
from fastfisher.training import NPG, IterationInfo, UserError
from fastfisher.training.batch import Batch
from fastfisher.training.environments.recipe import Recipe
from fastfisher.training.rollouts.arena import ArenaLayout
from fastfisher.training.rollouts.episode import MOST_SKIPPED
from fastfisher.training.rollouts.serial import SerialRollouts
from fastfisher.training.rollouts.workers import WorkerRollouts
from fastfisher.training.seeding import Stream, stream

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers do not find it

SMALL: dict[str, Any] = {"policy": "linear", "batch_steps": 60, "workers": 1, "normalize_observations": False}


def message_of(train: Callable[[], object]) -> str:
    with pytest.raises(UserError) as caught:
        train()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("options", [{}, {"squash": True}], ids=["core", "python"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    ("what", "at", "taken", "words"),
    [
        ("observation", 0, 0, "an observation whose entry 0 is {}, at step 0"),
        ("observation", 4, 4, "an observation whose entry 0 is {}, at step 4"),
        ("observation", 10, 10, "an observation whose entry 0 is {}, at step 10"),
        ("reward", 5, 5, "a reward of {}, at step 4"),
    ],
)
def test_training_stops_before_an_action_is_chosen_from_it(
    options: dict[str, Any], value: float, what: str, at: int, taken: int, words: str
) -> None:
    env = Broken(what, value, at)
    message = message_of(lambda: NPG(env, **SMALL, **options).learn(60))
    seed, _ = stream(0, Stream.EPISODE, 0, 0)
    assert message.startswith(
        f"the environment gave {words.format(value)} of the episode that env.reset(seed={seed}) began; "
        "skip_bad_episodes (--skip-bad-episodes)"
    )
    assert len(env.actions) == taken
    assert words.format(value) in message_of(lambda: NPG(env, **SMALL, **options).evaluate(1))


def test_nobody_asks_what_the_last_state_of_a_task_that_ended_is_worth() -> None:
    agent = NPG(Broken("end"), **SMALL).learn(60)
    assert agent.episodes == 6
    assert np.isfinite(agent.policy.parameters).all()


def test_entries_of_flattened_observations_are_looked_at() -> None:
    env = Broken(space=spaces.Box(-1.0, 1.0, (2, 2)))
    assert "an observation whose entry 0 is nan, at step 4" in message_of(lambda: NPG(env, **SMALL).learn(60))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 376])
def test_one_entry_is_enough_wherever_it_is(size: int) -> None:
    from fastfisher import _core

    def run(observation: np.ndarray) -> str | None:
        cells = np.zeros(1, np.int64), np.ones(1, np.int64)
        result = _core.run_episode(
            lambda t, o: 0, lambda a: (observation, 0.0, False, True, {}), np.zeros(size), np.zeros(3),
            np.zeros(size), 0, *cells,
        )  # fmt: skip
        return result[-1]

    largest = np.full(size, np.finfo(np.float64).max)
    assert run(largest) is None
    for entry in range(size):
        for value in (np.nan, np.inf, -np.inf, -np.nan):
            observation = largest.copy()
            observation[entry] = value
            assert run(observation) == f"an observation whose entry {entry} is {float(value)}"


# Episodes that are skipped.


def sometimes(number: float) -> bool:
    return number < 0.3


BATCH, HORIZON = 100, 9


@pytest.fixture
def policy() -> Policy:
    policy = LinearPolicy(2, GaussianHead(1, 0.0), np.random.default_rng(0))
    policy.parameters = np.array([0.1, -0.3, 0.2, -0.2])
    return policy


def expected(policy: Policy, iteration: int) -> tuple[Batch, list[int]]:
    """Return the batch that is meant, of episodes one at a time, and which of them are bad."""
    from fastfisher.training.rollouts.episode import Slot, make_chooser, run_episode

    env, slot = SometimesBroken(), Slot.empty(policy, HORIZON, 2)
    good, bad, steps = [], [], 0
    while steps < BATCH:
        seed, rng = stream(7, Stream.EPISODE, iteration, index := len(good) + len(bad))
        episode = run_episode(env, seed, make_chooser(policy, rng, env.action_space, slot), slot)
        assert episode is not None
        if episode.defect is not None:
            assert sometimes(env.number)
            bad.append(index)
            continue
        steps += episode.length
        good.append(slot.trajectory(0, episode.length, episode.terminated))
    return Batch.of(good, 0.0), bad


def bits(batch: Batch) -> list[bytes]:
    names = ("observations", "actions", "rewards", "lengths", "terminated", "complete", "final_observations")
    return [getattr(batch, name).tobytes() for name in names] + [" ".join(batch.defects).encode()]


def test_the_batch_is_the_shortest_run_of_episodes_whose_good_ones_fill_it(policy: Policy) -> None:
    skipped = 0
    for iteration in range(10):
        batch = SerialRollouts(SometimesBroken(), 7, BATCH, HORIZON, 50).collect(policy, iteration)
        whole, bad = expected(policy, iteration)
        assert bits(batch)[:-1] == bits(whole)[:-1]
        assert len(batch.defects) == len(bad)
        assert BATCH <= batch.lengths.sum() < BATCH + HORIZON
        skipped += len(bad)
    assert skipped > 20


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_workers_skip_the_same_episodes(policy: Policy, workers: int) -> None:
    serial = SerialRollouts(SometimesBroken(), 7, BATCH, HORIZON, 50)
    layout = ArenaLayout(workers, BATCH, HORIZON, 2, (1,), "<f8", 50)
    parallel = WorkerRollouts(Recipe(factory=SometimesBroken), 7, layout, 60.0)
    try:
        for iteration in range(20):
            assert bits(parallel.collect(policy, iteration)) == bits(serial.collect(policy, iteration))
    finally:
        parallel.close()


@pytest.mark.parametrize("most", [0, 2])
def test_workers_stop_where_one_process_does_and_say_the_same(policy: Policy, most: int) -> None:
    """A bad episode beyond the end of the batch stops nobody, though a worker may have begun it."""
    outcomes = []
    for workers in (0, 1, 3):
        layout = ArenaLayout(max(workers, 1), 30, HORIZON, 2, (1,), "<f8", most)
        rollouts: Any = SerialRollouts(SometimesBroken(), 7, 30, HORIZON, most)
        if workers:
            rollouts = WorkerRollouts(Recipe(factory=SometimesBroken), 7, layout, 60.0)
        said: list[Any] = []
        for iteration in range(30):
            try:
                said.append(bits(rollouts.collect(policy, iteration)))
            except UserError as error:
                said.append(str(error))
        rollouts.close()
        outcomes.append(said)
    assert outcomes[0] == outcomes[1] == outcomes[2]
    kinds = [type(outcome) for outcome in outcomes[0]]
    assert {str, list} == set(kinds)


def test_skipped_episodes_are_counted_and_training_is_the_same_bits_for_any_number_of_workers() -> None:
    trained, rows = [], []
    for workers in (1, 2):
        infos: list[IterationInfo] = []
        options = {**SMALL, "workers": workers, "skip_bad_episodes": True, "seed": 1}
        with NPG(lambda: Broken(when=sometimes), **options) as agent:
            agent.learn(240, callback=lambda info, infos=infos: infos.append(info))  # type: ignore[misc]
            trained.append(agent.policy.parameters.tobytes())
            assert len(agent.evaluate(5).returns) == 5
        rows.append(
            [(info.skipped_episodes, info.batch_episodes, info.batch_steps, info.notes) for info in infos]
        )
    assert trained[0] == trained[1]
    assert rows[0] == rows[1]
    assert all(row[1:3] == (6, 60) for row in rows[0])
    assert sum(row[0] for row in rows[0]) > 2
    for count, _, _, notes in rows[0]:
        told = [
            note
            for note in notes
            if "skipped: the environment gave an observation whose entry 0 is nan" in note
        ]
        assert len(told) == (count > 0)


def test_a_run_without_bad_episodes_is_the_same_with_and_without_the_flag() -> None:
    trained = []
    for skip in (False, True):
        for workers in (1, 2):
            with NPG(
                "Pendulum-v1", batch_steps=400, workers=workers, policy="linear", skip_bad_episodes=skip
            ) as agent:
                trained.append(agent.learn(800).policy.parameters.tobytes())
    assert len(set(trained)) == 1


def test_an_agent_that_met_one_goes_on_with_the_flag() -> None:
    options = {**SMALL, "seed": 1}
    with NPG(lambda: Broken(when=sometimes), **options) as agent:
        message_of(lambda: agent.learn(240))
        agent.config = agent.config.replace(skip_bad_episodes=True)
        agent.learn(240 - agent.steps)
    with NPG(lambda: Broken(when=sometimes), skip_bad_episodes=True, **options) as other:
        assert other.learn(240).policy.parameters.tobytes() == agent.policy.parameters.tobytes()


@pytest.mark.parametrize("workers", [1, 2])
def test_an_environment_that_is_always_bad_is_given_up(workers: int) -> None:
    options = {**SMALL, "workers": workers, "skip_bad_episodes": True}
    with NPG(Broken, **options) as agent:
        message = message_of(lambda: agent.learn(60))
    assert message.startswith(
        f"{MOST_SKIPPED + 1} bad episodes are too many to skip; of the last one, the environment"
    )
    with NPG(Broken, **SMALL) as agent:
        agent.config = agent.config.replace(skip_bad_episodes=True)
        assert "too many to skip" in message_of(lambda: agent.evaluate(1))


# Copies that step together.


@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize(
    ("what", "at", "words"),
    [
        (
            "observation",
            0,
            r"copy 1 gave an observation that is not finite, nan in entry 0, at the start of iteration 0",
        ),
        ("observation", 4, r"copy 1 gave an observation that is not finite, nan in entry 0, after 4 steps"),
        ("observation", 10, r"copy 1 gave an observation that is not finite, nan in entry 0, after 10 steps"),
        (
            "reward",
            5,
            r"copy 1 gave a reward that is not finite, nan, after 5 steps of all copies, in iteration 0",
        ),
    ],
)
def test_vector_environments_stop_before_an_action_is_chosen_from_it(
    mode: AutoresetMode, what: str, at: int, words: str
) -> None:
    envs = SyncVectorEnv([lambda: Broken("none"), lambda: Broken(what, at=at)], autoreset_mode=mode)
    assert re.match(words, message_of(lambda: NPG(envs, **SMALL).learn(60)))


@pytest.mark.parametrize("mode", AutoresetMode)
def test_vector_environments_may_end_in_a_nan(mode: AutoresetMode) -> None:
    envs = SyncVectorEnv([lambda: Broken("end"), lambda: Broken("none")], autoreset_mode=mode)
    agent = NPG(envs, **SMALL).learn(120)
    assert np.isfinite(agent.policy.parameters).all()


def test_copies_that_step_together_skip_nothing() -> None:
    envs = SyncVectorEnv([Broken] * 2)
    words = "skip_bad_episodes is for single environments"
    assert words in message_of(lambda: NPG(envs, **SMALL, skip_bad_episodes=True).learn(60))
    for options in ({"num_envs": 2}, {"backend": "envpool"}):
        with pytest.raises(
            ValueError, match=r"^skip_bad_episodes: expected False with (num_envs|backend) = "
        ):
            NPG("CartPole-v1", skip_bad_episodes=True, **options)


def test_envpool_is_looked_at_too(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("envpool")
    with NPG("CartPole-v1", backend="envpool", num_envs=3, batch_steps=60, workers=1) as agent:
        agent.learn(60)
        (pool,) = agent._rollouts._pools  # type: ignore[union-attr]
        receive = pool.recv

        def spoilt(**options: Any) -> Any:
            observations, *rest = receive(**options)
            observations = observations.copy()
            observations[1, 2] = np.nan
            return observations, *rest

        monkeypatch.setattr(pool, "recv", spoilt)
        message = message_of(lambda: agent.learn(60))
    assert (
        message
        == "environment 1 of EnvPool gave an observation that is not finite, after 0 steps of its trajectory"
    )


# The command line.

MODULE = """
import gymnasium, numpy as np
from gymnasium.envs.classic_control import PendulumEnv
class Sometimes(PendulumEnv):
    def reset(self, **options):
        result = super().reset(**options)
        self.bad, self.t = self.np_random.random() < 0.4, 0
        return result
    def step(self, action):
        observation, reward, *rest = super().step(action)
        self.t += 1
        return observation * (np.nan if self.bad and self.t == 7 else 1.0), reward, *rest
gymnasium.register("Sometimes-v0", "sometimes:Sometimes", max_episode_steps=20)
"""


def test_the_command_line_stops_in_one_line_and_goes_on_with_the_flag(tmp_path: Path) -> None:
    (tmp_path / "sometimes.py").write_text(MODULE)

    def train(*words: str) -> subprocess.CompletedProcess[str]:
        command = [
            sys.executable,
            "-m",
            "fastfisher",
            "train",
            "sometimes:Sometimes-v0",
            "--out",
            "run",
            "--quiet",
        ]
        options = ["--policy", "linear", "--batch-steps", "100", "--steps", "300", "--checkpoint-every", "1"]
        environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"}
        return subprocess.run(
            [*command, *options, *words],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    for words in (["--workers", "2"], ["--workers", "1", "--resume"]):
        done = train(*words)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
        assert re.search(
            r"^error: the environment gave an observation whose entry 0 is nan, at step 7 of the episode "
            r"that env\.reset\(seed=\d+\) began; skip_bad_episodes \(--skip-bad-episodes\) drops such "
            r"episodes$",
            done.stderr, re.MULTILINE,
        )  # fmt: skip
    done = train("--resume", "--skip-bad-episodes")
    assert done.returncode == 0, done.stderr
    with (tmp_path / "run" / "progress.csv").open() as file:
        assert sum(int(row["skipped_episodes"]) for row in csv.DictReader(file)) > 0
