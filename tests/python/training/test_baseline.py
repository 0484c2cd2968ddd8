"""Value baselines and running statistics."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from fastfisher import reference
from fastfisher.training.baselines import network as network_baseline
from fastfisher.training.baselines.base import RecentBaseline
from fastfisher.training.baselines.make import make_baseline
from fastfisher.training.baselines.network import NetworkBaseline
from fastfisher.training.baselines.ridge import RidgeBaseline
from fastfisher.training.config import TrainConfig
from fastfisher.training.defaults import resolve
from fastfisher.training.moments import RewardUnit, RunningMoments


def problem(entries: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.standard_normal((500, entries)) * 7.0 + 3.0, np.tile(np.arange(100), 5)


def test_no_value_before_the_first_fit() -> None:
    obs, times = problem()
    np.testing.assert_array_equal(RidgeBaseline("quadratic", 3, 1e-5).predict(obs, times), 0.0)


@pytest.mark.parametrize(("kind", "features"), [("linear", 5 + 3), ("quadratic", 5 + 3 + 6)])
def test_recovers_functions_of_its_family(kind: str, features: int) -> None:
    obs, times = problem()
    # Within the clip at five standard deviations the family is closed under the scaling.
    targets = 2.0 + obs @ [1.0, -2.0, 0.5] + 3.0 * (times / 1000.0) ** 2
    if kind == "quadratic":
        targets = targets + obs[:, 0] * obs[:, 2] - 0.3 * obs[:, 1] ** 2
    baseline = RidgeBaseline(kind, 3, 1e-12)  # type: ignore[arg-type]
    baseline.fit(obs, times, targets)
    assert baseline.coefficients.shape == (features,)
    np.testing.assert_allclose(baseline.predict(obs, times), targets, atol=1e-3 * targets.std())


def test_a_linear_baseline_cannot_do_products() -> None:
    obs, times = problem()
    targets = (obs[:, 0] - 3.0) * (obs[:, 1] - 3.0)
    baseline = RidgeBaseline("linear", 3, 1e-5)
    baseline.fit(obs, times, targets)
    assert (baseline.predict(obs, times) - targets).var() > 0.9 * targets.var()


@pytest.mark.parametrize("kind", ["linear", "quadratic"])
@pytest.mark.parametrize(("rows", "entries"), [(2, 1), (7, 3), (500, 17), (9_000, 4)])
def test_fit_and_prediction_are_those_of_the_features_written_out(kind: Any, rows: int, entries: int) -> None:
    rng = np.random.default_rng(rows)
    obs = np.asfortranarray(rng.standard_normal((rows, entries)) ** 3 * 7.0 + 3.0)
    times, targets = np.arange(rows) % 1000, rng.standard_normal(rows) * 100.0 + 300.0
    baseline = RidgeBaseline(kind, entries, 1e-5)
    baseline.fit(obs, times, targets)
    np.testing.assert_allclose(baseline.shift, obs.mean(axis=0))
    np.testing.assert_allclose(baseline.scale, obs.std(axis=0))
    assert baseline.time_unit == min(rows, 1000)
    X = reference.value_features(
        obs, times, baseline.time_unit, baseline.shift, baseline.scale, kind == "quadratic"
    )
    expected = reference.natural_direction(X, targets, damping=1e-5)
    np.testing.assert_allclose(baseline.coefficients, expected, rtol=1e-7, atol=1e-9 * np.abs(expected).max())
    np.testing.assert_allclose(baseline.predict(obs, times), X @ baseline.coefficients, rtol=1e-10, atol=1e-8)
    remainder = X.T @ (targets - baseline.predict(obs, times)) / rows - 1e-5 * baseline.coefficients
    assert np.abs(remainder).max() < 1e-11 * np.abs(targets).max()


def test_survives_constant_and_repeated_entries() -> None:
    obs = np.ones((50, 2))
    baseline = RidgeBaseline("quadratic", 2, 1e-5)
    baseline.fit(obs, np.zeros(50, dtype=np.int64), np.full(50, 4.0))
    np.testing.assert_allclose(baseline.predict(obs, np.zeros(50, dtype=np.int64)), 4.0, rtol=1e-3)


def test_auto_is_quadratic_for_small_observations_only() -> None:
    for size, kind in ((17, "quadratic"), (348, "linear")):
        config = resolve(TrainConfig("x", policy="linear"), spaces.Discrete(2), size, None)
        baseline = make_baseline(config, size, RewardUnit())
        assert isinstance(baseline, RidgeBaseline)
        assert baseline.kind == kind


def test_running_moments_are_those_of_all_rows() -> None:
    rng = np.random.default_rng(1)
    rows = rng.standard_normal((1000, 3)) * [1.0, 100.0, 0.0] + 5.0
    moments = RunningMoments(3)
    for part in np.split(rows, [1, 10, 600]):
        moments.update(part)
    np.testing.assert_allclose(moments.mean, rows.mean(axis=0))
    np.testing.assert_allclose(moments.std(), [*rows.std(axis=0)[:2], 1.0])
    other = RunningMoments(3)
    other.load_state(moments.state())
    np.testing.assert_array_equal(other.std(), moments.std())


def network(steps: int = 4, hidden: tuple[int, ...] = (16, 16)) -> NetworkBaseline:
    return NetworkBaseline(3, hidden, steps, np.random.default_rng(2))


def curved(obs: np.ndarray) -> np.ndarray:
    x = (obs - 3.0) / 7.0
    return 40.0 + 10.0 * np.sin(2.0 * x[:, 0]) * x[:, 1] + 5.0 * np.abs(x[:, 2])


def test_a_network_learns_what_a_quadratic_cannot_and_goes_on_from_fit_to_fit() -> None:
    obs, times = problem()
    targets = curved(obs)
    baseline, quadratic = network(), RidgeBaseline("quadratic", 3, 1e-5)
    np.testing.assert_array_equal(baseline.predict(obs, times), 0.0)
    quadratic.fit(obs, times, targets)
    errors = []
    for _ in range(25):
        baseline.fit(obs, times, targets)
        errors.append((baseline.predict(obs, times) - targets).var() / targets.var())
    assert all(np.diff(errors) <= 1e-9), "a step that raises the loss is rejected"
    assert errors[-1] < 0.25 * errors[0]
    assert errors[-1] < 0.3 * (quadratic.predict(obs, times) - targets).var() / targets.var()


def test_other_units_of_the_next_batch_leave_the_value_network_as_it_was() -> None:
    obs, times = problem()
    baseline = network()
    baseline.fit(obs, times, curved(obs))
    before = baseline.predict(obs, times)
    baseline._restandardize(2.0 * obs - 9.0, 1e3 * curved(obs) + 7.0)
    np.testing.assert_allclose(baseline.predict(obs, times), before, rtol=2e-4)
    linear = network(hidden=())
    linear.fit(obs, times, curved(obs))
    before = linear.predict(obs, times)
    linear._restandardize(2.0 * obs - 9.0, 1e3 * curved(obs) + 7.0)
    np.testing.assert_allclose(linear.predict(obs, times), before, rtol=2e-4)


def test_a_step_that_raises_the_loss_is_undone_and_the_damping_raised(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    obs, times = problem()
    baseline = network(steps=1)
    baseline.fit(obs, times, curved(obs))
    before, damping = baseline.state(), baseline.damping
    real = network_baseline.natural_step

    def uphill(*arguments: Any, gradient: np.ndarray, **options: Any) -> Any:
        return real(*arguments, gradient=-gradient, **options)

    monkeypatch.setattr(network_baseline, "natural_step", uphill)
    baseline.fit(obs, times, curved(obs))
    assert baseline.damping == 4.0 * damping
    for name, array in baseline.state().items():
        if name != "damping":
            np.testing.assert_allclose(array, before[name], rtol=1e-12, atol=1e-12)


def test_a_network_baseline_read_back_goes_on_to_the_bit() -> None:
    obs, times = problem()
    one, two = network(), NetworkBaseline(3, (16, 16), 4, np.random.default_rng(99))
    one.fit(obs, times, curved(obs))
    two.load_state({name: np.array(array) for name, array in one.state().items()})
    for baseline in (one, two):
        baseline.fit(obs[::-1], times, curved(obs) + 1.0)
    assert one.predict(obs, times).tobytes() == two.predict(obs, times).tobytes()


@pytest.mark.parametrize(
    ("obs", "targets"),
    [
        (np.ones((50, 3)), np.full(50, 4.0)),
        (np.ones((50, 3)), np.zeros(50)),
        (np.eye(3)[:1] * 1e8, np.array([-1e12])),
        (
            np.random.default_rng(0).standard_cauchy((50, 3)) * 1e6,
            np.random.default_rng(1).standard_cauchy(50),
        ),
    ],
)
def test_degenerate_batches_leave_finite_values(obs: np.ndarray, targets: np.ndarray) -> None:
    baseline, times = network(), np.zeros(len(obs), dtype=np.int64)
    for _ in range(3):
        baseline.fit(obs, times, targets)
    values = baseline.predict(obs, times)
    assert np.isfinite(values).all()
    if targets.std() == 0.0:
        np.testing.assert_allclose(values, targets, rtol=1e-6, atol=1e-12)
    assert np.isfinite(baseline.predict(1e30 * np.ones((2, 3)), times[:2])).all()


def recent(unit: RewardUnit | None = None, batches: int = 2) -> RecentBaseline:
    return RecentBaseline(RidgeBaseline("quadratic", 3, 1e-5), batches, unit or RewardUnit())


def test_a_recent_baseline_is_that_of_the_last_batches_together() -> None:
    obs, times = problem()
    targets, thirds = curved(obs), np.array_split(np.arange(len(obs)), 3)
    baseline, expected = recent(), RidgeBaseline("quadratic", 3, 1e-5)
    buffer = np.empty_like(obs[thirds[0]])
    for rows in thirds:
        # As the rollouts do: one buffer for every batch.
        buffer[: len(rows)] = obs[rows]
        baseline.fit(buffer[: len(rows)], times[rows], targets[rows])
    kept = np.concatenate(thirds[1:])
    expected.fit(obs[kept], times[kept], targets[kept])
    np.testing.assert_array_equal(baseline.predict(obs, times), expected.predict(obs, times))


def test_a_recent_baseline_read_back_goes_on_to_the_bit() -> None:
    obs, times = problem()
    one, two = recent(batches=3), recent(batches=3)
    two.fit(obs[:7], times[:7], curved(obs[:7]))
    one.fit(obs[::2], times[::2], curved(obs[::2]))
    two.load_state({name: np.array(array) for name, array in one.state().items()})
    for baseline in (one, two):
        baseline.fit(obs[1::2], times[1::2], curved(obs[1::2]) + 1.0)
    assert one.predict(obs, times).tobytes() == two.predict(obs, times).tobytes()
    assert one.state().keys() == two.state().keys()


def test_a_recent_baseline_brings_older_targets_to_the_unit_of_today() -> None:
    obs, times = problem()
    targets, half = curved(obs), len(obs) // 2
    unit, plain = RewardUnit(), recent()
    baseline = recent(unit)
    for rows in (slice(half), slice(half, None)):
        unit.update(targets[rows] * (1.0 if rows.start is None else 50.0))
        baseline.fit(obs[rows], times[rows], targets[rows] / unit.value)
        plain.fit(obs[rows], times[rows], targets[rows])
    np.testing.assert_allclose(
        unit.value * baseline.predict(obs, times), plain.predict(obs, times), rtol=1e-6
    )
