"""Small functions that NumPy lacks: accurate and without overflow for any argument, and a choice of rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def softplus(x: Array) -> Array:
    """Return log(1 + e^x)."""
    result: Array = np.logaddexp(0.0, x)
    return result


def log_sigmoid(x: Array) -> Array:
    """Return log(1 / (1 + e^-x))."""
    return -softplus(-x)


def sigmoid(x: Array) -> Array:
    """Return 1 / (1 + e^-x)."""
    result: Array = np.exp(log_sigmoid(x))
    return result


def log_softmax(z: Array) -> Array:
    """Return z - log sum e^z, by rows."""
    shifted: Array = z - z.max(axis=1, keepdims=True)
    normalizer: Array = np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return shifted - normalizer


def even_spread(count: int, most: int) -> NDArray[np.int64]:
    """Return at most so many of the rows 0 to count - 1, at equal distances."""
    rows: NDArray[np.int64] = np.linspace(0, count - 1, min(count, most)).astype(np.int64)
    return rows
