"""S^T S and S S^T are symmetric to the bit, and their eigenvalues above minus the rounding bound."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastfisher as ff
from fastfisher import _core

from .helpers import Array

TRIALS = 100_000  # over all the tests of eigenvalues below
UNIT = {"single": np.finfo(np.float32).eps / 2, "double": np.finfo(np.float64).eps / 2}
DTYPE: dict[str, type] = {"single": np.float32, "double": np.float64}


def small_scores(rng: np.random.Generator, dtype: type, paired: bool, count: int) -> list[Any]:
    """Return batches of one random shape, most of them of deficient rank: there a sign can go wrong."""
    rows, p, q = (int(k) for k in rng.integers(1, 9, 3))
    q = int(rng.integers(1, 4)) if paired else q
    scale = 10.0 ** rng.uniform(-8, 8, (count, 1, 1))

    def matrices(columns: int) -> Array:
        values = rng.standard_normal((count, rows, columns))
        values[::4] = values[::4, :1] * (1.0 + 1e-7 * values[::4])  # nearly equal rows
        values[1::4] *= np.geomspace(1.0, 1e-9, columns)
        values[2::4] += 1e4
        return values

    left = (matrices(p) * scale).astype(dtype)
    if not paired:
        return list(left)
    right = matrices(q).astype(dtype)
    return [[(left[k], right[k])] for k in range(count)]


@pytest.mark.parametrize("precision", ["single", "double"])
@pytest.mark.parametrize("paired", [False, True], ids=["dense", "pairs"])
@pytest.mark.parametrize("product", ["fisher", "gram"])
def test_eigenvalues_of_random_batches(product: str, paired: bool, precision: str, simd: str) -> None:
    """|C - exact| <= (terms of the sums) u ||S||_F^2 in norm, so no eigenvalue is below minus that."""
    rng = np.random.default_rng((len(product), paired, len(precision)))
    multiply = _core.fisher_product if product == "fisher" else _core.gram_product
    at_once = 150
    for _ in range(-(-TRIALS // (8 * len(_core.available_simd_levels()) * at_once))):
        batches = small_scores(rng, DTYPE[precision], paired, at_once)
        matrices = np.array([multiply(scores, None, precision, 1) for scores in batches])
        assert matrices.dtype == DTYPE[precision]
        assert matrices.tobytes() == np.ascontiguousarray(matrices.transpose(0, 2, 1)).tobytes()
        squares = np.array([_core.square_norms(scores, 1).sum() for scores in batches])
        terms = len(ff.Scores(batches[0])) + matrices.shape[-1] + 24
        bound = terms * UNIT[precision] * squares
        wide = matrices.astype(np.float64)
        np.testing.assert_allclose(np.trace(wide, axis1=1, axis2=2), squares, rtol=terms * UNIT[precision])
        smallest = np.linalg.eigvalsh(wide)[:, 0]
        assert (smallest >= -bound).all(), (simd, ((-smallest - bound) / squares).max())


@pytest.mark.parametrize("precision", ["single", "double"])
@pytest.mark.parametrize("columns", [1, 7, 8, 9, 15, 16, 17, 31, 33, 65, 130])
def test_symmetry_is_exact_at_every_width(columns: int, precision: str, simd: str) -> None:
    rng = np.random.default_rng(columns)
    for rows in (1, 5, 16, 17, 130):
        S = rng.standard_normal((rows, columns))
        w = rng.exponential(size=rows)
        pair = (S, rng.standard_normal((rows, 3)))
        for scores in (S, S.astype(np.float32), [pair], [S, pair, S[:, :1]]):
            for weights in (None, w):
                for multiply in (_core.fisher_product, _core.gram_product):
                    C = multiply(scores, weights, precision)
                    assert C.tobytes() == np.ascontiguousarray(C.T).tobytes()
                    assert (np.diagonal(C) >= 0.0).all()


def ill_conditioned(rng: np.random.Generator) -> Array:
    """Scores whose singular values fall to nothing, at any scale, some rows alike."""
    rows, columns = (int(k) for k in rng.integers(1, 25, 2))
    k = min(rows, columns)
    U = np.linalg.qr(rng.standard_normal((rows, k)))[0]
    V = np.linalg.qr(rng.standard_normal((columns, k)))[0]
    S = (U * np.geomspace(1.0, 10.0 ** -rng.uniform(0, 20), k)) @ V.T * 10.0 ** rng.uniform(-15, 15)
    if rng.random() < 0.3:
        S[rows // 2 :] = S[0]
    return S


def broke_down(S: Array, A: Array, **call: Any) -> bool:
    try:
        result = ff.natural_step(S, A, **call)
    except np.linalg.LinAlgError:
        return True
    return any(word in note for note in result.notes for word in ("jitter", "Cholesky", "Gram matrix is"))


@pytest.mark.parametrize("precision", ["single", "double"])
@pytest.mark.parametrize("solver", ["cholesky", "gram"])
def test_a_guaranteed_damping_never_needs_jitter(solver: str, precision: str, simd: str) -> None:
    """S^T S + s I has a factor if s >= 11 (N d + d (d + 1)) u ||S||^2, N and d swapped for the dual."""
    rng = np.random.default_rng(0)
    undamped = 0
    for _ in range(250):
        S = ill_conditioned(rng)
        A = rng.standard_normal(len(S))
        side = S.shape[1] if solver == "cholesky" else S.shape[0]
        s = 11 * (S.size + side * (side + 1)) * UNIT[precision] * np.linalg.norm(S, 2) ** 2
        call = {"solver": solver, "precision": precision}
        # The damping is of S^T S / N, and one rounding above the bound.
        assert not broke_down(S, A, damping=s / len(S) * (1 + 1e-15), **call), (S.shape, s)
        undamped += broke_down(S, A, damping=0.0, **call)
    assert undamped > 50  # these batches do break down without it
