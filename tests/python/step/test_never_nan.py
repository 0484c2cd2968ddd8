"""A NaN or an infinity that goes in is named; what comes out is finite or a named exception, never a NaN."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

import fastfisher as ff
from fastfisher import NaturalStep

from .helpers import SOLVERS, Array, batch

EVERY_SOLVER = (*SOLVERS, "auto")
BAD = (np.nan, np.inf, -np.inf)
LARGEST = np.finfo(np.float64).max

by_solver = pytest.mark.parametrize("solver", EVERY_SOLVER)


def assert_finite(result: NaturalStep) -> None:
    for field, value in vars(result).items():
        if isinstance(value, (np.ndarray, float)):
            assert np.isfinite(value).all(), (field, result)
    assert result.predicted_kl >= 0.0, result


# --- what goes in ---


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_nonfinite_entry_of_dense_scores_is_named_with_its_row(bad: float, dtype: type) -> None:
    given = batch(9, 5)
    S = given.scores.astype(dtype)
    for row, column in np.ndindex(S.shape):
        spoilt = S.copy()
        spoilt[row, column] = bad
        for solver in EVERY_SOLVER:
            for weights in (None, np.arange(9.0)):  # a row of weight zero is looked at too
                with pytest.raises(ValueError, match=rf"^scores: expected finite values.* row {row}\b"):
                    ff.natural_step(spoilt, given.advantages, weights=weights, solver=solver)


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("side", [0, 1], ids=["left", "right"])
def test_a_nonfinite_entry_of_a_pair_is_named_with_its_row(bad: float, side: int) -> None:
    """The other side of the pair may be zero, and a block before it is in order."""
    rng = np.random.default_rng(0)
    pair = [rng.standard_normal((7, 3)), rng.standard_normal((7, 4))]
    dense, A = rng.standard_normal((7, 2)), rng.standard_normal(7)
    for row, column in np.ndindex(pair[side].shape):
        for other in (1.0, 0.0):
            spoilt = [pair[0] * other, pair[1] * other]
            spoilt[side] = pair[side].copy()
            spoilt[side][row, column] = bad
            for solver in EVERY_SOLVER:
                with pytest.raises(ValueError, match=rf"^scores: expected finite values.* row {row}\b"):
                    ff.natural_step([dense, (spoilt[0], spoilt[1])], A, solver=solver)


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("name", ["advantages", "gradient", "weights", "initial", "previous"])
def test_a_nonfinite_entry_of_a_vector_is_named_with_its_place(bad: float, name: str) -> None:
    S, A, g, _ = batch(9, 5)
    per, size = ("row", 9) if name in ("advantages", "weights") else ("parameter", 5)
    for index in range(size):
        vector = np.ones(size)
        vector[index] = bad
        call = {"momentum": 0.5, "previous": g, name: vector}
        if name != "gradient":
            call.setdefault("advantages", A)
        for solver in EVERY_SOLVER:
            with pytest.raises(
                ValueError, match=rf"^{name}: expected finite values, got .* at {per} {index}$"
            ):
                ff.natural_step(S, solver=solver, **call)


# --- what comes out ---

scales = st.floats(-320.0, 308.0).map(lambda exponent: float(10.0**exponent))


@settings(max_examples=400, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    seed=st.integers(0, 2**32 - 1),
    score_scale=scales,
    advantage_scale=scales,
    column_scale=st.one_of(st.just(1.0), scales),
    mean=st.sampled_from([0.0, 0.0, 1e3, 1e9]),
    damping=st.sampled_from([0.0, 5e-324, 1e-12, 1e-4, 1e4, 1e300]),
    relative=st.booleans(),
    paired=st.booleans(),
    from_gradient=st.booleans(),
    max_kl=st.sampled_from([None, 0.01]),
)
def test_extreme_scales_give_a_finite_step_or_a_named_error(
    shape: tuple[int, int],
    seed: int,
    score_scale: float,
    advantage_scale: float,
    column_scale: float,
    mean: float,
    damping: float,
    relative: bool,
    paired: bool,
    from_gradient: bool,
    max_kl: float | None,
) -> None:
    """Scales from the smallest subnormal to the largest number, of everything or of one column alone."""
    rng = np.random.default_rng(seed)

    def scaled(size: int | tuple[int, ...], scale: float, mean: float = 0.0) -> Array:
        with np.errstate(over="ignore"):
            return np.clip((rng.standard_normal(size) + mean) * scale, -LARGEST, LARGEST)

    S = scaled(shape, score_scale, mean)
    S[:, 0] = scaled(shape[0], column_scale)
    scores = [(S, scaled((shape[0], 2), column_scale)), S] if paired else S
    parameters = 3 * shape[1] if paired else shape[1]
    relative = relative and damping <= 1e4
    call = {"damping": damping, "relative_damping": relative, "max_kl": max_kl}
    if from_gradient:
        call["gradient"] = scaled(parameters, advantage_scale)
    else:
        call["advantages"] = scaled(shape[0], advantage_scale)
    for solver in EVERY_SOLVER:
        for precision in ("auto", "single", "mixed"):
            try:
                result = ff.natural_step(scores, solver=solver, precision=precision, **call)
            except (OverflowError, np.linalg.LinAlgError) as error:
                assert str(error)  # noqa: PT017
            except ValueError as error:
                assert str(error).startswith("damping: the gram solver with a gradient")  # noqa: PT017
                assert damping == 0.0 or call["relative_damping"]
            else:
                assert_finite(result)


@by_solver
@pytest.mark.parametrize("scale", [5e-324, 1e-300, 1e-200, 1e-160, 1e-30])
def test_small_scores_are_solved_with_a_damping_far_above_them(solver: str, scale: float) -> None:
    S, A, _, _ = batch(12, 5)
    result = ff.natural_step(S * scale, A, damping=1e-3, solver=solver)
    assert_finite(result)
    np.testing.assert_allclose(result.direction, (S * scale).T @ A / 12 / 1e-3, rtol=1e-10, atol=5e-321)


@by_solver
@pytest.mark.parametrize("scale", [1e-145, 1e-30, 1e30, 1e145])
def test_scores_of_any_scale_are_solved_with_a_damping_of_their_own(solver: str, scale: float) -> None:
    S, A, _, _ = batch(12, 5)
    result = ff.natural_step(S * scale, A, damping=1e-3, relative_damping=True, solver=solver)
    assert_finite(result)
    assert result.residual < 1e-8
    one = ff.natural_step(S, A, damping=1e-3, relative_damping=True, solver=solver)
    np.testing.assert_allclose(result.direction * scale, one.direction, rtol=1e-6)
