"""What a diagnosis asks of scores, whose storage no other file of it knows, and of their columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._core import first_nonfinite_row, fisher_product, gram_product, matvec, rmatvec
from ..scores import FloatArray, NativeBlock, Scores, ScoresLike, as_scores, as_weights, with_own_left
from .spectrum import DOUBLE, Array, terms, unit_diagonal

Indices: TypeAlias = NDArray[np.intp]

# Scores beyond 2^+-LARGEST_EXPONENT are brought to unit size, so that squares of squares stay in range.
LARGEST_EXPONENT = 120
# Columns of a panel, where entries must be looked at one by one.
PANEL = 1024


@dataclass(frozen=True)
class Parameters:
    """Parameters that are dead, duplicated or badly scaled, seen in the columns of F or of the scores."""

    dead: Indices  # Those whose column is zero.
    duplicates: tuple[Indices, ...]  # Groups of those whose columns are the same to rounding.
    spread: float  # The largest column norm of the scores over the smallest positive one.

    @property
    def redundant(self) -> int:
        """The number of zero eigenvalues that these explain."""
        return len(self.dead) + sum(len(group) - 1 for group in self.duplicates)


def parameters(
    column: Callable[[int], Array],
    alive: NDArray[np.bool_],
    squares: Array,
    projection: Array,
    tolerance: Array,
) -> Parameters:
    """Find the parameters that are dead or duplicated in the columns (m,) of F or of the scores.

    `alive`, (d,), tells which columns are not zero, and `squares`, (d,), is the diagonal of F.  Only
    neighbours in the order of `projection`, (d,), a fixed random vector times the columns, are compared entry
    by entry.  `tolerance`, (m,), is the rounding of a column whose parameter has unit norm.
    """
    norms = np.sqrt(np.abs(squares))
    order = np.flatnonzero(alive)[np.argsort(projection[alive], kind="stable")]
    allowed = 10.0 * np.linalg.norm(tolerance) * norms[order[:-1]]
    same = np.diff(projection[order]) <= allowed
    for place in np.flatnonzero(same):
        one, other = int(order[place]), int(order[place + 1])
        same[place] = (np.abs(column(one) - column(other)) <= tolerance * norms[one]).all()
    groups = np.split(order, np.flatnonzero(~same) + 1)
    positive = norms[norms > 0.0]
    return Parameters(
        np.flatnonzero(~alive),
        tuple(np.sort(group) for group in groups if len(group) > 1),
        float(positive.max() / positive.min()) if len(positive) else 1.0,
    )


def random_vector(size: int) -> Array:
    """Draw the same normal vector every time."""
    return np.random.default_rng(0).standard_normal(size)


class Samples:
    """Scores S, (N, d), their weights w, by default ones, and the divisor of F, by default sum w.

    The scores given are 2^`exponent` times those kept here.
    """

    def __init__(
        self, scores: ScoresLike, weights: ArrayLike | None, count: float | None, threads: int
    ) -> None:
        given = as_scores(scores)
        row = first_nonfinite_row(given.native, threads)
        if row >= 0:
            raise ValueError(f"scores: expected finite values, got NaN or Inf at row {row}")
        exponent = max(sum(map(_exponent, _arrays(block))) for block in given.blocks)
        self.exponent = exponent if abs(exponent) > LARGEST_EXPONENT else 0
        self._scores = Scores([_scaled(with_own_left(block), self.exponent) for block in given.blocks])
        ones = np.ones((given.shape[0], 1))
        self._pairs = [block if isinstance(block, tuple) else (block, ones) for block in self._scores.blocks]
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
        """N, the number of rows of positive weight."""
        return int((self.weights > 0.0).sum())

    @property
    def primal(self) -> bool:
        """Whether F is no larger than the Gram matrix."""
        return self.columns <= self.rows

    @property
    def eps(self) -> float:
        """The rounding of F, summed in float64: a score wrong by eps moves a zero eigenvalue by eps^2."""
        return max(DOUBLE, self._eps**2)

    def fisher(self) -> Array:
        """Return S^T diag(w) S / count, (d, d)."""
        return fisher_product(self._scores.native, self.weights, threads=self._threads) / self.count

    def gram(self) -> Array:
        """Return diag(sqrt w) S S^T diag(sqrt w) / count, (N, N): its eigenvalues are F's, and zeros."""
        return gram_product(self._scores.native, self.weights, threads=self._threads) / self.count

    def smaller(self) -> Array:
        """Return the smaller of F and the Gram matrix."""
        return self.fisher() if self.primal else self.gram()

    def smaller_scaled(self, smaller: Array, norms: Array) -> Array:
        """Return what `smaller` is for columns divided by their norms, (d,), with the dead ones left out."""
        if self.primal:
            return unit_diagonal(smaller)
        gram = np.zeros((self.rows, self.rows))
        divisor = np.where(norms > 0.0, norms, 1.0)
        for start, panel in self._panels():
            unit = panel / divisor[start : start + panel.shape[1]]
            gram += gram_product(unit, self.weights, threads=self._threads)
        return gram / self.count

    def advantage_weighted(self, advantages: Array) -> Array:
        """Return S^T diag(w A) S / count, (d, d), which is not a Fisher matrix."""
        gain, loss = (
            fisher_product(self._scores.native, part * self.weights, threads=self._threads)
            for part in (np.maximum(advantages, 0.0), np.maximum(-advantages, 0.0))
        )
        return (gain - loss) / self.count

    def times(self, v: Array) -> Array:
        """Return S v, (N,)."""
        return matvec(self._scores.native, v, threads=self._threads)

    def transposed(self, u: Array) -> Array:
        """Return S^T u, (d,)."""
        return rmatvec(self._scores.native, u, threads=self._threads)

    def mean(self, values: Array | None = None) -> Array:
        """Return S^T (w values) / sum w, (d,); the mean score where there are no values."""
        return self.transposed((self.weights if values is None else self.weights * values) / self.total)

    def squares(self) -> Array:
        """Return the diagonal of F, (d,)."""
        squares = np.empty(self.columns)
        for start, panel in self._panels():
            squares[start : start + panel.shape[1]] = (self.weights / self.count) @ np.square(panel)
        return squares

    def flat(self) -> Array:
        """Return the scores one after another, (N d,), as `numpy.outer` sees them."""
        return np.concatenate([panel for _, panel in self._panels()], axis=1).ravel()

    def parameters(self, squares: Array) -> Parameters:
        """Find dead, duplicated and badly scaled columns; a single row cannot show duplicates."""
        tolerance = np.full(self.rows, 16.0 * self._eps if self.rows > 1 else -1.0)
        projection = self.transposed(random_vector(self.rows))
        return parameters(self._column, squares > 0.0, squares, projection, tolerance)

    def steady(self, squares: Array) -> tuple[Indices, Indices]:
        """Find columns that are constant, and those whose mean is more than ten standard deviations.

        The scores of a policy's own actions have mean zero; rows that are not samples are not asked.
        """
        mean_squares = self.mean() ** 2 * (self.total / self.count)
        variance = squares - mean_squares
        constant = (variance <= terms(self.columns, self.rows) * self._eps * squares) & (squares > 0.0)
        large = (mean_squares > 100.0 * variance) & ~constant
        asked = self.rows_are_samples and self.samples > 2
        return np.flatnonzero(constant & asked), np.flatnonzero(large & asked)

    def _panels(self) -> Iterator[tuple[int, Array]]:
        """Yield the first column and the float64 entries of some columns at a time."""
        start = 0
        for left, right in self._pairs:
            step = max(1, PANEL // right.shape[1])
            for first in range(0, left.shape[1], step):
                outer = left[:, first : first + step, None].astype(np.float64) * right[:, None, :]
                panel = outer.reshape(self.rows, -1)
                yield start, panel
                start += panel.shape[1]

    def _column(self, index: int) -> Array:
        for left, right in self._pairs:
            row, column = divmod(index, right.shape[1])
            if row < left.shape[1]:
                return left[:, row].astype(np.float64) * right[:, column]
            index -= left.shape[1] * right.shape[1]
        raise IndexError(index)


def _arrays(block: NativeBlock) -> tuple[FloatArray, ...]:
    return block if isinstance(block, tuple) else (block,)


def _exponent(array: FloatArray) -> int:
    """Return the exponent of the largest entry, as a power of two; zeros count as tiny."""
    largest = max(array.max(), -array.min()) if array.size else 0.0
    return int(np.frexp(largest)[1]) if largest else -1200


def _scaled(block: NativeBlock, exponent: int) -> NativeBlock:
    """Return a block over 2^exponent; a pair's left is brought to unit size, and its right takes the rest."""
    if exponent == 0:
        return block
    if not isinstance(block, tuple):
        return np.ldexp(block, -exponent)
    left, right = block
    share = _exponent(left)
    return np.ldexp(left, -share), np.ldexp(right, share - exponent)
