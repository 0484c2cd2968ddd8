"""A view that ends no run: what shows it may be gone, full, or unable to write a name."""

# ruff: noqa: D102 - the base class documents what is overridden here

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from .base import Facts, Rows, View

if TYPE_CHECKING:
    from typing_extensions import Self


class GuardedView(View):
    """Another view, until that fails; from then on nothing is shown."""

    def __init__(self, view: View) -> None:
        self._view = view
        self.reader_left = False
        """Whether it failed since the reader of a pipe has left (`| head`), who then wants no more of it."""

    def __enter__(self) -> Self:
        self._try(self._view.__enter__)
        return self

    def __exit__(self, *error: object) -> None:
        self._try(lambda: self._view.__exit__(*error))

    def header(self, title: str, facts: Facts) -> None:
        self._try(lambda: self._view.header(title, facts))

    def update(self, rows: Rows) -> None:
        self._try(lambda: self._view.update(rows))

    def stopping(self) -> None:
        self._try(self._view.stopping)

    def summary(self, title: str, facts: Facts) -> None:
        self._try(lambda: self._view.summary(title, facts))

    def _try(self, show: Callable[[], object]) -> None:
        try:
            show()
        except Exception as error:  # terminals and what draws on them fail in ways of their own
            self._view = View()
            self.reader_left = isinstance(error, BrokenPipeError)
            if isinstance(error, OSError):
                discard_output()
            else:
                reason = " ".join(str(error).split()) or type(error).__name__
                print(f"the training goes on, but nothing more is shown: {reason}", file=sys.stderr)


def discard_output() -> None:
    """Send what is, or will be, written to standard output nowhere: Python would fail on it at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
