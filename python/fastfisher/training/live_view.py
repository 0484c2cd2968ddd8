"""What a training run shows while it runs: a live table on a terminal, plain lines anywhere else."""

from __future__ import annotations

import math
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from .iteration import IterationInfo

STOPPING = "finishing this iteration and saving; Ctrl-C again stops at once"

Facts = Mapping[str, str]
"""Lines of a name and a value, as a run begins and ends."""


class View:
    """Shows nothing: the view of ``--quiet`` and the interface of the others.

    Used as a context manager, so that the terminal is restored however the run ends.
    """

    def __enter__(self) -> View:
        """Begin the part between header and summary."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""

    def header(self, title: str, facts: Facts) -> None:
        """Say what is about to run."""

    def update(self, info: IterationInfo) -> None:
        """Take in one iteration; cheap, so that watching does not slow the training down."""

    def stopping(self) -> None:
        """Say that the run ends after this iteration; called from a signal handler."""

    def summary(self, title: str, facts: Facts) -> None:
        """Say how the run ended and what to do next; after the live part is over."""


def make_view(total_steps: int, steps_done: int = 0, *, quiet: bool = False) -> View:
    """Choose a view for standard output.

    Parameters
    ----------
    total_steps
        Environment steps at which the run ends.
    steps_done
        Environment steps of a resumed run's checkpoint.
    quiet
        Show nothing.
    """
    if quiet:
        return View()
    pace = Pace(total_steps, steps_done)
    console = Console(highlight=False, soft_wrap=False)
    if console.is_terminal and not console.is_dumb_terminal:
        return LiveView(console, pace)
    return PlainView(sys.stdout, pace)


class Pace:
    """Steps a second over the last while, and the time left at that pace.

    Parameters
    ----------
    total_steps, steps_done
        As of :func:`make_view`.
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


class PlainView(View):
    """Aligned lines of plain ASCII for pipes, log files and dumb terminals.

    Parameters
    ----------
    file
        Where to write.
    pace
        The run's progress.
    interval
        Least seconds between two lines; an iteration in between is left out (``progress.csv`` has it).
    """

    HEADER_EVERY = 25

    def __init__(self, file: TextIO, pace: Pace, interval: float = 2.0) -> None:
        self._file, self._pace, self._interval = file, pace, interval
        self._lines = 0
        self._next = -math.inf
        self._unshown: IterationInfo | None = None

    def __exit__(self, *_: object) -> None:
        """Show the last iteration, whenever it came."""
        if self._unshown is not None:
            self._show(self._unshown)

    def header(self, title: str, facts: Facts) -> None:
        """Print the title and the facts in two columns."""
        self._print(title, *_aligned(facts), "")

    def update(self, info: IterationInfo) -> None:
        """Print a line, if it is time for one."""
        self._pace.advance(info.steps)
        self._unshown = info
        if time.monotonic() >= self._next:
            self._show(info)
            self._next = time.monotonic() + self._interval

    def stopping(self) -> None:
        """Tell standard error."""
        # Not through a buffered file: the signal may have come in the middle of a write to it.
        os.write(2, f"{STOPPING}\n".encode())

    def summary(self, title: str, facts: Facts) -> None:
        """Print the title and the facts in two columns."""
        self._print("", title, *_aligned(facts))

    def _show(self, info: IterationInfo) -> None:
        if self._lines % self.HEADER_EVERY == 0:
            self._print("  ".join([*(f"{c.title:>{c.width}}" for c in COLUMNS), f"{'left':>7}"]))
        cells = [f"{c.write(info):>{c.width}}" for c in COLUMNS]
        self._print("  ".join([*cells, f"{clock(self._pace.seconds_left):>7}"]))
        for note in info.notes:
            self._print(f"       note: {note}")
        self._lines += 1
        self._unshown = None

    def _print(self, *lines: str) -> None:
        print(*lines, sep="\n", file=self._file, flush=True)


class LiveView(View):
    """The last iterations as a table above a progress bar, redrawn in place.

    Rich draws from a thread of its own, a few times a second whatever the pace of the iterations.

    Parameters
    ----------
    console
        The terminal.
    pace
        The run's progress.
    rows
        Iterations that the table shows.
    """

    def __init__(self, console: Console, pace: Pace, rows: int = 12) -> None:
        self._console, self._pace = console, pace
        self._recent: deque[IterationInfo] = deque(maxlen=rows)
        self._note = ""
        self._stopping = False
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=4)

    def __exit__(self, *_: object) -> None:
        """Draw the last state and leave it on the screen."""
        self._live.stop()

    def header(self, title: str, facts: Facts) -> None:
        """Print the title and the facts in two columns."""
        self._console.print(Text(title, style="bold"))
        self._console.print(_facts_table(facts))
        self._console.print("\n  collecting the first batch ...\n", style="dim")

    def update(self, info: IterationInfo) -> None:
        """Keep the iteration for the next drawing."""
        if not self._live.is_started:
            # Not before: what simulators and rollout workers print as they start would tear the table.
            self._live.start()
        self._pace.advance(info.steps)
        self._recent.append(info)
        if info.notes:
            self._note = f"iteration {info.iteration}: {info.notes[-1]}"

    def stopping(self) -> None:
        """Say so below the table."""
        self._stopping = True
        if not self._live.is_started:
            os.write(2, f"\n{STOPPING}\n".encode())

    def summary(self, title: str, facts: Facts) -> None:
        """Print the title and the facts in two columns."""
        self._console.print()
        self._console.print(Text(title, style="bold"))
        self._console.print(_facts_table(facts))

    def _render(self) -> Group:
        width = self._console.width
        columns = fitting(width)
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
        for column in columns:
            table.add_column(
                column.title.replace("+-", "\N{PLUS-MINUS SIGN}"), justify="right", width=column.width
            )
        recent: Sequence[IterationInfo] = tuple(self._recent)
        for info in recent[-max(1, self._console.height - 6) :]:
            table.add_row(*(c.write(info) for c in columns), style="bold" if info is recent[-1] else "dim")
        parts: list[Table | Text] = [table] if recent else []
        if self._stopping:
            parts.append(Text(STOPPING, style="yellow"))
        elif self._note:
            parts.append(Text(self._note, style="yellow", overflow="ellipsis", no_wrap=True))
        parts += [Text(), self._bar(width)]
        return Group(*parts)

    def _bar(self, width: int) -> Table:
        pace = self._pace
        share = min(1.0, pace.steps / pace.total_steps)
        rate = pace.steps_per_second
        text = Text(f"{share:4.0%}", style="bold")
        text.append(f"  {clock(pace.elapsed)} elapsed, {clock(pace.seconds_left)} left", style="dim")
        if not math.isnan(rate) and width > 75:
            text.append(f", {rate:,.0f} steps/s", style="dim")
        line = Table.grid(padding=(0, 2, 0, 0))
        line.add_row(
            ProgressBar(pace.total_steps, min(pace.steps, pace.total_steps), width=min(40, width // 3)), text
        )
        return line


def _aligned(facts: Facts) -> list[str]:
    width = max(map(len, facts), default=0)
    return [f"  {name:<{width}}  {value}" for name, value in facts.items()]


def _facts_table(facts: Facts) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim")
    # Folders and commands are for copying: folded to the next line, never cut off.
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(f"  {name}", Text(value))
    return table
