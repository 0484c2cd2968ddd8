"""The natural step of blocks of rows from iterators: that of all rows at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastfisher as ff

from .helpers import Array, batch, parts, same_bits

D = 13
S, A, G, W = batch(200, D)
P = np.random.default_rng(5).standard_normal(D)
FIELDS = (
    "step",
    "direction",
    "gradient",
    "step_size",
    "predicted_kl",
    "predicted_improvement",
    "damping",
)


class Fresh:
    """Each `iter` is a pass of its own; `passes` counts them."""

    def __init__(self, *arrays: Array | None) -> None:
        self.arrays, self.passes = arrays, 0

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        self.passes += 1
        return parts(*self.arrays)


@pytest.mark.parametrize("weights", [None, W], ids=["plain", "weighted"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"max_kl": 0.01},
        {"damping": 3.0, "max_kl": 0.5},
        {"damping": 0.0, "max_kl": 0.01},
        {"damping": 0.1, "relative_damping": True, "max_kl": 0.01},
        {"count": 37.0, "max_kl": 0.01},
        {"count": 1e6, "relative_damping": True},
        {"momentum": 0.9, "previous": P},
        {"momentum": 0.9, "previous": P, "max_kl": 0.01},
        {"momentum": 0.5, "previous": P, "max_kl": 0.01, "damping": 0.0},
        {"momentum": 0.5},
        {"solver": "cholesky", "precision": "double", "num_threads": 2},
    ],
    ids=str,
)
def test_it_is_the_step_of_all_rows_at_once(options: dict[str, Any], weights: Array | None) -> None:
    expected = ff.natural_step(S, A, weights=weights, **{**options, "solver": "cholesky"})
    fresh = Fresh(S, A, weights)
    for stream in (parts(S, A, weights), fresh, lambda: parts(S, A, weights)):
        result = ff.natural_step(stream, **options)
        for field in FIELDS:
            np.testing.assert_allclose(getattr(result, field), getattr(expected, field), rtol=1e-10)
        assert (result.solver, result.precision, result.sample_weights) == ("cholesky", "double", None)
        assert result.residual < 1e-14
    assert fresh.passes == 2


@pytest.mark.parametrize("weights", [None, W], ids=["plain", "weighted"])
def test_of_a_given_gradient(weights: Array | None) -> None:
    expected = ff.natural_step(S, gradient=G, weights=weights, max_kl=0.01, solver="cholesky")
    for stream in (parts(S, None, weights), Fresh(S, None, weights)):
        result = ff.natural_step(stream, gradient=G, max_kl=0.01)
        for field in FIELDS:
            np.testing.assert_allclose(getattr(result, field), getattr(expected, field), rtol=1e-10)


def test_momentum_with_a_count() -> None:
    """(F + lambda I) x = g + lambda mu previous, whatever F was divided by."""
    options: dict[str, Any] = {"momentum": 0.5, "previous": P, "count": 50.0, "damping": 0.1}
    F, g = S.T @ (W[:, None] * S) / 50.0, S.T @ (W * A) / W.sum()
    x = np.linalg.solve(F + 0.1 * np.eye(D), g + 0.1 * 0.5 * P)
    result = ff.natural_step(Fresh(S, A, W), max_kl=0.01, **options)
    np.testing.assert_allclose(result.direction, x, rtol=1e-10)
    assert result.step @ F @ result.step / 2 == pytest.approx(0.01, rel=1e-10)
    expected = ff.natural_step(S, gradient=g, weights=W, max_kl=0.01, **options)
    for field in FIELDS:
        np.testing.assert_allclose(getattr(result, field), getattr(expected, field), rtol=1e-10)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 30), st.integers(1, 80), st.integers(1, 30), st.floats(-8, 2), st.integers(-120, 120))
def test_any_shape_and_scale(d: int, rows: int, size: int, damping: float, exponent: int) -> None:
    scores, advantages, _, _ = batch(rows, d)
    unit = 2.0**exponent
    absolute = 10.0**damping * unit * unit
    expected = ff.natural_step(scores * unit, advantages, damping=absolute, max_kl=0.01, solver="gram")
    sizes = (size,) * (rows // size) if rows % size else (size,) * (rows // size - 1)
    result = ff.natural_step(
        lambda: parts(scores * unit, advantages, sizes=sizes), damping=absolute, max_kl=0.01
    )
    length = np.linalg.norm(expected.direction / np.abs(expected.direction).max())
    error = (result.direction - expected.direction) / np.abs(expected.direction).max()
    condition = 1.0 + (scores**2).sum() / rows / 10.0**damping
    # Of the gradient, whose terms blocks add up in another order.
    cancellation = np.linalg.norm(abs(scores).T @ abs(advantages)) / np.linalg.norm(scores.T @ advantages)
    assert np.linalg.norm(error) <= 2e-15 * d * condition * cancellation * length
    assert result.predicted_kl == pytest.approx(expected.predicted_kl, rel=1e-13 * condition)
    assert result.step_size == pytest.approx(expected.step_size, rel=1e-13 * condition)


@pytest.mark.parametrize("rows", [2, 5, D, D + 1])
def test_a_relative_damping_goes_by_the_fewer_of_rows_and_parameters(rows: int) -> None:
    options: dict[str, Any] = {"damping": 0.1, "relative_damping": True, "max_kl": 0.01}
    result = ff.natural_step(parts(S[:rows], A[:rows], sizes=(1,)), **options)
    assert result.damping == pytest.approx(0.1 * (S[:rows] ** 2).sum() / rows / min(rows, D), rel=1e-12)
    expected = ff.natural_step(S[:rows], A[:rows], solver="cholesky", **options)
    for field in FIELDS:
        np.testing.assert_allclose(getattr(result, field), getattr(expected, field), rtol=1e-9)


def test_factored_blocks() -> None:
    left, right = S[:, :5], S[:, 5:]
    expected = ff.natural_step([(left, right), S], A, max_kl=0.01, solver="cholesky")
    stream = (([(a, b), s], c) for a, b, s, c in parts(left, right, S, A))
    result = ff.natural_step(stream, max_kl=0.01)
    np.testing.assert_allclose(result.step, expected.step, rtol=1e-8)


def test_a_sequence_of_dampings_is_two_passes_in_all() -> None:
    dampings = [1e-6, 1e-2, 10.0]
    fresh = Fresh(S, A)
    steps = ff.natural_step(fresh, damping=dampings, max_kl=0.01)
    assert fresh.passes == 2
    for step, damping in zip(steps, dampings, strict=True):
        alone = ff.natural_step(Fresh(S, A), damping=damping, max_kl=0.01)
        assert same_bits([getattr(step, f) for f in ("damping", "residual")], [damping, alone.residual])
        assert same_bits(step.step, alone.step)


def test_one_pass_or_two_is_the_same_step_and_the_notes_say_which() -> None:
    once, twice = ff.natural_step(parts(S, A), max_kl=0.01), ff.natural_step(Fresh(S, A), max_kl=0.01)
    assert same_bits(once.direction, twice.direction)
    np.testing.assert_allclose(once.step, twice.step, rtol=1e-13)
    assert any("only once" in note for note in once.notes)
    assert not any("residual" in note for note in twice.notes)
    assert all(result.notes[0].startswith("auto chose cholesky") for result in (once, twice))
    assert not ff.natural_step(Fresh(S, A), solver="cholesky").notes


def test_a_second_pass_measures_the_scores_themselves() -> None:
    """Scores whose squares round differently from the accumulated ones: only the second pass sees it."""
    scores = S @ np.diag(np.logspace(0, -7, D))
    result = ff.natural_step(Fresh(scores, A), damping=1e-16)
    x = result.direction.astype(np.longdouble)
    wide = scores.astype(np.longdouble)
    remainder = result.gradient - wide.T @ (wide @ x) / len(S) - result.damping * x
    expected = float(np.sqrt((remainder**2).sum()) / np.linalg.norm(result.gradient))
    assert expected / 3 < result.residual + 1e-16 < 3 * expected + 1e-15


def test_a_second_pass_that_is_another() -> None:
    stream = parts(S, A)
    result = ff.natural_step(lambda: stream)
    assert any("a second pass gave 0 rows, the first 200" in note for note in result.notes)
    rng = np.random.default_rng(0)
    other = ff.natural_step(lambda: iter([(rng.standard_normal((50, D)), rng.standard_normal(50))]))
    assert other.residual > 1e-3
    assert any("not to be trusted" in note for note in other.notes)


def test_dead_parameters_without_damping() -> None:
    scores = S.copy()
    scores[:, 4] = 0.0
    result = ff.natural_step(Fresh(scores, A), damping=0.0, max_kl=0.01)
    expected = ff.natural_step(scores, A, damping=0.0, max_kl=0.01, solver="cholesky")
    np.testing.assert_allclose(result.step, expected.step, rtol=1e-9, atol=1e-14)
    assert any("jitter" in note for note in result.notes)
    with pytest.raises(np.linalg.LinAlgError, match="increase damping"):
        ff.natural_step(iter([(np.zeros((5, D)), None)]), gradient=G, damping=0.0)


@pytest.mark.parametrize("seed", range(3))
def test_refinement_makes_up_for_a_jitter(seed: int) -> None:
    """A factor of another matrix, and the residual of this one: without a refinement it is about 1e-11."""
    rng = np.random.default_rng(seed)
    scores = rng.standard_normal((200, D)) * np.logspace(0, -5, D)
    scores[:, 4] = 0.0
    result = ff.natural_step(Fresh(scores, rng.standard_normal(200)), damping=0.0)
    assert any("jitter" in note for note in result.notes)
    assert 1 <= result.iterations <= 3
    assert result.residual < 1e-14


@pytest.mark.parametrize("momentum", [{}, {"momentum": 0.9, "previous": np.zeros(D)}])
def test_a_zero_gradient(momentum: dict[str, Any]) -> None:
    result = ff.natural_step(Fresh(S, np.zeros(200)), max_kl=0.01, **momentum)
    assert not result.step.any()
    assert result.residual == result.predicted_kl == result.predicted_improvement == 0.0
    assert any("gradient is zero" in note for note in result.notes)


def test_blocks_without_weight() -> None:
    w = W.copy()
    w[:100] = 0.0
    expected = ff.natural_step(S, A, weights=w, solver="cholesky")
    result = ff.natural_step(parts(S, A, w, sizes=(50, 50)))
    np.testing.assert_allclose(result.direction, expected.direction, rtol=1e-10)
    with pytest.raises(ValueError, match=r"^weights: expected a positive sum"):
        ff.natural_step(parts(S, A, np.zeros(200)))


def test_the_same_bits_for_any_number_of_threads() -> None:
    one, eight = (ff.natural_step(Fresh(S, A), max_kl=0.01, num_threads=n) for n in (1, 8))
    assert same_bits(one.step, eight.step)


def test_wrong_calls() -> None:
    momentum = {"previous": P[1:], "momentum": 0.5}
    wrong: list[tuple[type[Exception], str, Any, dict[str, Any]]] = [
        (TypeError, "advantages: expected none beside", parts(S, A), {"advantages": A}),
        (TypeError, "weights: expected none beside", parts(S, A), {"weights": W}),
        (ValueError, "solver: .*'gram', which needs all", parts(S, A), {"solver": "gram"}),
        (ValueError, "solver: .*'cg', which needs all", parts(S, A), {"solver": "cg"}),
        (ValueError, "solver: expected one of", parts(S, A), {"solver": "lu"}),
        (ValueError, "precision: .*float64, got 'mixed'", parts(S, A), {"precision": "mixed"}),
        (ValueError, "precision: .*float64, got 'single'", parts(S, A), {"precision": "single"}),
        (ValueError, "scores: expected at least one block", iter([]), {}),
        (ValueError, "scores: expected at least one block", iter([]), {"gradient": G}),
        (TypeError, "item 0: expected .scores, advantages. or .*got ndarray", iter([S]), {}),
        (TypeError, "item 0: expected .*got 1 of them", iter([(S,)]), {}),
        (TypeError, "item 0: advantages: expected an array, got NoneType", iter([(S, None)]), {}),
        (TypeError, "item 0: advantages: expected None beside", iter([(S, A)]), {"gradient": G}),
        (ValueError, "item 1: scores: expected 13 columns", iter([(S, A), (S[:, 1:], A)]), {}),
        (ValueError, "item 0: scores: expected 14 columns", iter([(S, None)]), {"gradient": np.ones(14)}),
        (ValueError, "item 0: advantages: expected shape", iter([(S, A[1:])]), {}),
        (ValueError, "item 0: weights: expected values >= 0", iter([(S, A, W - 1.0)]), {}),
        (ValueError, "item 0: scores: .*row 0", iter([(S * np.nan, A)]), {}),
        (OverflowError, "item 0: advantages: ", iter([(S * 1e10, A * 1e300)]), {}),
        (ValueError, "gradient: expected shape", iter([(S, None)]), {"gradient": np.ones((2, 2))}),
        (ValueError, "gradient: expected finite", iter([(S, None)]), {"gradient": G * np.inf}),
        (ValueError, "previous: expected shape", parts(S, None), {"gradient": G, **momentum}),
        (ValueError, "initial: expected shape", parts(S, None), {"gradient": G, "initial": P[1:]}),
        (ValueError, "damping: ", parts(S, A), {"damping": -1.0}),
        (MemoryError, "solver: .* 13 x 13 matrix takes", parts(S, A), {"memory_limit": 1000.0}),
        (ValueError, "center: ", parts(S, A), {"center": True}),
    ]  # fmt: skip
    for error, message, stream, options in wrong:
        with pytest.raises(error, match=rf"^(item 0: )?{message}"):
            ff.natural_step(stream, **options)


def test_refusals_come_before_the_first_block_is_asked_for() -> None:
    stream = parts(S, A)
    for options in ({"solver": "cg"}, {"precision": "mixed"}, {"damping": -1.0}, {"weights": W}):
        with pytest.raises((TypeError, ValueError)):
            ff.natural_step(stream, **options)
    assert len(list(stream)) == 4


def test_out_of_range_is_an_error_not_an_infinity() -> None:
    for scores, advantages, damping in [
        (1e-120, 1e250, 1e-240),
        (1.0, 1e-300, 1e300),
        (1e100, 1e-300, 0.0),
    ]:
        with pytest.raises(OverflowError, match="step"):
            ff.natural_step(iter([(S * scores, A * advantages)]), damping=damping)


def test_a_row_that_is_not_finite_in_the_second_pass_is_named() -> None:
    passes = 0

    def blocks() -> Any:
        nonlocal passes
        passes += 1
        scores = S.copy()
        if passes == 2:
            scores[7, 1] = np.nan
        yield scores, A

    with pytest.raises(
        ValueError, match="item 0: scores: expected finite values, as in the first pass, row 7"
    ):
        ff.natural_step(blocks)


@pytest.mark.parametrize("unit", [1e-290, 1e-250, 1e250, 1e290])
def test_weights_of_any_size_are_those_of_a_batch(unit: float) -> None:
    """Reported: products of small weights with small advantages were zero, and so was the step."""
    moderate = ff.natural_step(S, A, weights=W, damping=1e-2)
    for scale in (1e-200, 1.0):
        for stream in (Fresh(S, A * scale, W * unit), parts(S, A * scale, W * unit)):
            result = ff.natural_step(stream, damping=1e-2)
            assert result.residual < 1e-10
            np.testing.assert_allclose(result.gradient, moderate.gradient * scale, rtol=1e-10)
            np.testing.assert_allclose(result.direction, moderate.direction * scale, rtol=1e-8)
        result = ff.natural_step(Fresh(S, None, W * unit), gradient=G * scale, count=W.sum() * unit)
        exact = ff.natural_step(S, gradient=G, weights=W)
        assert result.residual < 1e-10
        np.testing.assert_allclose(result.direction, exact.direction * scale, rtol=1e-8)


def test_blocks_without_weights_and_of_weights_of_zero_beside_others() -> None:
    blocks = [
        (S[:50], A[:50], np.zeros(50)),
        (S[50:150], A[50:150], np.full(100, 1e-100)),
        (S[150:], A[150:]),
    ]
    result = ff.natural_step(iter(blocks))
    np.testing.assert_allclose(result.direction, ff.natural_step(S[150:], A[150:]).direction, rtol=1e-10)
