"""`Scores`: factored blocks against the dense matrix that they stand for, at every SIMD level."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

import fastfisher as ff
from fastfisher import _core, reference

from .helpers import THREADS, same_bits

Array = np.ndarray
Blocks = list[Any]

TOLERANCE = {"single": 2e-6, "double": 1e-14}


def written_out(blocks: Blocks) -> Array:
    """Return the dense matrix in float64, products rounded there and nowhere else."""

    def columns(block: Any) -> Array:
        if isinstance(block, tuple):
            left, right = (side.astype(np.float64) for side in block)
            return np.einsum("np,nq->npq", left, right).reshape(len(left), -1)
        return np.asarray(block, dtype=np.float64)

    return np.hstack([columns(block) for block in blocks])


@st.composite
def mixes(draw: st.DrawFn) -> Blocks:
    """Draw blocks of any kind, precision and layout, around the widths of packets and tiles."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows = draw(st.sampled_from([1, 2, 7, 8, 9, 33, 100, 257]))
    widths = st.sampled_from([1, 2, 3, 4, 6, 7, 8, 9, 15, 16, 17, 31, 33, 48, 65])

    def matrix(dtype: type, columns: int) -> Array:
        values = rng.standard_normal((2 * rows, 2 * columns)).astype(dtype)
        layout = draw(st.integers(0, 3))
        if layout == 0:
            return np.ascontiguousarray(values[:rows, :columns])
        if layout == 1:
            return np.asfortranarray(values[:rows, :columns])
        return values[::2, ::2] if layout == 2 else values[:rows, :columns][::-1, ::-1]

    blocks: Blocks = []
    for _ in range(draw(st.integers(1, 4))):
        dtype = draw(st.sampled_from([np.float32, np.float64]))
        if draw(st.booleans()):
            blocks.append((matrix(dtype, draw(widths)), matrix(dtype, draw(widths))))
        else:
            blocks.append(matrix(dtype, draw(st.one_of(widths, st.just(300)))))
    return blocks


@pytest.mark.parametrize("precision", ["single", "double"])
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(blocks=mixes(), seed=st.integers(0, 100))
def test_products_of_blocks_are_those_of_the_dense_matrix(
    simd: str, precision: str, blocks: Blocks, seed: int
) -> None:
    S = written_out(blocks)
    rng = np.random.default_rng(seed)
    v, u = rng.standard_normal(S.shape[1]), rng.standard_normal(len(S))
    w = rng.exponential(size=len(S)) if seed % 2 else None
    size = np.linalg.norm(S)
    products = [
        (_core.matvec(blocks, v, precision), reference.matvec(S, v), size * np.linalg.norm(v)),
        (_core.rmatvec(blocks, u, precision), reference.rmatvec(S, u), size * np.linalg.norm(u)),
        (
            _core.fisher_matvec(blocks, v, w, precision),
            reference.fisher_matvec(S, v, w),
            size**2 * np.linalg.norm(v) * (1.0 if w is None else w.max()),
        ),
        (_core.fisher_product(blocks, w, precision), reference.syrk_columns(S, w), size**2),
        (_core.gram_product(blocks, w, precision), reference.syrk_rows(S, w), size**2),
        (_core.to_dense(blocks, precision), S, size),
    ]
    for got, expected, scale in products:
        assert np.abs(got - expected).max() <= TOLERANCE[precision] * max(1.0, scale)
    np.testing.assert_allclose(_core.square_norms(blocks), reference.row_square_norms(S), rtol=1e-6)


@pytest.mark.parametrize("precision", ["single", "double"])
def test_bits_do_not_depend_on_threads(simd: str, precision: str) -> None:
    rng = np.random.default_rng(5)
    blocks = [
        (rng.standard_normal((3000, 18)), rng.standard_normal((3000, 40))),
        (rng.standard_normal((3000, 41)), rng.standard_normal((3000, 6))),
        rng.standard_normal((3000, 6)),
    ]
    v, u = rng.standard_normal(972), rng.standard_normal(3000)
    for product in (
        lambda threads: _core.matvec(blocks, v, precision, threads),
        lambda threads: _core.rmatvec(blocks, u, precision, threads),
        lambda threads: _core.fisher_matvec(blocks, v, None, precision, threads),
        lambda threads: _core.fisher_product(blocks, None, precision, threads),
        lambda threads: _core.gram_product(
            [
                block[:700] if isinstance(block, Array) else tuple(side[:700] for side in block)
                for block in blocks
            ],
            None,
            precision,
            threads,
        ),
    ):
        first = product(1)
        assert all(same_bits(product(threads), first) for threads in THREADS)


def test_scores_are_a_matrix() -> None:
    rng = np.random.default_rng(6)
    left, right, dense = (rng.standard_normal((50, k)) for k in (3, 4, 2))
    S = ff.Scores([(left, right), dense])
    D = written_out([(left, right), dense])
    w, v, u = rng.exponential(size=50), rng.standard_normal(14), rng.standard_normal(50)
    assert (S.shape, len(S), S.T.shape, S.T.T) == ((50, 14), 50, (14, 50), S)
    np.testing.assert_allclose(S @ v, D @ v, rtol=1e-12)
    np.testing.assert_allclose(S.T @ u, D.T @ u, rtol=1e-12)
    np.testing.assert_allclose(S.gram(), D @ D.T, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(S.fisher(w), D.T @ (w[:, None] * D) / w.sum(), rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(S.fisher(count=7.0), D.T @ D / 7.0, rtol=1e-11, atol=1e-13)
    np.testing.assert_array_equal(S.to_dense(), D)
    np.testing.assert_array_equal(S[10:20].to_dense(), D[10:20])
    np.testing.assert_array_equal(S[::-3].to_dense(), D[::-3])
    np.testing.assert_array_equal(S[np.array([4, 4, 1])].to_dense(), D[[4, 4, 1]])
    assert ff.Scores(S).blocks is S.blocks
    assert repr(S) == "Scores(shape=(50, 14), blocks=[(3 x 4), 2])"
    with pytest.raises(ValueError, match=r"v: expected shape \(14,\)"):
        S @ u
    with pytest.raises(ValueError, match=r"u: expected shape \(50,\)"):
        S.T @ v
    with pytest.raises(ValueError, match="count"):
        S.fisher(count=0.0)
    with pytest.raises(TypeError, match="rows"):
        S[3]  # type: ignore[index]


def test_a_pair_is_never_written_out() -> None:
    """A batch whose dense scores would take 2 GB: 2,000 x 256 x 512 in float64."""
    rng = np.random.default_rng(7)
    pair = (rng.standard_normal((2000, 256)), rng.standard_normal((2000, 512)))
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = ff.natural_step(
        [pair], rng.standard_normal(2000), damping=1.0, solver="gram", precision="double"
    )
    assert result.residual < 1e-12
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400 * 1024  # KiB
