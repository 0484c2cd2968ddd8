"""The ends of the range: dampings, gradients, memory and single precision that just do or do not fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastfisher as ff

from .helpers import SOLVERS, batch


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_relative_damping_beyond_the_range_is_named(solver: Any) -> None:
    S = np.array([[1e56, 0.0], [0.0, 1e56], [1e56, 1e56]])
    with pytest.raises(OverflowError, match="damping"):
        ff.natural_step(S, [1.0, 2.0, 3.0], damping=1e300, relative_damping=True, solver=solver)


def test_the_memory_limit_holds_where_mixed_precision_gives_way_to_double() -> None:
    rng = np.random.default_rng(0)
    S, A = rng.standard_normal((600, 300)) * np.geomspace(1.0, 1e-6, 300), rng.standard_normal(600)
    call: dict[str, Any] = {"precision": "mixed", "solver": "cholesky", "damping": 1e-12}
    assert ff.natural_step(S, A, **call).precision == "double"
    limited = ff.natural_step(S, A, memory_limit=4.0 * 300 * 300, **call)
    assert limited.solver in ("cg", "lsmr")
    codes = [event.code for event in limited.events]
    assert "over_memory" in codes
    assert (limited.residual <= 1e-6) == ("untrusted" not in codes)
    assert any("memory limit" in note for note in limited.notes)
    with pytest.raises(MemoryError, match="memory limit"):
        ff.natural_step(S, A, memory_limit=4.0 * 300 * 300, **{**call, "precision": "double"})


@pytest.mark.parametrize("what", ["gradient", "advantages"])
def test_a_previous_direction_beyond_the_range_is_named(what: str) -> None:
    S, A, g, _ = batch(8, 3)
    given = {"gradient": g} if what == "gradient" else {"advantages": A}
    with pytest.raises(OverflowError, match="previous"):
        ff.natural_step(S * 1e150, **given, momentum=0.9, previous=np.full(3, 1e200))


@pytest.mark.parametrize("solver", SOLVERS)
def test_subnormal_gradients_have_a_step(solver: Any) -> None:
    S, A, _, _ = batch(8, 3)
    result = ff.natural_step(S * 1e-310, A, damping=1e-3, solver=solver)
    expected = S.T @ A / 8 * 1e-307
    np.testing.assert_allclose(result.direction, expected, rtol=1e-2)


@pytest.mark.parametrize("precision", ["single", "mixed"])
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("scale", [1e-25, 1e-15, 1e15, 1e25])
def test_single_precision_works_in_units_of_the_matrix(scale: float, solver: Any, precision: Any) -> None:
    S, A, _, _ = batch(60, 20)
    call: dict[str, Any] = {
        "damping": 1e-2,
        "relative_damping": True,
        "solver": solver,
        "precision": precision,
    }
    result = ff.natural_step(S * scale, A, tol=1e-5, **call)
    expected = ff.natural_step(S, A, damping=1e-2, relative_damping=True).direction / scale
    assert np.linalg.norm(result.direction - expected) < 1e-3 * np.linalg.norm(expected), result


def test_the_note_counts_the_rows_that_were_drawn() -> None:
    rng = np.random.default_rng(1)
    S, A = rng.standard_normal((6000, 3000)), rng.standard_normal(6000)
    weights = np.zeros(6000)
    weights[rng.choice(6000, 300, replace=False)] = 1.0
    result = ff.natural_step(S, A, weights=weights, damping=1e-8, solver="cg")
    drawn = [note for note in result.notes if "sample of" in note]
    assert not drawn or int(drawn[0].split("sample of ")[1].split()[0]) <= 300


def test_a_mean_taken_from_the_scores_leaves_the_matrix_definite(simd: str) -> None:
    """Taken from the matrix, one of 1e6 would leave rounding of 1e-4 of what remains, of either sign."""
    for seed in range(4):
        rng = np.random.default_rng(seed)
        S, A = rng.standard_normal((20, 60)) + 1e6, rng.standard_normal(20)
        exact = ff.natural_step(S - S.mean(axis=0), A, damping=1e-3).direction
        for solver in ("cholesky", "gram"):
            call: dict[str, Any] = {"solver": solver, "precision": "double", "sample_weights": False}
            result = ff.natural_step(S, A, center=True, damping=1e-3, **call)
            assert result.notes == (), simd
            assert result.residual < 1e-7
            assert np.linalg.norm(result.direction - exact) < 1e-5 * np.linalg.norm(exact)


def test_a_jitter_says_which_damping_needs_none() -> None:
    rng = np.random.default_rng(0)
    S, A = rng.standard_normal((10, 40)), rng.standard_normal(10)
    (note,) = [n for n in ff.natural_step(S, A, damping=0.0, solver="cholesky").notes if "jitter" in n]
    enough = float(note.split("A damping of ")[1].split()[0])
    trace = (S**2).sum() / 10
    assert enough == pytest.approx(11 * (10 * 40 + 40 * 41) * 2.0**-53 * trace, rel=0.05)
    assert not ff.natural_step(S, A, damping=1.05 * enough, solver="cholesky", sample_weights=False).notes
