"""How accurate `natural_step` is: LAPACK's ratio and matrix kinds, rank deficiency, the precisions."""

from __future__ import annotations

import numpy as np
import pytest

import fastfisher as ff
from fastfisher import reference

from .helpers import LAPACK_THRESHOLD, SOLVERS, Array, batch, lapack_ratio

EPS = np.finfo(float).eps
SIZES = (1, 2, 3, 5, 10, 50, 200)

by_solver = pytest.mark.parametrize("solver", SOLVERS)


@pytest.mark.parametrize("parameters", SIZES)
@pytest.mark.parametrize("samples", SIZES)
def test_lapacks_ratio(samples: int, parameters: int, simd: str) -> None:
    """||b - A x|| / (||A|| ||x|| max(N, d) eps) < 30 for all three solvers."""
    S, A, g, _ = batch(samples, parameters)
    for solver in SOLVERS:
        for kwargs in ({"advantages": A}, {"gradient": g}):
            result = ff.natural_step(S, **kwargs, solver=solver, tol=1e-15)
            assert lapack_ratio(result, S) < LAPACK_THRESHOLD, (solver, *kwargs)


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0)])
def test_empty_scores_raise(shape: tuple[int, int]) -> None:
    for solver in (*SOLVERS, "auto"):
        with pytest.raises(ValueError, match=r"scores"):
            ff.natural_step(np.empty(shape), np.empty(shape[0]), solver=solver)


def spectra(n: int) -> dict[str, Array]:
    """Return LAPACK's matrix kinds (DCHKPO), as the spectra of F."""
    bad = np.sqrt(0.1 / EPS)
    sizes = np.geomspace(1.0, 0.5, n)
    first, middle, last = sizes.copy(), sizes.copy(), sizes.copy()
    first[0] = middle[n // 2] = last[-1] = 0.0
    return {
        "diagonal": np.arange(1.0, n + 1),
        "condition 2": sizes,
        "first zero": first,
        "middle zero": middle,
        "last zero": last,
        "condition sqrt(0.1 / eps)": np.geomspace(1.0, 1.0 / bad, n),
        "condition 0.1 / eps": np.geomspace(1.0, EPS / 0.1, n),
        "near underflow": sizes * 1e-290,
        "near overflow": sizes * 1e290,
    }


@pytest.mark.parametrize("kind", spectra(4))
@pytest.mark.parametrize("shape", [(40, 12), (12, 12), (12, 40)], ids=str)
def test_lapacks_matrix_kinds(kind: str, shape: tuple[int, int]) -> None:
    """S = U diag(sqrt(N sigma)) V^T.  The ratio is small, or what was done instead is said."""
    n, d = shape
    sigma = spectra(min(shape))[kind]
    rng = np.random.default_rng(0)
    U = np.linalg.qr(rng.standard_normal((n, n)))[0][:, : len(sigma)]
    V = np.linalg.qr(rng.standard_normal((d, d)))[0][:, : len(sigma)]
    S = (U * np.sqrt(n * sigma)) @ V.T
    A = rng.standard_normal(n)
    condition = sigma.max() / sigma[sigma > 0].min()
    for damping in (0.0, 1e-10, 1e-3):
        for solver in SOLVERS:
            kwargs = {
                "damping": damping,
                "relative_damping": True,
                "solver": solver,
                "tol": 1e-15,
                "max_kl": 0.01,
            }
            try:
                result = ff.natural_step(S, A, **kwargs)
            except np.linalg.LinAlgError as error:
                assert "damping" in str(error)  # noqa: PT017
                assert damping == 0.0
                continue
            assert np.isfinite(result.direction).all()
            assert np.isfinite(result.step).all()
            # Undamped, x = S^T K^-1 A is a sum of large terms: the square root of the condition is lost.
            loss = np.sqrt(condition) if solver == "gram" and damping == 0.0 else 1.0
            ratio = lapack_ratio(result, S)
            assert ratio < LAPACK_THRESHOLD * loss or (result.notes and damping < 1e-3), (damping, result)


@by_solver
@pytest.mark.parametrize("shape", [(30, 8), (8, 30)], ids=str)
def test_degenerate_scores(solver: str, shape: tuple[int, int]) -> None:
    """Duplicated rows, dead parameters, a constant column, a huge mean."""
    S, A, _, _ = batch(*shape)
    duplicated, dead, constant, offset = S.copy(), S.copy(), S.copy(), S + 1e4
    duplicated[1::2] = duplicated[::2]
    dead[:, ::3] = 0.0
    constant[:, 2] = 1.0
    for scores in (duplicated, dead, constant, offset):
        result = ff.natural_step(scores, A, damping=1e-4, solver=solver, tol=1e-15)
        assert lapack_ratio(result, scores) < LAPACK_THRESHOLD
        assert result.predicted_kl >= 0.0


@by_solver
def test_without_damping_a_rank_deficient_matrix_is_never_nan(solver: str) -> None:
    """A jitter that is noted, or LinAlgError."""
    base, A, _, _ = batch(40, 3)
    mixing = np.random.default_rng(1).standard_normal((3, 9))
    for scores in (base @ mixing, np.outer(np.ones(40), mixing[0]), np.tile(base[:2], (20, 1)) @ mixing):
        try:
            result = ff.natural_step(scores, A, damping=0.0, solver=solver, max_kl=0.01)
        except np.linalg.LinAlgError as error:
            assert "damping" in str(error)  # noqa: PT017
            continue
        for vector in (result.step, result.direction):
            assert np.isfinite(vector).all()
        if result.residual > 1e-6:
            assert any("residual" in note or "jitter" in note for note in result.notes), result


@by_solver
@pytest.mark.parametrize("shape", [(400, 90), (90, 400)], ids=str)
def test_mixed_precision_reaches_the_residual_of_double(solver: str, shape: tuple[int, int]) -> None:
    S, A, _, _ = batch(*shape)
    for dtype in (np.float32, np.float64):
        scores = S.astype(dtype)
        result = ff.natural_step(scores, A, damping=1e-3, precision="mixed", solver=solver, tol=1e-15)
        assert lapack_ratio(result, scores.astype(float)) < LAPACK_THRESHOLD
        assert result.precision == ("double" if solver == "lsmr" else "mixed")


@pytest.mark.parametrize("solver", ["cholesky", "gram"])
def test_mixed_precision_falls_back_aloud(solver: str) -> None:
    S, A, _, _ = batch(60, 20)
    result = ff.natural_step(
        S * np.geomspace(1, 1e-9, 20), A, damping=1e-13, precision="mixed", solver=solver
    )
    assert result.precision == "double"
    assert result.notes


@by_solver
@pytest.mark.parametrize("shape", [(400, 90), (90, 400)], ids=str)
def test_single_precision(solver: str, shape: tuple[int, int]) -> None:
    S, A, _, _ = batch(*shape)
    result = ff.natural_step(S, A, damping=0.1, precision="single", solver=solver, tol=1e-4)
    assert result.precision == ("double" if solver == "lsmr" else "single")
    assert result.residual < 1e-3
    np.testing.assert_allclose(
        result.direction,
        reference.natural_direction(S, A, damping=0.1),
        rtol=0,
        atol=1e-3 * np.linalg.norm(result.direction),
    )


def test_float32_scores_are_computed_with_in_double() -> None:
    S, A, _, _ = batch(80, 30)
    narrow = S.astype(np.float32)
    for solver in SOLVERS:
        one, other = (ff.natural_step(s, A, solver=solver) for s in (narrow, narrow.astype(np.float64)))
        np.testing.assert_allclose(one.direction, other.direction, rtol=1e-9)
