"""The interface of the views, and what those of one run and of several share."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from typing import Generic, TextIO, TypeVar

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from .columns import Pace, aligned, facts_table, progress_line

Shown = TypeVar("Shown", contravariant=True)
"""What the view is told: an iteration of one run, or where each of several is."""

Facts = Mapping[str, str]
"""Lines of a name and a value, as a run begins and ends."""


class View(Generic[Shown]):
    """Shows nothing: the view of ``--quiet`` and the interface of the others.

    Used as a context manager, so that the terminal is restored however the run ends.
    """

    stopping_words = "finishing this iteration and saving; Ctrl-C again stops at once"

    def __enter__(self) -> View[Shown]:
        """Begin the part between header and summary."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""

    def header(self, title: str, facts: Facts) -> None:
        """Say what is about to run."""

    def update(self, shown: Shown) -> None:
        """Take in progress; cheap, so that watching does not slow the training down."""

    def stopping(self) -> None:
        """Say that the run ends after this iteration; called from a signal handler."""

    def summary(self, title: str, facts: Facts) -> None:
        """Say how the run ended and what to do next; after the live part is over."""


class Plain(View[Shown]):
    """Plain ASCII for pipes, log files and dumb terminals.

    Parameters
    ----------
    file
        Where to write.
    pace
        The run's progress.
    """

    def __init__(self, file: TextIO, pace: Pace) -> None:
        self._file, self._pace = file, pace

    def header(self, title: str, facts: Facts) -> None:
        """Print the title and the facts in two columns."""
        self._print(title, *aligned(facts), "")

    def stopping(self) -> None:
        """Tell standard error."""
        # Not through a buffered file: the signal may have come in the middle of a write to it.
        os.write(2, f"{self.stopping_words}\n".encode())

    def summary(self, title: str, facts: Facts) -> None:
        """Print the title and the facts in two columns."""
        self._print("", title, *aligned(facts))

    def _print(self, *lines: str) -> None:
        print(*lines, sep="\n", file=self._file, flush=True)


class Redrawn(View[Shown]):
    """A part of the terminal above a progress bar, redrawn in place.

    Rich draws from a thread of its own, a few times a second whatever the pace of the run.

    Parameters
    ----------
    console
        The terminal.
    pace
        The run's progress.
    aim
        As of :func:`.progress_line`.
    """

    def __init__(self, console: Console, pace: Pace, aim: str = "") -> None:
        self._console, self._pace, self._aim = console, pace, aim
        self._stopping = False
        self._live: Live | None = None

    def _start(self) -> None:
        """Begin drawing, unless that is done."""
        if self._live is None:
            self._live = Live(console=self._console, get_renderable=self._render, refresh_per_second=4)
            self._live.start()

    def __exit__(self, *_: object) -> None:
        """Draw the last state and leave it on the screen."""
        if self._live is not None:
            self._live.stop()

    def header(self, title: str, facts: Facts) -> None:
        """Print the title and the facts in two columns."""
        self._console.print(Text(title, style="bold"))
        self._console.print(facts_table(facts))
        self._console.print()

    def stopping(self) -> None:
        """Say so below the table."""
        self._stopping = True
        if self._live is None:
            os.write(2, f"\n{self.stopping_words}\n".encode())

    def summary(self, title: str, facts: Facts) -> None:
        """Print the title and the facts in two columns."""
        self._console.print()
        self._console.print(Text(title, style="bold"))
        self._console.print(facts_table(facts))

    def _render(self) -> Group:
        parts: list[RenderableType] = [self._table()]
        if self._stopping:
            parts.append(Text(self.stopping_words, style="yellow"))
        elif note := self._note():
            parts.append(Text(note, style="yellow", overflow="ellipsis", no_wrap=True))
        return Group(*parts, Text(), progress_line(self._pace, self._console.width, self._aim))

    def _table(self) -> RenderableType:
        """Return what is above the bar."""
        raise NotImplementedError

    def _note(self) -> str:
        """Return the sentence below the table; it may be empty."""
        return ""


def choose_view(
    plain: Callable[[TextIO, Pace], View[Shown]],
    live: Callable[[Console, Pace, str], View[Shown]],
    total_steps: int,
    steps_done: int,
    target_return: float | None,
    quiet: bool,
) -> View[Shown]:
    """Return the view that standard output calls for: none, ``live`` on a terminal, or ``plain``."""
    if quiet:
        return View()
    pace, console = Pace(total_steps, steps_done), live_console()
    if console is None:
        return plain(sys.stdout, pace)
    return live(console, pace, aim_of(target_return))


def live_console() -> Console | None:
    """Return standard output as a terminal that can be redrawn, or None where it is not one."""
    console = Console(highlight=False, soft_wrap=False)
    return console if console.is_terminal and not console.is_dumb_terminal else None


def aim_of(target_return: float | None) -> str:
    """Return what the last line says of a target."""
    return "" if target_return is None else f"target {target_return:g}"
