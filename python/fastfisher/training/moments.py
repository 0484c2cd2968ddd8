"""Running mean and variance: of observations, and of returns, whose spread is the unit of rewards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._core import column_moments
from .batch import Array

ROUNDING = 1e-8
"""A deviation below this share of the mean is rounding: such numbers are a constant."""


class RunningMoments:
    """Mean and variance of all rows seen, merged batch by batch (Chan, Golub and LeVeque 1979)."""

    def __init__(self, size: int) -> None:
        self.count = 0
        self.mean: Array = np.zeros(size)
        self.sum_square: Array = np.zeros(size)
        """Sum of squared deviations from the mean."""

    def update(self, rows: Array) -> None:
        """Add rows, (N, size)."""
        count = len(rows)
        mean, sum_square = column_moments(rows)
        shift = mean - self.mean
        total = self.count + count
        self.sum_square += sum_square + shift**2 * (self.count * count / total)
        self.mean += shift * (count / total)
        self.count = total

    def std(self) -> Array:
        """Return the standard deviations, 1 where one is rounding: such an entry is a constant."""
        return _deviations(self.mean, self.sum_square, self.count)

    def state(self) -> dict[str, NDArray[Any]]:
        """Return what a checkpoint has to keep."""
        return {"count": np.array(self.count), "mean": self.mean, "sum_square": self.sum_square}

    def load_state(self, values: Mapping[str, NDArray[Any]]) -> None:
        """Take back what :meth:`state` returned."""
        self.count = int(values["count"])
        self.mean, self.sum_square = np.array(values["mean"]), np.array(values["sum_square"])


class RewardUnit(RunningMoments):
    """The unit that rewards are measured in: the standard deviation of all discounted returns seen.

    The unit is 1 before the first of them.  The returns are those the baseline is fitted to: from each step
    to the end of its trajectory, with the value of the last state where a time limit or the end of the batch
    cut it.  They are given in the environment's unit.  A value of the baseline, times this unit, is in the
    environment's, so a unit that moves from batch to batch takes nothing from what the baseline knows.
    """

    def __init__(self) -> None:
        super().__init__(1)

    @property
    def value(self) -> float:
        """The unit, in the environment's; 1 where returns do not differ."""
        return float(self.std()[0])

    def update(self, returns: Array) -> None:
        """See the returns of a batch, (N,), in the environment's unit."""
        super().update(returns[:, None])


def standardization(rows: Array) -> tuple[Array, Array]:
    """Return means and standard deviations of the columns of a batch, the latter 1 where one is constant."""
    mean, sum_square = column_moments(rows)
    return mean, _deviations(mean, sum_square, len(rows))


def _deviations(mean: Array, sum_square: Array, count: int) -> Array:
    """Return standard deviations, 1 where one is rounding: of the entry, or of the largest beside it.

    No deviation is too small in itself: it may be that of an entry in a large unit, such as kilometres.
    """
    std = np.sqrt(sum_square / max(count, 1))
    largest = max(np.abs(mean).max(initial=0.0), std.max(initial=0.0))
    floor = np.maximum(ROUNDING * np.abs(mean), 4.0 * np.finfo(np.float64).eps * largest)
    return np.where(std > floor, std, 1.0)
