"""What a run tells a view, what all views share, and their interface, which shows nothing itself."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ...training.iteration import IterationInfo

if TYPE_CHECKING:
    from typing_extensions import Self

STOPPING = "finishing this iteration and saving; Ctrl-C again stops at once"
"""What a view says once the run is asked to stop."""

State = Literal["training", "done", "stopped", "failed"]

Facts = Mapping[str, str]
"""Lines of a name and a value, as a run begins and ends."""


@dataclass(frozen=True)
class SeedRow:
    """Where a seed is."""

    seed: int
    state: State
    last: IterationInfo | None
    """Its last iteration; None before the first."""


Rows = Sequence[SeedRow]
"""Where a run is: a row for each of its seeds."""


class View:
    """The view of ``--quiet``, which shows nothing, and the interface of the others.

    A view is a context manager, so that the terminal is restored however the run ends.
    """

    def __enter__(self) -> Self:
        """Begin the part between header and summary."""
        return self

    def __exit__(self, *_: object) -> None:
        """End that part."""

    def header(self, title: str, facts: Facts) -> None:
        """Say what is about to run."""

    def update(self, rows: Rows) -> None:
        """Take in progress; this must be cheap, so that watching does not slow the training down."""

    def stopping(self) -> None:
        """Say that the run ends after this iteration; a signal handler calls this."""

    def summary(self, title: str, facts: Facts) -> None:
        """Say how the run ended and what to do next; the live part is over by then."""


class Pace:
    """The steps a second of the last ``window`` seconds, all seeds together, and the time left at that pace.

    The run ends at ``total_steps``; a resumed one has ``steps_done`` of them in its checkpoints.
    """

    def __init__(self, total_steps: int, steps_done: int = 0, window: float = 30.0) -> None:
        self.total_steps, self.steps = total_steps, steps_done
        self._begin, self._window = time.monotonic(), window
        self._marks = deque([(self._begin, steps_done)])

    def advance(self, rows: Rows) -> None:
        """Note how far the seeds have come by now."""
        now = time.monotonic()
        self.steps = sum(row.last.steps for row in rows if row.last is not None)
        self._marks.append((now, self.steps))
        while len(self._marks) > 2 and now - self._marks[0][0] > self._window:
            self._marks.popleft()

    @property
    def elapsed(self) -> float:
        """Seconds since this process began its part of the run."""
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
    """A column of the table."""

    title: str
    width: int
    """Its width in characters."""
    rank: int
    """Which columns a narrow terminal keeps: lower ranks stay longer."""
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

BEST_COLUMN = Column("best", 9, 2, lambda i: number(i.evaluation_best))
"""The best evaluation so far, of a run that has evaluations."""


def fitting(columns: Sequence[Column], width: int, gap: int = 2) -> tuple[Column, ...]:
    """Return the columns that fit ``width`` characters, those of the highest rank left out first."""
    kept = list(columns)
    while len(kept) > 1 and sum(c.width + gap for c in kept) > width:
        kept.remove(max(kept, key=lambda c: c.rank))
    return tuple(kept)


def cells(info: IterationInfo | None, columns: Sequence[Column]) -> list[str]:
    """Return an iteration as the words of a line; ``-`` in each column before the first."""
    return ["-" if info is None else column.write(info) for column in columns]
