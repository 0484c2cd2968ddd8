"""The unit that rewards are measured in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .moments import RunningMoments

Array = NDArray[np.float64]

_ROUNDING = 1e-8
"""A spread below this share of the mean is rounding: such returns are a constant."""


class RewardUnit:
    """The standard deviation of all discounted returns seen; 1 before the first.

    The returns are those the baseline is fitted to: from each step to the end of its trajectory, with the
    value of the last state where a time limit or the end of the batch cut it.  They are given in the
    environment's unit, to which a value learned in this one is brought by multiplying with it.  So a unit
    that moves from batch to batch takes nothing from what the baseline knows.
    """

    def __init__(self) -> None:
        self._moments = RunningMoments(1)

    @property
    def value(self) -> float:
        """The unit, in the environment's; 1 where returns do not differ."""
        std, mean = float(self._moments.std(floor=0.0)[0]), float(self._moments.mean[0])
        return std if std > _ROUNDING * abs(mean) else 1.0

    def update(self, returns: Array) -> None:
        """See the returns of a batch, (N,), in the environment's unit."""
        self._moments.update(returns[:, None])

    def state(self) -> dict[str, NDArray[Any]]:
        """Return what a checkpoint has to keep."""
        return self._moments.state()

    def load_state(self, values: Mapping[str, NDArray[Any]]) -> None:
        """Take back what :meth:`state` returned."""
        self._moments.load_state(values)
