"""The view of pipes, log files and dumb terminals."""

# ruff: noqa: D102 - the base class documents what is overridden here

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from typing import TextIO

from .base import COLUMNS, STOPPING, Column, Facts, Pace, Rows, SeedRow, View, cells, clock


class PlainView(View):
    """Lines of plain ASCII, an iteration each, of columns under each other.

    Of several seeds each has its own lines, which begin with the seed and end with what it is doing.  There
    are at least ``interval`` seconds between a seed's lines; an iteration in between is left out
    (``progress.csv`` has it).
    """

    HEADER_EVERY = 25

    def __init__(
        self,
        file: TextIO,
        pace: Pace,
        seeds: int = 1,
        interval: float = 2.0,
        columns: Sequence[Column] = COLUMNS,
    ) -> None:
        self._file, self._pace, self._several, self._columns = file, pace, seeds > 1, columns
        self._interval = interval * seeds  # as many lines a second, however many the seeds
        self._lines = 0
        self._next = -math.inf
        self._rows: Rows = ()
        self._shown: dict[int, SeedRow] = {}

    def __exit__(self, *_: object) -> None:
        # Where every seed came to is shown, whenever that was.
        self._show()

    def header(self, title: str, facts: Facts) -> None:
        self._print(title, *_aligned(facts), "")

    def update(self, rows: Rows) -> None:
        self._rows = rows
        self._pace.advance(rows)
        if time.monotonic() >= self._next and any(row.last is not None for row in rows):
            self._show()
            self._next = time.monotonic() + self._interval

    def stopping(self) -> None:
        # A buffered file will not do: the signal may have come in the middle of a write to it.
        os.write(2, f"{STOPPING}\n".encode())

    def summary(self, title: str, facts: Facts) -> None:
        self._print("", title, *_aligned(facts))

    def _show(self) -> None:
        for row in self._rows:
            before = self._shown.get(row.seed)
            if row == before:
                continue
            self._shown[row.seed] = row
            if self._lines % self.HEADER_EVERY == 0:
                self._print_line("seed", [column.title for column in self._columns], "left", "state")
            left = clock(self._pace.seconds_left)
            self._print_line(str(row.seed), cells(row.last, self._columns), left, row.state)
            self._lines += 1
            if row.last is not None and (before is None or before.last != row.last):
                self._print(*(f"       note: {note}" for note in row.last.notes))

    def _print_line(self, seed: str, words: Sequence[str], left: str, state: str) -> None:
        parts = [f"{word:>{column.width}}" for word, column in zip(words, self._columns, strict=True)]
        parts.append(f"{left:>7}")
        self._print("  ".join([f"{seed:>5}", *parts, state] if self._several else parts))

    def _print(self, *lines: str) -> None:
        print(*lines, sep="\n", end="\n" if lines else "", file=self._file, flush=True)


def _aligned(facts: Facts) -> list[str]:
    """Return names and values as lines in two columns."""
    width = max(map(len, facts), default=0)
    return [f"  {name:<{width}}  {value}" for name, value in facts.items()]
