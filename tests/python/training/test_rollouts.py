"""Batches: the same bits for any number of workers, ends told apart, failures reported."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial

import gymnasium
import numpy as np
import pytest
from environments import Countdown, Crashing, Endless, Failing, Hanging
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from fastfisher.policies import GaussianHead, LinearPolicy, Policy
from fastfisher.training import NPG
from fastfisher.training.batch import Batch
from fastfisher.training.config import PolicyName, TrainConfig
from fastfisher.training.environments.recipe import Recipe
from fastfisher.training.errors import UserError, WorkerError
from fastfisher.training.rollouts.arena import GOOD, Arena, ArenaLayout
from fastfisher.training.rollouts.make import make_rollouts
from fastfisher.training.rollouts.serial import SerialRollouts
from fastfisher.training.rollouts.vector import VectorRollouts
from fastfisher.training.rollouts.workers import CannotRecreateError, WorkerRollouts

BATCH, HORIZON = 100, 9


@pytest.fixture
def policy() -> Policy:
    policy = LinearPolicy(2, GaussianHead(1, 0.0), np.random.default_rng(0))
    policy.parameters = np.array([0.1, -0.3, 0.2, -0.2])
    return policy


def layout(workers: int, batch_steps: int = BATCH, horizon: int = HORIZON) -> ArenaLayout:
    return ArenaLayout(workers, batch_steps, horizon, 2, (1,), "<f8")


@pytest.fixture
def pool() -> Iterator[Callable[..., WorkerRollouts]]:
    pools: list[WorkerRollouts] = []

    def start(
        factory: Callable[[], gymnasium.Env],  # type: ignore[type-arg]
        workers: int,
        timeout: float = 60.0,
        **sizes: int,
    ) -> WorkerRollouts:
        pools.append(WorkerRollouts(Recipe(factory=factory), 7, layout(workers, **sizes), timeout))
        return pools[-1]

    yield start
    for one in pools:
        one.close()


def assert_same(one: Batch, two: Batch) -> None:
    for name in (
        "observations",
        "actions",
        "rewards",
        "lengths",
        "terminated",
        "complete",
        "final_observations",
    ):
        a, b = getattr(one, name), getattr(two, name)
        assert a.shape == b.shape, name
        assert a.tobytes() == b.tobytes(), name


def test_serial_batch_is_the_shortest_run_of_whole_episodes(policy: Policy) -> None:
    batch = SerialRollouts(Countdown(), 7, BATCH, HORIZON).collect(policy, 3)
    assert BATCH <= batch.lengths.sum() < BATCH + batch.lengths[-1]
    assert batch.complete.all()
    np.testing.assert_array_equal(batch.terminated, batch.lengths % 2 == 1)
    np.testing.assert_array_equal(batch.observations[:, 0], batch.times)
    np.testing.assert_array_equal(batch.final_observations[:, 0], batch.lengths)
    np.testing.assert_array_equal(batch.final_observations[:, 1], batch.observations[batch.ends - 1, 1])
    # The environment saw clipped actions, in its own precision; the batch holds what the policy chose.
    assert np.abs(batch.actions).max() > 1.0
    np.testing.assert_array_equal(batch.rewards, np.clip(batch.actions[:, 0], -1.0, 1.0).astype(np.float32))


def test_batches_differ_by_iteration_and_not_by_history(policy: Policy) -> None:
    rollouts = SerialRollouts(Countdown(), 7, BATCH, HORIZON)
    first, second = rollouts.collect(policy, 0), rollouts.collect(policy, 1)
    assert first.observations[0, 1] != second.observations[0, 1]
    assert_same(second, SerialRollouts(Countdown(), 7, BATCH, HORIZON).collect(policy, 1))
    assert len(np.unique(first.observations[:, 1])) == len(first.lengths)


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_workers_collect_the_serial_batch_to_the_bit(
    policy: Policy, pool: Callable[..., WorkerRollouts], workers: int
) -> None:
    serial, parallel = SerialRollouts(Countdown(), 7, BATCH, HORIZON), pool(Countdown, workers)
    for iteration in range(15):
        assert_same(serial.collect(policy, iteration), parallel.collect(policy, iteration))


def test_endless_episodes_are_cut_at_the_horizon_and_surplus_ones_abandoned(
    policy: Policy, pool: Callable[..., WorkerRollouts]
) -> None:
    sizes = {"batch_steps": 3_000, "horizon": 1_000}
    serial = SerialRollouts(Endless(), 7, **sizes)
    parallel = pool(Endless, 4, **sizes)
    batch = parallel.collect(policy, 0)
    np.testing.assert_array_equal(batch.lengths, [1000, 1000, 1000])
    assert not batch.terminated.any()
    assert_same(serial.collect(policy, 0), batch)


def test_episodes_are_unwanted_once_those_before_them_fill_the_batch() -> None:
    arena = Arena(layout(2))
    arena.clear()
    assert [arena.take(0), arena.take(1), arena.take(0)] == [0, 1, 2]
    assert arena.running.tolist() == [2, 1]
    arena.length[0], arena.length[2] = 60, 500
    # Episode 2 fills the batch whatever episode 1 comes to, so a fourth one is not needed.
    assert arena.take(0) is None
    assert arena.unwanted_from[0] == 3
    arena.length[1] = 40
    assert arena.take(1) is None
    assert arena.unwanted_from[0] == 2
    arena.finished[:3] = GOOD
    assert arena.prefix() == 2
    arena.close()


def test_a_worker_that_raises_is_reported_with_its_traceback(
    policy: Policy, pool: Callable[..., WorkerRollouts]
) -> None:
    rollouts = pool(partial(Failing, deadly=False), 2)
    with pytest.raises(
        WorkerError, match=r"(?s)rollout worker \d failed:.*environments.py.*simulator is on fire"
    ):
        rollouts.collect(policy, 0)
    with pytest.raises(WorkerError, match="have stopped"):
        rollouts.collect(policy, 0)


def test_a_worker_that_dies_is_reported(policy: Policy, pool: Callable[..., WorkerRollouts]) -> None:
    with pytest.raises(WorkerError, match=r"rollout worker \d died: killed by SIGKILL$"):
        pool(partial(Failing, deadly=True), 2).collect(policy, 0)


def test_a_worker_that_crashes_is_reported_with_its_stack(
    policy: Policy, pool: Callable[..., WorkerRollouts]
) -> None:
    expected = (
        r"(?s)rollout worker \d died: killed by SIGSEGV; its stack:\n"
        r"Fatal Python error: Segmentation fault\n.*environments\.py.* in step\n"
    )
    with pytest.raises(WorkerError, match=expected) as caught:
        pool(Crashing, 2).collect(policy, 0)
    assert "Extension modules" not in str(caught.value)


def test_a_run_goes_on_in_its_own_process_where_workers_crash_at_their_start() -> None:
    recipe = Recipe(factory=partial(Crashing, at_once=True))
    with pytest.raises(CannotRecreateError, match=r"(?s)environments\.py.* in __init__\n") as caught:
        WorkerRollouts(recipe, 0, layout(2), 60.0)
    assert re.fullmatch(r"rollout worker \d died: killed by SIGSEGV", caught.value.reason)
    config = TrainConfig("", policy="linear", workers=2, batch_steps=BATCH)
    policy = LinearPolicy(2, GaussianHead(1, 0.0), np.random.default_rng(0))
    with pytest.warns(UserWarning, match="training in one process: no worker can make the environment"):
        rollouts = make_rollouts(config, Countdown(), recipe, policy, HORIZON, {})
    (note,) = rollouts.notes
    assert re.search(r"no worker can make the environment: rollout worker \d died: killed by SIGSEGV$", note)
    assert len(rollouts.collect(policy, 0).rewards) >= BATCH


def test_a_worker_killed_from_outside_is_reported(
    policy: Policy, pool: Callable[..., WorkerRollouts]
) -> None:
    rollouts = pool(partial(Hanging, after=1 << 30), 2, batch_steps=10**6, horizon=10**5)
    threading.Timer(0.3, rollouts._processes[1].kill).start()
    with pytest.raises(WorkerError, match="rollout worker 1 died: killed by SIGKILL"):
        rollouts.collect(policy, 0)


def test_a_worker_that_hangs_is_reported_with_its_stack(
    policy: Policy, pool: Callable[..., WorkerRollouts]
) -> None:
    rollouts = pool(partial(Hanging, after=5), 2, timeout=0.5)
    expected = (
        r"(?s)rollout worker \d hangs: 0\.5 s without a step at step 5 of episode \d of iteration 3 "
        r".*environments\.py.* in step\n"
    )
    with pytest.raises(WorkerError, match=expected):
        rollouts.collect(policy, 3)
    with pytest.raises(WorkerError, match="have stopped"):
        rollouts.collect(policy, 4)


def test_what_cannot_be_sent_or_made_elsewhere_is_said() -> None:
    lock = threading.Lock()

    def holds_a_lock() -> gymnasium.Env:  # type: ignore[type-arg]
        with lock:
            return Countdown()

    with pytest.raises(CannotRecreateError, match="cannot be pickled"):
        WorkerRollouts(Recipe(factory=holds_a_lock), 0, layout(2), 60.0)

    def only_here() -> gymnasium.Env:  # type: ignore[type-arg]
        raise FileNotFoundError("not on this machine")

    with pytest.raises(CannotRecreateError, match="not on this machine") as caught:
        WorkerRollouts(Recipe(factory=only_here), 0, layout(2), 60.0)
    assert caught.value.reason == "FileNotFoundError: not on this machine"


def test_workers_stop_with_their_pool(policy: Policy, pool: Callable[..., WorkerRollouts]) -> None:
    rollouts = pool(Countdown, 2)
    processes = list(rollouts._processes)
    rollouts.close()
    deadline = time.monotonic() + 5.0
    while any(process.poll() is None for process in processes):
        assert time.monotonic() < deadline
        time.sleep(0.01)


# Vector environments.


def vector(mode: AutoresetMode) -> VectorRollouts:
    return VectorRollouts(SyncVectorEnv([Countdown] * 3, autoreset_mode=mode), 7, BATCH)


@pytest.mark.parametrize("mode", AutoresetMode)
def test_no_step_that_resets_is_a_transition(policy: Policy, mode: AutoresetMode) -> None:
    batch = vector(mode).collect(policy, 0)
    assert BATCH <= len(batch.rewards) < BATCH + 3
    np.testing.assert_array_equal(batch.observations[:, 0], batch.times)
    np.testing.assert_array_equal(batch.rewards, np.clip(batch.actions[:, 0], -1.0, 1.0).astype(np.float32))
    np.testing.assert_array_equal(batch.final_observations[:, 0], batch.lengths)
    np.testing.assert_array_equal(batch.final_observations[:, 1], batch.observations[batch.ends - 1, 1])
    # Whole episodes have their parity's end; only the last of each lane may be cut.
    whole = batch.complete
    np.testing.assert_array_equal(batch.terminated[whole], batch.lengths[whole] % 2 == 1)
    assert not batch.terminated[~whole].any()
    assert (~whole).sum() <= 3


def test_copies_that_are_reset_in_the_same_step_or_by_us_run_the_same_episodes(policy: Policy) -> None:
    assert_same(
        vector(AutoresetMode.SAME_STEP).collect(policy, 1), vector(AutoresetMode.DISABLED).collect(policy, 1)
    )


def test_vector_batches_are_functions_of_the_iteration(policy: Policy) -> None:
    rollouts = VectorRollouts.from_recipe(Recipe(factory=Countdown), 3, 7, BATCH)
    rollouts.collect(policy, 0)
    again = VectorRollouts.from_recipe(Recipe(factory=Countdown), 3, 7, BATCH)
    assert_same(rollouts.collect(policy, 1), again.collect(policy, 1))


def test_an_unknown_autoreset_mode_is_refused() -> None:
    envs = SyncVectorEnv([Countdown] * 2)
    envs.metadata = {"autoreset_mode": "whenever"}
    with pytest.raises(UserError, match=r"autoreset_mode: expected .* got 'whenever'"):
        VectorRollouts(envs, 0, BATCH)


# Real environments.


@pytest.mark.parametrize(
    ("env", "kind"),
    [
        ("Pendulum-v1", "linear"),
        ("Pendulum-v1", "mlp"),
        ("Pendulum-v1", "rbf"),
        ("CartPole-v1", "mlp"),
    ],
)
def test_training_is_the_same_bits_for_1_2_and_4_workers(env: str, kind: PolicyName) -> None:
    trained = []
    for workers in (1, 2, 4):
        options = {"batch_steps": 500, "hidden": (8,), "rbf_features": 20}
        with NPG(env, policy=kind, seed=3, workers=workers, **options) as agent:
            trained.append(agent.learn(1_500).policy.parameters.copy())
    assert trained[0].tobytes() == trained[1].tobytes() == trained[2].tobytes()


def test_a_run_goes_on_after_its_worker_was_killed() -> None:
    with NPG("Pendulum-v1", seed=3, workers=2, batch_steps=400) as agent:
        undisturbed = agent.learn(1_200).policy.parameters.copy()
    with NPG("Pendulum-v1", seed=3, workers=2, batch_steps=400) as agent:
        agent.learn(400)
        agent._rollouts._processes[0].kill()  # type: ignore[union-attr]
        with pytest.raises(WorkerError, match="rollout worker 0 died: killed by SIGKILL"):
            agent.learn(400)
        assert agent.steps == 400
        assert agent.learn(800).policy.parameters.tobytes() == undisturbed.tobytes()
