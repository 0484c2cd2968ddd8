"""The ladder of solvers: the default gets where the best of them gets, or says that it did not."""

from __future__ import annotations

from typing import Any, get_args

import ladder
import numpy as np
import pytest

import fastfisher as ff
from fastfisher import _core, natural


def codes(result: ff.NaturalStep) -> list[str]:
    return [event.code for event in result.events]


def rows_twice() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    base = rng.standard_normal((200, 900)) * np.logspace(0, -4, 900)
    return np.vstack([base, base]), rng.standard_normal(400)


def test_a_direct_solver_that_fails_is_followed_to_the_end() -> None:
    """CG that comes after a failed factor is no trial: it went on for 16 iterations, to a residual of 0.1."""
    S, A = rows_twice()
    result = ff.natural_step(S, A, damping=0.0)
    assert result.residual <= 1e-8
    assert "gram_singular" in codes(result)
    assert "iteration_limit" not in codes(result)


def test_a_matrix_that_fits_in_single_precision_only_is_followed_to_the_end() -> None:
    rng = np.random.default_rng(0)
    rng.standard_normal((200, 900)), rng.standard_normal(400)  # where the report's example drew its own
    S = rng.standard_normal((600, 1500)) * np.logspace(0, -3, 1500)
    call: dict[str, Any] = {"damping": 1e-10, "precision": "mixed", "memory_limit": 600 * 600 * 6.0}
    result = ff.natural_step(S, rng.standard_normal(600), **call)
    assert result.residual <= 1e-8
    assert "over_memory" in codes(result)


@pytest.mark.parametrize("shape", range(30))
def test_auto_gets_where_the_best_solver_gets_or_says_that_it_did_not(shape: int) -> None:
    for case in ladder.cases(seed=23, shape=shape, largest=150):
        judgement = ladder.judge(case)
        assert judgement.holds, (str(case), judgement)


@pytest.mark.parametrize("solver", ["auto", "cholesky", "cg", "lsmr"])
def test_one_rule_says_of_every_solver_what_is_not_to_be_trusted(solver: str) -> None:
    """Half of this gradient is outside what three rows span, and there is no damping to divide it by."""
    S = np.random.default_rng(0).standard_normal((3, 6))
    result = ff.natural_step(S, gradient=np.ones(6), damping=0.0, solver=solver, max_kl=0.01)
    (event,) = [event for event in result.events if event.code == "untrusted"]
    assert "not to be trusted" in event.sentence
    assert event.numbers["residual"] == result.residual > event.numbers["trusted"]


def test_cg_returns_its_best_iterate_where_it_cannot_converge() -> None:
    """It went on along what F takes to nothing, to a step of 3e15."""
    S = np.random.default_rng(0).standard_normal((3, 6))
    result = ff.natural_step(S, gradient=np.ones(6), damping=0.0, solver="cg", max_kl=0.01)
    assert result.residual <= 1.0
    assert np.linalg.norm(result.direction) < 1e3


def test_an_accumulated_matrix_is_solved_like_its_rows() -> None:
    """A damping below the rounding of the matrix: a jitter and refinement, whichever way it comes."""
    S, A = rows_twice()
    S = S[:, :300]
    g = S.T @ A / len(A)
    F = ff.Fisher(300)
    F.update(S)
    from_rows = ff.natural_step(S, gradient=g, damping=1e-20)
    from_stream = ff.natural_step(lambda: iter([(S, A)]), damping=1e-20)
    x = F.solve(g, damping=1e-20)
    residual = np.linalg.norm(g - F @ x - 1e-20 * x) / np.linalg.norm(g)
    assert max(from_rows.residual, from_stream.residual, residual) < 1e-8


def test_an_accumulated_matrix_that_cannot_be_solved_is_refused() -> None:
    F = ff.Fisher(4)
    F.update(np.eye(4)[:2])
    with pytest.raises(np.linalg.LinAlgError, match="not to be trusted"):
        F.solve(np.ones(4), damping=0.0)


def test_notes_are_the_sentences_of_events() -> None:
    S, A = rows_twice()
    result = ff.natural_step(S, A, damping=0.0)
    assert result.notes == tuple(str(event) for event in result.events)
    chosen = result.events[0]
    assert (chosen.code, chosen.solver) == ("chosen", "gram")
    assert chosen.numbers["gram"] < chosen.numbers["cholesky"]
    assert result.notes[0].startswith("auto chose gram: cholesky ")


def test_an_event_has_the_numbers_of_its_sentence() -> None:
    rng = np.random.default_rng(0)
    S, A = rng.standard_normal((300, 200)), rng.standard_normal(300)
    result = ff.natural_step(S, A, damping=1e-6, solver="cg", max_iterations=3, precondition=False)
    (event,) = result.events
    assert event.code == "iteration_limit"
    assert event.numbers == {"iterations": 3.0, "residual": result.residual, "tolerance": 1e-8}


def test_the_lists_of_names_are_those_of_the_core() -> None:
    assert get_args(natural.Solver) == _core.solver_names
    assert get_args(natural.Precision) == _core.precision_names


def test_a_limit_of_iterations_that_is_no_lower_asks_for_no_less() -> None:
    """The step is the same to the bit, and so is what is said of it."""
    rng = np.random.default_rng(0)
    S, A = rng.standard_normal((100, 60)) * np.logspace(0, -7, 60), rng.standard_normal(100)
    call: dict[str, Any] = {"damping": 1e-12, "solver": "lsmr"}
    plain, spelled = ff.natural_step(S, A, **call), ff.natural_step(S, A, max_iterations=700, **call)
    assert plain.iterations == spelled.iterations == 700
    assert np.array_equal(plain.step, spelled.step)
    assert "untrusted" in codes(plain)
    assert codes(plain) == codes(spelled)
    assert "untrusted" not in codes(ff.natural_step(S, A, max_iterations=650, **call))
