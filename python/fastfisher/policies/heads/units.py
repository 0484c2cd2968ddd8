"""The units of continuous actions: where they have bounds, the centre and half the range of these."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .base import Array

_NO_BOUND = 1e30
"""A bound of this size is none: some environments write float32's largest number, 3.4e38, for infinity."""


class ActionUnits:
    """a = center + half_range u, entry by entry.

    An action is recorded as u and given to the environment as a: a mean of 0 and a standard deviation of
    order one are then as sensible for bounds of 10 and 20 as they are for -1 and 1.  The map is fixed, so
    scores, KL divergence and Fisher matrix are those of u.

    Parameters
    ----------
    center, half_range : (m,) array
        What u = 0 stands for, and what u = 1 is away from it.
    """

    def __init__(self, center: Array, half_range: Array) -> None:
        self.center, self.half_range = center, half_range

    def __call__(self, u: Array) -> Array:
        """Return the environment's actions, of one or of rows."""
        a: Array = self.center + self.half_range * u
        return a

    @classmethod
    def of_bounds(cls, low: Array, high: Array) -> ActionUnits:
        """Return the units in which -1 is a lower bound and 1 an upper one.

        An entry that lacks either bound keeps the environment's unit.
        """
        bounded = has_bounds(low, high)
        low, high = np.where(bounded, low, -1.0), np.where(bounded, high, 1.0)
        # Each bound is halved first: the whole range of float64 overflows.
        return cls(0.5 * low + 0.5 * high, 0.5 * high - 0.5 * low)

    @property
    def are_the_environments(self) -> bool:
        """Whether u and a are the same, as for bounds of -1 and 1."""
        return not self.center.any() and bool((self.half_range == 1.0).all())


def has_bounds(low: Array, high: Array) -> NDArray[np.bool_]:
    """Return which entries are bounded from below and from above."""
    bounded: NDArray[np.bool_] = (np.abs(low) < _NO_BOUND) & (np.abs(high) < _NO_BOUND)
    return bounded
