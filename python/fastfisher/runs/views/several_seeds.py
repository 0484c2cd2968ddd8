"""What training several seeds shows: a row a seed in one live table, plain lines anywhere else."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TextIO

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from ...training.iteration import IterationInfo
from .base import Facts, Plain, Redrawn, View, choose_view
from .columns import COLUMNS, Column, Pace, fitting, titled_table

State = Literal["training", "done", "stopped", "failed"]

_STYLES: dict[State, str] = {"training": "", "done": "green", "stopped": "yellow", "failed": "bold red"}
_STATE_WIDTH = max(map(len, _STYLES))


@dataclass(frozen=True)
class SeedRow:
    """Where a seed is."""

    seed: int
    state: State
    last: IterationInfo | None
    """Its last iteration; None before the first."""


Rows = Sequence[SeedRow]


def make_seeds_view(
    total_steps: int, steps_done: int = 0, *, target_return: float | None = None, quiet: bool = False
) -> View[Rows]:
    """Choose a view for standard output.

    Parameters
    ----------
    total_steps, steps_done
        Environment steps at the end and of the checkpoints at the start, all seeds together.
    target_return
        Mean return of a batch at which a seed ends before that.
    quiet
        Show nothing.
    """
    return choose_view(PlainSeedsView, LiveSeedsView, total_steps, steps_done, target_return, quiet)


def _total(rows: Rows) -> int:
    return sum(row.last.steps for row in rows if row.last is not None)


class PlainSeedsView(Plain[Rows]):
    """A block of a line a seed every few seconds, of columns under each other.

    Parameters
    ----------
    file, pace
        As of :class:`.Plain`; the pace is that of all seeds together.
    interval
        Least seconds between two blocks.
    """

    def __init__(self, file: TextIO, pace: Pace, interval: float = 10.0) -> None:
        super().__init__(file, pace)
        self._interval = interval
        self._next = -math.inf
        self._shown: dict[int, SeedRow] = {}
        self._rows: Rows = ()

    def __exit__(self, *_: object) -> None:
        """Show where every seed came to."""
        self._show()

    def header(self, title: str, facts: Facts) -> None:
        """Print the title, the facts in two columns, and the head of the table."""
        super().header(title, facts)
        self._print("  ".join([" seed", *(f"{c.title:>{c.width}}" for c in COLUMNS), "state"]))

    def update(self, shown: Rows) -> None:
        """Print a line for each seed that has come further, if it is time."""
        self._rows = shown
        self._pace.advance(_total(shown))
        if time.monotonic() >= self._next and any(row.last is not None for row in shown):
            self._show()
            self._next = time.monotonic() + self._interval

    def _show(self) -> None:
        for row in self._rows:
            if self._shown.get(row.seed) != row:
                cells = (f"{cell:>{c.width}}" for cell, c in zip(_cells(row, COLUMNS), COLUMNS, strict=True))
                self._print("  ".join([f"{row.seed:>5}", *cells, row.state]))
                self._shown[row.seed] = row


class LiveSeedsView(Redrawn[Rows]):
    """The seeds as a table.

    Parameters
    ----------
    console, pace, aim
        As of :class:`.Redrawn`; the pace is that of all seeds together.
    """

    def __init__(self, console: Console, pace: Pace, aim: str = "") -> None:
        super().__init__(console, pace, aim)
        self._rows: Rows = ()

    def __enter__(self) -> LiveSeedsView:
        """Start drawing: the seeds are processes that do not print to this terminal."""
        self._start()
        return self

    def update(self, shown: Rows) -> None:
        """Keep the rows for the next drawing."""
        self._rows = shown
        self._pace.advance(_total(shown))

    def _note(self) -> str:
        failed = [str(row.seed) for row in self._rows if row.state == "failed"]
        return f"failed: seed {', '.join(failed)}; the others go on" if failed else ""

    def _table(self) -> Table | Group:
        columns = fitting(self._console.width - 6 - _STATE_WIDTH)
        table = titled_table(columns, first="seed")
        table.add_column("")
        room = max(1, self._console.height - 7)
        for row in self._rows[:room]:
            state = Text(row.state, style=_STYLES[row.state])
            table.add_row(str(row.seed), *_cells(row, columns), state)
        left_out = len(self._rows) - room
        return table if left_out <= 0 else Group(table, Text(f"and {left_out} more", style="dim"))


def _cells(row: SeedRow, columns: Sequence[Column]) -> list[str]:
    return ["-" if row.last is None else column.write(row.last) for column in columns]
