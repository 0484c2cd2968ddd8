"""Running mean and variance of observations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _core

Array = NDArray[np.float64]


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
        mean, sum_square = _core.column_moments(rows)
        shift = mean - self.mean
        total = self.count + count
        self.sum_square += sum_square + shift**2 * (self.count * count / total)
        self.mean += shift * (count / total)
        self.count = total

    def std(self, floor: float = 1e-3) -> Array:
        """Return the standard deviations, 1 where they are below the floor: such an entry is a constant."""
        std = np.sqrt(self.sum_square / max(self.count, 1))
        return np.where(std > floor, std, 1.0)

    def state(self) -> dict[str, NDArray[Any]]:
        """Return what a checkpoint has to keep."""
        return {"count": np.array(self.count), "mean": self.mean, "sum_square": self.sum_square}

    def load_state(self, values: Mapping[str, NDArray[Any]]) -> None:
        """Take back what :meth:`state` returned."""
        self.count = int(values["count"])
        self.mean, self.sum_square = np.array(values["mean"]), np.array(values["sum_square"])


def standardization(rows: Array) -> tuple[Array, Array]:
    """Return means and standard deviations of the columns of a batch, the latter 1 where one is constant."""
    mean, sum_square = _core.column_moments(rows)
    std = np.sqrt(sum_square / max(len(rows), 1))
    return mean, np.where(std > 1e-6, std, 1.0)
