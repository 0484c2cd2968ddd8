"""How many processor cores this process may use."""

from __future__ import annotations

import math
import os
from pathlib import Path

from .errors import UserError

CORES = "FASTFISHER_CORES"


def usable_cores() -> int:
    """Return the cores in the affinity mask, or fewer where a limit on them is less.

    The limits are the control group's quota and the environment variable ``FASTFISHER_CORES``, which
    runs that go on side by side are given.

    Raises
    ------
    UserError
        Where the variable is not a positive integer.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, _quota(), _share()))


def _share() -> int:
    words = os.environ.get(CORES)
    if words is None:
        return 1 << 30
    if not words.isdecimal() or int(words) < 1:
        raise UserError(f"{CORES}: expected a positive integer, got {words!r}")
    return int(words)


def _quota() -> int:
    """Return the cores that the control group's CPU quota amounts to (version 2, then 1), rounded up."""
    root = Path("/sys/fs/cgroup")
    try:
        limit, period = (root / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            limit = (root / "cpu/cpu.cfs_quota_us").read_text().strip()
            period = (root / "cpu/cpu.cfs_period_us").read_text().strip()
        except OSError:
            return 1 << 30
    return 1 << 30 if limit in ("max", "-1") else math.ceil(int(limit) / int(period))
