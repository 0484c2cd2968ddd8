"""What a comparison is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Inputs = Mapping[str, Any]
Answer = dict[str, NDArray[Any]]
Measures = dict[str, float]


class Missing(Exception):  # noqa: N818 - not an error: the row says so
    """The library is not installed, or cannot do this; the message becomes the row's note."""


@dataclass(frozen=True)
class Task:
    """A contender's work on inputs that it holds.

    Attributes
    ----------
    run
        What is timed.
    answer
        From what `run` returned to named arrays that the referee can judge; not timed.
    reset
        Called before each `run`, not timed: puts back what `run` changes.
    """

    run: Callable[[], Any]
    answer: Callable[[Any], Answer]
    reset: Callable[[], None] | None = None


@dataclass(frozen=True)
class Contender:
    """A library's way to do a case.

    Attributes
    ----------
    name
        For the report.
    prepare
        From the inputs and the number of threads to the task; imports the library.
    limits
        Measures of the case's `check` that must not be exceeded, else nothing is timed.
    bar
        The ratio of a peer's time to ours that we aim at.
    gives
        How what it computes differs from what ours does.
    """

    name: str
    prepare: Callable[[Inputs, int], Task]
    limits: Mapping[str, float]
    bar: float | None = None
    gives: str = ""


@dataclass(frozen=True)
class Case:
    """One comparison: the same inputs for ours and each peer.

    Attributes
    ----------
    name
        Unique; what --cases matches.
    inputs
        From a seeded generator; each worker makes its own copy.
    reference
        The answer in float64, by NumPy alone.
    check
        From inputs, reference and answer to named measures of the error.
    flops, bytes
        The operations of one run, two for a multiply-add, from which the report has its rates.
    precision
        Whose multiply-add peak the rate is a fraction of.
    """

    name: str
    inputs: Callable[[Generator], Inputs]
    reference: Callable[[Inputs], Any]
    check: Callable[[Inputs, Any, Answer], Measures]
    ours: Contender
    peers: Sequence[Contender]
    precision: str = "double"
    flops: float | None = None
    bytes: float | None = None
    notes: Sequence[str] = field(default_factory=tuple)

    def contender(self, name: str) -> Contender:
        """Return ours or a peer by its name."""
        return next(contender for contender in (self.ours, *self.peers) if contender.name == name)


def value(result: object) -> Answer:
    """An answer that is one array."""
    return {"value": np.asarray(result)}


def relative_error(array: NDArray[Any], reference: NDArray[Any]) -> float:
    """||array - reference|| / ||reference||, Frobenius, in float64; infinite where anything is not finite."""
    if array.shape != reference.shape or not np.isfinite(array).all():
        return float("inf")
    difference = np.asarray(array, dtype=np.float64) - reference
    return float(np.linalg.norm(difference) / np.linalg.norm(reference))


def value_error(inputs: Inputs, reference: NDArray[Any], answer: Answer) -> Measures:
    """The check of an answer that is one array."""
    return {"error": relative_error(answer["value"], reference)}
