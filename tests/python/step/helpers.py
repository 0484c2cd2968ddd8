"""Batches, layouts and LAPACK's test ratio: what the tests of the step and of its diagnosis share."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import fastfisher
from fastfisher import NaturalStep

Array = np.ndarray

SOLVERS = ("cholesky", "gram", "cg", "lsmr")
THREADS = (1, 2, 3, 8)

# Threshold of LAPACK's test programs for their scaled residuals.
LAPACK_THRESHOLD = 30.0


class Batch(NamedTuple):
    scores: Array
    advantages: Array
    gradient: Array
    weights: Array


def batch(samples: int, parameters: int, seed: int = 0) -> Batch:
    """Return random scores, advantages, a gradient not made of them, and weights some of which are zero."""
    rng = np.random.default_rng((seed, samples, parameters))
    weights = rng.exponential(size=samples)
    weights[1::5] = 0.0
    return Batch(
        rng.standard_normal((samples, parameters)),
        rng.standard_normal(samples),
        rng.standard_normal(parameters),
        weights,
    )


def parts(*arrays: Array | None, sizes: tuple[int, ...] = (70, 1, 40)) -> Iterator[tuple[Any, ...]]:
    """Yield the arrays' rows in blocks; None stays None."""
    ends = np.cumsum([0, *sizes, 10**9])
    for first, last in itertools.pairwise(ends):
        yield tuple(None if a is None else a[first:last] for a in arrays)


def damped_fisher(
    scores: Array, damping: float, weights: Array | None = None, count: float | None = None
) -> Array:
    """F + lambda I."""
    w = np.ones(len(scores)) if weights is None else weights
    F = (w[:, None] * scores).T @ scores / (w.sum() if count is None else count)
    return F + damping * np.eye(scores.shape[1])


def lapack_ratio(result: NaturalStep, scores: Array) -> float:
    """||b - A x|| / (||A|| ||x|| max(N, d) eps) in 1-norms, for A = F + lambda I, from the scores in float64.

    Scores, damping, gradient and solution are first brought to a scale at which nothing overflows here.
    """
    unit, length = np.abs(scores).max() or 1.0, np.abs(result.gradient).max() or 1.0
    S, damping = scores / unit, result.damping / unit / unit
    b, x = result.gradient / length, result.direction * unit / length * unit
    remainder = b - (S.T @ (S @ x) / len(S) + damping * x)
    scale = (
        np.linalg.norm(damped_fisher(S, damping), 1) * np.abs(x).sum() * max(S.shape) * np.finfo(float).eps
    )
    return float(np.abs(remainder).sum() / scale) if scale > 0.0 else np.inf


def layouts(array: Array) -> Iterator[tuple[str, Array]]:
    """Yield the same matrix as it may lie in memory, none of it contiguous but the first two."""
    rows, columns = array.shape
    yield "C", np.ascontiguousarray(array)
    yield "F", np.asfortranarray(array)
    yield "rows reversed", np.ascontiguousarray(array[::-1])[::-1]
    yield "columns reversed", np.ascontiguousarray(array[:, ::-1])[:, ::-1]
    spread = np.full((2 * rows, 3 * columns), np.nan, array.dtype)
    spread[::2, ::3] = array
    yield "strided", spread[::2, ::3]
    shifted = np.full(array.size + 1, np.nan, array.dtype)
    shifted[1:] = array.ravel()
    yield "one element off", shifted[1:].reshape(array.shape)
    read_only = array.copy()
    read_only.flags.writeable = False
    yield "read-only", read_only


def same_bits(a: Any, b: Any) -> bool:
    """Compare arrays, numbers, None and tuples of them bit for bit."""
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    return bool(a == b)


def run_python(code: str, timeout: float = 60.0, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program in an interpreter of its own that finds the same fastfisher."""
    package = str(Path(fastfisher.__file__).parents[1])
    variables = {**os.environ, "PYTHONPATH": package, **environment}
    return subprocess.run(
        [sys.executable, "-c", code],
        env=variables,
        timeout=timeout,
        capture_output=True,
        text=True,
        check=False,
    )


class DlpackOnly:
    """An array of another library: DLPack and a shape, but not `__array__`."""

    def __init__(self, array: Array) -> None:
        self._array = array
        self.shape = array.shape

    def __dlpack__(self, **options: Any) -> Any:
        return self._array.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self._array.__dlpack_device__()
