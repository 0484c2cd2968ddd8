"""What a diagnosis asks of scores.  No other file of it knows how they are stored."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

from .. import _core
from ..scores import FloatArray, NativeBlock, Scores, ScoresLike, as_scores, as_weights, with_own_left
from .parameters import Indices, Parameters, parameters, random_vector
from .spectrum import DOUBLE, Array, terms, unit_diagonal

# Scores beyond 2^+-LARGEST_EXPONENT are brought to unit size, so that squares of squares stay in range.
LARGEST_EXPONENT = 120
# Columns of a panel, where entries must be looked at one by one.
PANEL = 1024


class Samples:
    """Scores S, weights w and the divisor of F.

    Parameters
    ----------
    scores : (N, d) array, Scores, or list of blocks
    weights : (N,) array, optional
        Default ones.
    count : float, optional
        Divisor; default sum w.
    threads : int
        0: the package's setting.

    Attributes
    ----------
    rows, columns : int
        N and d.
    exponent : int
        The scores given are 2^exponent times those kept here.
    """

    def __init__(
        self, scores: ScoresLike, weights: ArrayLike | None, count: float | None, threads: int
    ) -> None:
        given = as_scores(scores)
        row = _core.first_nonfinite_row(given.native, threads)
        if row >= 0:
            raise ValueError(f"scores: expected finite values, got NaN or Inf at row {row}")
        exponent = max(sum(map(_exponent, _arrays(block))) for block in given.blocks)
        self.exponent = exponent if abs(exponent) > LARGEST_EXPONENT else 0
        self._scores = Scores([_scaled(with_own_left(block), self.exponent) for block in given.blocks])
        self._threads = threads
        self._eps = max(float(np.finfo(part.dtype).eps) for block in given.blocks for part in _arrays(block))
        self.rows, self.columns = given.shape
        self.weights = np.ones(self.rows) if weights is None else as_weights(weights, self.rows)
        with np.errstate(over="ignore"):
            self.total = float(self.weights.sum())
        if not np.isfinite(self.total):
            raise ValueError("weights: expected a positive finite sum, got one beyond float64")
        self.count = self.total if count is None else count
        self.rows_are_samples = count is None

    @property
    def samples(self) -> int:
        """N, the rows of positive weight."""
        return int((self.weights > 0.0).sum())

    @property
    def primal(self) -> bool:
        """Whether F is no larger than the Gram matrix."""
        return self.columns <= self.rows

    @property
    def eps(self) -> float:
        """Of F, accumulated in float64: a score wrong by eps moves a zero eigenvalue by eps^2."""
        return max(DOUBLE, self._eps**2)

    def fisher(self) -> Array:
        """S^T diag(w) S / count, (d, d)."""
        return _core.fisher_product(self._scores.native, self.weights, threads=self._threads) / self.count

    def gram(self) -> Array:
        """diag(sqrt w) S S^T diag(sqrt w) / count, (N, N), whose eigenvalues are those of F and zeros."""
        return _core.gram_product(self._scores.native, self.weights, threads=self._threads) / self.count

    def smaller(self) -> Array:
        """The smaller of the two."""
        return self.fisher() if self.primal else self.gram()

    def smaller_scaled(self, smaller: Array, norms: Array) -> Array:
        """What `smaller` gives for scores whose columns are divided by their norms, dead ones left out."""
        if self.primal:
            return unit_diagonal(smaller)
        gram = np.zeros((self.rows, self.rows))
        divisor = np.where(norms > 0.0, norms, 1.0)
        for start, panel in self._panels():
            unit = panel / divisor[start : start + panel.shape[1]]
            gram += _core.gram_product(unit, self.weights, threads=self._threads)
        return gram / self.count

    def advantage_weighted(self, advantages: Array) -> Array:
        """S^T diag(w A) S / count, (d, d): what is not a Fisher matrix."""
        parts = [np.maximum(sign * advantages, 0.0) * self.weights for sign in (1.0, -1.0)]
        gain, loss = (
            _core.fisher_product(self._scores.native, part, threads=self._threads) for part in parts
        )
        difference: Array = (gain - loss) / self.count
        return difference

    def times(self, v: Array) -> Array:
        """S v, (N,)."""
        return _core.matvec(self._scores.native, v, threads=self._threads)

    def transposed(self, u: Array) -> Array:
        """S^T u, (d,)."""
        return _core.rmatvec(self._scores.native, u, threads=self._threads)

    def mean(self, values: Array | None = None) -> Array:
        """S^T (w values) / sum w, (d,); the mean score where there are no values."""
        return self.transposed((self.weights if values is None else self.weights * values) / self.total)

    def squares(self) -> Array:
        """Diagonal of F, (d,)."""
        squares = np.empty(self.columns)
        for start, panel in self._panels():
            squares[start : start + panel.shape[1]] = (self.weights / self.count) @ np.square(panel)
        return squares

    def flat(self) -> Array:
        """The scores one after another, (N d,), as `numpy.outer` sees them."""
        return np.concatenate([panel for _, panel in self._panels()], axis=1).ravel()

    def parameters(self, squares: Array) -> Parameters:
        """Dead, duplicated and badly scaled columns; a single row cannot show duplicates."""
        tolerance = np.full(self.rows, 16.0 * self._eps if self.rows > 1 else -1.0)
        projection = self.transposed(random_vector(self.rows))
        return parameters(self._column, squares > 0.0, squares, projection, tolerance)

    def steady(self, squares: Array) -> tuple[Indices, Indices]:
        """Columns that are constant, and those whose mean is more than ten standard deviations.

        The scores of a policy's own actions have mean zero.  Not asked of rows that are not samples.
        """
        mean_squares = self.mean() ** 2 * (self.total / self.count)
        variance = squares - mean_squares
        constant = (variance <= terms(self.columns, self.rows) * self._eps * squares) & (squares > 0.0)
        large = (mean_squares > 100.0 * variance) & ~constant
        asked = self.rows_are_samples and self.samples > 2
        return np.flatnonzero(constant & asked), np.flatnonzero(large & asked)

    def _panels(self) -> Iterator[tuple[int, Array]]:
        """First column and float64 entries of some columns at a time."""
        start = 0
        for block in self._scores.blocks:
            left, right = block if isinstance(block, tuple) else (block, np.ones((self.rows, 1)))
            step = max(1, PANEL // right.shape[1])
            for first in range(0, left.shape[1], step):
                outer = left[:, first : first + step, None].astype(np.float64) * right[:, None, :]
                panel = outer.reshape(self.rows, -1)
                yield start, panel
                start += panel.shape[1]

    def _column(self, index: int) -> Array:
        for block in self._scores.blocks:
            left, right = block if isinstance(block, tuple) else (block, None)
            width = left.shape[1] * (1 if right is None else right.shape[1])
            if index < width:
                if right is None:
                    return left[:, index].astype(np.float64)
                row, column = divmod(index, right.shape[1])
                return left[:, row].astype(np.float64) * right[:, column]
            index -= width
        raise IndexError(index)


def _arrays(block: NativeBlock) -> tuple[FloatArray, ...]:
    return block if isinstance(block, tuple) else (block,)


def _exponent(array: FloatArray) -> int:
    """Of the largest entry, as a power of two; zeros count as tiny."""
    largest = max(array.max(), -array.min()) if array.size else 0.0
    return int(np.frexp(largest)[1]) if largest else -1200


def _scaled(block: NativeBlock, exponent: int) -> NativeBlock:
    """A block over 2^exponent; a pair's left is brought to unit size, and its right takes the rest."""
    if exponent == 0:
        return block
    if not isinstance(block, tuple):
        return np.ldexp(block, -exponent)
    left, right = block
    share = _exponent(left)
    return np.ldexp(left, -share), np.ldexp(right, share - exponent)
