"""LSMR: its answer against SciPy's and the exact one, where CG loses digits, and when it takes over."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastfisher as ff

from .helpers import Array, batch, damped_fisher, same_bits

lsmr = pytest.importorskip("scipy.sparse.linalg").lsmr


def graded(samples: int, parameters: int, condition: float) -> Array:
    """Scores whose Fisher matrix has eigenvalues from 1 down to 1 / condition."""
    rng = np.random.default_rng((samples, parameters))
    rank = min(samples, parameters)
    U = np.linalg.qr(rng.standard_normal((samples, rank)))[0]
    V = np.linalg.qr(rng.standard_normal((parameters, rank)))[0]
    return (U * np.sqrt(samples * np.geomspace(1.0, 1.0 / condition, rank))) @ V.T


def least_squares(S: Array, A: Array, damping: float) -> Array:
    """The direction by a QR factorisation of [S; sqrt(N lambda) I], which never forms F."""
    samples, parameters = S.shape
    stacked = np.vstack([S, np.sqrt(samples * damping) * np.eye(parameters)])
    Q, R = np.linalg.qr(stacked)
    return np.linalg.solve(R, Q[:samples].T @ A)


def error(x: Array, expected: Array) -> float:
    return float(np.linalg.norm(x - expected) / np.linalg.norm(expected))


@pytest.mark.parametrize("shape", [(60, 24), (24, 60), (40, 40)], ids=str)
@pytest.mark.parametrize("condition", [1e2, 1e6, 1e10])
def test_the_answer_is_that_of_scipy(shape: tuple[int, int], condition: float) -> None:
    S, damping = graded(*shape, condition), 0.1 / condition
    A = np.random.default_rng(1).standard_normal(shape[0])
    result = ff.natural_step(S, A, damping=damping, solver="lsmr", tol=0.0, max_iterations=5000)
    assert (result.solver, result.precision) == ("lsmr", "double")
    theirs, _, iterations, *_ = lsmr(
        S, A, damp=np.sqrt(shape[0] * damping), atol=1e-16, btol=1e-16, conlim=0.0, maxiter=5000
    )
    expected = least_squares(S, A, damping)
    assert error(result.direction, expected) < max(1e-12, 10.0 * error(theirs, expected))
    assert result.iterations <= 1.3 * iterations + 10
    residual = result.gradient - damped_fisher(S, damping) @ result.direction
    relative = np.linalg.norm(residual) / np.linalg.norm(result.gradient)
    assert result.residual == pytest.approx(relative, rel=0.5, abs=1e-14 * condition)


@pytest.mark.parametrize("condition", [1e10, 1e12, 1e14])
def test_it_keeps_digits_that_cg_loses(condition: float) -> None:
    """Advantages that the scores explain: CG on F errs by cond(F) eps, LSMR by its square root."""
    S, damping = graded(60, 24, condition), 0.1 / condition
    A = S @ np.random.default_rng(1).standard_normal(24)
    expected = least_squares(S, A, damping)
    call: dict[str, Any] = {"damping": damping, "tol": 0.0, "precondition": False, "max_iterations": 3000}
    ours, cg = (ff.natural_step(S, A, solver=solver, **call) for solver in ("lsmr", "cg"))
    assert error(ours.direction, expected) < 10.0 * np.sqrt(condition) * np.finfo(float).eps
    assert error(ours.direction, expected) < 1e-2 * error(cg.direction, expected)


def test_its_residual_is_far_below_that_of_cg_before_either_converges() -> None:
    S = graded(400, 150, 1e12)
    A = np.random.default_rng(1).standard_normal(400)
    call: dict[str, Any] = {"damping": 1e-13, "max_iterations": 1000, "precondition": False}
    ours, cg = (ff.natural_step(S, A, solver=solver, **call) for solver in ("lsmr", "cg"))
    assert ours.iterations == cg.iterations == 1000
    assert ours.residual < 0.05 * cg.residual
    assert any(note.startswith("LSMR stopped at 1000 iterations with residual") for note in ours.notes)


@pytest.mark.parametrize("tol", [1e-3, 1e-6, 1e-9])
@pytest.mark.parametrize("weighted", [False, True])
def test_it_stops_where_it_was_asked_to(tol: float, weighted: bool) -> None:
    S, A, _, w = batch(200, 100)
    weights = w if weighted else None
    result = ff.natural_step(S, A, weights=weights, damping=1e-2, solver="lsmr", tol=tol)
    residual = result.gradient - damped_fisher(S, 1e-2, weights) @ result.direction
    assert 1e-3 * tol < np.linalg.norm(residual) / np.linalg.norm(result.gradient) <= tol
    assert not result.notes


def test_a_preconditioner_of_sampled_rows_saves_iterations() -> None:
    rng = np.random.default_rng(0)
    S, A = rng.standard_normal((3000, 600)) * np.geomspace(1.0, 1e-3, 600), rng.standard_normal(3000)
    call: dict[str, Any] = {"damping": 1e-5, "solver": "lsmr", "tol": 1e-9}
    plain, helped = (ff.natural_step(S, A, precondition=flag, **call) for flag in (False, True))
    assert any(note.startswith("LSMR was preconditioned by a sample of") for note in helped.notes)
    assert helped.iterations < 0.2 * plain.iterations
    assert max(plain.residual, helped.residual) <= 1e-9
    assert error(helped.direction, plain.direction) < 1e-3


def test_a_warm_start_saves_iterations() -> None:
    S, A, _, _ = batch(200, 100)
    call: dict[str, Any] = {"damping": 1e-3, "solver": "lsmr", "tol": 1e-9}
    cold = ff.natural_step(S, A, **call)
    assert ff.natural_step(S, A, initial=cold.direction, **call).iterations == 0
    near = cold.direction * (1.0 + 1e-6 * np.random.default_rng(2).standard_normal(100))
    warm = ff.natural_step(S, A, initial=near, **call)
    assert 0 < warm.iterations < cold.iterations
    assert warm.residual <= 1e-9


def test_bits_do_not_depend_on_threads(simd: str) -> None:
    S, A, _, w = batch(2000, 300)
    results = [
        ff.natural_step(S, A, weights=w, damping=1e-4, solver="lsmr", num_threads=threads)
        for threads in (1, 2, 3)
    ]
    for other in results[1:]:
        assert same_bits(other.direction, results[0].direction), simd


def test_a_gradient_is_left_to_cg() -> None:
    """g = A^T c only for a c that rounding blows up by 1 / sqrt(damping)."""
    S, _, g, _ = batch(60, 20)
    result = ff.natural_step(S, gradient=g, damping=1e-3, solver="lsmr")
    assert result.solver == "cg"
    assert any(note.startswith("LSMR needs advantages") for note in result.notes)
    assert result.residual <= 1e-8


def test_without_damping_the_answer_is_the_least_squares_one() -> None:
    S, A, _, _ = batch(80, 30)
    result = ff.natural_step(S, A, damping=0.0, solver="lsmr", tol=1e-13)
    np.testing.assert_allclose(result.direction, np.linalg.lstsq(S, A, rcond=None)[0], rtol=1e-9, atol=1e-12)
    assert result.sample_weights is None


def test_auto_takes_it_where_nothing_fits_and_the_damping_is_tiny() -> None:
    """Small enough for no preconditioner to pay, and no memory for a matrix."""
    S, A, _, _ = batch(60, 30)
    for damping, expected in ((1e-2, "cg"), (1e-9, "lsmr")):
        result = ff.natural_step(S, A, damping=damping, memory_limit=1.0)
        assert result.solver == expected
        assert any("LSMR took the place of CG" in note for note in result.notes) == (expected == "lsmr")
        assert result.residual <= 1e-8
    assert ff.natural_step(S, A, damping=1e-9, solver="cg").solver == "cg"


def test_cg_goes_on_with_it_where_it_stagnates() -> None:
    """Asked for more than the arithmetic has, CG stops above where LSMR gets, more often than not."""
    handed_over = 0
    for shape in ((60, 24), (40, 12), (30, 10)):
        for condition in (1e10, 1e12, 1e14):
            S = graded(*shape, condition)
            for seed in range(2):
                A = np.random.default_rng(seed).standard_normal(shape[0])
                call: dict[str, Any] = {"damping": 0.1 / condition, "tol": 0.0, "precondition": False}
                result = ff.natural_step(S, A, solver="cg", max_iterations=10_000, **call)
                notes = [note for note in result.notes if note.endswith("LSMR went on from there.")]
                assert (result.solver == "lsmr") == bool(notes)
                if notes:
                    handed_over += 1
                    reached = float(notes[0].split("residual ")[1].split()[0])
                    assert result.residual < 0.53 * reached
    assert handed_over >= 3
