"""A gradient that is no more than the rounding of its sums is zero; one that is truly small is not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import fastfisher as ff
from fastfisher import NaturalStep

from .helpers import SOLVERS, Array, batch

EVERY_SOLVER = (*SOLVERS, "auto")


def exact_gradient(S: Array, A: Array, w: Array | None = None, *, center: bool = False) -> Array:
    """S^T (w A) / sum w in extended precision."""
    S, A = S.astype(np.longdouble), A.astype(np.longdouble)
    shares = np.ones(len(S), np.longdouble) if w is None else w.astype(np.longdouble)
    shares = shares / shares.sum()
    if center:
        S, A = S - shares @ S, A - shares @ A
    return S.T @ (shares * A)


def assert_zero_and_told(result: NaturalStep) -> None:
    (event,) = (event for event in result.events if event.code == "zero_gradient")
    assert ("rounding" in event.sentence) == (event.numbers["of_rounding"] == 1.0)
    for vector in (result.step, result.direction, result.gradient):
        np.testing.assert_array_equal(vector, np.zeros_like(vector))
    assert (result.predicted_kl, result.predicted_improvement, result.residual) == (0.0, 0.0, 0.0)


def antithetic(samples: int, parameters: int) -> Array:
    """Rows s and -s in random order, whose sum is zero, though not that of their rounded products."""
    rng = np.random.default_rng(samples)
    S = rng.standard_normal((samples // 2, parameters))
    return np.vstack([S, -S])[rng.permutation(2 * len(S))]


@pytest.mark.parametrize("solver", EVERY_SOLVER)
@pytest.mark.parametrize("value", [1.0, 0.1, 1e-30, 1e200])
def test_constant_advantages_of_centred_scores_make_no_gradient(solver: Any, value: float) -> None:
    """Reported: a gradient of 2e-32 scaled to the whole KL divergence."""
    S, _, _, w = batch(37, 6)
    for scores in (S, S + 1e3, [(S[:, :2].copy(), S[:, 2:4].copy()), S]):
        for weights in (None, w):
            for damping in (1e-4, [1e-4, 1e-2]):
                results = ff.natural_step(
                    scores,
                    np.full(37, value),
                    weights=weights,
                    center=True,
                    damping=damping,  # type: ignore[arg-type]
                    max_kl=0.01,
                    solver=solver,
                )
                for result in results if isinstance(results, tuple) else (results,):
                    assert_zero_and_told(result)


def test_the_event_says_that_it_was_rounding() -> None:
    S, A = np.random.default_rng(0).standard_normal((37, 6)), np.ones(37)
    (event,) = (e for e in ff.natural_step(S, A, center=True).events if e.code == "zero_gradient")
    assert event.numbers == {"of_rounding": 1.0}
    (event,) = (e for e in ff.natural_step(S, np.zeros(37)).events if e.code == "zero_gradient")
    assert event.numbers == {"of_rounding": 0.0}


@pytest.mark.parametrize("samples", [10, 1000, 100_000])
def test_constant_advantages_of_antithetic_scores_make_no_gradient(samples: int) -> None:
    S, A = antithetic(samples, 5), np.full(samples, 0.1)
    assert_zero_and_told(ff.natural_step(S, A, max_kl=0.01))


def test_rounding_is_told_in_a_stream_too() -> None:
    S, A = antithetic(1000, 5), np.full(1000, 0.1)

    def blocks() -> Iterator[tuple[Array, Array, Array]]:
        for part in range(10):
            yield S[part::10], A[part::10], np.full(100, 0.7)

    for stream in (blocks, blocks()):
        assert_zero_and_told(ff.natural_step(stream, max_kl=0.01))
    A[3] += 1e-9
    result = ff.natural_step(blocks, max_kl=0.01)
    assert result.predicted_kl == pytest.approx(0.01, rel=0.05)
    exact = exact_gradient(S, A)
    assert np.linalg.norm(result.gradient - exact) < 1e-4 * np.linalg.norm(exact)


@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("share", [1e-6, 1e-9, 1e-12, 1e-13, 1e-14])
def test_a_truly_small_gradient_is_none_of_rounding(center: bool, share: float) -> None:
    """Of terms of the order of one, a sum of 1e-14 is a gradient, and held to extended precision."""
    for samples in (10, 1000):
        S, A = antithetic(samples, 5), np.full(samples, 0.1)
        A = A + share * np.sqrt(samples) * np.random.default_rng(1).standard_normal(samples)
        result = ff.natural_step(S, A, center=center, max_kl=0.01, damping=1e-3)
        exact = exact_gradient(S, A, center=center)
        error = np.linalg.norm((result.gradient - exact).astype(np.float64))
        assert error < 1e-2 * np.linalg.norm(exact.astype(np.float64))
        assert result.predicted_kl == pytest.approx(0.01, rel=0.05)


@pytest.mark.parametrize("scale", [1e-150, 1e-30, 1.0, 1e30])
def test_a_small_unit_is_no_small_gradient(scale: float) -> None:
    S, A, _, w = batch(40, 4)
    for scores, advantages in ((S * scale, A), (S, A * scale)):
        result = ff.natural_step(scores, advantages, weights=w, relative_damping=True, max_kl=0.01)
        exact = exact_gradient(scores, advantages, w).astype(np.float64)
        np.testing.assert_allclose(result.gradient, exact, rtol=1e-10)
        assert result.predicted_kl == pytest.approx(0.01, rel=0.05)


def test_one_column_of_rounding_does_not_hide_the_gradient_of_another() -> None:
    """The sum of a column of 1e20 rounds by 1e4, beside a gradient of one."""
    S = np.array([[1e20, 1.0], [-1e20, 1.0], [1e20 / 3, 1.0], [-1e20 / 3, 1.0]])
    for max_kl in (None, 0.01):
        result = ff.natural_step(S, np.ones(4), max_kl=max_kl, damping=1e-3)
        np.testing.assert_array_equal(result.gradient, [0.0, 1.0])
        assert all(event.code != "zero_gradient" for event in result.events)
    Z = [(S[:2], np.ones(2)), (S[2:], np.ones(2))]
    assert ff.natural_step(iter(Z), damping=1e-3).gradient[1] == 1.0


def test_an_entry_of_rounding_is_zero_beside_one_far_smaller() -> None:
    """Reported: of centred scores, the entries of equal ones made the whole step."""
    rng = np.random.default_rng(0)
    S = np.hstack([1e-40 * rng.standard_normal((7, 2)), np.tile(rng.standard_normal(3), (7, 1))])
    result = ff.natural_step(S, rng.standard_normal(7), center=True, max_kl=0.01)
    np.testing.assert_array_equal(result.gradient[2:], np.zeros(3))
    np.testing.assert_array_equal(result.step[2:], np.zeros(3))
    assert result.gradient[:2].all()


def test_a_gradient_that_is_given_is_taken_as_it_is() -> None:
    S, _, _, _ = batch(20, 3)
    result = ff.natural_step(S, gradient=np.full(3, 1e-30), max_kl=0.01)
    assert result.predicted_kl == pytest.approx(0.01, rel=0.05)
