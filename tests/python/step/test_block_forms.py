"""Blocks of any rank, dicts of them, arrays of other libraries; what cannot be scores is refused by name."""

from __future__ import annotations

import ctypes
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import fastfisher as ff

from .helpers import batch

N, P, Q = 40, 3, 2
A = batch(N, 1).advantages
RNG = np.random.default_rng(0)
WEIGHT, BIAS = RNG.standard_normal((N, P, Q)), RNG.standard_normal((N, Q))
DENSE = np.hstack([WEIGHT.reshape(N, P * Q), BIAS])
LEFT, RIGHT = RNG.standard_normal((N, P)), RNG.standard_normal((N, Q))
OUTER = np.einsum("np,nq->npq", LEFT, RIGHT).reshape(N, P * Q)


@pytest.mark.parametrize(
    ("scores", "dense"),
    [
        ([WEIGHT, BIAS], DENSE),
        ((WEIGHT, BIAS), DENSE),
        ([BIAS, WEIGHT], np.hstack([BIAS, DENSE[:, : P * Q]])),
        ([WEIGHT], DENSE[:, : P * Q]),
        ([RNG.permutation(WEIGHT.reshape(N, 1, P, Q, 1)), BIAS], None),
        ([np.asfortranarray(WEIGHT), BIAS[:, ::-1][:, ::-1]], DENSE),
        ([(LEFT, RIGHT), WEIGHT], np.hstack([OUTER, DENSE[:, : P * Q]])),
        ({"weight": WEIGHT, "bias": BIAS}, DENSE),
        ({"bias": BIAS, "weight": WEIGHT}, np.hstack([BIAS, DENSE[:, : P * Q]])),  # not sorted by name
        ({"params": {"layer": {"kernel": WEIGHT}, "out": {"bias": BIAS}}}, DENSE),
        ({"layer": (LEFT, RIGHT), "bias": BIAS}, np.hstack([OUTER, BIAS])),
        ({0: WEIGHT, 1: BIAS}, DENSE),
    ],
)
def test_blocks_are_flattened_in_c_order(scores: Any, dense: np.ndarray | None) -> None:
    if dense is None:
        dense = np.hstack([scores[0].reshape(N, -1), BIAS])
    made = ff.Scores(scores)
    np.testing.assert_array_equal(made.to_dense(), dense)
    expected = ff.natural_step(dense, A, damping=0.1)
    np.testing.assert_allclose(ff.natural_step(scores, A, damping=0.1).step, expected.step, rtol=1e-10)
    F, G = ff.Fisher(dense.shape[1]), ff.Fisher(dense.shape[1])
    F.update(scores)
    G.update(dense)
    np.testing.assert_allclose(F.matrix(), G.matrix(), rtol=1e-12)
    assert ff.diagnose(scores).rank == ff.diagnose(dense, kind="scores").rank
    np.testing.assert_array_equal(made[:7].to_dense(), dense[:7])
    streamed = ff.natural_step(iter([(scores, A)]), damping=0.1)
    np.testing.assert_allclose(streamed.step, expected.step, rtol=1e-8)


def test_a_c_ordered_block_is_not_copied() -> None:
    (block,) = ff.Scores([WEIGHT]).blocks
    assert np.shares_memory(block, WEIGHT)


@pytest.mark.parametrize("pair", [(LEFT, RIGHT), (LEFT, RIGHT[:, None, :]), (LEFT.tolist(), RIGHT.tolist())])
def test_a_bare_pair_is_refused_with_what_it_may_mean(pair: Any) -> None:
    F = ff.Fisher(P * Q)
    for refuses in (lambda: ff.natural_step(pair, A), lambda: F.update(pair), lambda: ff.diagnose(pair)):
        with pytest.raises(TypeError, match=r"^scores: expected a list of blocks.*\[\(inputs, errors\)\]"):
            refuses()
    assert ff.Scores([pair]).shape == (N, P * Q)
    assert ff.Scores([LEFT, RIGHT]).shape == (N, P + Q)


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ({}, r"^scores: expected at least one block, got an empty dict"),
        ({"a": {}}, r"^scores: expected at least one block"),
        (
            {"w": WEIGHT, "b": np.ones(N)},
            r"^scores\['b'\]: expected a two-dimensional block \(N, k\), or one of",
        ),
        (
            {"a": {"w": WEIGHT, "b": BIAS[1:]}},
            r"^scores\['a'\]\['b'\]: expected 40 rows as in scores\['a'\]\['w'\]",
        ),
        ([np.ones((0, 2, 3))], r"^scores: expected at least one row"),
        (WEIGHT, r"^scores: expected a two-dimensional array \(N, d\)"),
    ],
)
def test_a_wrong_block_is_named(scores: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ff.natural_step(scores, A)


def test_an_array_of_scores_is_its_matrix() -> None:
    scores = ff.Scores([(LEFT, RIGHT), BIAS])
    np.testing.assert_array_equal(np.asarray(scores), np.hstack([OUTER, BIAS]))
    np.testing.assert_array_equal(np.asarray(scores.T), np.hstack([OUTER, BIAS]).T)
    assert np.asarray(scores, np.float32).dtype == np.float32
    with pytest.raises(ValueError, match=r"^copy: expected True or None"):
        np.array(scores, copy=False)


# --- arrays of other libraries ---


def test_bfloat16_of_ml_dtypes() -> None:
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    narrow, advantages = DENSE.astype(bfloat16), A.astype(bfloat16)
    (block,) = ff.Scores(narrow).blocks
    assert block.dtype == np.float32
    expected = ff.natural_step(narrow.astype(float), advantages.astype(float))
    np.testing.assert_allclose(ff.natural_step(narrow, advantages).step, expected.step, rtol=1e-9)


class Bfloat16:
    """A tensor as PyTorch has it: bfloat16 by DLPack, which NumPy does not read."""

    def __init__(self, bits: np.ndarray) -> None:
        self.bits = bits

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise TypeError("Got unsupported ScalarType BFloat16")

    def __dlpack__(self, **_: Any) -> Any:
        axes = self.bits.ndim
        Axes = ctypes.c_int64 * axes
        shape = Axes(*self.bits.shape)
        strides = Axes(*(stride // 2 for stride in self.bits.strides))

        class Tensor(ctypes.Structure):
            _fields_ = [
                ("data", ctypes.c_void_p), ("device", ctypes.c_int32 * 2), ("ndim", ctypes.c_int32),
                ("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16),
                ("shape", ctypes.c_void_p), ("strides", ctypes.c_void_p), ("offset", ctypes.c_uint64),
            ]  # fmt: skip

        device = (ctypes.c_int32 * 2)(1, 0)
        self.tensor = Tensor(
            self.bits.ctypes.data, device, axes, 4, 16, 1,
            ctypes.addressof(shape), ctypes.addressof(strides), 0,
        )  # fmt: skip
        self.kept = shape, strides
        new = ctypes.pythonapi.PyCapsule_New
        new.restype, new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
        return new(ctypes.addressof(self.tensor), b"dltensor", None)

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0


@pytest.mark.parametrize("layout", ["C", "F", "reversed"])
def test_bfloat16_by_dlpack(layout: str) -> None:
    bits = (DENSE.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
    bits = {"C": bits, "F": np.asfortranarray(bits), "reversed": bits[::-1][::-1]}[layout]
    (block,) = ff.Scores(Bfloat16(bits)).blocks
    assert block.dtype == np.float32
    np.testing.assert_array_equal(block, (bits.astype(np.uint32) << 16).view(np.float32))
    np.testing.assert_allclose(block, DENSE, rtol=2.0**-7)


def test_nullable_columns_of_pandas() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(DENSE).astype("Float64")
    expected = ff.natural_step(DENSE, A)
    result = ff.natural_step(frame, pandas.Series(A, dtype="Float64"))
    np.testing.assert_allclose(result.step, expected.step, rtol=1e-12)
    frame.iloc[3, 1] = pandas.NA
    with pytest.raises((TypeError, ValueError), match=r"^scores: expected"):
        ff.natural_step(frame, A)


def test_objects_that_are_real_numbers() -> None:
    numbers = np.array([[Fraction(1, 2), 2, 3.5], [1, np.float32(0.25), True]], dtype=object)
    np.testing.assert_array_equal(ff.Scores(numbers).to_dense(), [[0.5, 2.0, 3.5], [1.0, 0.25, 1.0]])
    for other in ("1.5", None, 1j):
        with pytest.raises(TypeError, match=r"^advantages: expected an array of real numbers"):
            ff.natural_step(np.ones((2, 1)), np.array([1.0, other], dtype=object))


def test_sparse_matrices_and_operators_are_refused_by_name() -> None:
    sparse, linalg = pytest.importorskip("scipy.sparse"), pytest.importorskip("scipy.sparse.linalg")
    for matrix in (sparse.csr_matrix(DENSE), sparse.csr_array(DENSE), sparse.coo_array(DENSE)):
        for scores, name in ((matrix, "scores"), ([matrix], r"scores\[0\]")):
            with pytest.raises(
                TypeError, match=rf"^{name}: expected .*, got a sparse c\w+: pass its toarray\(\)"
            ):
                ff.natural_step(scores, A)
    operator = linalg.aslinearoperator(DENSE)
    for call in (lambda: ff.natural_step(operator, A), lambda: ff.diagnose(operator)):
        with pytest.raises(TypeError, match=r"^(scores|F): expected .* no rows to read"):
            call()


def test_what_the_other_library_says_is_passed_on() -> None:
    class Elsewhere:
        def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
            raise TypeError("can't convert cuda:0 device type tensor to numpy")

        def __dlpack__(self, **_: Any) -> Any:
            raise BufferError("on another device")

    with pytest.raises(TypeError, match=r"^advantages: expected .*, got Elsewhere: can't convert cuda:0"):
        ff.natural_step(DENSE, Elsewhere())
