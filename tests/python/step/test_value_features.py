"""Column moments and the features of value baselines against fastfisher.reference, at every SIMD level."""

from __future__ import annotations

import numpy as np
import pytest

from fastfisher import _core, reference

from .helpers import Array, layouts

pytestmark = pytest.mark.usefixtures("simd")


def batch(rows: int, entries: int) -> tuple[Array, Array, Array]:
    rng = np.random.default_rng(rows)
    observations = rng.standard_normal((rows, entries)) ** 3 * 7.0 + 3.0
    return observations, rng.integers(0, 1000, rows), rng.standard_normal(rows) * 50.0 + 300.0


def test_the_reference_is_powers_of_time_entries_and_all_products() -> None:
    observations, times, _ = batch(500, 3)
    X = reference.value_features(observations, times, 800.0, [3.0, 3.0, 4.0], [7.0, 7.0, 1.0], True)
    x = X[:, 5:8]
    np.testing.assert_allclose(x, np.clip((observations - [3.0, 3.0, 4.0]) / [35.0, 35.0, 5.0], -1.0, 1.0))
    assert (x == 1.0).any()
    assert (x == -1.0).any()
    expected = [x[:, i] * x[:, j] for i in range(3) for j in range(i, 3)]
    np.testing.assert_array_equal(X[:, 8:].T, expected)
    np.testing.assert_allclose(X[:, :5].T, [(times / 800.0) ** p for p in range(5)])


@pytest.mark.parametrize("products", [False, True])
@pytest.mark.parametrize(("rows", "entries"), [(1, 1), (7, 3), (130, 17), (8_300, 9)])
def test_sums_and_products(rows: int, entries: int, products: bool) -> None:
    observations, times, targets = batch(rows, entries)
    shift, scale = np.linspace(2.0, 4.0, entries), np.linspace(1.0, 9.0, entries)
    X = reference.value_features(observations, times, 800.0, shift, scale, products)
    v = np.random.default_rng(1).standard_normal(X.shape[1])
    bound = 4 * (rows + X.shape[1]) * np.finfo(np.float64).eps
    for _, laid_out in layouts(observations):
        arguments = laid_out, times, 800.0, shift, scale, products
        fisher, of_targets = _core.value_features_sums(*arguments, targets)
        assert fisher.count == fisher.total_weight == rows
        absolute = np.abs(X)
        assert (np.abs(rows * fisher.matrix() - X.T @ X) <= bound * (absolute.T @ absolute)).all()
        assert (np.abs(of_targets - X.T @ targets) <= bound * (absolute.T @ np.abs(targets))).all()
        np.testing.assert_allclose(_core.value_features_rows(*arguments), X, rtol=1e-13, atol=1e-15)
        values = _core.value_features_matvec(*arguments, v)
        assert (np.abs(values - X @ v) <= bound * (absolute @ np.abs(v))).all()


def test_they_are_the_same_bits_for_any_number_of_threads() -> None:
    observations, times, targets = batch(9_000, 6)
    arguments = observations, times, 800.0, np.zeros(6), np.ones(6), True
    found = []
    for threads in (1, 2, 3):
        fisher, of_targets = _core.value_features_sums(*arguments, targets, threads)
        values = _core.value_features_matvec(*arguments, of_targets, threads)
        found.append((fisher.matrix(), of_targets, values, _core.value_features_rows(*arguments, threads)))
    for other in found[1:]:
        for first, second in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(first, second)


def test_arrays_that_do_not_belong_together_are_refused() -> None:
    observations, times, ones = np.ones((4, 2)), np.arange(4), np.ones(2)
    for name, arguments in {
        "times": (observations, times[:3], 1.0, ones, ones, True, np.ones(4)),
        "scale": (observations, times, 1.0, ones, np.ones(3), True, np.ones(4)),
        "targets": (observations, times, 1.0, ones, ones, True, np.ones(5)),
    }.items():
        with pytest.raises(ValueError, match=f"^{name}: expected shape"):
            _core.value_features_sums(*arguments)
    with pytest.raises(ValueError, match=r"^coefficients: expected shape \(10,\)"):
        _core.value_features_matvec(observations, times, 1.0, ones, ones, True, np.ones(9))
    with pytest.raises(ValueError, match=r"^observations: expected a two-dimensional array"):
        _core.value_features_matvec(np.ones(4), times, 1.0, ones, ones, True, np.ones(10))


@pytest.mark.parametrize("rows", [1, 127, 128, 129, 1_000])
def test_column_moments_keep_their_digits_beside_a_large_mean(rows: int) -> None:
    matrix = np.random.default_rng(rows).standard_normal((rows, 5)) * [1.0, 1e-3, 1e3, 0.0, 1.0] + 1e6
    expected_mean, expected = reference.column_moments(matrix)
    for _, laid_out in layouts(matrix):
        mean, sum_square = _core.column_moments(laid_out)
        np.testing.assert_allclose(mean, expected_mean, rtol=1e-14)
        np.testing.assert_allclose(sum_square, expected, rtol=1e-11, atol=1e-18 * rows)
    assert mean[3] == 1e6
    assert sum_square[3] == 0.0
