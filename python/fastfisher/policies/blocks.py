"""Blocks of a score matrix, as :func:`fastfisher.natural_step` takes them, and their dense form."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Block = Array | tuple[Array, Array]
"""(N, k) columns, or a pair (N, p), (N, q) whose row n is vec(left[n] right[n]^T) in C order."""


def block_columns(block: Block) -> int:
    """Return the number of columns that the block stands for."""
    if isinstance(block, tuple):
        left, right = block
        return int(left.shape[1] * right.shape[1])
    return int(block.shape[1])


def dense(blocks: Sequence[Block]) -> Array:
    """Materialise the blocks side by side, (N, d).

    The result is stored by columns: the products of a pair then run along N, the one long
    dimension, several times faster than along the few outputs of a layer.
    """
    rows = len(blocks[0][0]) if isinstance(blocks[0], tuple) else len(blocks[0])
    columns = [block_columns(block) for block in blocks]
    transposed = np.empty((sum(columns), rows))
    start = 0
    for block, width in zip(blocks, columns, strict=True):
        target = transposed[start : start + width]
        if isinstance(block, tuple):
            left, right = block
            shape = (left.shape[1], right.shape[1], rows)
            np.multiply(left.T[:, None, :], right.T[None, :, :], out=target.reshape(shape))
        else:
            target[...] = block.T
        start += width
    return transposed.T
