"""Everything that is measured before causes are named."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from .comparison import Match, compare
from .parameters import Indices, Parameters, parameters, random_vector
from .samples import Samples
from .spectrum import DOUBLE, SINGLE, Array, Spectrum, spectrum, spurious_eigvals, unit_diagonal

# Column norms that differ more than this have squares that differ as float32's digits do.
WIDE_SPREAD = 1e3
# numpy.linalg.eigvals takes 25 n^3 operations: beyond this order it is not asked.
LARGEST_EIGVALS = 300
# The part of a gradient outside the range of F that is never, and always, taken for another batch's.
LEAST_OUTSIDE, MOST_OUTSIDE = 1e-4, 0.5


def _none() -> Indices:
    return np.zeros(0, dtype=np.intp)


@dataclass(frozen=True)
class Outside:
    """The part of a gradient outside the range of F.

    Attributes
    ----------
    part : float
        Of the gradient's length.
    tolerance : float
        What it may be for g = S^T A / N, since the range was cut at the rounding bound.
    """

    part: float
    tolerance: float


@dataclass(frozen=True)
class Evidence:
    """What was measured, for a matrix and scores of about unit size.

    Attributes
    ----------
    source : {"matrix", "fisher", "scores"}
    size : int
    samples : int or None
    exponent : int
        True values of F are 2^exponent times these.
    trace : float
    asymmetry : float
        max |F - F^T| / max |F|.
    asymmetry_bound : float
        What rounding explains of it.
    spectrum : Spectrum
    scaled : Spectrum or None
        Of F scaled to unit diagonal, where the parameters are badly scaled.
    declared_eps : float
        Of the dtype that F came in; `spectrum.eps` is float32's where only that explains what is seen.
    parameters : Parameters
    complex_dtype : bool
    eigvals : tuple or None
        See `spurious_eigvals`.
    single_negative : int
        Eigenvalues of a low-precision F that float32 arithmetic shows below what float64 could.
    single_smallest : float
        The smallest of them, or 0.
    constant, large_mean : arrays of indices
        Columns of the scores.
    match : Match or None
        Where a matrix came with scores.
    outside : Outside or None
        Where a gradient came.
    gradient_misfit : float or None
        Relative distance of the gradient from S^T A / N, where all three came.
    advantages_given : bool
    taken_for_scores : bool
        A square array, by its asymmetry.
    """

    source: str
    size: int
    samples: int | None
    exponent: int
    trace: float
    asymmetry: float
    asymmetry_bound: float
    spectrum: Spectrum
    scaled: Spectrum | None
    declared_eps: float
    parameters: Parameters
    complex_dtype: bool = False
    eigvals: tuple[int, int] | None = None
    single_negative: int = 0
    single_smallest: float = 0.0
    constant: Indices = field(default_factory=_none)
    large_mean: Indices = field(default_factory=_none)
    match: Match | None = None
    outside: Outside | None = None
    gradient_misfit: float | None = None
    advantages_given: bool = False
    taken_for_scores: bool = False

    def true_size(self, value: float) -> float:
        """A value of F as the caller's units have it."""
        with np.errstate(over="ignore", under="ignore"):
            return float(np.ldexp(value, self.exponent))

    @property
    def indefinite(self) -> bool:
        """Eigenvalues on both sides of zero, or below it, beyond rounding."""
        return self.spectrum.negative > 0

    @property
    def symmetric(self) -> bool:
        """To rounding."""
        return self.asymmetry <= self.asymmetry_bound

    @property
    def rank(self) -> int:
        """Rank, small parameters not lost to rounding."""
        return max(self.spectrum.rank, 0 if self.scaled is None else self.scaled.rank)


def of_matrix(
    matrix: NDArray[np.floating],
    source: str,
    samples: int | None,
    eps: float,
    *,
    complex_dtype: bool = False,
    scores: Samples | None = None,
    advantages: Array | None = None,
    gradient: Array | None = None,
) -> Evidence:
    """Gather it from a square matrix of finite numbers, made in arithmetic of precision `eps`."""
    size = len(matrix)
    double = matrix.astype(np.float64)
    exponent = int(np.frexp(np.abs(double).max())[1])
    F = np.ldexp(double, -exponent)
    largest = float(np.abs(F).max()) or 1.0
    asymmetry = float(np.abs(F - F.T).max()) / largest
    F = (F + F.T) / 2.0
    seen = spectrum(F, size, samples, eps)
    columns = _parameters_of_matrix(F, seen.terms * eps)
    scaled = _scaled_matrix(F, samples, eps) if columns.spread > WIDE_SPREAD else None
    if eps == DOUBLE and _is_single_in_double(seen, scaled, asymmetry):
        seen = replace(seen, eps=SINGLE)
        scaled = None if scaled is None else replace(scaled, eps=SINGLE)
    asymmetry_bound = seen.terms * seen.eps
    symmetric = asymmetry <= asymmetry_bound
    shown = np.ldexp(matrix, -exponent)
    single_negative, single_smallest = _negative_in_single(shown, seen) if eps > DOUBLE else (0, 0.0)
    outside = None
    if gradient is not None and symmetric and not seen.negative:
        outside = _outside_matrix(F, gradient, seen.bound)
    return Evidence(
        source=source,
        size=size,
        samples=samples,
        exponent=exponent,
        trace=float(np.trace(F)),
        asymmetry=asymmetry,
        asymmetry_bound=asymmetry_bound,
        spectrum=seen,
        scaled=scaled,
        declared_eps=eps,
        parameters=columns,
        complex_dtype=complex_dtype,
        eigvals=spurious_eigvals(shown, seen) if symmetric and size <= LARGEST_EIGVALS else None,
        single_negative=single_negative,
        single_smallest=single_smallest,
        match=compare(F, exponent, seen.terms * seen.eps, scores, advantages)
        if scores is not None and F.any()
        else None,
        outside=outside,
        gradient_misfit=_misfit(scores, advantages, gradient),
        advantages_given=advantages is not None,
    )


def of_scores(scores: Samples, advantages: Array | None, gradient: Array | None) -> Evidence:
    """Gather it from scores, by the smaller of F and the Gram matrix."""
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
        asymmetry=0.0,
        asymmetry_bound=seen.terms * DOUBLE,
        spectrum=seen,
        scaled=scaled,
        declared_eps=DOUBLE,
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


def _scaled_matrix(F: Array, samples: int | None, eps: float) -> Spectrum:
    scaled = unit_diagonal(F)
    return spectrum(scaled, len(scaled), samples, eps)


def _is_single_in_double(seen: Spectrum, scaled: Spectrum | None, asymmetry: float) -> bool:
    """Whether float32 arithmetic, and not float64, explains a float64 matrix: a step upstream was float32."""
    single, double = seen.terms * SINGLE, seen.terms * DOUBLE
    signs = [-one.smallest / (one.norm or 1.0) for one in (seen, scaled) if one is not None]
    return double < max(*signs, asymmetry) <= single


def _negative_in_single(matrix: NDArray[np.floating], seen: Spectrum) -> tuple[int, float]:
    """Eigenvalues that are negative beyond float64's rounding when numpy works in float32 throughout."""
    values = np.linalg.eigvalsh(matrix.astype(np.float32))
    negative = values[values < -seen.rounding(DOUBLE)]
    return len(negative), float(negative.min(initial=0.0))


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
    """Weigh the null part.

    g = S^T A / N has c sqrt(lambda) along an eigenvector, with c a coordinate of A: so along the `cut`
    directions whose eigenvalues are below the bound it may have the largest c seen times sqrt(bound).
    """
    length = float(np.linalg.norm(gradient)) or 1.0
    expected = 10.0 * float(np.abs(coordinates).max(initial=0.0)) * (cut * bound) ** 0.5 / length
    return Outside(null / length, min(max(expected, LEAST_OUTSIDE), MOST_OUTSIDE))


def _misfit(scores: Samples | None, advantages: Array | None, gradient: Array | None) -> float | None:
    """Least squares of the gradient by S^T A / N and, in case A was standardised, by the mean score."""
    if scores is None or advantages is None or gradient is None:
        return None
    terms_ = np.stack([scores.mean(advantages), scores.mean()], axis=1)
    sizes = np.linalg.norm(terms_, axis=0)
    columns = terms_ / np.where(sizes > 0.0, sizes, 1.0)
    found = np.linalg.lstsq(columns, gradient, rcond=None)[0]
    return float(np.linalg.norm(gradient - columns @ found) / (np.linalg.norm(gradient) or 1.0))
