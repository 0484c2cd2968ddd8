"""center=True is the step of the scores with their mean subtracted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastfisher as ff

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
    share = (np.ones(rows) if w is None else w) / (rows if w is None else w.sum())
    centred = dense - share @ dense
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
        np.testing.assert_allclose(got.predicted_kl, expected.predicted_kl, rtol=max(loose, 1e-8))
        assert got.sample_weights is not None
        np.testing.assert_allclose(dense.T @ got.sample_weights, got.direction, atol=1e-3 * scale)
        if precision != "single":
            assert got.residual < 1e-11


def test_relative_damping_is_of_the_covariance() -> None:
    blocks, dense, A, _ = problem(60)
    centred = dense - dense.mean(axis=0)
    one = ff.natural_step(blocks, A, center=True, damping=0.1, relative_damping=True)
    other = ff.natural_step(centred, A, damping=0.1, relative_damping=True)
    np.testing.assert_allclose(one.damping, other.damping, rtol=1e-10)


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
