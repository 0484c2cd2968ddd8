"""The damped system of an accumulated Fisher matrix: no rows, only their sum."""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from . import _core

Vector: TypeAlias = NDArray[np.float64]

EPSILON = float(np.finfo(np.float64).eps)
MOST_REFINEMENTS = 3
MOST_FACTORISATIONS = 4


def norm(v: Vector) -> float:
    """||v||, without overflow on the way."""
    largest = float(np.abs(v).max())
    return largest * float(np.linalg.norm(v / largest)) if 0.0 < largest < math.inf else largest


def check_range(step: Vector) -> None:
    """OverflowError where a step, which is not zero, came out as infinite or as zero."""
    if not (np.isfinite(step).all() and step.any()):
        raise OverflowError(
            "the step leaves the range of float64; increase damping or rescale scores or advantages"
        )


class System:
    """(F + lambda I) y = b, for F = sum w s s^T / count.

    Parameters
    ----------
    fisher : _core.Fisher
        With at least one row of positive weight.
    count : float or None
        Default: sum w.
    threads : int
        0: the default number.
    """

    def __init__(self, fisher: _core.Fisher, count: float | None, threads: int) -> None:
        self._fisher = fisher
        self._threads = threads
        if not self._fisher.total_weight > 0.0:
            raise ValueError("weights: expected a positive sum, got all zeros")
        self.d = self._fisher.d
        self.scale = 1.0 if count is None else self._fisher.total_weight / count
        self.trace = self.scale * self._fisher.trace()
        self.mean_eigenvalue = self.trace / min(fisher.count, self.d)

    def apply(self, v: Vector) -> Vector:
        """F v."""
        return self.scale * self._fisher.multiply(v, self._threads)

    @np.errstate(over="ignore", invalid="ignore")
    def solve(self, b: Vector, damping: float) -> tuple[Vector, int, list[str]]:
        """y, the steps of iterative refinement, notes.

        Each step factors again: d^3 / 3 operations, where the rows took N d^2 with N of another order.
        """
        y = np.zeros(self.d)
        if not b.any():
            return y, 0, []
        y, jitter = self._first(b, damping)
        check_range(y)
        notes = []
        if jitter > 0.0:
            notes.append(
                "The damping is below the rounding of the matrix, whose Cholesky factor broke down; a jitter "
                f"of {jitter / self.trace:.1e} times its trace was added to the factored matrix."
            )
        remainder = b - self.apply(y) - damping * y
        refinements = 0
        while refinements < MOST_REFINEMENTS:
            size = norm(remainder)
            rounding = max(2.0 * norm(b), 4.0 * (self.mean_eigenvalue + damping) * norm(y))
            if size <= EPSILON * rounding:
                break
            better = y + self._factored(remainder, damping + jitter)
            left = b - self.apply(better) - damping * better
            refinements += 1
            if not norm(left) < size:
                break
            y, remainder = better, left
            if not norm(left) < 0.5 * size:
                break
        return y, refinements, notes

    def _factored(self, b: Vector, damping: float) -> Vector:
        right = (b / self.scale).reshape(1, -1)
        try:
            (x,) = self._fisher.solve(right, damping / self.scale, self._threads)
        except OverflowError:  # of a refinement that is dropped, or of the step, which check_range then says
            return np.full_like(b, np.inf)
        return np.asarray(x)

    def _first(self, b: Vector, damping: float) -> tuple[Vector, float]:
        jitter = 0.0
        for _ in range(MOST_FACTORISATIONS):
            try:
                return self._factored(b, damping + jitter), jitter
            except np.linalg.LinAlgError:
                jitter = EPSILON * self.trace if jitter == 0.0 else 100.0 * jitter
        raise np.linalg.LinAlgError(
            "the damped Fisher matrix has no Cholesky factor, even with jitter; increase damping"
        )
