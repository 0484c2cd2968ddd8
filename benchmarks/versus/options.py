"""What the scripts' command lines have in common."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from pathlib import Path


def positive(text: str) -> int:
    """Read an integer of at least 1."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected an integer of at least 1, got {text!r}")
    return number


def pattern(text: str) -> str:
    """Read a regular expression."""
    try:
        re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"expected a regular expression, got {text!r}: {error}") from None
    return text


def destination(
    parser: argparse.ArgumentParser, out: Path | None, usual: Path, less: Mapping[str, bool]
) -> Path:
    """Return where to write: `out`, else the usual file if this is a run of everything.

    Parameters
    ----------
    parser
        Ends the program with a message.
    out
        What the command line says.
    usual
        The file that is kept with the code.
    less
        For each option whether it makes this run one of less than everything.
    """
    reasons = [option for option, is_less in less.items() if is_less]
    if out is None and reasons:
        words = ", ".join(reasons)
        parser.error(f"{words}: a run of less than everything does not replace {usual.name}: name an --out")
    return usual if out is None else out
