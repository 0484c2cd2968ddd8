"""What a comparison of a bridge is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ..case import Answer, Case, Contender, Inputs, Measures, Task


class Row(NamedTuple):
    """A comparison and how it is run."""

    case: Case
    threads: int
    pairs: int
    """How often ours and the peer take turns."""


def compared(
    name: str,
    *,
    ours: Callable[[int], Task],
    peer: Callable[[int], Task],
    peer_name: str,
    threads: int,
    bar: float,
    pairs: int = 7,
    limits: Mapping[str, float] | None = None,
    peer_limits: Mapping[str, float] | None = None,
    gives: str = "",
) -> Row:
    """Return the comparison of two callables.

    Parameters
    ----------
    name
        Unique; what --cases matches.
    ours, peer
        From the number of threads to the `Task`: imports what it needs, makes its inputs, and says what is
        timed.  Each runs in a process of its own.  The answer of a task is numbers by name.
    peer_name
        For the report.
    threads, pairs
        As in `Row`.
    bar
        The ratio of the peer's time to ours that we aim at.
    limits, peer_limits
        Numbers of ours' and the peer's answer that must not be exceeded, else nothing is timed.
    gives
        How what the peer computes differs from what ours does.
    """
    case = Case(
        name,
        inputs=_nothing,
        reference=_nothing,
        check=_as_numbers,
        ours=Contender("fastfisher", lambda _, count: ours(count), limits or {}),
        peers=[Contender(peer_name, lambda _, count: peer(count), peer_limits or {}, bar, gives)],
        precision="single",
    )
    return Row(case, threads, pairs)


def _nothing(_: Any) -> Inputs:
    return {}


def _as_numbers(_: Inputs, __: Any, answer: Answer) -> Measures:
    return {name: float(array) for name, array in answer.items()}
