"""Streams: scores that come block by block, and the natural-gradient step of what does not fit in memory.

A stream is an iterator of blocks of rows (a generator, ``map(...)``), an object whose ``__iter__`` starts a
fresh pass, or a function of no arguments that returns either.  An array, `Scores`, a list and a tuple are
never streams: a list stands for blocks of *columns*, side by side.  docs/how-to/streaming.md has examples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from functools import partial
from typing import Any, TypeAlias, TypeGuard

import numpy as np
from numpy.typing import NDArray

from ._core import Fisher, accumulated_steps, fisher_matvec, rmatvec, square_norms
from .scores import Scores, as_scores, as_weights, optional_vector

Vector: TypeAlias = NDArray[np.float64]
Stream: TypeAlias = Iterable[Any] | Callable[[], Iterable[Any]]

# An object with one of these is an array, or like `Scores` stands for one.
_OF_ARRAYS = ("shape", "__array__", "__dlpack__", "__array_interface__", "__array_struct__")


def is_stream(value: object) -> TypeGuard[Stream]:
    """Tell whether `value` gives blocks of rows one after another, rather than being scores itself."""
    if isinstance(value, (Sequence, Mapping, Set, type)) or any(hasattr(value, name) for name in _OF_ARRAYS):
        return False
    return isinstance(value, Iterable) or callable(value)


def start(stream: Stream) -> Iterator[Any]:
    """Return a pass over a stream: the stream itself where it is an iterator, which gives only one."""
    source = stream if isinstance(stream, Iterable) else stream()
    if not isinstance(source, Iterable):
        raise TypeError(f"scores: expected a function that returns an iterator, got {type(source).__name__}")
    return iter(source)


def for_each(items: Iterator[Any], take: Callable[[Any], None], *, may_be_empty: bool = False) -> None:
    """Hand over items one at a time, none of them kept.

    What `take` raises comes with the item's index; what the iterator raises is left as it is.  An iterator
    without a single item has most likely been used up before, and is refused.
    """
    index = 0
    for item in items:
        try:
            take(item)
        except (TypeError, OverflowError, ValueError) as error:
            kind = next(k for k in (TypeError, OverflowError, ValueError) if isinstance(error, k))
            raise kind(f"item {index}: {error}") from error
        del item  # The iterator makes the next only now: one block is in memory, not two.
        index += 1
    if index == 0 and not may_be_empty:
        raise ValueError("scores: expected at least one block of rows, got an iterator that gives none")


def steps_of_stream(
    stream: Stream,
    *,
    gradient: object,
    initial: object,
    previous: object,
    center: bool,
    precision: str,
    precondition: bool,
    sample_weights: bool,
    **options: Any,
) -> list[dict[str, Any]]:
    """Do what `_core.natural_steps` does, for blocks (scores, advantages) or (scores, advantages, weights).

    One pass sums S^T diag(w) S and S^T (w A).  The d x d system is factored in float64, and refined.  Where
    the stream gives a second pass, that measures the residual from the scores.  A factor has no use for
    `initial`, `precondition` and `sample_weights`; `options` are those of `_core.accumulated_steps`.
    """
    _refuse_what_needs_rows(options["solver"], precision, center)
    g = optional_vector(gradient, None, "gradient", "parameter")
    prior = optional_vector(previous, None if g is None else g.size, "previous", "parameter")
    known = prior if g is None else g
    d = None if known is None else known.size
    optional_vector(initial, d, "initial", "parameter")

    blocks = start(stream)
    sums = _Sums(d, g is None, options["memory_limit"], options["threads"])
    for_each(blocks, sums.add)
    total = sums.fisher.total_weight
    if not total > 0.0:
        raise ValueError("weights: expected a positive sum, got all zeros")
    if options["count"] is not None:
        options["count"] /= sums.unit or 1.0
    divisor = total if options["count"] is None else options["count"]
    return accumulated_steps(
        sums.fisher,
        sums.gradient / total if g is None else g,
        read_again=None if blocks is stream else partial(_second_pass, stream, sums, divisor),
        previous=prior,
        norm_advantages=sums.norm_advantages if g is None else None,
        **options,
    )


def _refuse_what_needs_rows(solver: str, precision: str, center: bool) -> None:
    if solver not in ("auto", "cholesky"):
        needed = "all of them at once" if solver == "gram" else "all of them at every iteration"
        raise ValueError(
            "solver: expected 'auto' or 'cholesky' for an iterator of blocks, whose rows are not kept, "
            f"got {solver!r}, which needs {needed}"
        )
    if precision not in ("auto", "double"):
        raise ValueError(
            "precision: expected 'auto' or 'double' for an iterator of blocks, which is summed in float64, "
            f"got {precision!r}"
        )
    if center:
        raise ValueError("center: expected False for an iterator of blocks, got True")


class _Sums:
    """The sums that a pass leaves of the blocks: those of w s s^T and of w A s, the weights in `unit`.

    The number of parameters `d` is None where only the first block tells it.
    """

    unit: float | None = None
    """A power of two near the first weights, so that products with them stay in the range of float64; F and g
    do not see it.  It is None before the first weight above zero."""

    def __init__(
        self, d: int | None, expects_advantages: bool, memory_limit: float | None, threads: int
    ) -> None:
        self.gradient: Vector = np.zeros(1)
        self.norm_advantages = 0.0
        """sqrt(sum w A^2), by which rounding is told from a gradient."""
        self.threads = threads
        self._expects_advantages = expects_advantages
        self._memory_limit = memory_limit
        self._fisher = None if d is None else self._begin(d)

    def _begin(self, d: int) -> Fisher:
        return Fisher(d, self._memory_limit)

    @property
    def fisher(self) -> Fisher:
        assert self._fisher is not None
        return self._fisher

    def read(self, item: object) -> tuple[Scores, Vector | None, Vector | None]:
        """Return the scores, advantages and weights of an item, checked."""
        if not isinstance(item, (tuple, list)) or len(item) not in (2, 3):
            got = f"{len(item)} of them" if isinstance(item, (tuple, list)) else type(item).__name__
            raise TypeError(f"expected (scores, advantages) or (scores, advantages, weights), got {got}")
        matrix = as_scores(item[0])
        rows, columns = matrix.shape
        if self._fisher is None:
            self._fisher = self._begin(columns)
        if columns != self.fisher.d:
            raise ValueError(f"scores: expected {self.fisher.d} columns, got shape {matrix.shape}")
        if (item[1] is not None) != self._expects_advantages:
            expected = "an array" if self._expects_advantages else "None beside a gradient"
            raise TypeError(f"advantages: expected {expected}, got {type(item[1]).__name__}")
        advantages = optional_vector(item[1], rows, "advantages", "row")
        weights = item[2] if len(item) == 3 else None
        return matrix, advantages, self._in_units(weights, rows)

    def _in_units(self, given: object, rows: int) -> Vector | None:
        weights = None if given is None else as_weights(given, rows, zeros=True)
        largest = 1.0 if weights is None else float(weights.max())
        if self.unit is None and largest > 0.0:
            exponent = math.frexp(largest)[1] - 1
            self.unit = math.ldexp(1.0, max(exponent, -1000)) if largest * rows < math.inf else 1.0
        if self.unit in (None, 1.0):
            return weights
        return (np.ones(rows) if weights is None else weights) / self.unit

    def add(self, item: object) -> None:
        matrix, advantages, weights = self.read(item)
        self.fisher.update(matrix.native, weights, self.threads)
        if advantages is None:
            return
        with np.errstate(over="ignore", invalid="ignore"):
            weighted = advantages if weights is None else weights * advantages
            self.gradient = self.gradient + rmatvec(matrix.native, weighted, threads=self.threads)
            largest = float(np.abs(advantages).max(initial=0.0)) or 1.0  # so that no square leaves the range
            square = float(weighted / largest @ (advantages / largest))
            self.norm_advantages = math.hypot(self.norm_advantages, largest * math.sqrt(square))
        if not np.isfinite(self.gradient).all():
            raise OverflowError("advantages: their product with the scores leaves the range of float64")


def _second_pass(
    stream: Stream, sums: _Sums, divisor: float, directions: list[Vector]
) -> list[Vector] | tuple[int, int]:
    """Return F x for each direction, from the rows; or how many rows came, and how many the first time."""
    products = [np.zeros(sums.fisher.d) for _ in directions]
    rows = 0

    def add(item: object) -> None:
        nonlocal rows
        matrix, _, weights = sums.read(item)
        rows += len(matrix)
        for x, product in zip(directions, products, strict=True):
            product += fisher_matvec(matrix.native, x, weights, threads=sums.threads)
            if not np.isfinite(product).all():
                row = int(np.argmin(np.isfinite(square_norms(matrix.native))))
                raise ValueError(
                    f"scores: expected finite values, as in the first pass, row {row} holds others"
                )

    for_each(start(stream), add, may_be_empty=True)
    if rows != sums.fisher.count:
        return rows, sums.fisher.count
    return [product / divisor for product in products]
