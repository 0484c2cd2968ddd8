"""Parts of sentences that several causes share."""

from __future__ import annotations

from collections.abc import Sized

from numpy.typing import NDArray

from .evidence import Evidence


def first(indices: NDArray) -> str:  # type: ignore[type-arg]
    """List the first five."""
    return ", ".join(str(index) for index in indices[:5]) + ", ..." * (len(indices) > 5)


def plural(noun: str, things: int | Sized) -> str:
    """The noun, with an s unless there is one of it."""
    number = things if isinstance(things, int) else len(things)
    return noun if number == 1 else noun + "s"


def how_negative(e: Evidence) -> str:
    """How far below zero the eigenvalues reach."""
    negative = e.spectrum.negative
    return (
        f"{negative} of {e.size} eigenvalues below -{e.true_size(e.spectrum.bound):.0e}, "
        f"down to {e.true_size(e.spectrum.smallest):.3g}"
    )


def rounded_below_zero(e: Evidence) -> str:
    """How many zeros came out negative."""
    below = int((e.spectrum.values < 0.0).sum())
    return f"rounding puts {below} of {e.size} eigenvalues below zero"


def distance(e: Evidence) -> str:
    """How far the matrix is from the scores' own, where that could be measured."""
    if e.match is None or not e.match.difference >= 0.0:
        return ""
    return f" ({e.match.difference:.0%} of its norm away from S^T S / N)"


def alternatives(candidates: list[str]) -> str:
    """One, another or a third."""
    return " or ".join([", ".join(candidates[:-1]), candidates[-1]] if len(candidates) > 1 else candidates)
