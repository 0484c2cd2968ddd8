"""What a training run shows while it runs: a live table on a terminal, plain lines anywhere else."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Sequence
from typing import TextIO

from rich.console import Console, Group
from rich.table import Table

from ...training.iteration import IterationInfo
from .base import Facts, Plain, Redrawn, View, choose_view
from .columns import COLUMNS, Pace, clock, fitting, titled_table


def make_view(
    total_steps: int, steps_done: int = 0, *, target_return: float | None = None, quiet: bool = False
) -> View[IterationInfo]:
    """Choose a view for standard output.

    Parameters
    ----------
    total_steps
        Environment steps at which the run ends.
    steps_done
        Environment steps of a resumed run's checkpoint.
    target_return
        Mean return of a batch at which the run ends before that.
    quiet
        Show nothing.
    """
    return choose_view(PlainView, LiveView, total_steps, steps_done, target_return, quiet)


class PlainView(Plain[IterationInfo]):
    """A line an iteration, of columns under each other.

    Parameters
    ----------
    file, pace
        As of :class:`.Plain`.
    interval
        Least seconds between two lines; an iteration in between is left out (``progress.csv`` has it).
    """

    HEADER_EVERY = 25

    def __init__(self, file: TextIO, pace: Pace, interval: float = 2.0) -> None:
        super().__init__(file, pace)
        self._interval = interval
        self._lines = 0
        self._next = -math.inf
        self._unshown: IterationInfo | None = None

    def __exit__(self, *_: object) -> None:
        """Show the last iteration, whenever it came."""
        if self._unshown is not None:
            self._show(self._unshown)

    def update(self, shown: IterationInfo) -> None:
        """Print a line, if it is time for one."""
        self._pace.advance(shown.steps)
        self._unshown = shown
        if time.monotonic() >= self._next:
            self._show(shown)
            self._next = time.monotonic() + self._interval

    def _show(self, info: IterationInfo) -> None:
        if self._lines % self.HEADER_EVERY == 0:
            self._print("  ".join([*(f"{c.title:>{c.width}}" for c in COLUMNS), f"{'left':>7}"]))
        cells = [f"{c.write(info):>{c.width}}" for c in COLUMNS]
        self._print("  ".join([*cells, f"{clock(self._pace.seconds_left):>7}"]))
        for note in info.notes:
            self._print(f"       note: {note}")
        self._lines += 1
        self._unshown = None


class LiveView(Redrawn[IterationInfo]):
    """The last iterations as a table.

    Parameters
    ----------
    console, pace, aim
        As of :class:`.Redrawn`.
    rows
        Iterations that the table shows.
    """

    def __init__(self, console: Console, pace: Pace, aim: str = "", rows: int = 12) -> None:
        super().__init__(console, pace, aim)
        self._recent: deque[IterationInfo] = deque(maxlen=rows)
        self._last_note = ""

    def header(self, title: str, facts: Facts) -> None:
        """Print the title and the facts in two columns."""
        super().header(title, facts)
        self._console.print("  collecting the first batch ...\n", style="dim")

    def update(self, shown: IterationInfo) -> None:
        """Keep the iteration for the next drawing."""
        # Not before: what simulators and rollout workers print as they start would tear the table.
        self._start()
        self._pace.advance(shown.steps)
        self._recent.append(shown)
        if shown.notes:
            self._last_note = f"iteration {shown.iteration}: {shown.notes[-1]}"

    def _note(self) -> str:
        return self._last_note

    def _table(self) -> Table | Group:
        recent: Sequence[IterationInfo] = tuple(self._recent)
        if not recent:
            return Group()
        columns = fitting(self._console.width)
        table = titled_table(columns)
        for info in recent[-max(1, self._console.height - 6) :]:
            table.add_row(*(c.write(info) for c in columns), style="bold" if info is recent[-1] else "dim")
        return table
