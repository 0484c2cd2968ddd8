"""Value baselines and running statistics."""

from __future__ import annotations

import numpy as np
import pytest

from fastfisher.config import TrainConfig
from fastfisher.training.make_baseline import make_baseline
from fastfisher.training.moments import RunningMoments
from fastfisher.training.ridge_baseline import RidgeBaseline


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
    assert baseline.features(obs, times).shape == (500, features)
    np.testing.assert_allclose(baseline.predict(obs, times), targets, atol=1e-3 * targets.std())


def test_a_linear_baseline_cannot_do_products() -> None:
    obs, times = problem()
    targets = (obs[:, 0] - 3.0) * (obs[:, 1] - 3.0)
    baseline = RidgeBaseline("linear", 3, 1e-5)
    baseline.fit(obs, times, targets)
    assert (baseline.predict(obs, times) - targets).var() > 0.9 * targets.var()


def test_products_are_all_products() -> None:
    obs, times = problem()
    baseline = RidgeBaseline("quadratic", 3, 1e-5)
    features = baseline.features(obs, times)
    x = features[:, 5:8]
    expected = [x[:, i] * x[:, j] for i in range(3) for j in range(i, 3)]
    np.testing.assert_array_equal(features[:, 8:].T, expected)
    np.testing.assert_allclose(features[:, :5].T, [(times / 1000.0) ** p for p in range(5)])


def test_survives_constant_and_repeated_entries() -> None:
    obs = np.ones((50, 2))
    baseline = RidgeBaseline("quadratic", 2, 1e-5)
    baseline.fit(obs, np.zeros(50, dtype=np.int64), np.full(50, 4.0))
    np.testing.assert_allclose(baseline.predict(obs, np.zeros(50, dtype=np.int64)), 4.0, rtol=1e-3)


def test_auto_is_quadratic_for_small_observations_only() -> None:
    for size, kind in ((17, "quadratic"), (348, "linear")):
        baseline = make_baseline(TrainConfig("x"), size)
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
