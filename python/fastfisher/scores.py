"""Scores: what every function of the package takes as ``scores``.

Row n holds grad log pi(a_n | s_n), (N, d).  Scores are one array, or a list of blocks side by side, each an
array (N, k) or a pair (left, right) of arrays (N, p) and (N, q) that stands for the k = p q columns of the
outer products left[n] right[n]^T, flattened in C order: a dense layer's inputs and back-propagated errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray: TypeAlias = NDArray[np.float32] | NDArray[np.float64]
Block: TypeAlias = ArrayLike | tuple[ArrayLike, ArrayLike]
ScoresLike: TypeAlias = ArrayLike | Sequence[Block]


def describe(array: NDArray[Any]) -> str:
    """Shape and dtype, for the end of an error message."""
    return f"shape {array.shape} of {array.dtype}"


def as_float_array(values: object, name: str) -> FloatArray:
    """``values`` as an aligned, native float32 or float64 array, copied only where it is something else.

    float16 becomes float32; integers, booleans and longer floats become float64.

    Raises
    ------
    TypeError
        If the values are not real numbers, with `name` in the message.
    """
    if hasattr(values, "__dlpack__") and not hasattr(values, "__array__"):
        values = np.from_dlpack(values)
    try:
        array = np.asarray(values)
    except ValueError as error:  # ragged nested sequences
        raise TypeError(
            f"{name}: expected an array of real numbers, got {type(values).__name__}: {error}"
        ) from None
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name}: expected an array of real numbers, got {describe(array)}")
    dtype = np.float32 if array.dtype.kind == "f" and array.dtype.itemsize <= 4 else np.float64
    aligned: FloatArray = np.require(array, dtype=dtype, requirements="A")
    return aligned


def as_scores(scores: ScoresLike) -> FloatArray:
    """Scores as one dense array, (N, d), N and d at least 1.

    A single array is viewed where it lies, whatever its order and strides.  Blocks are written side by side
    into a new array.

    Raises
    ------
    TypeError, ValueError
        If the shapes do not fit together, or there are no rows or no columns.
    """
    dense = _from_blocks(scores) if _is_blocks(scores) else as_float_array(scores, "scores")
    if dense.ndim != 2:
        raise ValueError(f"scores: expected a two-dimensional array (N, d), got {describe(dense)}")
    if dense.shape[0] == 0 or dense.shape[1] == 0:
        raise ValueError(f"scores: expected at least one row and one column, got {describe(dense)}")
    return dense


def as_vector(values: object, size: int, name: str, per: str) -> NDArray[np.float64]:
    """A contiguous float64 vector of a known size, finite; `per` says what there is one entry for.

    Raises
    ------
    TypeError, ValueError
        With the argument's name, what was expected and what came.
    """
    array = as_float_array(values, name)
    if array.shape != (size,):
        raise ValueError(f"{name}: expected shape ({size},), one entry a {per}, got {describe(array)}")
    vector = np.ascontiguousarray(array, dtype=np.float64)
    finite = np.isfinite(vector)
    if not finite.all():
        index = int(np.argmin(finite))
        raise ValueError(f"{name}: expected finite values, got {vector[index]} at {per} {index}")
    return vector


def as_weights(weights: object, size: int) -> NDArray[np.float64]:
    """Sample weights, (N,), non-negative and not all zero."""
    vector = as_vector(weights, size, "weights", "row")
    if vector.min() < 0.0:
        row = int(np.argmin(vector >= 0.0))
        raise ValueError(f"weights: expected values >= 0, got {vector[row]} at row {row}")
    if not vector.any():
        raise ValueError("weights: expected a positive sum, got all zeros")
    return vector


def _is_matrix(value: object) -> bool:
    shape = getattr(value, "shape", None)
    return len(shape) == 2 if shape is not None else np.ndim(value) == 2  # type: ignore[arg-type]


def _is_blocks(scores: object) -> bool:
    """A list or tuple that holds arrays or pairs of them, rather than rows of numbers."""
    if not isinstance(scores, (list, tuple)) or not scores:
        return False
    first = scores[0]
    if isinstance(first, (tuple, list)):
        return len(first) == 2 and all(map(_is_matrix, first))
    return _is_matrix(first)


def _from_blocks(blocks: Any) -> FloatArray:
    parts = [_dense_block(block, f"scores[{index}]") for index, block in enumerate(blocks)]
    rows = len(parts[0])
    for index, part in enumerate(parts):
        if len(part) != rows:
            raise ValueError(f"scores[{index}]: expected {rows} rows as in scores[0], got {len(part)}")
    return as_float_array(np.concatenate(parts, axis=1), "scores")


def _dense_block(block: Any, name: str) -> FloatArray:
    if not isinstance(block, (tuple, list)):
        dense = as_float_array(block, name)
        if dense.ndim != 2:
            raise ValueError(f"{name}: expected a two-dimensional block (N, k), got {describe(dense)}")
        return dense
    if len(block) != 2:
        raise ValueError(f"{name}: expected an array or a pair (left, right), got {len(block)} items")
    left = as_float_array(block[0], f"{name}[0]")
    right = as_float_array(block[1], f"{name}[1]")
    if left.ndim != 2 or right.ndim != 2 or len(left) != len(right):
        raise ValueError(
            f"{name}: expected a pair of two-dimensional arrays with as many rows, "
            f"got {describe(left)} and {describe(right)}"
        )
    return as_float_array((left[:, :, None] * right[:, None, :]).reshape(len(left), -1), name)
