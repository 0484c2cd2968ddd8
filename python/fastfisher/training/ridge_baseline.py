"""Value baselines by ridge regression on fixed features of observation and time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..natural import natural_step
from ..scores import Scores
from .baseline import Baseline

Array = NDArray[np.float64]

_CLIP = 5.0
"""Standard deviations at which observations are clipped."""
_TIME_SCALE = 1_000.0
_TIME_POWERS = 4


class RidgeBaseline(Baseline):
    """V(s, t): linear in the observation, or in its entries and their products, and in t, t^2, t^3, t^4.

    As the paper's (arXiv 1703.02660, section 4) the observations are scaled and clipped first; here
    the scale is that of the batch the fit is made on, since environments differ in theirs.

    Parameters
    ----------
    kind
        Whether there are products.
    observation_size
        D.
    ridge
        The fit minimises mean square error + ridge ||coefficients||^2.
    """

    def __init__(self, kind: Literal["linear", "quadratic"], observation_size: int, ridge: float) -> None:
        self.kind = kind
        self.ridge = ridge
        self.shift: Array = np.zeros(observation_size)
        self.scale: Array = np.ones(observation_size)
        products = observation_size * (observation_size + 1) // 2 if kind == "quadratic" else 0
        self.coefficients: Array = np.zeros(1 + _TIME_POWERS + observation_size + products)

    def _standardised(self, observations: Array) -> Array:
        x: Array = np.clip((observations - self.shift) / self.scale, -_CLIP, _CLIP) / _CLIP
        return x

    def features(self, observations: Array, times: NDArray[np.int64]) -> Array:
        """Return [1, t ... t^4, x, (x_i x_j)], (N, features)."""
        x = self._standardised(observations)
        # By columns: each is then written, and the products formed, along contiguous memory.
        rows = np.empty((len(self.coefficients), len(x)))
        rows[: _TIME_POWERS + 1] = _powers(times)
        start = _TIME_POWERS + 1
        by_entry = np.ascontiguousarray(x.T)
        rows[start : start + len(by_entry)] = by_entry
        start += len(by_entry)
        if self.kind == "quadratic":
            for i in range(len(by_entry)):
                stop = start + len(by_entry) - i
                np.multiply(by_entry[i], by_entry[i:], out=rows[start:stop])
                start = stop
        return rows.T

    def predict(self, observations: Array, times: NDArray[np.int64]) -> Array:
        """Return V, (N,)."""
        size = observations.shape[1]
        of_time, of_entries, of_products = np.split(
            self.coefficients, [_TIME_POWERS + 1, _TIME_POWERS + 1 + size]
        )
        x = self._standardised(observations)
        # No BLAS here: its threads would go on spinning while the core's begin to work.
        values = np.asarray(np.polynomial.polynomial.polyval(times / _TIME_SCALE, of_time), np.float64)
        if self.kind == "linear":
            return values + Scores(x) @ of_entries
        # b^T x + x^T C x = [1, x]^T [b; C] x: the features are the outer products of [1, x] and x, which
        # as a pair never have to be written out.
        matrix = np.zeros((1 + size, size))
        matrix[0] = of_entries
        matrix[1:][np.triu_indices(size)] = of_products
        with_one = np.hstack([np.ones((len(x), 1)), x])
        return values + Scores([(with_one, x)]) @ matrix.ravel()

    def fit(self, observations: Array, times: NDArray[np.int64], targets: Array) -> None:
        """Fit to value targets, (N,)."""
        std = observations.std(axis=0)
        self.shift, self.scale = observations.mean(axis=0), np.where(std > 1e-6, std, 1.0)
        # Ridge regression is a natural step whose scores are the features and whose advantages are the
        # targets: (X^T X / N + ridge I)^-1 X^T y / N.
        X = self.features(observations, times)
        self.coefficients = natural_step(X, targets, damping=self.ridge).direction

    def state(self) -> dict[str, NDArray[Any]]:
        """Return what a checkpoint has to keep."""
        return {"coefficients": self.coefficients, "shift": self.shift, "scale": self.scale}

    def load_state(self, values: Mapping[str, NDArray[Any]]) -> None:
        """Take back what :meth:`state` returned."""
        self.coefficients = np.array(values["coefficients"])
        self.shift, self.scale = np.array(values["shift"]), np.array(values["scale"])


def _powers(times: NDArray[np.int64]) -> Array:
    """Return [1, t, ..., t^4] of scaled times, (5, N)."""
    powers = np.ones((_TIME_POWERS + 1, len(times)))
    for power in range(1, _TIME_POWERS + 1):
        np.multiply(powers[power - 1], times / _TIME_SCALE, out=powers[power])
    return powers
