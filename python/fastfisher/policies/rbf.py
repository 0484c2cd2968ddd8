"""The RBF policy of arXiv 1703.02660: linear in random Fourier features of the observation."""

# ruff: noqa: D102 - the base classes document what is overridden here

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from .._core import network_forward
from ..fisher import Fisher
from ..scores import Scores
from .heads.base import Array, Head, even_spread
from .network import NetworkPolicy

# Products here are left to the core, whose bits do not depend on the number of threads, as NumPy's do.

_BANDWIDTH_SAMPLES = 1_000
"""The distances of this many observations set the bandwidth: half a million pairs."""
_ROUNDING = 1e-8
"""A mean distance below this share of the largest entry is rounding."""

_REFIT_SAMPLES = 2_000
"""Weights are refitted on this many observations when the features' scale moves."""
_REFIT_RIDGE = 1e-5
"""The ridge of that fit, per sample; a feature's mean square is 1/2."""


class RBFPolicy(NetworkPolicy):
    """z = W^T y + b, y = sin(P x / nu + phi), x = (s - shift) / scale; P ~ N(0, 1), phi ~ U[-pi, pi) fixed.

    The transform is the identity until :meth:`set_input_transform` moves it.

    Parameters
    ----------
    observation_size, features : int
        Number of entries of an observation and of random features.
    head : Head
        Distribution of the actions given z.
    rng : numpy.random.Generator
        The source of P and phi.
    bandwidth : float, optional
        nu; None sets it to the mean distance between the observations of the first batch, as the paper does,
        times ``bandwidth_scale``.  The first policy does not depend on its features (W = 0), so it can wait.
    bandwidth_scale : float
        Above 0; from 2 on the features are close to linear where most observations are.
    """

    def __init__(
        self,
        observation_size: int,
        features: int,
        head: Head,
        rng: Generator,
        *,
        bandwidth: float | None = None,
        bandwidth_scale: float = 1.0,
    ) -> None:
        super().__init__((features, head.size), head, rng)
        self.projection: Array = rng.standard_normal((observation_size, features))
        self.phase: Array = rng.uniform(-np.pi, np.pi, features)
        self.bandwidth = bandwidth
        self.bandwidth_scale = bandwidth_scale
        self.shift: Array = np.zeros(observation_size)
        self.scale: Array = np.ones(observation_size)

    def set_input_transform(self, shift: Array, scale: Array, obs: Array) -> None:
        # No weights of the new features give the same function; the best miss the old one least on a few of
        # the observations, (Y^T Y / n + r I) dW = Y^T (Y_old - Y) W_old / n.
        sample = obs[even_spread(len(obs), _REFIT_SAMPLES)]
        before = _with_ones(self.features(sample))
        self.shift, self.scale = shift.copy(), scale.copy()
        W, Y = self._layers()[0], _with_ones(self.features(sample))
        S, change = Scores(Y), Scores(before - Y)
        squares = Fisher(Y.shape[1])
        squares.update(S)
        missed = [S.T @ (change @ w) / len(Y) for w in W.T]
        W += squares.solve(np.stack(missed, axis=1), damping=_REFIT_RIDGE)

    def prepare(self, obs: Array) -> None:
        if self.bandwidth is None:
            standardized = (obs - self.shift) / self.scale
            self.bandwidth = self.bandwidth_scale * mean_pairwise_distance(standardized)

    def _projection_of_observation(self) -> tuple[Array, Array]:
        """Return P and phi as they apply to the raw observation."""
        projection = self.projection / (self.scale[:, None] * (self.bandwidth or 1.0))
        return projection, self.phase - (self.shift[:, None] * projection).sum(axis=0)

    def features(self, obs: Array) -> Array:
        _, angles = network_forward(obs, [np.vstack(self._projection_of_observation())])
        return np.sin(angles)

    def _core_weights(self) -> tuple[list[Array], bool] | None:
        if type(self).features is not RBFPolicy.features:
            return None
        return [np.vstack(self._projection_of_observation()), self._layers()[0].copy()], True

    def constants(self) -> dict[str, NDArray[Any]]:
        return {
            "projection": self.projection,
            "phase": self.phase,
            "bandwidth": np.array(np.nan if self.bandwidth is None else self.bandwidth),
            "shift": self.shift,
            "scale": self.scale,
        }

    def load_constants(self, values: Mapping[str, NDArray[Any]]) -> None:
        self.projection, self.phase = np.array(values["projection"]), np.array(values["phase"])
        self.shift, self.scale = np.array(values["shift"]), np.array(values["scale"])
        bandwidth = float(values["bandwidth"])
        self.bandwidth = None if np.isnan(bandwidth) else bandwidth


def mean_pairwise_distance(obs: Array) -> float:
    """Return the mean Euclidean distance between observations, from an even spread of up to 1,000 of them.

    Where all observations are the same, to rounding, it is 1.
    """
    sample = obs[even_spread(len(obs), _BANDWIDTH_SAMPLES)]
    if len(sample) < 2:
        return 1.0
    centred = sample - sample.mean(axis=0)
    square = np.square(centred).sum(axis=1)
    squares = square[:, None] + square[None, :] - 2.0 * Scores(centred).gram()
    np.fill_diagonal(squares, 0.0)
    total = np.sqrt(np.maximum(squares, 0.0)).sum()
    distance = float(total / (len(sample) * (len(sample) - 1)))
    return distance if distance > _ROUNDING * np.abs(sample).max() else 1.0


def _with_ones(features: Array) -> Array:
    return np.column_stack([features, np.ones(len(features))])
