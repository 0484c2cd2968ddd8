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


def tree_seconds(process: int | None) -> float:
    """Processor seconds so far of a process and its descendants, also of those that have ended."""
    if process is None or not _STAT.exists():
        return 0.0
    parents: dict[int, int] = {}
    ticks: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            # After the name, which may hold blanks and brackets: state, parent, ...
            fields = (
                (folder / "stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
            )
        except OSError:
            continue  # it ended meanwhile
        parents[int(folder.name)] = int(fields[1])
        ticks[int(folder.name)] = sum(
            map(int, fields[11:15])
        )  # user, system, and the same of waited-for children
    total, family = 0, [process]
    while family:
        one = family.pop()
        total += ticks.get(one, 0)
        family += [child for child, parent in parents.items() if parent == one]
    return total / os.sysconf("SC_CLK_TCK")


def _busy_seconds() -> float:
    """Processor seconds of the machine so far: user, nice, system, interrupts, stolen."""
    if not _STAT.exists():
        return 0.0
    ticks = [int(field) for field in _STAT.read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]]
    idle = ticks[3] + ticks[4]
    return (sum(ticks) - idle) / os.sysconf("SC_CLK_TCK")
