"""What lies at the ends of float64, float32 or memory has the right value, or the advice that helps."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

import fastfisher as ff

from .helpers import SOLVERS, Array, batch
from .test_never_nan import LARGEST, assert_finite, scales

EVERY_SOLVER = (*SOLVERS, "auto")
by_solver = pytest.mark.parametrize("solver", EVERY_SOLVER)


def exact_direction(
    S: Array, A: Array, damping: float, weights: Array | None = None, count: float | None = None
) -> Array:
    """(F + lambda I)^-1 g in extended precision, by Gauss and Jordan."""
    S, A = S.astype(np.longdouble), A.astype(np.longdouble)
    w = np.ones(len(S), np.longdouble) if weights is None else weights.astype(np.longdouble)
    F = (S.T * w) @ S / (w.sum() if count is None else np.longdouble(count))
    system = np.column_stack([F + np.longdouble(damping) * np.eye(S.shape[1]), S.T @ (w * A) / w.sum()])
    for k in range(len(system)):
        system[k] /= system[k, k]
        for j in range(len(system)):
            if j != k:
                system[j] -= system[j, k] * system[k]
    return system[:, -1]


@by_solver
@pytest.mark.parametrize("weight", [1e-300, 1e-200, 1e200, 1e290])
@pytest.mark.parametrize("damping", [1e-200, 1.0, 1e200])
def test_weights_and_damping_whose_product_leaves_the_range(
    solver: Any, weight: float, damping: float
) -> None:
    """Reported: a residual of zero with a direction of zero."""
    result = ff.natural_step([[1.0]], [1.0], weights=[weight], damping=damping, solver=solver)
    assert_finite(result)
    np.testing.assert_allclose(result.direction, [1.0 / (1.0 + damping)], rtol=1e-12)
    assert result.residual < 1e-8
    if solver == "gram" and damping < 1.0:
        return  # the Gram matrix is singular to rounding
    S, A, _, w = batch(9, 4)
    result = ff.natural_step(S, A, weights=weight * w, damping=damping, solver=solver)
    np.testing.assert_allclose(result.direction, exact_direction(S, A, damping, w).astype(float), rtol=1e-6)


@by_solver
@pytest.mark.parametrize("count", [1e-250, 1e-150, 1e150, 1e250])
def test_a_count_of_any_size(solver: Any, count: float) -> None:
    S, A, _, _ = batch(9, 4)
    damping = 9.0 / count
    result = ff.natural_step(S, A, count=count, damping=damping, solver=solver)
    exact = exact_direction(S, A, 1.0) / damping
    assert result.residual < 1e-7
    np.testing.assert_allclose(result.direction, exact.astype(float), rtol=1e-6)


@by_solver
def test_a_count_that_is_too_small_is_named(solver: Any) -> None:
    S, A, _, _ = batch(9, 4)
    with pytest.raises(OverflowError, match=r"^count: "):
        ff.natural_step(S, A, count=5e-324, solver=solver)


@pytest.mark.parametrize("solver", ["cg", "lsmr"])
@pytest.mark.parametrize("damping", [1.0, 1e200, 4e299])
def test_a_start_whose_residual_leaves_the_range_is_worse_than_none(solver: Any, damping: float) -> None:
    """Reported: an infinite residual."""
    S, A, _, w = batch(9, 4)
    for start in (1.0, 1e200, 1e308):
        result = ff.natural_step(
            S, A, weights=w, center=True, damping=damping, initial=np.full(4, start), solver=solver
        )
        assert_finite(result)
        assert result.residual < 1e-7, result


@settings(max_examples=300, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    score_scale=scales,
    advantage_scale=scales,
    weight_scale=scales,
    start_scale=scales,
    damping=st.sampled_from([0.0, 5e-324, 1e-12, 1.0, 1e4, 1e200, 4e299]),
    center=st.booleans(),
    max_kl=st.sampled_from([None, 0.01]),
    count=st.sampled_from([None, 5e-324, 1e-200, 1e200, 1e308]),
)
def test_weights_center_and_start_of_any_scale_give_a_finite_step_or_a_named_error(
    seed: int,
    score_scale: float,
    advantage_scale: float,
    weight_scale: float,
    start_scale: float,
    damping: float,
    center: bool,
    max_kl: float | None,
    count: float | None,
) -> None:
    rng = np.random.default_rng(seed)
    samples, parameters = rng.integers(1, 7, 2)

    def scaled(values: Array, scale: float) -> Array:
        with np.errstate(over="ignore"):
            return np.clip(values * scale, -LARGEST, LARGEST)

    S = scaled(rng.standard_normal((samples, parameters)), score_scale)
    A = scaled(rng.standard_normal(samples), advantage_scale)
    weights = scaled(rng.random(samples) + 0.1, weight_scale)
    call: dict[str, Any] = {"weights": weights, "center": center, "damping": damping, "max_kl": max_kl}
    call |= {"count": count, "initial": scaled(rng.standard_normal(parameters), start_scale)}
    for solver in EVERY_SOLVER:
        try:
            result = ff.natural_step(S, A, solver=solver, **call)  # type: ignore[arg-type]
        except (OverflowError, np.linalg.LinAlgError) as error:
            assert str(error)  # noqa: PT017
        except ValueError as error:
            assert str(error).startswith("weights: expected a positive")  # noqa: PT017
        else:
            assert_finite(result)
            # Zero is a solution of a gradient of zero alone.
            if not result.direction.any() and result.gradient.any():
                assert result.residual > 0.5


# --- squares out of range ---


@by_solver
@pytest.mark.parametrize("call", [{"damping": 0.0}, {"damping": 1e-3, "relative_damping": True}])
def test_scores_whose_squares_vanish_are_to_be_rescaled(solver: Any, call: dict[str, Any]) -> None:
    """Reported: the advice to increase the damping."""
    S, A, _, _ = batch(20, 3)
    for scale in (1e-170, 1e-300):
        for center in (False, True):
            with pytest.raises(OverflowError, match=r"^scores: their squares .*; rescale the scores$"):
                ff.natural_step(S * scale, A, solver=solver, center=center, **call)


@pytest.mark.parametrize("call", [{"damping": 0.0}, {"damping": 1e-3, "relative_damping": True}])
def test_a_stream_and_a_fisher_say_so_too(call: dict[str, Any]) -> None:
    """Reported: advice to increase the damping.  Of a given gradient the sums do not tell which is right."""
    S, A, _, _ = batch(20, 3)
    for scale in (1e-160, 1e-170, 1e-300):  # squares of a few digits, or of none
        with pytest.raises(OverflowError, match=r"^scores: their weighted squares .*; rescale the scores$"):
            ff.natural_step(iter([(S * scale, A)]), **call)
        F = ff.Fisher(3)
        F.update(S * scale)
        for solve in (
            lambda: ff.natural_step(iter([(S * scale, None)]), gradient=np.ones(3), **call),  # noqa: B023
            lambda: F.solve(np.ones(3), damping=0.0),  # noqa: B023
        ):
            with pytest.raises((OverflowError, np.linalg.LinAlgError), match="rescale"):
                solve()
    result = ff.natural_step(iter([(S * 1e-170, A)]), damping=1.0)
    np.testing.assert_allclose(result.direction, S.T @ (A / len(S)) * 1e-170, rtol=1e-12)


@by_solver
@pytest.mark.parametrize("call", [{"damping": 0.0}, {"damping": 1.0, "relative_damping": True}])
def test_scores_that_are_all_equal_have_no_covariance(solver: Any, call: dict[str, Any]) -> None:
    """Reported: they were to be rescaled."""
    for S in ([[1.0, 2.0]], np.full((4, 2), 0.5)):
        result = ff.natural_step(S, np.arange(1.0, len(S) + 1.0), center=True, solver=solver, **call)
        np.testing.assert_array_equal(result.step, [0.0, 0.0])
        assert result.damping == 0.0
        assert "zero_gradient" in [event.code for event in result.events]


@pytest.mark.parametrize("solver", ["cholesky", "gram"])
def test_scores_beyond_single_precision_want_double(solver: Any) -> None:
    S, A, _, _ = batch(20, 3)
    call: dict[str, Any] = {"damping": 1e-3, "relative_damping": True, "solver": solver}
    with pytest.raises(np.linalg.LinAlgError, match="use double precision"):
        ff.natural_step(S * 1e40, A, precision="single", **call)
    wide = ff.natural_step(S * 1e40, A, precision="double", **call)
    assert wide.residual < 1e-8


@by_solver
def test_scores_that_are_all_zero_take_no_step(solver: Any) -> None:
    """A policy of one action has such, and a damping relative to them is zero."""
    for call in ({"gradient": np.zeros(3)}, {"advantages": np.ones(5)}):
        result = ff.natural_step(
            np.zeros((5, 3)),
            damping=1e-3,
            relative_damping=True,
            max_kl=0.01,
            solver=solver,
            count=5.0,
            **call,
        )
        np.testing.assert_array_equal(result.step, np.zeros(3))
        assert "zero_gradient" in [event.code for event in result.events]


# --- sizes out of range ---


def broadcast(columns: int) -> Array:
    return np.broadcast_to(np.zeros(1), (2, columns))


@pytest.mark.parametrize("columns", [2**31, 2**40, 2**58])
def test_pairs_of_more_columns_than_an_index_counts_are_refused_by_name(columns: int) -> None:
    """Reported: a segmentation fault, or half a minute."""
    for blocks in ([(broadcast(columns), broadcast(columns))], [np.ones((2, 1)), (broadcast(columns),) * 2]):
        with pytest.raises(ValueError, match=r"^scores\[\d\]: expected at most 2\^48 columns"):
            ff.natural_step(blocks, np.ones(2))


def test_vectors_that_the_machine_does_not_hold_are_refused_by_name() -> None:
    with pytest.raises(MemoryError, match=r"^scores: expected columns"):
        ff.natural_step([(broadcast(2**20), broadcast(2**20))], np.ones(2))


def test_a_matrix_beyond_the_default_memory_limit_is_refused_alike_of_batch_stream_and_fisher() -> None:
    d = 1_000_000
    words = (
        r"^solver: expected a matrix within the memory limit of .* whose 1000000 x 1000000 matrix takes 8e"
    )
    row = np.zeros((1, d), np.float32)
    with pytest.raises(MemoryError, match=words):
        ff.natural_step(row, np.ones(1), solver="cholesky")
    with pytest.raises(MemoryError, match=words):
        ff.natural_step(iter([(row, np.ones(1))]))
    with pytest.raises(MemoryError, match=words):
        ff.Fisher(d)


# --- what rounding leaves ---


@pytest.mark.parametrize("damping", [0.0, 1e-19, 1e-17, 1e-15])
def test_a_direct_solver_returns_nothing_that_is_worse_than_no_step(damping: float) -> None:
    """Reported: an improvement below zero, of a Gram matrix below its rounding."""
    for seed in range(30):
        rng = np.random.default_rng(seed)
        S = rng.standard_normal((30, 5)) * np.logspace(0, -6, 5)
        A = rng.standard_normal(30)
        for solver in ("cholesky", "gram", "auto"):
            result = ff.natural_step(S, A, damping=damping, solver=solver)
            assert result.predicted_improvement >= 0.0
            assert result.residual <= 1.0 + 1e-12


def test_a_predicted_kl_above_max_kl_is_noted() -> None:
    noted = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        S = rng.standard_normal((30, 50))
        S = np.vstack([S, S])
        result = ff.natural_step(S, rng.standard_normal(60), damping=1e-15, max_kl=0.01, solver="gram")
        told = [event.numbers["predicted"] for event in result.events if event.code == "kl_exceeded"]
        assert told == ([result.predicted_kl] if result.predicted_kl > 0.0101 else [])
        noted += len(told)
    assert noted > 0


def test_streams_and_batches_raise_the_same_error() -> None:
    S, A = np.ones((4, 2)), np.ones(4)
    rng = np.random.default_rng(0)
    large = rng.standard_normal((17, 8)), 1e292 * rng.standard_normal(17)  # whose squares leave the range
    for scores, advantages, weights in (
        (S, A, np.full(4, 1e308)),
        (S * 1e200, A, np.ones(4)),
        (*large, np.ones(17)),
    ):
        errors = []
        for call in (
            lambda: ff.natural_step(scores, advantages, weights=weights),  # noqa: B023
            lambda: ff.natural_step(iter([(scores, advantages, weights)])),  # noqa: B023
        ):
            with pytest.raises((OverflowError, ValueError)) as caught:
                call()
            errors.append((caught.type, str(caught.value).removeprefix("item 0: ").split(":")[0]))
        assert errors[0] == errors[1]


def test_a_singular_stream_whose_best_is_no_step_takes_none() -> None:
    """Reported: the step left the range of float64."""
    S, g = np.vstack([np.zeros(33), np.full(33, 0.58)]), np.random.default_rng(0).standard_normal(33)
    g -= g.mean()  # orthogonal to the only score
    for scores in (S, lambda: iter([(S, None)])):
        result = ff.natural_step(scores, gradient=g, damping=0.0, max_kl=0.01)
        np.testing.assert_array_equal(result.step, np.zeros(33))
        assert result.residual == pytest.approx(1.0)
        assert "untrusted" in [event.code for event in result.events]


@pytest.mark.parametrize("scale", [1e120, 1e150])
def test_an_improvement_beside_a_far_larger_momentum(scale: float) -> None:
    """Reported: zero, since it was measured in the units of momentum's right-hand side."""
    S, A, _, _ = batch(20, 3)
    previous = np.random.default_rng(1).standard_normal(3)
    call: dict[str, Any] = {"momentum": 0.9, "damping": 1.0}
    expected = ff.natural_step(S, A, previous=previous * 1e8, **call).predicted_improvement * 1e-8
    for scores in (S, lambda: iter([(S, A / scale)])):
        rows = {"advantages": A / scale} if scores is S else {}
        result = ff.natural_step(scores, previous=previous * scale, **rows, **call)
        assert result.predicted_improvement == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("scale", [1.0, 1e72])
def test_a_kl_far_below_its_damping(scale: float) -> None:
    """Reported: zero of a stream, since it was measured in the units of the gradient."""
    S, A, _, _ = batch(20, 3)
    S *= scale
    for damping in (1e60, 1e139):
        results = [
            ff.natural_step(scores, *rest, damping=damping, relative_damping=True, max_kl=0.01)  # type: ignore[call-overload]
            for scores, *rest in ((S, A), (lambda: iter([(S, A)]),))
        ]
        assert results[0].predicted_kl > 0.0
        assert results[1].predicted_kl == pytest.approx(results[0].predicted_kl, rel=1e-8)


def test_a_gram_matrix_below_rounding_gives_no_worse_than_no_step() -> None:
    """Reported: its residual was below one, but x^T (F + lambda I) x / 2 - g^T x above zero."""
    for seed in range(200):
        rng = np.random.default_rng(seed)
        S, A = 10.0 ** rng.uniform(3, 7) * rng.standard_normal((31, 3)), rng.standard_normal(31)
        result = ff.natural_step(S, A, solver="gram")
        x, g = result.direction, result.gradient
        assert x @ (S.T @ (S @ x) / 31 + 1e-4 * x) / 2 <= (g @ x) * (1 + 1e-6)
