"""Value baselines by ridge regression on fixed features of observation and time."""

# ruff: noqa: D102 - the base class documents what is overridden here

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..._core import value_features_matvec, value_features_rows, value_features_sums
from ...natural import natural_step
from ..batch import Array
from ..moments import ROUNDING, standardization
from .base import Baseline, Times

_TIME_FEATURES = 5
"""1, t, t^2, t^3, t^4."""
_LONG = 1000.0
"""From this unit of time on, which 0.1.0 had for all, times to the unit count as seen."""


class RidgeBaseline(Baseline):
    """V(s, t): linear in the observation, or in its entries and their products, and in t, t^2, t^3, t^4.

    The observations are scaled and clipped first, as the paper's are (arXiv 1703.02660, section 4); the scale
    is measured on the batch of the fit, since environments differ.  The features are those of
    `fastfisher.reference.value_features`.  The fit minimises mean square error + ridge ||coefficients||^2.

    Time is in units of ``limit``, the number of steps after which an episode ends at the latest.  Where that
    is not known, or so far that time would vanish in the ridge, it is in units of the fit's longest
    trajectory.  A time that the fit has not seen, such as that at which the limit cuts an episode, has the
    value of the middle of the longest: powers of time run off, and what they guess of the end comes back in
    the targets of the next fit, where the discount of half an episode is what makes the guesses converge.
    A state of 0.1.0, which had none of this, goes on as it did: ``longest`` is 0 then.
    """

    def __init__(
        self,
        kind: Literal["linear", "quadratic"],
        observation_size: int,
        ridge: float,
        limit: int | None = None,
    ) -> None:
        self.kind = kind
        self.ridge = ridge
        self.limit = limit
        self.time_unit = self.longest = 1.0
        self.shift: Array = np.zeros(observation_size)
        self.scale: Array = np.ones(observation_size)
        products = observation_size * (observation_size + 1) // 2 if kind == "quadratic" else 0
        self.coefficients: Array = np.zeros(_TIME_FEATURES + observation_size + products)

    def predict(self, observations: Array, times: Times) -> Array:
        return value_features_matvec(*self._features(observations, times), self.coefficients)

    def fit(self, observations: Array, times: Times, targets: Array) -> None:
        self.shift, self.scale = standardization(observations)
        if self.longest > 0.0:
            self._measure_time(float(times.max()) + 1.0)
        if np.ptp(targets) <= ROUNDING * np.abs(targets).max():
            # A constant has no part for the other features to take, as the ridge would have it.
            self.coefficients = np.zeros_like(self.coefficients)
            self.coefficients[0] = targets.mean()
            return
        features = self._features(observations, times)
        # The fit is (X^T X / N + ridge I)^-1 X^T y / N.
        if len(targets) < len(self.coefficients):
            # That is X^T (X X^T / N + ridge I)^-1 y / N, of which the matrix is the smaller one now.
            X = value_features_rows(*features)
            step = natural_step(X, targets, damping=self.ridge, solver="gram", precision="double")
            self.coefficients = step.direction
            return
        # The sums are taken of a few rows of X at a time, which never leave the cache: written out, X would
        # take ten times the memory of the observations.
        XtX, Xty = value_features_sums(*features, targets)
        (self.coefficients,) = XtX.solve((Xty / len(targets)).reshape(1, -1), self.ridge)

    def _measure_time(self, longest: float) -> None:
        self.longest = longest
        # The variance of t / limit, (longest / limit)^2 / 12, is what the ridge is held against.
        if self.limit is None or longest < self.limit * math.sqrt(12.0 * self.ridge):
            self.time_unit = longest
        else:
            self.time_unit = float(self.limit)

    def _features(self, observations: Array, times: Times) -> tuple[Array, Times, float, Array, Array, bool]:
        """Return what the core makes rows of features of."""
        end = self.longest if self.time_unit < _LONG else self.time_unit + 1.0
        seen = np.where(times < end, times, int(0.5 * end)) if self.longest > 0.0 else times
        return observations, seen, self.time_unit, self.shift, self.scale, self.kind == "quadratic"

    def state(self) -> dict[str, NDArray[Any]]:
        return {
            "coefficients": self.coefficients,
            "shift": self.shift,
            "scale": self.scale,
            "time": np.array([self.time_unit, self.longest]),
        }

    def load_state(self, values: Mapping[str, NDArray[Any]]) -> None:
        self.coefficients = np.array(values["coefficients"])
        self.shift, self.scale = np.array(values["shift"]), np.array(values["scale"])
        self.time_unit, self.longest = map(float, values.get("time", (_LONG, 0.0)))
