"""Memory for episodes as long as their limit allows, which is taken as it is touched.

A time limit may be 10^9 steps where episodes have a hundred, so arrays of so many rows are addresses alone
until something is written to them.
"""

from __future__ import annotations

import math
import mmap
import os
import sys
import tempfile
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..errors import UserError

# This number is Linux's on x86 and ARM; Python has a name for it from 3.13 on.
_NO_RESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000) if sys.platform == "linux" else 0


def empty_rows(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Return an array, as ``np.empty`` does, of rows of which most may never be written.

    Linux refuses a request beyond all the memory of the machine, unless it is told that none is to be set
    aside.  Whatever is refused all the same is a UserError that names ``max_episode_steps``.
    """
    try:
        return np.empty(shape, dtype)
    except (MemoryError, ValueError):  # the system refused, or NumPy
        pass
    kind, entries = np.dtype(dtype), math.prod(shape)
    try:
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NO_RESERVE
        memory = mmap.mmap(-1, entries * kind.itemsize, flags=flags)
        return np.ndarray(shape, kind, buffer=memory)
    except (AttributeError, OSError, OverflowError, ValueError) as error:
        raise too_long(shape[0], entries * kind.itemsize) from error


def shared_memory(size: int, descriptor: int | None) -> tuple[int, mmap.mmap]:
    """Map a file in memory, of so many bytes, that several processes have; return its descriptor, too.

    It has no name in any folder: whatever happens to the processes, the system frees it with its last
    descriptor.  ``descriptor`` is that of a file which another process made; None makes a new one.
    """
    made = None
    try:
        if descriptor is None:
            descriptor = made = _nameless_file()
            os.ftruncate(made, size)
        return descriptor, mmap.mmap(descriptor, size)
    except BaseException:
        if made is not None:
            os.close(made)
        raise


def _nameless_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("fastfisher-rollouts")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def too_long(rows: int, size: int) -> UserError:
    """Return the error of episodes of so many steps, which would take up to so many bytes."""
    return UserError(
        f"max_episode_steps: expected episodes that fit in memory, got up to {rows:,} steps, "
        f"which take {size / 2**30:,.0f} GiB"
    )
