"""solver="auto", precision="auto" and memory_limit: what is chosen, that it is said, and that it is right."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import fastfisher as ff
from fastfisher import _core

from .helpers import Array, batch

Blocks = Array | list[Any]


def pairs(rows: int, *widths: tuple[int, int]) -> list[tuple[Array, Array]]:
    rng = np.random.default_rng((rows, *sum(widths, ())))
    return [(rng.standard_normal((rows, p)), rng.standard_normal((rows, q))) for p, q in widths]


def measured_residual(scores: Blocks, result: ff.NaturalStep) -> float:
    """||g - (F + lambda I) x|| / ||g|| by the products of `Scores`."""
    S = ff.Scores(scores)
    x = result.direction
    remainder = result.gradient - (S.T @ (S @ x) / len(S) + result.damping * x)
    return float(np.linalg.norm(remainder) / np.linalg.norm(result.gradient))


def reasons(result: ff.NaturalStep) -> list[str]:
    return [note for note in result.notes if note.startswith("auto chose")]


# --- the solver ---


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        (batch(40, 900).scores, "gram"),
        (batch(900, 40).scores, "cholesky"),
        (batch(300, 2500).scores, "gram"),
        (batch(2500, 300).scores, "cholesky"),
        (pairs(60, (20, 15), (16, 8)), "gram"),
        (pairs(1500, (6, 5), (4, 3)), "cholesky"),
        ([batch(50, 100).scores, *pairs(50, (30, 20))], "gram"),
    ],
    ids=["dense N << d", "dense d << N", "wide", "tall", "pairs N << d", "pairs d << N", "dense and pair"],
)
def test_the_smaller_matrix_is_factored(scores: Blocks, expected: str) -> None:
    S = ff.Scores(scores)
    rng = np.random.default_rng(0)
    for call in ({"advantages": rng.standard_normal(len(S))}, {"gradient": rng.standard_normal(S.shape[1])}):
        result = ff.natural_step(S, damping=1e-2, **call)
        assert result.solver == expected
        (reason,) = reasons(result)
        assert reason.startswith(f"auto chose {expected}: ")
        for solver in ("cholesky", "gram", "cg"):
            assert f"{solver} " in reason.split(": ", 1)[1]
        assert measured_residual(scores, result) < 1e-12
        explicit = ff.natural_step(S, damping=1e-2, solver=expected, **call)
        assert not reasons(explicit)
        np.testing.assert_array_equal(result.direction, explicit.direction)


def network(rows: int, *widths: int) -> list[Any]:
    """Factors of a tanh network's scores, whose spectrum decays."""
    rng = np.random.default_rng((rows, *widths))
    hidden, inputs, layers = rng.standard_normal((rows, widths[0])) / np.arange(1, widths[0] + 1), [], []
    for p, q in pairwise(widths):
        inputs.append(np.hstack([hidden, np.ones((rows, 1))]))
        layers.append(rng.standard_normal((p + 1, q)) / np.sqrt(p))
        hidden = np.tanh(inputs[-1] @ layers[-1])
    errors = rng.standard_normal((rows, widths[-1]))
    blocks = []
    for k in reversed(range(len(layers))):
        blocks.append((inputs[k], errors))
        errors = (errors @ layers[k][:-1].T) * (1.0 - inputs[k][:, :-1] ** 2)
    return blocks[::-1]


def test_a_large_problem_of_pairs_is_iterated() -> None:
    """An MLP's batch, N = 12,000 and d = 5,702: preconditioned CG is the fastest by far."""
    scores = network(12_000, 17, 64, 64, 6)
    A = np.random.default_rng(1).standard_normal(12_000)
    result = ff.natural_step(scores, A, damping=1e-2, relative_damping=True)
    assert (result.solver, result.precision) == ("cg", "mixed")
    assert reasons(result)[0].startswith("auto chose cg: cholesky ")
    assert any(note.startswith("CG was preconditioned by a sample of") for note in result.notes)
    assert measured_residual(scores, result) <= 1e-8
    assert result.residual <= 1e-8


def test_a_run_that_disappoints_is_given_up_for_a_factorisation() -> None:
    """The spectrum of columns of variance 1/k falls more slowly than the model thinks of a network's."""
    ((left, right),) = pairs(6000, (40, 30))
    scores = [(left / np.sqrt(np.arange(1, 41)), right / np.sqrt(np.arange(1, 31)))]
    A = np.random.default_rng(1).standard_normal(6000)
    call = {"damping": 1e-2, "relative_damping": True}
    result = ff.natural_step(scores, A, **call)
    assert _core.predicted_costs(scores, **call)["choice"] == "cg"
    assert result.solver == "cholesky"
    assert "CG was given up for cholesky." in result.notes
    assert any(note.startswith("CG was stopped after 16 iterations") for note in result.notes)
    assert measured_residual(scores, result) < 1e-12


def test_predictions_follow_the_counts() -> None:
    """N^2 (p + q) + N^3 / 3 for a Gram matrix, N d^2 + d^3 / 3 for a Fisher matrix, beside common work."""
    costs = {
        N: _core.predicted_costs(pairs(N, (40, 25)), 1e-2, relative_damping=True, precision="double")
        for N in (2000, 4000)
    }
    added = costs[4000]["cholesky"] - costs[2000]["cholesky"]
    assert 2000 * 1000**2 <= added <= 1.2 * 2000 * 1000**2
    dual = [N**2 * 65 + N**3 / 3 for N in (2000, 4000)]
    assert 0.9 <= (costs[4000]["gram"] - costs[2000]["gram"]) / (dual[1] - dual[0]) <= 1.2
    for name in ("cg_setup", "cg_iteration", "cg_iterations"):
        assert 0.0 < costs[2000][name] < np.inf
    limited = _core.predicted_costs(pairs(60, (20, 15)), 1e-2, memory_limit=60 * 60 * 8)
    assert (limited["cholesky"], limited["choice"]) == (np.inf, "gram")
    assert limited["gram"] < np.inf


def test_without_damping_the_gram_matrix_is_not_taken_for_a_gradient() -> None:
    """A gradient outside the span of the scores divides by the damping there."""
    S, _, g, _ = batch(20, 60)
    result = ff.natural_step(np.vstack([S, np.eye(60)]), gradient=g, damping=0.0)
    assert result.solver == "cholesky"
    assert "gram needs damping" in reasons(result)[0]
    assert result.residual < 1e-10


# --- memory ---


@pytest.mark.parametrize(
    ("shape", "limit", "expected"),
    [
        ((60, 500), 500 * 500 * 8, "gram"),
        ((60, 500), 60 * 60 * 8, "gram"),
        ((60, 500), 60 * 60 * 8 - 1, "cg"),
        ((500, 60), 60 * 60 * 8, "cholesky"),
        ((500, 60), 60 * 60 * 8 - 1, "cg"),
        ((500, 60), 1, "cg"),
    ],
)
def test_a_memory_limit_forces_another_solver(shape: tuple[int, int], limit: int, expected: str) -> None:
    S, A, _, _ = batch(*shape)
    result = ff.natural_step(S, A, memory_limit=limit)
    assert result.solver == expected
    refused = [
        other for other in ("cholesky", "gram") if f"{other} does not fit in memory" in result.notes[0]
    ]
    sides = {"cholesky": shape[1], "gram": shape[0]}
    assert refused == [other for other, side in sides.items() if 8 * side * side > limit]
    assert measured_residual(S, result) <= (1e-8 if expected == "cg" else 1e-12)
    unlimited = ff.natural_step(S, A)
    np.testing.assert_allclose(result.direction, unlimited.direction, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("solver", ["cholesky", "gram"])
@pytest.mark.parametrize(("precision", "bytes_of_value"), [("double", 8), ("single", 4)])
def test_a_solver_asked_for_beyond_the_limit_is_refused(
    solver: str, precision: str, bytes_of_value: int
) -> None:
    S, A, _, _ = batch(500, 400)
    side = 400 if solver == "cholesky" else 500
    need = side * side * bytes_of_value
    call = {"solver": solver, "precision": precision, "damping": 0.1}
    assert ff.natural_step(S, A, memory_limit=need, **call).solver == solver
    with pytest.raises(MemoryError) as raised:
        ff.natural_step(S, A, memory_limit=need - 1, **call)
    message = str(raised.value)
    for part in (f"memory limit of {need / 1e9:.3g} GB", f"'{solver}'", f"{side} x {side}"):
        assert part in message
    assert ff.natural_step(S, A, solver="cg", memory_limit=1).solver == "cg"


def test_the_default_limit_is_a_share_of_the_machine() -> None:
    """A matrix of 2 million rows takes 32 TB; nothing is allocated before that is refused."""
    row = np.broadcast_to(np.float32(1.0), (1, 2_000_000))
    with pytest.raises(MemoryError, match="memory limit"):
        ff.natural_step(row, [1.0], solver="cholesky")
    assert ff.natural_step(row, [1.0], damping=1.0).solver == "gram"


# --- the precision ---


@pytest.mark.parametrize("side", [511, 512, 700])
@pytest.mark.parametrize("solver", ["cholesky", "gram"])
@pytest.mark.parametrize("asked", ["auto", "explicit"])
def test_precision_auto_is_mixed_from_512_rows_on(side: int, solver: str, asked: str) -> None:
    shape = (2 * side, side) if solver == "cholesky" else (side, 2 * side)
    S, A, _, _ = batch(*shape)
    result = ff.natural_step(S, A, damping=1e-2, solver=solver if asked == "explicit" else "auto")
    assert result.solver == solver
    assert result.precision == ("mixed" if side >= 512 else "double")
    assert measured_residual(S, result) < 1e-12
    assert result.residual < 1e-12
    assert result.notes == tuple(reasons(result))  # nothing out of the ordinary


@pytest.mark.parametrize("shape", [(1200, 520), (520, 1200)], ids=str)
@pytest.mark.parametrize("damping", [0.0, 1e-12, 1e-8])
def test_precision_auto_is_double_where_the_damping_is_tiny(shape: tuple[int, int], damping: float) -> None:
    S, A, _, _ = batch(*shape)
    result = ff.natural_step(S, A, damping=damping)
    assert (result.solver, result.precision) == ("cholesky" if shape[1] == 520 else "gram", "double")
    assert measured_residual(S, result) < 1e-11
    assert result.notes == tuple(reasons(result))


@pytest.mark.parametrize("solver", ["cholesky", "gram"])
@pytest.mark.parametrize("shape", [(60, 20), (20, 60), (600, 530)], ids=str)
def test_mixed_asked_for_at_a_hopeless_condition_falls_back_to_double(
    solver: str, shape: tuple[int, int]
) -> None:
    S, A, _, _ = batch(*shape)
    S *= np.geomspace(1.0, 1e-6, shape[1])
    result = ff.natural_step(S, A, damping=1e-12, precision="mixed", solver=solver)
    assert (result.solver, result.precision) == (solver, "double")
    assert any("double" in note for note in result.notes), result.notes
    double = ff.natural_step(S, A, damping=1e-12, precision="double", solver=solver)
    np.testing.assert_array_equal(result.direction, double.direction)


def test_mixed_is_products_in_single_precision_to_cg() -> None:
    """The residual is met in float64 all the same."""
    S, A, _, _ = batch(80, 30)
    result = ff.natural_step(S, A, precision="mixed", solver="cg")
    assert result.precision == "mixed"
    assert measured_residual(S, result) <= 1e-8
    beyond = ff.natural_step(S, A, precision="mixed", solver="cg", tol=1e-13)
    assert measured_residual(S, beyond) <= 1e-12
