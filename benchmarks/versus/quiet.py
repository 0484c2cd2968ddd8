"""How much of the machine others used while a turn was timed."""

from __future__ import annotations

import os
import time
from pathlib import Path

_STAT = Path("/proc/stat")


class Bystanders:
    """Adds up the processor seconds, over all turns, that were not the timed worker's."""

    def __init__(self) -> None:
        self._others = self._elapsed = 0.0

    def start(self) -> None:
        """Begin a turn."""
        self._busy, self._time = _busy_seconds(), time.perf_counter()

    def stop(self, own: float) -> None:
        """End a turn in which the worker used `own` processor seconds."""
        self._elapsed += time.perf_counter() - self._time
        self._others += _busy_seconds() - self._busy - own

    def cores(self) -> float | None:
        """Return the mean number of processors that were busy with something else."""
        if not _STAT.exists() or self._elapsed == 0.0:
            return None
        return max(0.0, self._others / self._elapsed)


def _busy_seconds() -> float:
    """Processor seconds of the machine so far: user, nice, system, interrupts, stolen."""
    if not _STAT.exists():
        return 0.0
    ticks = [int(field) for field in _STAT.read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]]
    idle = ticks[3] + ticks[4]
    return (sum(ticks) - idle) / os.sysconf("SC_CLK_TCK")
