"""Streams: scores that come block by block, and the natural-gradient step of what does not fit in memory.

A stream is an iterator of blocks of rows (a generator, ``map(...)``), an object whose ``__iter__`` starts a
fresh pass, or a function of no arguments that returns either.  An array, `Scores`, a list and a tuple are
never streams: a list stands for blocks of *columns*, side by side.  docs/streaming.md has examples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from typing import Any, TypeAlias, TypeGuard

import numpy as np
from numpy.typing import NDArray

from ._core import Fisher, accumulated_steps, fisher_matvec, rmatvec
from .scores import Scores, as_float_array, as_scores, as_vector, as_weights

Vector: TypeAlias = NDArray[np.float64]
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


def steps_of_stream(
    stream: Stream,
    *,
    advantages: object,
    gradient: object,
    weights: object,
    initial: object,
    previous: object,
    **options: Any,
) -> list[dict[str, Any]]:
    """What `_core.natural_steps` does, for blocks (scores, advantages) or (scores, advantages, weights).

    One pass sums S^T diag(w) S and S^T (w A).  The d x d system is factored in float64, and refined.  Where
    the stream gives a second pass, that measures the residual from the scores.
    """
    _refuse_what_needs_rows(advantages, weights, options)
    g = _vector(gradient, None, "gradient")
    prior = _vector(previous, None if g is None else g.size, "previous")
    known = g if g is not None else prior
    _vector(initial, None if known is None else known.size, "initial")

    blocks = start(stream)
    sums = _Sums(g, None if known is None else known.size, options)
    refuse_empty(for_each(blocks, sums.add))
    if not sums.fisher.total_weight > 0.0:
        raise ValueError("weights: expected a positive sum, got all zeros")

    def read_again(directions: list[Vector]) -> list[Vector] | tuple[int, int]:
        return _second_pass(stream, sums, directions)

    return accumulated_steps(
        sums.fisher,
        sums.mean_gradient() if g is None else g,
        read_again=None if blocks is stream else read_again,
        previous=prior,
        **{name: options[name] for name in _OF_SUMS},
    )


_OF_SUMS = (
    "count",
    "dampings",
    "relative_damping",
    "max_kl",
    "solver",
    "tol",
    "max_iterations",
    "momentum",
    "memory_limit",
    "threads",
)  # fmt: skip
"""The options of a step that apply where only sums of the rows are kept."""


def _refuse_what_needs_rows(advantages: object, weights: object, options: dict[str, Any]) -> None:
    for name, value in (("advantages", advantages), ("weights", weights)):
        if value is not None:
            raise TypeError(
                f"{name}: expected none beside an iterator, whose items are (scores, advantages) or "
                f"(scores, advantages, weights), got {type(value).__name__}"
            )
    solver, precision = options["solver"], options["precision"]
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
    if options.get("center"):
        raise ValueError("center: expected False for an iterator of blocks, got True")


def _vector(values: object, size: int | None, name: str) -> Vector | None:
    if values is None:
        return None
    array = as_float_array(values, name)
    return as_vector(array, array.size if size is None else size, name, "parameter")


class _Sums:
    """What a pass leaves of the blocks: sum w s s^T, sum w A s, and the numbers of rows."""

    def __init__(self, gradient: Vector | None, d: int | None, options: dict[str, Any]) -> None:
        self.expects_advantages = gradient is None
        self.threads: int = options["threads"]
        self._memory_limit: float | None = options["memory_limit"]
        self._count: float | None = options["count"]
        self._fisher: Fisher | None = None if d is None else self._begin(d)
        self._gradient: Vector | float = 0.0

    def _begin(self, d: int) -> Fisher:
        if self._memory_limit is not None and 8.0 * d * d > self._memory_limit:
            raise MemoryError(
                f"memory_limit: expected at least {8 * d * d} bytes, a float64 matrix of {d} x {d}, "
                f"got {self._memory_limit:g}"
            )
        return Fisher(d)

    @property
    def fisher(self) -> Fisher:
        assert self._fisher is not None
        return self._fisher

    @property
    def rows(self) -> int:
        return self.fisher.count

    @property
    def divisor(self) -> float:
        """What the sum is divided by to be F."""
        return self.fisher.total_weight if self._count is None else self._count

    def read(self, item: object) -> tuple[Scores, Vector | None, Vector | None]:
        """The scores, advantages and weights of an item, checked."""
        if not isinstance(item, (tuple, list)) or len(item) not in (2, 3):
            got = f"{len(item)} of them" if isinstance(item, (tuple, list)) else type(item).__name__
            raise TypeError(f"expected (scores, advantages) or (scores, advantages, weights), got {got}")
        matrix = as_scores(item[0])
        expected = matrix.shape[1] if self._fisher is None else self._fisher.d
        if matrix.shape[1] != expected:
            raise ValueError(f"scores: expected {expected} columns, got shape {matrix.shape}")
        if (item[1] is not None) != self.expects_advantages:
            expected_advantages = "an array" if self.expects_advantages else "None beside a gradient"
            raise TypeError(f"advantages: expected {expected_advantages}, got {type(item[1]).__name__}")
        rows = len(matrix)
        advantages = as_vector(item[1], rows, "advantages", "row") if self.expects_advantages else None
        weights = item[2] if len(item) == 3 else None
        return matrix, advantages, None if weights is None else as_weights(weights, rows, zeros=True)

    def add(self, item: object) -> None:
        matrix, advantages, weights = self.read(item)
        if self._fisher is None:
            self._fisher = self._begin(matrix.shape[1])
        self._fisher.update(matrix.native, weights, self.threads)
        if advantages is None:
            return
        with np.errstate(over="ignore", invalid="ignore"):
            weighted = advantages if weights is None else weights * advantages
            self._gradient = self._gradient + rmatvec(matrix.native, weighted, threads=self.threads)
        if not np.isfinite(self._gradient).all():
            raise OverflowError("advantages: their product with the scores leaves the range of float64")

    def mean_gradient(self) -> Vector:
        return np.asarray(self._gradient) / self.fisher.total_weight


def _second_pass(stream: Stream, sums: _Sums, directions: list[Vector]) -> list[Vector] | tuple[int, int]:
    """F x for each direction, from the rows; or how many rows came, and how many came the first time."""
    products = [np.zeros(sums.fisher.d) for _ in directions]
    rows = 0

    def add(item: object) -> None:
        nonlocal rows
        matrix, _, weights = sums.read(item)
        rows += len(matrix)
        for x, product in zip(directions, products, strict=True):
            product += fisher_matvec(matrix.native, x, weights, threads=sums.threads)

    for_each(start(stream), add)
    if rows != sums.rows:
        return rows, sums.rows
    return [product / sums.divisor for product in products]
