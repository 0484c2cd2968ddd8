"""Blocks of a score matrix, as :func:`fastfisher.natural_step` takes them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Block = Array | tuple[Array, Array]
"""(N, k) columns, or a pair (N, p), (N, q) whose row n is vec(left[n] right[n]^T) in C order.

A pair (N / m, p), (N / m, m, q) has m rows for each of `left`.
"""
