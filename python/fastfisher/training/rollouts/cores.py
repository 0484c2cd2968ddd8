"""How many processor cores this process may use."""

from __future__ import annotations

import os

from ..._core import usable_processors
from ..config import TrainConfig
from ..errors import UserError

CORES = "FASTFISHER_CORES"


def usable_cores() -> int:
    """Return the cores in the affinity mask, or fewer where a limit on them is less.

    The limits are the quota of the control group, or of one that it lies in, and the environment variable
    ``FASTFISHER_CORES``, which runs that go on side by side are given.  It is a UserError where the variable
    is not a positive integer.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, usable_processors(), _share())


def worker_count(config: TrainConfig) -> int:
    """Return the config's ``workers``, or one a core of this machine: the result is the same for any."""
    return usable_cores() if config.workers is None else config.workers


def _share() -> int:
    words = os.environ.get(CORES)
    if words is None:
        return 1 << 30
    if not words.isdecimal() or int(words) < 1:
        raise UserError(f"{CORES}: expected a positive integer, got {words!r}")
    return int(words)
