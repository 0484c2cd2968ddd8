"""A matrix held against the scores that it is said to be made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .samples import Samples
from .spectrum import DOUBLE, SINGLE, Array

# Agreement to half of the digits of float32 is no chance.  Agreement to half of those of float64, or to the
# rounding of the matrix, needs no better explanation.
MATCH = SINGLE**0.5
EXACT = DOUBLE**0.5


@dataclass(frozen=True)
class Match:
    """The formula that gives the matrix, or None: one that `_formulas` names, or "outer_flattened".

    The matrix is coefficients[0] times the formula, and for "damped" more by coefficients[1] times the unit
    matrix.  The difference is ||F - c S^T S / N|| / ||F|| in Frobenius norms with the best c, and NaN where
    the shapes differ.
    """

    formula: str | None
    coefficients: tuple[float, ...]
    difference: float


def compare(
    matrix: Array, exponent: int, rounding: float, samples: Samples, advantages: Array | None
) -> Match:
    """Find the simplest formula that gives a symmetric matrix, not zero, up to a factor.

    Its order is d, N or N d of the samples, `rounding` is its relative rounding, and the matrix as the user
    gave it was 2^exponent times this one.
    """
    fits = [(name, *_fit(matrix, terms)) for name, terms in _formulas(len(matrix), samples, advantages)]
    if len(matrix) == samples.rows * samples.columns:
        fits.append(("outer_flattened", *_fit_outer(matrix, samples.flat())))
    difference = next((left for name, left, _ in fits if name == "fisher"), float("nan"))
    best = min(left for _, left, _ in fits)
    if best > MATCH or len(matrix) == 1:
        return Match(None, (), difference)
    name, _, found = next(fit for fit in fits if fit[1] <= max(10.0 * best, 10.0 * rounding, EXACT))
    unit = exponent - 2 * samples.exponent
    coefficients = [float(np.ldexp(value, unit)) for value in found]
    if name == "damped":  # the unit matrix does not grow with the scores
        coefficients[1] = float(np.ldexp(found[1], exponent))
    return Match(name, tuple(coefficients), difference)


def _formulas(size: int, samples: Samples, advantages: Array | None) -> Iterator[tuple[str, list[Array]]]:
    """Yield the terms of each formula, the simplest first."""
    if size == samples.columns:
        F, mean = samples.fisher(), samples.mean()
        outer = np.outer(mean, mean)
        yield "fisher", [F]
        yield "outer_mean", [outer]
        yield "centred", [F - outer]
        if advantages is not None:
            gradient = samples.mean(advantages)
            weighted = samples.advantage_weighted(advantages)
            yield "outer_gradient", [np.outer(gradient, gradient)]
            yield "advantage_weighted", [weighted]
        yield "damped", [F, np.eye(size)]
        if advantages is not None:
            yield "standardised", [weighted, F]
    if size == samples.rows:
        yield "gram", [samples.gram()]


def least_squares(target: Array, terms: list[Array]) -> tuple[float, list[float]]:
    """Return an array's relative distance from the span of terms like it, and the terms' coefficients."""
    sizes = [float(np.linalg.norm(term)) or 1.0 for term in terms]
    columns = np.stack([(term / size).ravel() for term, size in zip(terms, sizes, strict=True)], axis=1)
    found = np.linalg.lstsq(columns, target.ravel(), rcond=None)[0]
    left = float(np.linalg.norm(target.ravel() - columns @ found) / (np.linalg.norm(target) or 1.0))
    return left, [float(value / size) for value, size in zip(found, sizes, strict=True)]


def _fit(matrix: Array, terms: list[Array]) -> tuple[float, list[float]]:
    """Return `least_squares`, or an infinite distance where a term is zero and so makes no formula."""
    if not all(float(np.linalg.norm(term)) for term in terms):
        return float("inf"), [0.0] * len(terms)
    return least_squares(matrix, terms)


def _fit_outer(matrix: Array, vector: Array) -> tuple[float, list[float]]:
    """Return `_fit` with the one term np.outer(vector, vector), worked out row by row."""
    square = float(vector @ vector)
    if square == 0.0:
        return float("inf"), [0.0]
    factor = float(vector @ (matrix @ vector)) / square**2
    left = sum(
        float(np.square(row - factor * x * vector).sum()) for row, x in zip(matrix, vector, strict=True)
    )
    return float(np.sqrt(left) / np.linalg.norm(matrix)), [factor]
