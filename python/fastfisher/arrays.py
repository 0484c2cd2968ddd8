"""Arrays of other libraries, and numbers of other types, as NumPy arrays of real numbers.

NumPy knows most by their ``__array__`` or by DLPack.  It does not know bfloat16, which ml_dtypes teaches it
and PyTorch gives by DLPack alone, and it takes the nullable columns of pandas for objects.
"""

from __future__ import annotations

from contextlib import suppress
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._core import from_bfloat16
from .arguments import refuse_masked


def as_array(values: object, name: str) -> NDArray[Any]:
    """Return the array that values are, or stand for: a sequence, or an array of another library.

    A TypeError with `name` in its message passes on what the other library says; PyTorch, for one, of a
    tensor that is on another device, or has yet to be detached.  Masked entries are a ValueError.
    """
    refuse_masked(values, name)
    exchanged = hasattr(values, "__dlpack__")
    try:
        if exchanged and not hasattr(values, "__array__"):
            return np.from_dlpack(values)  # type: ignore[arg-type]
        return np.asarray(values)
    except (BufferError, RuntimeError, TypeError, ValueError) as error:  # ragged; on another device; bfloat16
        if exchanged:
            with suppress(BufferError, RuntimeError, TypeError, ValueError):
                array = from_bfloat16(values.__dlpack__())  # type: ignore[attr-defined]
                if array is not None:
                    return array
        raise TypeError(
            f"{name}: expected an array of real numbers, got {type(values).__name__}: {error}"
        ) from None


def axes_of(value: object) -> int:
    """Return how many axes an array has, whichever library's it is, or a nested sequence of numbers."""
    shape = getattr(value, "shape", None)
    return len(shape) if shape is not None else np.ndim(value)  # type: ignore[arg-type]


def as_real_numbers(array: NDArray[Any], values: object, name: str) -> NDArray[Any]:
    """Return the real numbers of an array of another kind: Python's own, or a type that NumPy was taught."""
    if array.dtype.kind == "O" and array.ndim and all(isinstance(value, Real) for value in array.flat):
        return array.astype(np.float64)  # such as pandas gives its Float64
    if array.dtype.kind == "V" and array.dtype.type is not np.void and np.can_cast(array.dtype, np.float32):
        return array.astype(np.float32)  # bfloat16 and its like
    if hasattr(values, "toarray"):
        got = f"a sparse {type(values).__name__}: pass its toarray()"
    elif hasattr(values, "matvec"):
        got = f"a {type(values).__name__}, which has no rows to read: pass the array that it multiplies with"
    else:
        got = f"shape {array.shape} of {array.dtype}"
    raise TypeError(f"{name}: expected an array of real numbers, got {got}")
