"""Everything that is measured before causes are named."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..scores import FloatArray
from .comparison import Match, compare, least_squares
from .samples import Indices, Parameters, Samples, parameters, random_vector
from .spectrum import DOUBLE, SINGLE, Array, Spectrum, spectrum, spurious_eigvals, unit_diagonal

# Column norms that differ by more than this have squares that differ by all of float32's digits.
WIDE_SPREAD = 1e3
# numpy.linalg.eigvals takes 25 n^3 operations: beyond this order it is not asked.
LARGEST_EIGVALS = 300
# A gradient whose part outside the range of F is below the first is never taken for another batch's, and one
# whose part is above the second always is.
LEAST_OUTSIDE, MOST_OUTSIDE = 1e-4, 0.5


def _none() -> Indices:
    return np.zeros(0, dtype=np.intp)


@dataclass(frozen=True)
class Outside:
    """The part of a gradient outside the range of F, as shares of the gradient's length."""

    part: float
    tolerance: float  # What g = S^T A / N may have, since the range was cut at the rounding bound.


@dataclass(frozen=True)
class Evidence:
    """What was measured, for a matrix and scores of about unit size."""

    source: Literal["matrix", "fisher", "scores"]
    size: int  # The number of parameters d.
    samples: int | None  # N; None where it is not known.
    exponent: int  # The true values of F are 2^exponent times those here.
    trace: float
    spectrum: Spectrum  # Of (F + F^T) / 2; its eps is float32's where that alone explains F.
    scaled: Spectrum | None  # Of F scaled to unit diagonal, where the parameters are badly scaled.
    parameters: Parameters  # What the columns of F or of the scores say.
    asymmetry: float = 0.0  # max |F - F^T| / max |F|.
    declared_eps: float = DOUBLE  # The rounding of the dtype that F came in.
    complex_dtype: bool = False  # Whether F came as complex numbers.
    eigvals: tuple[int, int] | None = None  # See `spurious_eigvals`.
    # The smallest eigenvalue of a low-precision F by float32 arithmetic, where float64 could not make it
    # negative, or 0.
    single_smallest: float = 0.0
    # Columns of the scores; see `Samples.steady`.
    constant: Indices = field(default_factory=_none)
    large_mean: Indices = field(default_factory=_none)
    match: Match | None = None  # The formula that gives a matrix which came with scores.
    outside: Outside | None = None  # None without a gradient, or where F is indefinite or not symmetric.
    gradient_misfit: float | None = None  # The relative distance from S^T A / N, where all three came.
    advantages_given: bool = False
    taken_for_scores: bool = False  # Whether a square array was taken for scores, by its asymmetry.

    def true_size(self, value: float) -> float:
        """Return a value of F in the caller's units."""
        with np.errstate(over="ignore", under="ignore"):
            return float(np.ldexp(value, self.exponent))

    @property
    def indefinite(self) -> bool:
        """Whether an eigenvalue is below zero beyond rounding."""
        return self.spectrum.negative > 0

    @property
    def symmetric(self) -> bool:
        """Whether F is its transpose, to rounding."""
        return self.asymmetry <= self.spectrum.terms * self.spectrum.eps

    @property
    def rank(self) -> int:
        """The rank, with the small parameters that only the scaled matrix saves from rounding."""
        return max(self.spectrum.rank, 0 if self.scaled is None else self.scaled.rank)


class Matrix(NamedTuple):
    """A square matrix of finite numbers as it was given, (d, d); the fields are as those of `Evidence`."""

    array: FloatArray
    eps: float
    source: Literal["matrix", "fisher"]
    samples: int | None = None
    complex_dtype: bool = False


def of_matrix(
    given: Matrix, scores: Samples | None, advantages: Array | None, gradient: Array | None
) -> Evidence:
    """Gather the evidence of a matrix, and of what came beside it."""
    size, samples, eps = len(given.array), given.samples, given.eps
    double = given.array.astype(np.float64)
    exponent = int(np.frexp(np.abs(double).max())[1])
    F = np.ldexp(double, -exponent)
    asymmetry = float(np.abs(F - F.T).max()) / (float(np.abs(F).max()) or 1.0)
    F = (F + F.T) / 2.0
    seen = spectrum(F, size, samples, eps)
    columns = _parameters_of_matrix(F, seen.terms * eps)
    scaled = None
    if columns.spread > WIDE_SPREAD:
        unit = unit_diagonal(F)
        scaled = spectrum(unit, len(unit), samples, eps)
    if eps == DOUBLE and _is_single_in_double(seen, scaled, asymmetry):
        seen = replace(seen, eps=SINGLE)
        scaled = None if scaled is None else replace(scaled, eps=SINGLE)
    rounding = seen.terms * seen.eps
    symmetric = asymmetry <= rounding
    shown = np.ldexp(given.array, -exponent)
    outside = None
    if gradient is not None and symmetric and not seen.negative:
        outside = _outside_matrix(F, gradient, seen.bound)
    return Evidence(
        source=given.source,
        size=size,
        samples=samples,
        exponent=exponent,
        trace=float(np.trace(F)),
        spectrum=seen,
        scaled=scaled,
        parameters=columns,
        asymmetry=asymmetry,
        declared_eps=eps,
        complex_dtype=given.complex_dtype,
        eigvals=spurious_eigvals(shown, seen) if symmetric and size <= LARGEST_EIGVALS else None,
        single_smallest=_smallest_in_single(shown, seen) if eps > DOUBLE else 0.0,
        match=compare(F, exponent, rounding, scores, advantages) if scores is not None and F.any() else None,
        outside=outside,
        gradient_misfit=_misfit(scores, advantages, gradient),
        advantages_given=advantages is not None,
    )


def of_scores(scores: Samples, advantages: Array | None, gradient: Array | None) -> Evidence:
    """Gather the evidence of scores, by the smaller of F and the Gram matrix."""
    size, smaller = scores.columns, scores.smaller()
    squares = smaller.diagonal() if scores.primal else scores.squares()
    columns = scores.parameters(squares)
    seen = spectrum(smaller, size, scores.samples, scores.eps)
    scaled = None
    if columns.spread > WIDE_SPREAD:
        unit = scores.smaller_scaled(smaller, np.sqrt(squares))
        scaled = spectrum(unit, size - len(columns.dead), scores.samples, scores.eps)
    constant, large_mean = scores.steady(squares)
    return Evidence(
        source="scores",
        size=size,
        samples=scores.samples,
        exponent=2 * scores.exponent,
        trace=float(squares.sum()),
        spectrum=seen,
        scaled=scaled,
        parameters=columns,
        constant=constant,
        large_mean=large_mean,
        outside=None if gradient is None else _outside_scores(smaller, scores, gradient, seen.bound),
        gradient_misfit=_misfit(scores, advantages, gradient),
        advantages_given=advantages is not None,
    )


def _parameters_of_matrix(F: Array, rounding: float) -> Parameters:
    squares = F.diagonal()
    alive: NDArray[np.bool_] = np.asarray(F.any(axis=0))
    tolerance = rounding * np.sqrt(np.abs(squares))
    return parameters(lambda index: F[:, index], alive, squares, random_vector(len(F)) @ F, tolerance)


def _is_single_in_double(seen: Spectrum, scaled: Spectrum | None, asymmetry: float) -> bool:
    """Tell whether a float64 matrix has errors that float32 arithmetic explains, and float64 does not."""
    single, double = seen.terms * SINGLE, seen.terms * DOUBLE
    signs = [-one.smallest / (one.norm or 1.0) for one in (seen, scaled) if one is not None]
    return double < max(*signs, asymmetry) <= single


def _smallest_in_single(matrix: NDArray[np.floating], seen: Spectrum) -> float:
    """Return the smallest eigenvalue by float32, where it is negative beyond float64's rounding, or 0."""
    smallest = float(np.linalg.eigvalsh(matrix.astype(np.float32))[0])
    return smallest if smallest < -seen.rounding(DOUBLE) else 0.0


def _outside_matrix(F: Array, gradient: Array, bound: float) -> Outside:
    values, vectors = np.linalg.eigh(F)
    along = vectors.T @ gradient
    in_range = values > bound
    null = float(np.linalg.norm(along[~in_range]))
    return _outside(
        null, gradient, along[in_range] / np.sqrt(values[in_range]), int((~in_range).sum()), bound
    )


def _outside_scores(smaller: Array, scores: Samples, gradient: Array, bound: float) -> Outside:
    if scores.primal:
        return _outside_matrix(smaller, gradient, bound)
    values, vectors = np.linalg.eigh(smaller)
    in_range = values > bound
    root = np.sqrt(scores.weights)
    weights = vectors[:, in_range].T @ (root * scores.times(gradient)) / (values[in_range] * scores.count)
    inside = scores.transposed(root * (vectors[:, in_range] @ weights))
    null = float(np.linalg.norm(gradient - inside))
    return _outside(null, gradient, weights * np.sqrt(scores.count), int((~in_range).sum()), bound)


def _outside(null: float, gradient: Array, coordinates: Array, cut: int, bound: float) -> Outside:
    """Weigh the part of a gradient that is outside, of length `null`.

    g = S^T A / N has c sqrt(lambda) along an eigenvector, with c a coordinate of A: so along the `cut`
    directions whose eigenvalues are below the bound it may have the largest c seen times sqrt(bound).
    """
    length = float(np.linalg.norm(gradient)) or 1.0
    expected = 10.0 * float(np.abs(coordinates).max(initial=0.0)) * (cut * bound) ** 0.5 / length
    return Outside(null / length, min(max(expected, LEAST_OUTSIDE), MOST_OUTSIDE))


def _misfit(scores: Samples | None, advantages: Array | None, gradient: Array | None) -> float | None:
    """Fit the gradient by S^T A / N and, in case A was standardised, the mean score; return the distance."""
    if scores is None or advantages is None or gradient is None:
        return None
    return least_squares(gradient, [scores.mean(advantages), scores.mean()])[0]
