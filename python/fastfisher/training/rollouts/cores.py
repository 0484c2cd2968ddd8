"""What a process that trains has: so many cores, and, where another one started it, the same modules."""

from __future__ import annotations

import os
import sys

from ..._core import usable_processors
from ..config import TrainConfig
from ..defaults import decided
from ..errors import UserError

CORES = "FASTFISHER_CORES"
_WORKERS_A_CORE = 4
"""Workers that a core may have: one whose simulator waits for something leaves it to the others."""


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


def process_count(config: TrainConfig, longest: int) -> int:
    """Return the rollout processes that a batch has a use for, of those that the config asks for.

    Of very many most would never run an episode, so there are no more than four a core, or than episodes of
    the ``longest`` length in a batch, whichever is more.
    """
    batch_steps: int = decided(config, "batch_steps")
    return min(worker_count(config), max(_WORKERS_A_CORE * usable_cores(), -(-batch_steps // longest)))


def import_path() -> str:
    """Return the ``PYTHONPATH`` with which another process imports what this one does.

    Of ``sys.path`` only text counts: Python itself passes over whatever else is there, a ``Path`` for one.
    """
    return os.pathsep.join(entry or os.getcwd() for entry in sys.path if isinstance(entry, str))


def _share() -> int:
    words = os.environ.get(CORES)
    if words is None:
        return 1 << 30
    if not words.isdecimal() or int(words) < 1:
        raise UserError(f"{CORES}: expected a positive integer, got {words!r}")
    return int(words)
