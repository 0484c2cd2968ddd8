"""center=True is the step of the scores with their mean subtracted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastfisher as ff
from fastfisher import reference

from .helpers import SOLVERS

Array = np.ndarray


def problem(rows: int, seed: int = 0) -> tuple[list[Any], Array, Array, Array]:
    """Blocks with a mean, their dense form, advantages and weights."""
    rng = np.random.default_rng(seed)
    left, right, own = (rng.standard_normal((rows, k)) + 0.7 for k in (5, 4, 3))
    dense = np.hstack([np.einsum("np,nq->npq", left, right).reshape(rows, -1), own])
    return [(left, right), own], dense, rng.standard_normal(rows), rng.exponential(size=rows)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("rows", [12, 60])
@pytest.mark.parametrize("solver", [*SOLVERS, "auto"])
@pytest.mark.parametrize("precision", ["double", "mixed", "single"])
def test_centred(precision: Any, solver: Any, rows: int, weighted: bool) -> None:
    blocks, dense, A, weights = problem(rows)
    w = weights if weighted else None
    centred = reference.centred(dense, w)
    kwargs: dict[str, Any] = {
        "weights": w,
        "damping": 0.1,
        "max_kl": 0.01,
        "solver": solver,
        "precision": precision,
        "tol": 1e-12,
    }
    loose = 2e-4 if precision == "single" else 1e-9
    for S in (blocks, dense):
        got = ff.natural_step(S, A, center=True, **kwargs)
        expected = ff.natural_step(centred, A, **kwargs)
        np.testing.assert_allclose(got.gradient, expected.gradient, rtol=1e-10, atol=1e-13)
        scale = np.abs(expected.step).max()
        np.testing.assert_allclose(got.step, expected.step, rtol=loose, atol=loose * scale)
        exact = reference.natural_direction(dense, A, weights=w, damping=0.1, center=True)
        np.testing.assert_allclose(got.direction, exact, atol=loose * np.abs(exact).max())
        np.testing.assert_allclose(got.predicted_kl, expected.predicted_kl, rtol=max(loose, 1e-8))
        if got.sample_weights is None:  # a factor in single precision leaves the span by its rounding
            assert (got.solver, got.precision) == ("cholesky", "single")
        else:
            missed = dense.T @ got.sample_weights - got.direction
            assert np.linalg.norm(missed) < 1.1e-6 * np.linalg.norm(got.direction)
        if precision != "single":
            assert got.residual < 1e-11


def measured_residual(dense: Array, A: Array, w: Array, x: Array, damping: float) -> float:
    """||g - (F + lambda I) x|| / ||g|| from scores centred one by one, in long double."""
    S, share = dense.astype(np.longdouble), w / w.sum()
    S = S - share @ S
    g = S.T @ (share * A)
    remainder = g - S.T @ (share * (S @ x)) - damping * x
    return float(np.sqrt(np.square(remainder).sum() / np.square(g).sum()))


@pytest.mark.parametrize("offset", [1e3, 1e5])
@pytest.mark.parametrize("shape", [(300, 40), (60, 200)], ids=str)
@pytest.mark.parametrize("solver", [*SOLVERS, "auto"])
@pytest.mark.parametrize("precision", ["double", "mixed", "single"])
def test_a_large_mean_costs_no_more_digits_than_it_has(
    precision: Any, solver: Any, shape: tuple[int, int], offset: float
) -> None:
    rng = np.random.default_rng(0)
    S, A = rng.standard_normal(shape) + offset, rng.standard_normal(shape[0])
    w = rng.exponential(size=shape[0])
    result = ff.natural_step(
        S, A, weights=w, center=True, damping=0.01, solver=solver, precision=precision, tol=1e-8
    )
    measured = measured_residual(S, A, w, result.direction, 0.01)
    assert measured < (1e-3 if precision == "single" else 2e-8)
    assert abs(result.residual - measured) <= 0.1 * measured + 1e-14 * offset


@pytest.mark.parametrize("repeats", [1, 4])
@pytest.mark.parametrize("solver", [*SOLVERS, "auto"])
def test_pairs_with_large_means(solver: Any, repeats: int) -> None:
    rng = np.random.default_rng(1)
    left, right, own = (rng.standard_normal(s) + 300.0 for s in ((80 // repeats, 6), (80, 5), (80, 4)))
    rows = np.repeat(left, repeats, axis=0)
    dense = np.hstack([np.einsum("np,nq->npq", rows, right).reshape(80, -1), own])
    if repeats > 1:
        right = right.reshape(-1, repeats, 5)
    A, w = rng.standard_normal(80), rng.exponential(size=80)
    w[:20] = 0.0
    damping = 1e-3 * float(np.square(reference.centred(dense, w)).sum()) / 80 / 34
    result = ff.natural_step(
        [(left, right), own], A, weights=w, center=True, damping=damping, solver=solver, tol=1e-8
    )
    measured = measured_residual(dense, A, w, result.direction, damping)
    assert measured < 2e-8
    assert abs(result.residual - measured) <= 0.1 * measured + 1e-10


def test_a_preconditioner_is_of_the_covariance() -> None:
    rng = np.random.default_rng(2)
    S = rng.standard_normal((3000, 700)) * np.geomspace(1.0, 0.01, 700) + 1e4
    A = rng.standard_normal(3000)
    result = ff.natural_step(S, A, center=True, damping=1e-5, solver="cg")
    assert any("preconditioned" in note for note in result.notes), result.notes
    assert result.residual < 1e-8
    assert result.iterations < 200


def test_relative_damping_is_of_the_covariance() -> None:
    blocks, dense, A, _ = problem(60)
    centred = dense - dense.mean(axis=0)
    one = ff.natural_step(blocks, A, center=True, damping=0.1, relative_damping=True)
    other = ff.natural_step(centred, A, damping=0.1, relative_damping=True)
    np.testing.assert_allclose(one.damping, other.damping, rtol=1e-10)
    one = ff.natural_step(dense + 1e6, A, center=True, damping=0.1, relative_damping=True)
    np.testing.assert_allclose(one.damping, other.damping, rtol=1e-8)


def test_a_gradient_is_left_as_it_is() -> None:
    blocks, dense, _, _ = problem(60)
    g = np.random.default_rng(1).standard_normal(dense.shape[1])
    one = ff.natural_step(blocks, gradient=g, center=True, damping=0.1)
    other = ff.natural_step(dense - dense.mean(axis=0), gradient=g, damping=0.1)
    np.testing.assert_allclose(one.direction, other.direction, rtol=1e-9)


def test_not_with_momentum() -> None:
    blocks, dense, A, _ = problem(12)
    with pytest.raises(ValueError, match="center"):
        ff.natural_step(blocks, A, center=True, momentum=0.5, previous=np.ones(dense.shape[1]))
    with pytest.raises(TypeError, match="center: expected True or False"):
        ff.natural_step(blocks, A, center=1)  # type: ignore[arg-type]
