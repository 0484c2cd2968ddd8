"""Value baselines by ridge regression on fixed features of observation and time."""

# ruff: noqa: D102 - the base class documents what is overridden here

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..._core import value_features_matvec, value_features_sums
from ..batch import Array
from ..moments import standardization
from .base import Baseline, Times

_TIME_FEATURES = 5
"""1, t, t^2, t^3, t^4."""


class RidgeBaseline(Baseline):
    """V(s, t): linear in the observation, or in its entries and their products, and in t, t^2, t^3, t^4.

    The observations are scaled and clipped first, as the paper's are (arXiv 1703.02660, section 4); the scale
    is measured on the batch of the fit, since environments differ.  The features are those of
    `fastfisher.reference.value_features`.  The fit minimises mean square error + ridge ||coefficients||^2.
    """

    def __init__(self, kind: Literal["linear", "quadratic"], observation_size: int, ridge: float) -> None:
        self.kind = kind
        self.ridge = ridge
        self.shift: Array = np.zeros(observation_size)
        self.scale: Array = np.ones(observation_size)
        products = observation_size * (observation_size + 1) // 2 if kind == "quadratic" else 0
        self.coefficients: Array = np.zeros(_TIME_FEATURES + observation_size + products)

    def predict(self, observations: Array, times: Times) -> Array:
        return value_features_matvec(
            observations, times, self.shift, self.scale, self.kind == "quadratic", self.coefficients
        )

    def fit(self, observations: Array, times: Times, targets: Array) -> None:
        self.shift, self.scale = standardization(observations)
        # The fit is (X^T X / N + ridge I)^-1 X^T y / N.  The sums are taken of a few rows of X at a time,
        # which never leave the cache: written out, X would take ten times the memory of the observations.
        XtX, Xty = value_features_sums(
            observations, times, self.shift, self.scale, self.kind == "quadratic", targets
        )
        (self.coefficients,) = XtX.solve((Xty / len(targets)).reshape(1, -1), self.ridge)

    def state(self) -> dict[str, NDArray[Any]]:
        return {"coefficients": self.coefficients, "shift": self.shift, "scale": self.scale}

    def load_state(self, values: Mapping[str, NDArray[Any]]) -> None:
        self.coefficients = np.array(values["coefficients"])
        self.shift, self.scale = np.array(values["shift"]), np.array(values["scale"])
