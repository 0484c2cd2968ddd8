"""What the views share: the pace of a run, how numbers are written, the columns of their lines."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ...training.iteration import IterationInfo


class Pace:
    """Steps a second over the last while, and the time left at that pace.

    Parameters
    ----------
    total_steps, steps_done
        Environment steps at which the run ends, and of a resumed run's checkpoint.
    window
        Seconds over which the pace is averaged.
    """

    def __init__(self, total_steps: int, steps_done: int = 0, window: float = 30.0) -> None:
        self.total_steps, self.steps = total_steps, steps_done
        self._begin, self._window = time.monotonic(), window
        self._marks = deque([(self._begin, steps_done)])

    def advance(self, steps: int) -> None:
        """Note that the run has come to ``steps`` steps now."""
        now = time.monotonic()
        self.steps = steps
        self._marks.append((now, steps))
        while len(self._marks) > 2 and now - self._marks[0][0] > self._window:
            self._marks.popleft()

    @property
    def elapsed(self) -> float:
        """Seconds since the start of this process's part of the run."""
        return time.monotonic() - self._begin

    @property
    def steps_per_second(self) -> float:
        """Steps a second; NaN before the first iteration."""
        (time0, steps0), (time1, steps1) = self._marks[0], self._marks[-1]
        return (steps1 - steps0) / (time1 - time0) if time1 > time0 else math.nan

    @property
    def seconds_left(self) -> float:
        """Seconds to the end of the run; NaN where unknown."""
        rate = self.steps_per_second
        if not rate > 0:
            return math.nan
        left = (self.total_steps - self.steps) / rate
        return max(0.0, left - (time.monotonic() - self._marks[-1][0]))


def clock(seconds: float) -> str:
    """Write a duration as ``m:ss`` or ``h:mm:ss``; ``-`` for NaN."""
    if math.isnan(seconds):
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def number(value: float) -> str:
    """Write a return in at most 9 characters: one decimal, thousands apart; ``-`` for NaN."""
    if math.isnan(value):
        return "-"
    return f"{value:,.1f}" if abs(value) < 99_999 else f"{value:.2e}"


def _small(value: float) -> str:
    """Write a number of about one or less with three significant digits, at most 8 characters wide."""
    if math.isnan(value):
        return "-"
    return f"{value:#.3g}" if value == 0 or 1e-3 <= abs(value) < 1e3 else f"{value:.1e}"


@dataclass(frozen=True)
class Column:
    """A column of the table: its title, its width in characters, how to write it.

    ``rank`` says which columns a narrow terminal keeps: lower ones stay longer.
    """

    title: str
    width: int
    rank: int
    write: Callable[[IterationInfo], str]


COLUMNS = (
    Column("iter", 5, 4, lambda i: str(i.iteration)),
    Column("steps", 11, 0, lambda i: f"{i.steps:,}"),
    Column("return", 9, 0, lambda i: number(i.return_mean)),
    Column("+- std", 8, 1, lambda i: number(i.return_std)),
    Column("KL asked", 8, 2, lambda i: _small(i.kl_asked)),
    Column("KL got", 8, 2, lambda i: _small(i.kl_achieved)),
    Column("residual", 8, 3, lambda i: "-" if math.isnan(i.residual) else f"{i.residual:.0e}"),
    Column("solver", 8, 5, lambda i: i.solver),
    Column("std", 6, 3, lambda i: _small(i.std)),
    Column("steps/s", 8, 1, lambda i: f"{i.steps_per_second:,.0f}"),
)


def fitting(width: int, gap: int = 2) -> tuple[Column, ...]:
    """Return the columns that fit ``width`` characters, those of the highest rank left out first."""
    kept = list(COLUMNS)
    while len(kept) > 1 and sum(c.width + gap for c in kept) > width:
        kept.remove(max(kept, key=lambda c: c.rank))
    return tuple(kept)


def cells(info: IterationInfo | None, columns: Sequence[Column]) -> list[str]:
    """Return an iteration as the words of a line; ``-`` in each column before the first."""
    return ["-" if info is None else column.write(info) for column in columns]
