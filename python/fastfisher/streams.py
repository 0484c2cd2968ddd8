"""What a stream is: scores that come block by block.

A stream is an iterator of blocks of rows (a generator, ``map(...)``), an object whose ``__iter__`` starts a
fresh pass, or a function of no arguments that returns either.  An array, `Scores`, a list and a tuple are
never streams: a list stands for blocks of *columns*, side by side.  docs/streaming.md has examples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from typing import Any, TypeAlias, TypeGuard

import numpy as np

from .scores import Scores

Stream: TypeAlias = Iterable[Any] | Callable[[], Iterable[Any]]

_OF_ARRAYS = ("shape", "__array__", "__dlpack__", "__array_interface__", "__array_struct__")


def is_stream(value: object) -> TypeGuard[Stream]:
    """Whether `value` gives blocks of rows one after another, rather than being scores itself."""
    if isinstance(value, (np.ndarray, Scores, Sequence, Mapping, Set, type)):
        return False
    if any(hasattr(value, name) for name in _OF_ARRAYS):
        return False
    return isinstance(value, Iterable) or callable(value)


def start(stream: Stream) -> Iterator[Any]:
    """A pass over a stream; the stream itself where it is an iterator, which gives only one."""
    source = stream if isinstance(stream, Iterable) else stream()
    if not isinstance(source, Iterable):
        raise TypeError(f"scores: expected a function that returns an iterator, got {type(source).__name__}")
    return iter(source)


def for_each(items: Iterator[Any], take: Callable[[Any], None]) -> int:
    """Hand over items one at a time, none of them kept; returns how many there were.

    What `take` raises comes with the item's index; what the iterator raises is left as it is.
    """
    index = 0
    for item in items:
        try:
            take(item)
        except (TypeError, OverflowError, ValueError) as error:
            kind = next(k for k in (TypeError, OverflowError, ValueError) if isinstance(error, k))
            raise kind(f"item {index}: {error}") from error
        del item  # before the iterator makes the next: one block in memory, not two
        index += 1
    return index


def refuse_empty(items: int) -> None:
    """An iterator without a single block has most likely been used up before."""
    if items == 0:
        raise ValueError("scores: expected at least one block of rows, got an iterator that gives none")
