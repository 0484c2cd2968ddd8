"""Single precision to a loose tolerance: its gradient and residual are in single precision too, and hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastfisher as ff
from fastfisher import reference

from .helpers import Array, batch, damped_fisher

LOOSE: dict[str, Any] = {"damping": 0.5, "solver": "cg", "precision": "single", "tol": 1e-3}


def layouts(samples: int) -> dict[str, Any]:
    """Return scores in one dense block, and as pairs beside a dense block, in either precision."""
    rng = np.random.default_rng(samples)
    sides = [rng.standard_normal((samples, size)) for size in (7, 9, 20, 5)]
    narrow = [side.astype(np.float32) for side in sides]
    return {
        "dense": rng.standard_normal((samples, 60)).astype(np.float32),
        "dense, float64": rng.standard_normal((samples, 60)),
        "pairs": [(narrow[0], narrow[1]), narrow[2], (narrow[3], narrow[0])],
        "pairs, float64": [(sides[0], sides[1]), sides[2], (sides[3], sides[0])],
    }


def measured(S: Array, g: Array, x: Array, damping: float, weights: Array | None = None) -> float:
    return float(np.linalg.norm(g - damped_fisher(S, damping, weights) @ x) / np.linalg.norm(g))


@pytest.mark.parametrize("layout", sorted(layouts(1)))
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("sample_weights", [False, True])
def test_the_residual_is_that_in_double_to_a_part_of_the_tolerance(
    layout: str, weighted: bool, sample_weights: bool, simd: str
) -> None:
    samples = 1111
    scores = ff.Scores(layouts(samples)[layout])
    S = scores.to_dense()
    _, A, _, w = batch(samples, 2)
    weights = w if weighted else None
    g = S.T @ (A if weights is None else w * A) / (samples if weights is None else w.sum())
    for tol in (1e-3, 1e-4):
        result = ff.natural_step(
            scores, A, weights=weights, sample_weights=sample_weights, **{**LOOSE, "tol": tol}
        )
        assert result.precision == "single"
        assert result.residual <= tol
        assert abs(result.residual - measured(S, g, result.direction, 0.5, weights)) < 1e-6
        assert np.linalg.norm(result.gradient - g) < 1e-6 * np.linalg.norm(g)
        if sample_weights:
            assert result.sample_weights is not None
            missed = np.linalg.norm(S.T @ result.sample_weights - result.direction)
            assert missed < 1.01e-6 * np.linalg.norm(result.direction)
    exact = reference.natural_direction(S, A, damping=0.5, weights=weights)
    assert np.linalg.norm(result.direction - exact) < 1e-3 * np.linalg.norm(exact)


def test_it_is_the_same_for_any_number_of_threads() -> None:
    scores = layouts(3000)["pairs"]
    A = batch(3000, 2).advantages
    one, three = (ff.natural_step(scores, A, num_threads=k, sample_weights=False, **LOOSE) for k in (1, 3))
    np.testing.assert_array_equal(one.direction, three.direction)
    assert one.residual == three.residual


@pytest.mark.parametrize(
    ("changed", "in_single"),
    [
        ({}, True),
        ({"tol": 1e-4}, True),
        ({"tol": 0.99e-4}, False),
        ({"precision": "auto"}, False),
        ({"precision": "mixed"}, False),
        ({"solver": "cholesky"}, False),
        ({"sample_weights": True}, False),
        ({"momentum": 0.5}, False),
        ({"center": True}, False),
    ],
    ids=str,
)
def test_the_gradient_is_in_single_where_that_was_asked_for(changed: dict[str, Any], in_single: bool) -> None:
    S, A, _, _ = batch(700, 40)
    call = {**LOOSE, "sample_weights": False, **changed}
    double = ff.natural_step(S, A, **{**call, "precision": "double"})
    same = np.array_equal(ff.natural_step(S, A, **call).gradient, double.gradient)
    assert same != in_single


def test_a_gradient_that_nearly_cancels_is_in_double() -> None:
    S, A, _, _ = batch(700, 40)
    A -= S @ np.linalg.lstsq(S, A, rcond=None)[0] * (1 - 1e-6)
    one, two = (
        ff.natural_step(S, A, **{**LOOSE, "sample_weights": False, "precision": precision})
        for precision in ("single", "double")
    )
    np.testing.assert_array_equal(one.gradient, two.gradient)


def test_a_residual_that_nearly_cancels_is_in_double() -> None:
    """Along a direction that few rows have, M x is far smaller than what its products round by."""
    S, A, _, _ = batch(700, 40)
    S[:, :39] *= 1e3
    S[:, 39] *= 1e-2
    start = np.zeros(40)
    start[:2] = 1e2, -1e2
    g = S.T @ A / len(A)
    result = ff.natural_step(S, A, initial=start, max_iterations=0, **LOOSE)
    assert result.residual == pytest.approx(measured(S, g, result.direction, 0.5), rel=1e-12)
    assert result.residual > 1.0


@pytest.mark.parametrize("scale", [1e-42, 1e-30, 1e30, 1e60])
def test_advantages_and_scores_beyond_single_precision(scale: float) -> None:
    S, A, _, _ = batch(300, 20)
    call = {**LOOSE, "sample_weights": False}
    one = ff.natural_step(S, A, **call)
    np.testing.assert_allclose(
        ff.natural_step(S, scale * A, **call).gradient, scale * one.gradient, rtol=1e-5
    )
    other = ff.natural_step(scale * S, A, **{**call, "damping": 0.5 * scale**2})
    np.testing.assert_allclose(other.gradient, scale * one.gradient, rtol=1e-5)
