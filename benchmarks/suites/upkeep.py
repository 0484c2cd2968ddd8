"""Keeping what is made from results files up to date, or telling what is not."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path


class Upkeep:
    """Writes what is out of date; or, to check, only says so."""

    def __init__(self, check: bool) -> None:
        self._check = check
        self._stale: list[Path] = []

    @staticmethod
    def parser(description: str | None) -> argparse.ArgumentParser:
        """Return a parser that knows ``--check``."""
        words = argparse.ArgumentParser(
            description=description, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        words.add_argument("--check", action="store_true", help="write nothing")
        return words

    def image(self, path: Path, up_to_date: bool, draw: Callable[[], None]) -> None:
        """Draw an image that is out of date."""
        if not up_to_date:
            self._found(path, draw)

    def document(self, path: Path, fill: Callable[[str], str]) -> None:
        """Fill a document's blocks anew."""
        before = path.read_text("utf-8")
        after = fill(before)
        if after != before:
            self._found(path, lambda: path.write_text(after, "utf-8"))

    def _found(self, path: Path, write: Callable[[], object]) -> None:
        self._stale.append(path)
        if not self._check:
            write()

    def report(self) -> int:
        """Name what was written, or is out of date; return the exit status, 1 for the latter."""
        for path in self._stale:
            print(f"{os.path.relpath(path)} {'is out of date' if self._check else 'written'}")
        return 1 if self._check and self._stale else 0
