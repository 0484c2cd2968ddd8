"""LAPACK's matrix kinds (DCHKPO) through every solver, precision and SIMD level: its ratio, or a note."""

from __future__ import annotations

import numpy as np
import pytest

import fastfisher as ff
from fastfisher import NaturalStep

from .helpers import LAPACK_THRESHOLD, SOLVERS, Array, batch, lapack_ratio

PRECISIONS = ("single", "double", "mixed", "auto")
CALLS = [(solver, precision) for solver in (*SOLVERS, "auto") for precision in PRECISIONS]
DAMPINGS = (0.0, 1e-10, 1e-4)  # of the mean eigenvalue
EPS = np.finfo(np.float64).eps
# LAPACK's sizes, and those round the widths of SIMD packets.
SIZES = (1, 2, 3, 5, 7, 8, 9, 10, 15, 16, 17, 50)
SHAPES = [
    (max(samples, 1), d)
    for d in SIZES
    for samples in ((d, d + 1) if d in (8, 16) else (d, d - 1, d + 1, 3 * d, d // 3))
]

KINDS = (
    "diagonal",
    "condition 2",
    "first zero",
    "middle zero",
    "last zero",
    "condition sqrt(0.1 / eps)",
    "condition 0.1 / eps",
    "near underflow",
    "near overflow",
)


def spectrum(kind: str, n: int) -> Array:
    """Return the eigenvalues of F, of which there are min(N, d) that may differ from zero."""
    sigma = np.geomspace(1.0, 0.5, n)
    if kind == "diagonal":
        sigma = np.arange(1.0, n + 1)
    elif kind.endswith("zero"):
        sigma[{"first": 0, "middle": n // 2, "last": -1}[kind.split()[0]]] = 0.0
    elif kind == "condition sqrt(0.1 / eps)":
        sigma = np.geomspace(1.0, np.sqrt(EPS / 0.1), n)
    elif kind == "condition 0.1 / eps":
        sigma = np.geomspace(1.0, EPS / 0.1, n)
    elif kind.startswith("near"):
        sigma *= 1e-290 if kind == "near underflow" else 1e290
    return sigma


def scores_of(kind: str, shape: tuple[int, int]) -> tuple[Array, Array]:
    """S = U diag(sqrt(N sigma)) V^T, and the eigenvalues sigma of S^T S / N."""
    samples, parameters = shape
    rng = np.random.default_rng(shape)
    sigma = spectrum(kind, min(shape))
    U = np.linalg.qr(rng.standard_normal((samples, samples)))[0][:, : len(sigma)]
    V = np.linalg.qr(rng.standard_normal((parameters, parameters)))[0][:, : len(sigma)]
    if kind == "diagonal":
        V = np.eye(parameters)[:, : len(sigma)]
    return (U * np.sqrt(samples * sigma)) @ V.T, sigma


def promised(result: NaturalStep) -> float:
    """Return the rounding unit of the precision that ran; mixed promises that of double."""
    return float(np.finfo(np.float32).eps) if result.precision == "single" else EPS


def ratio_of(result: NaturalStep, S: Array) -> float:
    return lapack_ratio(result, S) * EPS / promised(result)


def cancellation(result: NaturalStep, S: Array) -> float:
    """||S|| ||u|| / ||x||: what is lost in x = S^T u where no refinement makes up for it."""
    if result.solver != "gram" or (result.damping > 0.0 and result.precision != "single"):
        return 1.0
    assert result.sample_weights is not None
    unit, length = np.abs(S).max() or 1.0, np.abs(result.sample_weights).max() or 1.0
    u = result.sample_weights / length
    size = np.linalg.norm(result.direction / unit / length)
    return float(max(1.0, np.linalg.norm(S / unit, 2) * np.linalg.norm(u) / size)) if size > 0.0 else 1.0


def oddities(result: NaturalStep) -> list[str]:
    """Return the notes of anything out of the ordinary."""
    return [note for note in result.notes if not note.startswith(("auto chose", "The sample weights"))]


def singular_to_rounding(result: NaturalStep, sigma: Array, shape: tuple[int, int]) -> bool:
    """Whether the matrix that the solver factored has no accurate factor in the precision that ran."""
    side = {"cholesky": shape[1], "gram": shape[0]}.get(result.solver, len(sigma))
    smallest = 0.0 if side > len(sigma) else sigma.min()
    bound = 10 * max(shape) * promised(result) * (sigma.max() + result.damping)
    return bool(smallest + result.damping <= bound)


@pytest.mark.parametrize("kind", KINDS)
def test_the_ratio_holds_or_the_notes_say_why_not(kind: str, simd: str) -> None:
    held = 0
    # Each shape meets each damping at some kind and each kind at some damping; a full product takes minutes.
    for turn, shape in enumerate(SHAPES, start=KINDS.index(kind)):
        S, sigma = scores_of(kind, shape)
        A = np.random.default_rng(shape).standard_normal(shape[0])
        call = {"damping": DAMPINGS[turn % 3], "relative_damping": True, "tol": 1e-15}
        for solver, precision in CALLS:
            where = (shape, call, solver, precision, simd)
            try:
                result = ff.natural_step(S, A, solver=solver, precision=precision, **call)
            except np.linalg.LinAlgError as error:
                # Only single precision: its range ends at 1e38, and it has no double to fall back on.
                assert precision == "single", where
                assert kind.startswith("near"), where
                assert "in this precision" in str(error), where  # noqa: PT017
                continue
            assert np.isfinite(result.direction).all(), where
            assert np.isfinite(result.residual), where
            assert precision in ("single", "mixed") or result.precision == "double", where
            ratio = ratio_of(result, S)
            if ratio < LAPACK_THRESHOLD or ratio < LAPACK_THRESHOLD * cancellation(result, S):
                held += 1
                continue
            assert oddities(result), (where, ratio, result)
            assert singular_to_rounding(result, sigma, shape) or result.solver == "cg", (where, result)
    assert held > 0.6 * len(SHAPES) * len(CALLS)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind.startswith("near")])
def test_damping_is_all_that_double_needs(kind: str) -> None:
    """With 1e-4 of the mean eigenvalue every double solver meets the ratio, and has nothing to say."""
    for shape in SHAPES:
        S, sigma = scores_of(kind, shape)
        if not sigma.any():  # the zero matrix has no mean eigenvalue to damp by
            continue
        g = np.random.default_rng(shape).standard_normal(shape[1])
        for solver in (*SOLVERS, "auto"):
            for precision in ("double", "mixed"):
                result = ff.natural_step(
                    S,
                    gradient=g,
                    damping=1e-4,
                    relative_damping=True,
                    solver=solver,
                    precision=precision,
                    tol=1e-15,
                )
                assert ratio_of(result, S) < LAPACK_THRESHOLD, (shape, solver, precision, result)
                # A gradient may lie outside the span of the scores, and CG stops where the arithmetic ends.
                expected = ["outside the span", *(["CG", "Conjugate"] if result.solver == "cg" else [])]
                expected += ["Mixed precision stopped gaining"] if precision == "mixed" else []
                for note in oddities(result):
                    assert any(word in note for word in expected), (shape, solver, precision, note)


def degenerate(shape: tuple[int, int]) -> dict[str, Array]:
    S = batch(*shape).scores
    kinds = {name: S.copy() for name in ("duplicated rows", "zero rows", "constant column", "one column")}
    kinds["duplicated rows"][1::2] = kinds["duplicated rows"][::2][: shape[0] // 2]
    kinds["zero rows"][1::3] = 0.0
    kinds["constant column"][:, -1] = 1.0
    kinds["one column"][:] = S[:, :1]
    kinds["large mean"] = S + 1e3
    kinds["huge mean"] = S + 1e8
    return kinds


@pytest.mark.parametrize("kind", degenerate((1, 1)))
def test_degenerate_batches(kind: str, simd: str) -> None:
    """Damping 1e-4 is far below the rounding of a matrix whose rows are near 1e8: then a note."""
    for shape in SHAPES[1::2]:
        S = degenerate(shape)[kind]
        A = batch(*shape).advantages
        for solver, precision in CALLS:
            where = (shape, solver, precision, simd)
            result = ff.natural_step(S, A, damping=1e-4, solver=solver, precision=precision, tol=1e-15)
            assert np.isfinite(result.direction).all(), where
            assert result.predicted_kl >= 0.0, where
            ratio = ratio_of(result, S)
            if ratio < LAPACK_THRESHOLD or ratio < LAPACK_THRESHOLD * cancellation(result, S):
                continue
            assert oddities(result), (where, ratio, result)
            assert kind.endswith("mean"), (where, ratio, result)
            largest = np.linalg.norm(S, 2) ** 2 / shape[0]
            assert 10 * max(shape) * promised(result) * largest > result.damping, (where, result)


@pytest.mark.parametrize("kind", ["near underflow", "near overflow"])
@pytest.mark.parametrize("solver", ["cholesky", "gram"])
def test_mixed_precision_leaves_the_range_of_single_to_double(kind: str, solver: str) -> None:
    S, _ = scores_of(kind, (17, 17))
    A = np.random.default_rng(0).standard_normal(17)
    result = ff.natural_step(S, A, damping=1e-4, relative_damping=True, solver=solver, precision="mixed")
    assert result.precision == "double"
    assert any("single" in note and "double" in note for note in result.notes)
    assert ratio_of(result, S) < LAPACK_THRESHOLD
