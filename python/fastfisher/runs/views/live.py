"""The view of terminals that can be redrawn."""

# ruff: noqa: D102 - the base class documents what is overridden here

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from .base import COLUMNS, STOPPING, Column, Facts, Pace, Rows, SeedRow, State, View, cells, clock, fitting

if TYPE_CHECKING:
    from typing_extensions import Self

_STYLES: dict[State, str] = {"training": "", "done": "green", "stopped": "yellow", "failed": "bold red"}
_STATE_WIDTH = max(map(len, _STYLES))


class LiveView(View):
    """A table above a progress bar: the last iterations of one seed, or a row for each of several.

    Rich draws from a thread of its own, a few times a second whatever the pace of the run.  ``aim`` says what
    else ends the run, e.g. "target 475"; the table shows this many ``iterations`` of one seed.
    """

    def __init__(
        self,
        console: Console,
        pace: Pace,
        seeds: int = 1,
        aim: str = "",
        iterations: int = 12,
        columns: Sequence[Column] = COLUMNS,
    ) -> None:
        self._columns = columns
        self._console, self._pace, self._several, self._aim = console, pace, seeds > 1, aim
        self._rows: tuple[SeedRow, ...] = ()
        self._iterations = iterations
        self._last_note = ""
        self._stopping = False
        self._live: Live | None = None

    def __enter__(self) -> Self:
        if self._several:  # their processes do not print to this terminal
            self._start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def header(self, title: str, facts: Facts) -> None:
        self._print(title, facts)
        self._console.print()
        if not self._several:
            self._console.print("  collecting the first batch ...\n", style="dim")

    def update(self, rows: Rows) -> None:
        self._pace.advance(rows)
        if self._several:
            self._rows = tuple(rows)
            failed = [str(row.seed) for row in rows if row.state == "failed"]
            self._last_note = f"failed: seed {', '.join(failed)}; the others go on" if failed else ""
            return
        # Drawing begins no earlier: what simulators and rollout workers print at first would tear the table.
        self._start()
        self._rows = (*self._rows, *rows)[-self._iterations :]
        for row in rows:
            if row.last is not None and row.last.notes:
                self._last_note = f"iteration {row.last.iteration}: {row.last.notes[-1]}"

    def stopping(self) -> None:
        self._stopping = True
        if self._live is None:
            os.write(2, f"\n{STOPPING}\n".encode())

    def summary(self, title: str, facts: Facts) -> None:
        self._console.print()
        self._print(title, facts)

    def _print(self, title: str, facts: Facts) -> None:
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(style="dim")
        # Folders and commands are for copying: they go on in the next line, and are never cut off.
        table.add_column(overflow="fold")
        for name, value in facts.items():
            table.add_row(f"  {name}", Text(value))
        self._console.print(Text(title, style="bold"))
        self._console.print(table)

    def _start(self) -> None:
        """Begin drawing, unless that is done."""
        if self._live is None:
            self._live = Live(console=self._console, get_renderable=self._render, refresh_per_second=4)
            self._live.start()

    def _render(self) -> Group:
        parts: list[RenderableType] = [self._table()]
        if self._stopping:
            parts.append(Text(STOPPING, style="yellow"))
        elif self._last_note:
            parts.append(Text(self._last_note, style="yellow", overflow="ellipsis", no_wrap=True))
        return Group(*parts, Text(), self._progress_line())

    def _table(self) -> RenderableType:
        rows = self._rows
        if not rows:
            return Group()
        columns = fitting(self._columns, self._console.width - (6 + _STATE_WIDTH if self._several else 0))
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
        if self._several:
            table.add_column("seed", justify="right")
        for column in columns:
            title = column.title.replace("+-", "\N{PLUS-MINUS SIGN}")
            table.add_column(title, justify="right", width=column.width)
        room = max(1, self._console.height - 7)
        if not self._several:
            for row in rows[-room:]:
                table.add_row(*cells(row.last, columns), style="bold" if row is rows[-1] else "dim")
            return table
        table.add_column("")
        for row in rows[:room]:
            state = Text(row.state, style=_STYLES[row.state])
            table.add_row(str(row.seed), *cells(row.last, columns), state)
        left_out = len(rows) - room
        return table if left_out <= 0 else Group(table, Text(f"and {left_out} more", style="dim"))

    def _progress_line(self) -> Table:
        """Return the last line; a narrow terminal gets a shorter bar and fewer words."""
        pace = self._pace
        # The line leaves room for the ^C that a terminal echoes: it would tear the table otherwise.
        width = self._console.width - 3
        share = min(1.0, pace.steps / pace.total_steps)
        text = Text(f"{share:4.0%}", style="bold")
        # The most wanted words come first; as many appear as fit beside a bar of at least ten characters.
        for words in (
            f"  {clock(pace.seconds_left)} left",
            f", {clock(pace.elapsed)} elapsed",
            f", {self._aim}" if self._aim else "",
            f", {pace.steps_per_second:,.0f} steps/s" if not math.isnan(pace.steps_per_second) else "",
        ):
            if len(text) + len(words) + 12 > width:
                break
            text.append(words, style="dim")
        length = max(1, min(40, width // 3, width - len(text) - 2))
        line = Table.grid(padding=(0, 2, 0, 0))
        line.add_row(ProgressBar(pace.total_steps, min(pace.steps, pace.total_steps), width=length), text)
        return line
