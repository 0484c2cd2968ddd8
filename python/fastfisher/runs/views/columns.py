"""What the views share: the pace of a run, how numbers are written, the columns of the table."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

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


def titled_table(columns: Sequence[Column], first: str = "") -> Table:
    """Return an empty table of these columns, after one with the title ``first`` where that is given."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    if first:
        table.add_column(first, justify="right")
    for column in columns:
        title = column.title.replace("+-", "\N{PLUS-MINUS SIGN}")
        table.add_column(title, justify="right", width=column.width)
    return table


def progress_line(pace: Pace, width: int, aim: str = "") -> Table:
    """Return the last line of a live view.

    Parameters
    ----------
    pace
        How far the run is.
    width
        Characters of the terminal; a narrow one gets a shorter bar and fewer words.
    aim
        What else ends the run, e.g. "target 475".
    """
    width -= 3  # for the ^C that a terminal echoes here: on a full line it would tear the table
    share = min(1.0, pace.steps / pace.total_steps)
    text = Text(f"{share:4.0%}", style="bold")
    # From the most to the least wanted, as many as fit beside a bar of at least ten characters.
    for words in (
        f"  {clock(pace.seconds_left)} left",
        f", {clock(pace.elapsed)} elapsed",
        f", {aim}" if aim else "",
        f", {pace.steps_per_second:,.0f} steps/s" if not math.isnan(pace.steps_per_second) else "",
    ):
        if len(text) + len(words) + 12 > width:
            break
        text.append(words, style="dim")
    length = max(1, min(40, width // 3, width - len(text) - 2))
    line = Table.grid(padding=(0, 2, 0, 0))
    line.add_row(ProgressBar(pace.total_steps, min(pace.steps, pace.total_steps), width=length), text)
    return line


def aligned(facts: Mapping[str, str]) -> list[str]:
    """Return names and values as lines in two columns, for plain output."""
    width = max(map(len, facts), default=0)
    return [f"  {name:<{width}}  {value}" for name, value in facts.items()]


def facts_table(facts: Mapping[str, str]) -> Table:
    """Return names and values in two columns, for a terminal."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim")
    # Folders and commands are for copying: folded to the next line, never cut off.
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(f"  {name}", Text(value))
    return table
