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
            if right.ndim == 3:  # rows that share their left side
                left, right = np.repeat(left, right.shape[1], axis=0), right.reshape(-1, right.shape[2])
            return np.einsum("np,nq->npq", left, right).reshape(len(left), -1)
        return np.asarray(block, dtype=np.float64)

    return np.hstack([columns(block) for block in blocks])


@st.composite
def mixes(draw: st.DrawFn) -> Blocks:
    """Draw blocks of any kind, precision and layout, around the widths of packets and tiles."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    repeats = draw(st.sampled_from([1, 1, 2, 3, 6]))
    groups = draw(st.sampled_from([1, 2, 7, 8, 9, 33, 100, 257]))
    rows = groups * repeats
    widths = st.sampled_from([1, 2, 3, 4, 6, 7, 8, 9, 15, 16, 17, 31, 33, 48, 65])

    def matrix(dtype: type, columns: int, rows: int = rows) -> Array:
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
        kind = draw(st.sampled_from(["pair", "shared", "dense"]))
        if kind == "shared":
            right = np.ascontiguousarray(matrix(dtype, draw(widths))).reshape(groups, repeats, -1)
            blocks.append((matrix(dtype, draw(widths), groups), right))
        elif kind == "pair":
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


def test_slices_of_rows_that_share_their_left_side() -> None:
    rng = np.random.default_rng(7)
    pair = (rng.standard_normal((20, 5)), rng.standard_normal((20, 3, 4)))
    S, D = ff.Scores([pair, rng.standard_normal((60, 2))]), written_out([pair])
    assert repr(S) == "Scores(shape=(60, 22), blocks=[(5 x 4, 3 rows each), 2])"
    for rows in (slice(6, 30), slice(7, 30), slice(6, 31), slice(None, None, -2), np.array([59, 0, 0])):
        part = S[rows]
        np.testing.assert_array_equal(part.to_dense()[:, :20], D[rows])
        np.testing.assert_allclose(part.gram(), (d := part.to_dense()) @ d.T, rtol=1e-12, atol=1e-12)
    assert np.shares_memory(S[6:30].blocks[0][0], pair[0])
    # The core cuts rows of its own accord: a panel, a chunk and a strip may part those that belong together.
    apart = (pair[0], np.broadcast_to(pair[1][:, :1], (20, 3, 4)))
    np.testing.assert_array_equal(ff.Scores([apart]).to_dense(), written_out([apart]))
    with pytest.raises(ValueError, match=r"scores\[0\]\[1\]: expected at least one row"):
        ff.Scores([(pair[0], np.ones((20, 0, 4)))])
    with pytest.raises(ValueError, match=r"scores\[0\]: expected a pair"):
        ff.Scores([(pair[0], np.ones((19, 3, 4)))])


@pytest.mark.parametrize("solver", ["cholesky", "gram", "cg"])
def test_a_step_from_rows_that_share_their_left_side(simd: str, solver: str) -> None:
    rng = np.random.default_rng(8)
    left, right = rng.standard_normal((700, 9)), rng.standard_normal((700, 2, 5))
    own = rng.standard_normal((1400, 3))
    A, w = rng.standard_normal(1400), rng.exponential(size=1400)
    written = [(np.repeat(left, 2, axis=0), right.reshape(1400, 5)), own]
    for scores in ([(left, right), own], [(left.astype(np.float32), right.astype(np.float32)), own]):
        expected = ff.natural_step(written, A, weights=w, solver="cholesky", precision="double")
        step = ff.natural_step(scores, A, weights=w, solver=solver, precision="double", tol=1e-12)
        rtol = 1e-5 if scores[0][0].dtype == np.float32 else 1e-8
        np.testing.assert_allclose(step.step, expected.step, rtol=rtol)
    report = ff.diagnose([(left, right), own])
    assert report.rank == ff.diagnose(written).rank == 48


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
    for count in (0.0, np.inf, np.nan):
        with pytest.raises(ValueError, match="count"):
            S.fisher(count=count)
    with pytest.raises(TypeError, match="rows"):
        S[3]  # type: ignore[index]


def test_weights_and_precision_of_the_methods() -> None:
    rng = np.random.default_rng(9)
    left, right, dense = (rng.standard_normal((50, k)) for k in (3, 4, 2))
    S = ff.Scores([(left, right), dense])
    D, w = written_out(S.blocks), rng.exponential(size=50)
    w[::7] = 0.0
    for weights, root in ((None, np.ones(50)), (w, np.sqrt(w))):
        expected = {
            "gram": (root[:, None] * D) @ (root[:, None] * D).T,
            "fisher": (root[:, None] * D).T @ (root[:, None] * D) / (root**2).sum(),
        }
        for name, matrix in expected.items():
            double, single = (getattr(S, name)(weights, precision=p) for p in ("double", "single"))
            np.testing.assert_allclose(getattr(S, name)(weights), double, rtol=0, atol=0)
            for got, dtype in ((double, np.float64), (single, np.float32)):
                atol = 50 * np.finfo(dtype).eps * np.abs(matrix).max()
                np.testing.assert_allclose(got, matrix, rtol=0, atol=atol)
                assert got.dtype == dtype
                assert (got == got.T).all()
    assert S.to_dense().dtype == np.float64
    np.testing.assert_array_equal(S.to_dense(precision="double"), D)
    assert S.to_dense(precision="single").dtype == np.float32
    np.testing.assert_allclose(S.to_dense(precision="single"), D, rtol=1e-6)


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
