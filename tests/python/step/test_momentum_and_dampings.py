"""Momentum against its equation in NumPy, and several dampings against one call each."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastfisher as ff
from fastfisher import NaturalStep

from .helpers import SOLVERS, Array, batch, damped_fisher, same_bits

SHAPES = [(1, 1), (7, 1), (1, 7), (40, 12), (12, 40), (30, 30), (130, 65), (65, 130)]

by_solver = pytest.mark.parametrize("solver", [*SOLVERS, "auto"])
by_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


def assert_same(a: NaturalStep, b: NaturalStep, except_for: tuple[str, ...] = ()) -> None:
    for field, value in vars(a).items():
        if field not in except_for:
            assert same_bits(getattr(b, field), value), field


def previous_of(parameters: int) -> Array:
    return np.random.default_rng(parameters + 99).standard_normal(parameters)


# --- momentum ---


@by_solver
@by_shape
@pytest.mark.parametrize("from_gradient", [False, True], ids=["advantages", "gradient"])
def test_momentum_solves_its_equation(solver: str, shape: tuple[int, int], from_gradient: bool) -> None:
    """(F + lambda I) x = g + lambda mu previous, with weights and count in their places."""
    S, A, g, w = batch(*shape)
    w[0] = 1.0
    before = previous_of(shape[1])
    for weights, count in [(None, None), (w, None), (None, 3.5), (w, 7.0)]:
        for damping, momentum in [(0.1, 0.9), (1e-3, 0.5), (1.0, 0.999)]:
            ones = np.ones(shape[0]) if weights is None else weights
            gradient = g if from_gradient else S.T @ (ones * A) / ones.sum()
            M = damped_fisher(S, damping, weights, count)
            expected = np.linalg.solve(M, gradient + damping * momentum * before)
            result = ff.natural_step(
                S,
                weights=weights,
                count=count,
                damping=damping,
                momentum=momentum,
                previous=before,
                solver=solver,
                tol=1e-14,
                **({"gradient": g} if from_gradient else {"advantages": A}),
            )
            scale = np.trace(M) / damping * np.linalg.norm(expected)  # the condition is below that
            np.testing.assert_allclose(result.direction, expected, rtol=0, atol=1e-14 * scale)
            np.testing.assert_allclose(result.gradient, gradient, rtol=1e-12, atol=1e-13)
            np.testing.assert_array_equal(result.step, result.direction)
            if not from_gradient:
                assert result.sample_weights is not None
                rebuilt = S.T @ result.sample_weights + momentum * before
                np.testing.assert_allclose(rebuilt, result.direction, rtol=0, atol=1e-13 * scale)
            else:
                assert result.sample_weights is None


@by_solver
def test_momentum_on_pairs_is_that_on_the_dense_scores(solver: str) -> None:
    rng = np.random.default_rng(0)
    blocks = [(rng.standard_normal((50, 4)), rng.standard_normal((50, 5))), rng.standard_normal((50, 3))]
    A, before = rng.standard_normal(50), previous_of(23)
    call = {"damping": 0.01, "momentum": 0.9, "previous": before, "max_kl": 0.01, "solver": solver}
    paired = ff.natural_step(blocks, A, tol=1e-13, **call)
    dense = ff.natural_step(ff.Scores(blocks).to_dense(), A, tol=1e-13, **call)
    for name in ("direction", "step", "sample_weights", "gradient"):
        np.testing.assert_allclose(getattr(paired, name), getattr(dense, name), rtol=1e-8, atol=1e-12)


@by_solver
@by_shape
def test_no_previous_is_no_momentum_to_the_bit(solver: str, shape: tuple[int, int]) -> None:
    S, A, g, w = batch(*shape)
    w[0] = 1.0
    for call in ({"advantages": A}, {"gradient": g}):
        kwargs = {"weights": w, "damping": 0.05, "max_kl": 0.01, "solver": solver, **call}
        assert_same(ff.natural_step(S, **kwargs), ff.natural_step(S, momentum=0.9, **kwargs))


@by_solver
@pytest.mark.parametrize("from_gradient", [False, True], ids=["advantages", "gradient"])
def test_momentum_meets_the_kl_by_its_own_curvature(solver: str, from_gradient: bool) -> None:
    """predicted_kl = max_kl whatever the damping, since x^T F x and not g^T x scales the step."""
    for shape in ((60, 20), (20, 60)):
        S, A, g, w = batch(*shape)
        w[0] = 1.0
        F = damped_fisher(S, 0.0, w)
        for max_kl, damping in [(1e-6, 1e-3), (0.01, 0.1), (2.0, 10.0)]:
            result = ff.natural_step(
                S,
                weights=w,
                damping=damping,
                momentum=0.9,
                previous=previous_of(shape[1]),
                max_kl=max_kl,
                solver=solver,
                tol=1e-13,
                **({"gradient": g} if from_gradient else {"advantages": A}),
            )
            x = result.direction
            assert result.predicted_kl == pytest.approx(max_kl, rel=1e-9)
            assert result.step @ F @ result.step / 2 == pytest.approx(max_kl, rel=1e-8)
            assert result.step_size == pytest.approx(np.sqrt(2 * max_kl / (x @ F @ x)), rel=1e-8)
            assert result.predicted_improvement == pytest.approx(result.gradient @ result.step, rel=1e-10)


@by_solver
def test_initial_is_of_the_whole_direction(solver: str) -> None:
    """CG may start from the last direction while momentum draws to it."""
    S, A, _, _ = batch(60, 20)
    call = {"damping": 1e-2, "momentum": 0.9, "previous": previous_of(20), "tol": 1e-10}
    cold = ff.natural_step(S, A, solver=solver, **call)
    warm = ff.natural_step(S, A, solver=solver, initial=cold.direction, **call)
    np.testing.assert_allclose(warm.direction, cold.direction, rtol=1e-8)
    if solver in ("cg", "lsmr"):
        assert (cold.iterations > 0, warm.iterations) == (True, 0)


@pytest.mark.parametrize("bad", [1.0, 1.5, -0.1, -1e-300, np.nan, np.inf])
def test_momentum_lies_in_zero_to_one(bad: float) -> None:
    S, A, _, _ = batch(10, 4)
    with pytest.raises(ValueError, match=r"^momentum: expected a finite number >= 0 and < 1, got "):
        ff.natural_step(S, A, momentum=bad, previous=np.ones(4))


def test_previous_belongs_to_momentum() -> None:
    S, A, _, _ = batch(10, 4)
    for call in ({}, {"momentum": 0.0}):
        with pytest.raises(TypeError, match=r"^previous: expected together with momentum > 0"):
            ff.natural_step(S, A, previous=np.ones(4), **call)
    with pytest.raises(ValueError, match=r"^previous: expected shape \(4,\), one entry a parameter"):
        ff.natural_step(S, A, momentum=0.9, previous=np.ones(5))
    with pytest.raises(TypeError, match=r"^momentum"):
        ff.natural_step(S, A, momentum="0.9", previous=np.ones(4))  # type: ignore[arg-type]


def test_scores_are_looked_at_before_momentum() -> None:
    S, A, g, _ = batch(30, 12)
    S[17, 3] = np.nan
    for given in ({"advantages": A}, {"gradient": g}):
        with pytest.raises(ValueError, match=r"^scores: .*row 17 holds NaN"):
            ff.natural_step(S, momentum=0.5, previous=g, **given)


def test_zero_scores_leave_momentums_direction() -> None:
    _, A, g, _ = batch(30, 12)
    result = ff.natural_step(np.zeros((30, 12)), A, momentum=0.5, previous=g)
    np.testing.assert_array_equal(result.step, 0.5 * g)
    assert "momentum times previous" in result.notes[-1]


def distance_after(steps: int, momentum: float) -> float:
    """Minimise (theta - optimum)^T F (theta - optimum) / 2 from batches of six rows in twenty dimensions."""
    rng = np.random.default_rng(5)
    scales = np.geomspace(1.0, 0.1, 20)
    optimum, theta, direction = rng.standard_normal(20), np.zeros(20), None
    for _ in range(steps):
        S = rng.standard_normal((6, 20)) * scales
        state = {"momentum": momentum, "previous": direction} if momentum > 0.0 else {}
        direction = ff.natural_step(S, S @ (optimum - theta), damping=0.1, **state).direction
        theta = theta + 0.3 * direction
    return float(np.linalg.norm(scales * (theta - optimum)))


def test_spring_converges_faster_on_a_quadratic() -> None:
    """A batch shows part of the curvature; the step before remembers the rest (arXiv 2401.10190)."""
    start, plain, spring = distance_after(0, 0.0), distance_after(150, 0.0), distance_after(150, 0.9)
    assert spring < 0.5 * plain
    assert plain < 0.5 * start


# --- several dampings ---

DAMPINGS = [10.0, 1e-3, 0.1, 0.1, 1e-6]


@by_solver
@pytest.mark.parametrize("precision", ["auto", "single", "double", "mixed"])
def test_several_dampings_are_one_call_each(solver: str, precision: str) -> None:
    """To the bit: forming the matrix once is the same algorithm."""
    large = [] if solver in ("cg", "lsmr") else [(600, 530)]
    for shape in [(40, 12), (12, 40), (33, 33), *large]:
        S, A, g, w = batch(*shape)
        w[0] = 1.0
        for call in ({"advantages": A}, {"gradient": g}):
            kwargs: dict[str, Any] = {"weights": w, "max_kl": 0.01, "solver": solver, "precision": precision}
            results = ff.natural_step(S, damping=DAMPINGS, **call, **kwargs)
            assert isinstance(results, tuple)
            assert [result.damping for result in results] == DAMPINGS
            for damping, result in zip(DAMPINGS, results, strict=True):
                assert_same(ff.natural_step(S, damping=damping, **call, **kwargs), result)


@by_solver
def test_several_relative_dampings_with_momentum(solver: str) -> None:
    S, A, _, _ = batch(30, 50)
    kwargs = {"momentum": 0.5, "previous": previous_of(50), "relative_damping": True, "solver": solver}
    results = ff.natural_step(S, A, damping=DAMPINGS, **kwargs)
    for damping, result in zip(DAMPINGS, results, strict=True):
        assert_same(ff.natural_step(S, A, damping=damping, **kwargs), result)
        assert result.damping == pytest.approx(damping * (S**2).sum() / 30 / 30, rel=1e-12)


def test_a_jitter_for_one_damping_does_not_stay_for_the_next() -> None:
    """The matrix kept is the unshifted one, also after a factorisation that broke down."""
    S, A, _, _ = batch(40, 3)
    S = S @ np.random.default_rng(1).standard_normal((3, 12))
    jittered, sound = ff.natural_step(S, A, damping=[0.0, 0.1], solver="cholesky")
    assert any("jitter" in note for note in jittered.notes)
    assert_same(ff.natural_step(S, A, damping=0.1, solver="cholesky"), sound)


@pytest.mark.parametrize("kind", [list, tuple, np.array, lambda values: np.array(values, np.float32)])
def test_any_sequence_of_dampings(kind: Any) -> None:
    S, A, _, _ = batch(20, 5)
    assert [r.damping for r in ff.natural_step(S, A, damping=kind([0.5, 0.25]))] == [0.5, 0.25]
    (only,) = ff.natural_step(S, A, damping=kind([0.5]))
    assert_same(ff.natural_step(S, A, damping=0.5), only)
    assert isinstance(ff.natural_step(S, A, damping=np.array(0.5)), NaturalStep)  # type: ignore[arg-type]


def test_wrong_dampings_are_named_with_their_place() -> None:
    S, A, _, _ = batch(10, 4)
    for empty in ([], (), np.empty(0)):
        with pytest.raises(ValueError, match=r"^damping: expected at least one value, got none$"):
            ff.natural_step(S, A, damping=empty)
    for bad in (np.nan, np.inf, -1.0, -5e-324):
        for place in range(3):
            dampings = [0.1, 0.2, 0.3]
            dampings[place] = bad
            with pytest.raises(ValueError, match=rf"^damping\[{place}\]: expected a finite number >= 0, got"):
                ff.natural_step(S, A, damping=dampings)
        with pytest.raises(ValueError, match=r"^damping: expected a finite number >= 0, got"):
            ff.natural_step(S, A, damping=bad)
    with pytest.raises(TypeError, match=r"^damping\[1\]: expected a finite number"):
        ff.natural_step(S, A, damping=[0.1, "0.2"])  # type: ignore[list-item]
    with pytest.raises(TypeError, match=r"^damping"):
        ff.natural_step(S, A, damping=[[0.1, 0.2]])  # type: ignore[list-item]
    with pytest.raises(TypeError, match=r"^damping"):
        ff.natural_step(S, A, damping="0.1")  # type: ignore[arg-type]


# --- many dampings: one reduction of the matrix for all ---

MANY = np.geomspace(1e-6, 10.0, 12)


def is_reduced(result: NaturalStep) -> bool:
    return any(note.startswith("The matrix was reduced to a band once") for note in result.notes)


@pytest.mark.parametrize("precision", ["double", "mixed"])
@pytest.mark.parametrize(("solver", "shape"), [("cholesky", (700, 540)), ("gram", (540, 700))])
@pytest.mark.parametrize("from_gradient", [False, True], ids=["advantages", "gradient"])
def test_many_dampings_share_a_reduction(
    simd: str, solver: str, shape: tuple[int, int], precision: str, from_gradient: bool
) -> None:
    S, A, g, w = batch(*shape)
    w[0] = 1.0
    S = S * np.geomspace(1.0, 0.1, shape[1])
    call: dict[str, Any] = {"weights": w, "solver": solver, "precision": precision}
    call |= {"gradient": g} if from_gradient else {"advantages": A}
    largest = (w[:, None] * S**2).sum() / w.sum()  # tr(F), a bound on its eigenvalues
    results = ff.natural_step(S, damping=MANY, **call)
    for damping, result in list(zip(MANY, results, strict=True))[::3]:
        x = result.direction
        assert is_reduced(result)
        assert (result.damping, result.solver) == (damping, solver)
        one = ff.natural_step(S, damping=damping, **call)
        assert not is_reduced(one)
        rounding = 1e-15 * largest / damping
        remainder = result.gradient - (S.T @ (w * (S @ x)) / w.sum() + damping * x)
        residual = np.linalg.norm(remainder) / np.linalg.norm(result.gradient)
        assert residual < max(1e-13, 10.0 * one.residual, rounding), (damping, simd)
        assert result.residual == pytest.approx(residual, rel=0.5, abs=rounding)
        scale = np.linalg.norm(one.direction)
        np.testing.assert_allclose(x, one.direction, rtol=0, atol=max(1e-13, 10.0 * rounding) * scale)


def test_many_dampings_are_the_same_bits_for_any_number_of_threads() -> None:
    S, A, _, _ = batch(700, 520)
    first, *others = (ff.natural_step(S, A, damping=MANY, num_threads=threads) for threads in (1, 2, 3))
    assert is_reduced(first[0])
    for other in others:
        for a, b in zip(first, other, strict=True):
            assert_same(a, b)


def test_unrefined_single_precision_is_not_reduced() -> None:
    """Without refinement the reduction's rounding, of the size of the largest eigenvalue, would stay."""
    S, A, _, _ = batch(700, 520)
    for result in ff.natural_step(S, A, damping=MANY, precision="single"):
        assert not is_reduced(result)


def test_dampings_below_the_rounding_climb_the_ladder_from_the_band() -> None:
    S, A, _, _ = batch(300, 520)  # of rank 300
    results = ff.natural_step(S, A, damping=[0.0] * 8 + [0.1], solver="cholesky", precision="double")
    assert all(any("jitter" in note for note in result.notes) for result in results[:8])
    assert not any("jitter" in note for note in results[8].notes)
    assert results[8].residual < 1e-13


def test_dampings_that_choose_other_matrices_do_not_share_one() -> None:
    """A gradient without damping needs the d x d matrix; with it the N x N one is cheaper."""
    S, _, g, _ = batch(20, 600)
    undamped, damped = ff.natural_step(S, gradient=g, damping=[0.0, 0.1])
    assert (undamped.solver, damped.solver) == ("cholesky", "gram")
    assert_same(ff.natural_step(S, gradient=g, damping=0.1), damped)


@pytest.mark.parametrize("solver", ["cholesky", "gram"])
def test_dampings_of_all_sizes_have_their_own_units(solver: str) -> None:
    """Where the damping dwarfs the scores the matrix is brought into range by another scale."""
    S, A, _, _ = batch(20, 30)
    for damping, result in zip(
        [1e300, 1e-4, 1e100],
        ff.natural_step(S, A, damping=[1e300, 1e-4, 1e100], solver=solver),
        strict=True,
    ):
        assert_same(ff.natural_step(S, A, damping=damping, solver=solver), result)
        assert result.residual < 1e-12
