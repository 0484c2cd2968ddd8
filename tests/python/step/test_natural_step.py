"""The contract of `natural_step`: every field, every solver, against the equations in NumPy."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastfisher as ff
from fastfisher import reference

from .helpers import SOLVERS, batch, damped_fisher

SHAPES = [(1, 1), (1, 7), (7, 1), (40, 12), (12, 40), (30, 30), (300, 65), (65, 300)]
EPS = np.finfo(float).eps

by_solver = pytest.mark.parametrize("solver", SOLVERS)
by_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


# --- the direction ---


@by_solver
@by_shape
def test_direction_solves_the_damped_system(solver: str, shape: tuple[int, int], simd: str) -> None:
    """(F + lambda I) x = g, with F and g as the reference defines them."""
    S, A, _, w = batch(*shape)
    w[0] = 1.0
    for weights, count in [(None, None), (w, None), (None, 3.5), (w, 7.0)]:
        given = {"weights": weights, "count": count, "damping": 0.1}
        result = ff.natural_step(S, A, solver=solver, tol=1e-14, **given)
        expected = reference.natural_direction(S, A, **given)
        np.testing.assert_allclose(result.direction, expected, rtol=0, atol=1e-12 * np.linalg.norm(expected))


@by_solver
@by_shape
def test_a_given_gradient_may_lie_outside_the_span(solver: str, shape: tuple[int, int]) -> None:
    S, _, g, _ = batch(*shape)
    result = ff.natural_step(S, gradient=g, damping=0.1, solver=solver, tol=1e-14)
    expected = reference.natural_direction(S, gradient=g, damping=0.1)
    np.testing.assert_allclose(result.direction, expected, rtol=0, atol=1e-12 * np.linalg.norm(expected))
    np.testing.assert_array_equal(result.gradient, g)
    assert result.sample_weights is None
    outside = g - S.T @ np.linalg.lstsq(S.T, g, rcond=None)[0]  # g_perp, where x = g_perp / lambda
    if shape[0] < shape[1] and np.linalg.norm(outside) > 0.1 * np.linalg.norm(g):
        assert any("outside the span" in note for note in result.notes)


@by_solver
def test_the_gradient_of_advantages_is_the_same_step(solver: str) -> None:
    S, A, _, w = batch(50, 20)
    kwargs = {"weights": w, "damping": 0.01, "max_kl": 0.05, "solver": solver, "tol": 1e-14}
    by_advantages = ff.natural_step(S, A, **kwargs)
    by_gradient = ff.natural_step(S, gradient=S.T @ (w * A) / w.sum(), **kwargs)
    np.testing.assert_allclose(by_gradient.step, by_advantages.step, rtol=1e-10)
    assert by_gradient.predicted_kl == pytest.approx(by_advantages.predicted_kl, rel=1e-10)


def test_whole_weights_repeat_rows() -> None:
    S, A, _, _ = batch(30, 8)
    times = np.random.default_rng(1).integers(0, 4, 30)
    weighted = ff.natural_step(S, A, weights=times)
    repeated = ff.natural_step(np.repeat(S, times, axis=0), np.repeat(A, times))
    np.testing.assert_allclose(weighted.direction, repeated.direction, rtol=1e-10)


def test_count_divides_the_fisher_matrix_of_several_rows_a_sample() -> None:
    """An exact Fisher: m rows a sample, divided by the number of samples."""
    rows, _, g, _ = batch(60, 9)
    result = ff.natural_step(rows, gradient=g, count=20, damping=0.3)
    np.testing.assert_allclose(
        damped_fisher(rows, 0.3, count=20) @ result.direction, g, rtol=1e-10, atol=1e-12
    )


@by_solver
@by_shape
def test_relative_damping_is_the_same_number_in_each_solver(solver: str, shape: tuple[int, int]) -> None:
    S, A, _, w = batch(*shape)
    w[0] = 1.0
    result = ff.natural_step(S, A, weights=w, damping=0.2, relative_damping=True, solver=solver)
    trace = np.trace(damped_fisher(S, 0.0, w))
    assert result.damping == pytest.approx(0.2 * trace / min(shape), rel=1e-12)


def test_relative_damping_makes_the_step_independent_of_the_scale_of_scores() -> None:
    """S -> c S: F -> c^2 F, g -> c g, x -> x / c, and the KL and alpha stay."""
    S, A, _, _ = batch(40, 10)
    kwargs = {"damping": 0.1, "relative_damping": True, "max_kl": 0.01}
    for solver in SOLVERS:
        one = ff.natural_step(S, A, solver=solver, tol=1e-13, **kwargs)
        for scale in (1e-140, 1e-20, 1e20, 1e140):
            scaled = ff.natural_step(scale * S, A, solver=solver, tol=1e-13, **kwargs)
            np.testing.assert_allclose(
                scale * scaled.step, one.step, rtol=1e-8, atol=0, err_msg=f"{solver} {scale}"
            )
            assert scaled.predicted_kl == pytest.approx(one.predicted_kl, rel=1e-8)


@by_solver
def test_the_direction_is_linear_in_the_advantages_over_the_range_of_doubles(solver: str) -> None:
    S, A, _, _ = batch(40, 10)
    one = ff.natural_step(S, A, solver=solver, max_kl=0.01, damping=0.1, tol=1e-13)
    for scale in (1e-250, 1e-100, 1e100, 1e250):
        scaled = ff.natural_step(S, scale * A, solver=solver, max_kl=0.01, damping=0.1, tol=1e-13)
        np.testing.assert_allclose(scaled.direction / scale, one.direction, rtol=1e-8)
        # The step to a given KL does not depend on the scale of the gradient at all.
        np.testing.assert_allclose(scaled.step, one.step, rtol=1e-8)


# --- the fields ---


@by_solver
@by_shape
@pytest.mark.parametrize("max_kl", [None, 0.01])
def test_fields(solver: str, shape: tuple[int, int], max_kl: float | None) -> None:
    S, A, _, w = batch(*shape)
    w[0] = 1.0
    damping = 0.05
    result = ff.natural_step(S, A, weights=w, damping=damping, max_kl=max_kl, solver=solver, tol=1e-13)
    g, x = result.gradient, result.direction
    M = damped_fisher(S, damping, w)
    F = M - damping * np.eye(shape[1])
    np.testing.assert_allclose(g, S.T @ (w * A) / w.sum(), rtol=1e-12, atol=1e-14)
    # alpha = sqrt(2 max_kl / g^T x): equation 5 with delta = 2 max_kl.
    expected = 1.0 if max_kl is None else reference.step_size(g, x, max_kl)
    assert result.step_size == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(result.step, result.step_size * x, rtol=4 * EPS)
    assert result.predicted_kl == pytest.approx(result.step_size**2 * (x @ F @ x) / 2, rel=1e-9)
    assert result.predicted_improvement == pytest.approx(result.step_size * (g @ x), rel=1e-12)
    assert result.damping == damping
    assert (result.solver, result.precision) == (solver, "double")
    # The residual is the residual, but for the rounding of this measurement of it.
    measured = np.linalg.norm(g - M @ x) / np.linalg.norm(g)
    rounding = 10 * sum(shape) * EPS * np.linalg.norm(M, 2) * np.linalg.norm(x) / np.linalg.norm(g)
    assert result.residual == pytest.approx(measured, rel=0.1, abs=rounding)
    assert result.residual < 1e-12 + rounding
    assert {type(getattr(result, name)) for name in ("step_size", "predicted_kl", "residual")} == {float}
    assert isinstance(result.notes, tuple)


@by_solver
@by_shape
def test_sample_weights_turn_the_policy_gradient_into_the_natural_gradient(
    solver: str, shape: tuple[int, int]
) -> None:
    """x = S^T u, and with damping u = (A - S x) / (N lambda), weights and count in their places."""
    S, A, _, w = batch(*shape)
    w[0] = 1.0
    damping = 0.1
    for weights, count in [(np.ones(shape[0]), None), (w, None), (w, 5.0)]:
        result = ff.natural_step(
            S, A, weights=weights, count=count, damping=damping, solver=solver, tol=1e-14
        )
        x, u = result.direction, result.sample_weights
        assert u is not None
        assert u.shape == (shape[0],)
        np.testing.assert_allclose(S.T @ u, x, rtol=0, atol=1e-11 * np.linalg.norm(x))
        divisor = weights.sum() if count is None else count
        formula = weights * (A * divisor / weights.sum() - S @ x) / (divisor * damping)
        np.testing.assert_allclose(u, formula, rtol=0, atol=1e-10 * np.linalg.norm(formula))


def test_sample_weights_without_damping() -> None:
    S, A, _, _ = batch(60, 8)
    result = ff.natural_step(S, A, damping=0.0, solver="cholesky")
    np.testing.assert_allclose(S.T @ result.sample_weights, result.direction, rtol=1e-10)
    result = ff.natural_step(S[:5], A[:5], damping=0.0, solver="gram")
    np.testing.assert_allclose(S[:5].T @ result.sample_weights, result.direction, rtol=1e-10)


def test_the_residual_of_a_truncated_run_is_measured() -> None:
    S, A, _, _ = batch(200, 60)
    M = damped_fisher(S, 1e-4)
    for steps in (1, 2, 5):
        result = ff.natural_step(S, A, solver="cg", max_iterations=steps)
        measured = np.linalg.norm(result.gradient - M @ result.direction) / np.linalg.norm(result.gradient)
        assert result.residual == pytest.approx(measured, rel=1e-9)
        assert result.residual > 1e-6


def test_the_step_reaches_the_kl_without_damping() -> None:
    """x^T F x = g^T x there, so the predicted KL is max_kl itself."""
    S, A, _, _ = batch(100, 10)
    for max_kl in (1e-8, 0.01, 3.0):
        assert ff.natural_step(S, A, damping=0.0, max_kl=max_kl).predicted_kl == pytest.approx(
            max_kl, rel=1e-10
        )
        assert ff.natural_step(S, A, damping=0.1, max_kl=max_kl).predicted_kl < max_kl


@by_solver
def test_a_zero_gradient_is_a_zero_step(solver: str) -> None:
    S, A, _, _ = batch(20, 5)
    result = ff.natural_step(S, 0 * A, max_kl=0.01, solver=solver)
    for vector in (result.step, result.direction, result.gradient, result.sample_weights):
        np.testing.assert_array_equal(vector, np.zeros_like(vector))
    assert (result.predicted_kl, result.predicted_improvement, result.residual) == (0.0, 0.0, 0.0)
    assert result.notes


def test_the_result_is_frozen_and_prints_as_a_table() -> None:
    S, A, _, _ = batch(1500, 20)
    result = ff.natural_step(S, A, max_kl=0.01, solver="cg", max_iterations=2)
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.step = result.direction  # type: ignore[misc]
    table = repr(result)
    assert len(table.splitlines()) <= 12
    for shown in ("cg", "double", f"{result.residual:.2e}", *result.notes):
        assert shown in table


def test_inputs_are_left_alone() -> None:
    given = batch(30, 12)
    kept = [array.copy() for array in given]
    for solver in SOLVERS:
        ff.natural_step(
            given.scores, given.advantages, weights=given.weights, solver=solver, initial=given.gradient
        )
    for array, copy in zip(given, kept, strict=True):
        np.testing.assert_array_equal(array, copy)


# --- choosing, truncating, starting ---


def test_auto_takes_the_smaller_matrix() -> None:
    for samples, parameters, expected in [(300, 20, "cholesky"), (20, 300, "gram"), (1000, 100, "cholesky")]:
        S, A, g, _ = batch(samples, parameters)
        assert ff.natural_step(S, A).solver == expected
        assert ff.natural_step(S, gradient=g).solver == expected
    S, _, g, _ = batch(20, 300)
    with pytest.raises(ValueError, match=r"damping"):
        ff.natural_step(S, gradient=g, damping=0.0, solver="gram")  # divides by the damping


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.floats(1e-3, 10.0), st.integers(0, 3))
def test_the_solvers_agree(samples: int, parameters: int, damping: float, seed: int) -> None:
    """Woodbury: S^T (K / N + lambda I)^-1 A / N = (F + lambda I)^-1 g."""
    S, A, _, _ = batch(samples, parameters, seed)
    results = [
        ff.natural_step(S, A, damping=damping, solver=solver, tol=1e-14) for solver in (*SOLVERS, "auto")
    ]
    for other in results[1:]:
        scale = np.linalg.norm(results[0].direction)
        np.testing.assert_allclose(other.direction, results[0].direction, rtol=0, atol=1e-10 * scale)


def test_cg_honours_its_tolerance() -> None:
    S, A, _, _ = batch(300, 100)
    iterations = []
    for tol in (1e-1, 1e-3, 1e-6, 1e-10):
        result = ff.natural_step(S, A, solver="cg", tol=tol)
        assert result.residual <= tol
        assert not result.notes
        iterations.append(result.iterations)
    assert iterations == sorted(set(iterations))


def test_cg_is_truncated_where_asked() -> None:
    S, A, _, _ = batch(300, 100)
    for steps in (0, 1, 4):
        result = ff.natural_step(S, A, solver="cg", max_iterations=steps, tol=1e-12)
        assert result.iterations == steps
        assert any(str(steps) in note for note in result.notes)
    expected, _ = reference.conjugate_gradient(damped_fisher(S, 1e-4), S.T @ A / 300, 0.0, 4)
    np.testing.assert_allclose(result.direction, expected, rtol=1e-8)


def test_cg_starts_where_asked() -> None:
    S, A, _, _ = batch(300, 100)
    cold = ff.natural_step(S, A, solver="cg")
    assert ff.natural_step(S, A, solver="cg", initial=cold.direction).iterations == 0
    near = cold.direction * (1 + 1e-4)
    warm = ff.natural_step(S, A, solver="cg", initial=near)
    assert warm.iterations < cold.iterations
    assert warm.residual <= 1e-8
