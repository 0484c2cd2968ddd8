"""The ridge baselines see time in units of an episode; few rows cost no matrix of the features."""

from __future__ import annotations

from time import perf_counter
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from fastfisher import NPG, reference
from fastfisher.training.baselines.base import RecentBaseline
from fastfisher.training.baselines.ridge import RidgeBaseline
from fastfisher.training.moments import RewardUnit

GAMMA = 0.99


def values(length: int) -> np.ndarray:
    """Return V of each step of an episode that earns 1 a step, (1 - gamma^(length - t)) / (1 - gamma)."""
    return (1.0 - GAMMA ** np.arange(length, 0.0, -1.0)) / (1.0 - GAMMA)


class Constant(gymnasium.Env):  # type: ignore[type-arg]
    """Earns 1 a step; ends by itself after some steps, if at all."""

    def __init__(self, ends_after: int | None = None) -> None:
        self.observation_space = spaces.Box(-1.0, 1.0, (1,), np.float64)
        self.action_space = spaces.Discrete(2)
        self._ends_after = ends_after
        self._t = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._t = 0
        return np.zeros(1), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._t += 1
        return np.zeros(1), 1.0, self._t == self._ends_after, False, {}


@pytest.mark.parametrize("limit", [None, 5, 100, 1000, 10**9])
@pytest.mark.parametrize("kind", ["linear", "quadratic"])
def test_short_episodes_that_end(kind: Any, limit: int | None) -> None:
    """By themselves after 5 steps, wherever the environment's limit is."""
    env = gymnasium.wrappers.TimeLimit(Constant(5), limit) if limit and limit > 5 else Constant(5)
    options: dict[str, Any] = {"max_episode_steps": 5} if limit == 5 else {}
    with NPG(env, policy="linear", baseline=kind, gamma=GAMMA, batch_steps=200, **options) as agent:
        agent.learn(400)
        found = agent._learner.baseline.predict(np.zeros((5, 1)), np.arange(5))
    np.testing.assert_allclose(found, [4.90, 3.94, 2.97, 1.99, 1.00], atol=0.12 if limit == 100 else 0.01)


@pytest.mark.parametrize("length", [1, 2, 5, 11, 12, 50, 200])
@pytest.mark.parametrize("limit", [None, "length", 1000])
def test_any_length(length: int, limit: int | str | None) -> None:
    times = np.tile(np.arange(length), max(1, 1000 // length))
    targets = values(length)[times]
    baseline = RidgeBaseline("linear", 1, 1e-5, length if limit == "length" else limit)  # type: ignore[arg-type]
    baseline.fit(np.zeros((len(times), 1)), times, targets)
    found = baseline.predict(np.zeros((length, 1)), np.arange(length))
    # Where a limit is farther than episodes last, the ridge takes some of time, most at 11 steps of 1,000.
    close = {11: 0.3, 12: 0.3}.get(length, 0.15) if limit == 1000 and length > 10 else 0.002
    np.testing.assert_allclose(found, values(length), atol=close * np.ptp(targets) + 1e-12)


@pytest.mark.parametrize(
    ("limit", "longest", "unit"),
    [(1000, 1000, 1000), (1000, 11, 1000), (1000, 10, 10), (None, 1000, 1000), (None, 7, 7), (50, 1, 50)],
)
def test_the_unit(limit: int | None, longest: int, unit: int) -> None:
    """An environment's limit, but for one so far, beyond 91 times the longest, that the ridge hides time."""
    baseline = RidgeBaseline("linear", 1, 1e-5, limit)
    baseline.fit(np.zeros((longest, 1)), np.arange(longest), np.ones(longest))
    assert baseline.time_unit == unit


def test_longer_episodes_than_any_before_do_not_run_off() -> None:
    baseline = RidgeBaseline("linear", 1, 1e-5)
    times = np.tile(np.arange(20), 50)
    baseline.fit(np.zeros((1000, 1)), times, values(20)[times])
    far = baseline.predict(np.zeros((3, 1)), np.array([20, 100, 10_000]))
    np.testing.assert_allclose(far, values(20)[10], atol=0.01)  # as in the middle


def test_the_unit_is_kept() -> None:
    times, observations = np.arange(30), np.zeros((30, 1))
    one, two = (RecentBaseline(RidgeBaseline("quadratic", 1, 1e-5), 2, RewardUnit()) for _ in range(2))
    one.fit(observations, times, values(30))
    two.load_state({name: np.array(array) for name, array in one.state().items()})
    np.testing.assert_array_equal(two.predict(observations, times), one.predict(observations, times))


def test_a_state_of_0_1_goes_on_in_its_unit() -> None:
    """Its runs keep their bits, saved and loaded again too: time in units of 1,000 steps, however many."""
    times, observations = np.arange(30), np.zeros((30, 1))
    one, two = (RidgeBaseline("linear", 1, 1e-5, limit=30) for _ in range(2))
    one.load_state({name: array for name, array in one.state().items() if name != "time"})
    one.fit(observations, times, values(30))
    X = reference.value_features(observations, times, 1000.0, np.zeros(1), np.ones(1), False)
    expected = reference.natural_direction(X, values(30), damping=1e-5)
    np.testing.assert_allclose(one.predict(observations, times), X @ expected, rtol=1e-9)
    two.load_state(one.state())
    two.fit(observations, times, values(30))
    np.testing.assert_array_equal(two.coefficients, one.coefficients)
    far = reference.value_features(observations[:1], [5000], 1000.0, np.zeros(1), np.ones(1), False)
    np.testing.assert_allclose(one.predict(observations[:1], np.array([5000])), far @ expected, rtol=1e-9)


@pytest.mark.parametrize(
    ("kind", "rows", "entries"), [("linear", 20, 30), ("quadratic", 50, 9), ("linear", 2, 1)]
)
def test_fewer_rows_than_features_are_the_same_fit(kind: Any, rows: int, entries: int) -> None:
    rng = np.random.default_rng(rows)
    observations, times = rng.standard_normal((rows, entries)) * 3.0 + 1.0, rng.integers(0, 40, rows)
    targets = rng.standard_normal(rows) * 50.0 + 200.0
    baseline = RidgeBaseline(kind, entries, 1e-5)
    baseline.fit(observations, times, targets)
    X = reference.value_features(
        observations, times, baseline.time_unit, baseline.shift, baseline.scale, kind == "quadratic"
    )
    assert X.shape[1] > rows
    expected = reference.natural_direction(X, targets, damping=1e-5)
    np.testing.assert_allclose(baseline.coefficients, expected, rtol=1e-6, atol=1e-7 * np.abs(expected).max())
    np.testing.assert_allclose(baseline.predict(observations, times), X @ expected, rtol=1e-8)


def test_few_rows_of_many_entries_are_quick() -> None:
    """The matrix of 8,197 features takes 6 s to factor, that of 200 rows none."""
    observations = np.random.default_rng(0).standard_normal((200, 8192))
    baseline, start = RidgeBaseline("linear", 8192, 1e-5), perf_counter()
    baseline.fit(observations, np.arange(200), np.ones(200))
    assert perf_counter() - start < 1.0
