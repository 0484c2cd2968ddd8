"""The Fisher matrix accumulated over blocks of rows: d^2 memory, any number of rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._core import Fisher as _Accumulator
from .arguments import Bounds, flag, number, whole
from .scores import ScoresLike, as_float_array, as_scores, as_vector, as_weights, describe
from .streaming import Stream, for_each, is_stream, start


class Fisher:
    """F = sum_n w_n s_n s_n^T / sum_n w_n over all rows that it is shown, in float64.

    Methods may be called from several threads at once; the arithmetic runs without the interpreter lock.
    For the same blocks in the same order the matrix is the same bits for any number of threads.

    Parameters
    ----------
    d : int
        Number of parameters, > 0.

    Examples
    --------
    >>> import fastfisher as ff, numpy as np
    >>> scores = np.random.default_rng(0).standard_normal((1000, 5))
    >>> F = ff.Fisher(5)
    >>> for block in np.split(scores, 10):
    ...     F.update(block)
    >>> F.count, bool(np.allclose(F.matrix(), scores.T @ scores / 1000))
    (1000, True)
    """

    __slots__ = ("_accumulator",)

    def __init__(self, d: int) -> None:
        self._accumulator = _Accumulator(whole(d, "d", Bounds(at_least=1, at_most=2**62)))

    @property
    def d(self) -> int:
        """The number of parameters."""
        return self._accumulator.d

    @property
    def shape(self) -> tuple[int, int]:
        """The shape (d, d) of the matrix."""
        return (self.d, self.d)

    @property
    def count(self) -> int:
        """The number of rows seen."""
        return self._accumulator.count

    @property
    def total_weight(self) -> float:
        """The sum of the rows' weights; equal to `count` where none were given."""
        return self._accumulator.total_weight

    def update(
        self, scores: ScoresLike | Stream, weights: ArrayLike | None = None, *, weighted: bool = False
    ) -> None:
        """Add rows: one block of them, or all blocks of an iterator, one in memory at a time.

        A block is added whole or not at all: after an exception, Ctrl-C included, the matrix is what it was.
        The items of an iterator before the exception stay added, and the message begins with the index, from
        0, of the item that raised it.  An exception of the iterator itself comes through as it is.

        Parameters
        ----------
        scores : (N, d) array, list or dict of blocks, or iterator
            An iterator is a generator, ``map(...)``, any object with ``__iter__`` that is not an array,
            `Scores`, list, tuple or other sequence, or a function that returns one.  Each item is the scores
            of some rows: an array, `Scores` or list of blocks.  A list is never an iterator: its blocks are
            columns side by side.
        weights : (N,) array, optional
            Non-negative weights of one block; default ones.
        weighted : bool
            Whether the items of the iterator are pairs (scores, weights), weights (n,) or None.  Without it,
            no item is ever taken for such a pair.  Here a block's weights may all be zero.

        Raises
        ------
        TypeError, ValueError
            If shapes or values are not as above, or an iterator gives no item; NaN and Inf are refused, with
            their row.
        OverflowError
            If squared scores leave the range of float64.

        Examples
        --------
        >>> import fastfisher as ff, numpy as np
        >>> rng = np.random.default_rng(0)
        >>> F = ff.Fisher(5)
        >>> F.update(rng.standard_normal((1000, 5)) for _ in range(100))
        >>> F.update(((rng.standard_normal((1000, 5)), rng.random(1000)) for _ in range(100)), weighted=True)
        >>> F.count
        200000
        """
        pairs = flag(weighted, "weighted")
        if is_stream(scores):
            if weights is not None:
                raise TypeError(
                    "weights: expected none beside an iterator, whose items are (scores, weights) with "
                    f"weighted=True, got {type(weights).__name__}"
                )
            for_each(start(scores), self._add_pair if pairs else self._add)
            return
        if pairs:
            raise TypeError(
                "weighted: expected True only with an iterator of (scores, weights), "
                f"got {type(scores).__name__}"
            )
        self._add(scores, weights)

    def _add(self, scores: Any, weights: ArrayLike | None = None, *, zeros: bool = False) -> None:
        matrix = as_scores(scores)
        if matrix.shape[1] != self.d:
            raise ValueError(f"scores: expected {self.d} columns, got shape {matrix.shape}")
        w = None if weights is None else as_weights(weights, len(matrix), zeros=zeros)
        self._accumulator.update(matrix.native, w)

    def _add_pair(self, item: object) -> None:
        if not isinstance(item, (tuple, list)) or len(item) != 2:
            got = f"{len(item)} of them" if isinstance(item, (tuple, list)) else type(item).__name__
            raise TypeError(f"expected a pair (scores, weights), got {got}")
        self._add(item[0], item[1], zeros=True)

    def merge(self, other: Fisher) -> None:
        """Add all rows that `other`, of the same d, has seen: another thread's, or a process's, pickled.

        Sums round: merging the same accumulators in the same order gives the same bits, in another order the
        same matrix to the rounding of float64.  docs/how-to/streaming.md has an example with processes.
        """
        if not isinstance(other, Fisher):
            raise TypeError(f"other: expected a Fisher, got {type(other).__name__}")
        self._accumulator.merge(other._accumulator)

    def matrix(self) -> NDArray[np.float64]:
        """F, (d, d), exactly symmetric; a new array.

        Raises
        ------
        RuntimeError
            If no row has been seen.
        """
        return self._accumulator.matrix()

    def trace(self) -> float:
        """tr(F), the mean of ||s||^2."""
        return self._accumulator.trace()

    def __matmul__(self, v: ArrayLike) -> NDArray[np.float64]:
        """F v, for v of shape (d,) or (d, k)."""
        array = as_float_array(v, "v")
        if array.ndim == 2:
            if array.shape[0] != self.d:
                raise ValueError(f"v: expected shape ({self.d},) or ({self.d}, k), got {describe(array)}")
            product = np.empty(array.shape)
            for column in range(array.shape[1]):
                product[:, column] = self @ array[:, column]
            return product
        return self._accumulator.multiply(as_vector(array, self.d, "v", "parameter"))

    def solve(
        self, g: ArrayLike, *, damping: float = 1e-4, relative_damping: bool = False
    ) -> NDArray[np.float64]:
        """(F + lambda I)^-1 g, as `natural_step` solves it: by a factor, refined, and what comes after that.

        Parameters
        ----------
        g : (d,) or (d, k) array
            One factor serves all columns.
        damping : float
            lambda >= 0.
        relative_damping : bool
            Whether lambda is damping tr(F) / min(count, d).

        Returns
        -------
        array of the shape of g

        Raises
        ------
        numpy.linalg.LinAlgError
            If F + lambda I is singular to rounding, so that a residual is above 1e-6; increase damping.
        OverflowError
            If the solution leaves the range of float64.
        """
        right = as_float_array(g, "g")
        if right.ndim not in (1, 2) or right.shape[0] != self.d:
            raise ValueError(f"g: expected shape ({self.d},) or ({self.d}, k), got {describe(right)}")
        if not np.isfinite(right).all():
            raise ValueError("g: expected finite values, got NaN or Inf")
        absolute = number(damping, "damping")
        if flag(relative_damping, "relative_damping"):
            absolute *= self.trace() / max(1, min(self.count, self.d))
        rows = np.ascontiguousarray(np.atleast_2d(right.T), dtype=np.float64)
        return self._accumulator.solve(rows, absolute).T.reshape(right.shape)

    def __copy__(self) -> Fisher:
        twin = object.__new__(Fisher)
        twin._accumulator = _Accumulator(self._accumulator)
        return twin

    def __deepcopy__(self, memo: dict[int, Any]) -> Fisher:
        return self.__copy__()

    def __getstate__(self) -> _Accumulator:
        return self._accumulator

    def __setstate__(self, state: _Accumulator) -> None:
        self._accumulator = state

    def __repr__(self) -> str:
        return f"Fisher(d={self.d}, count={self.count}, total_weight={self.total_weight:g})"
