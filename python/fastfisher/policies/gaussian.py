"""Gaussian actions with a learned, state-independent log standard deviation."""

from __future__ import annotations

import math

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from .head import Head

Array = NDArray[np.float64]

_LOG_2_PI = math.log(2.0 * math.pi)


class GaussianHead(Head):
    """a ~ N(z, diag(sigma^2)), log sigma the head's own parameters.

    Parameters
    ----------
    size
        Number of action dimensions m.
    initial_log_std, min_log_std
        Where log sigma starts, and its floor: the step towards zero variance never ends, since
        the score of log sigma is of order one however small sigma is.
    """

    action_dtype = np.float64

    def __init__(self, size: int, initial_log_std: float = -0.5, min_log_std: float = -3.0) -> None:
        self.size = size
        self.own_size = size
        self.action_shape = (size,)
        self.initial_log_std = initial_log_std
        self.min_log_std = min_log_std

    def initial_own(self) -> Array:
        """Return log sigma."""
        return np.full(self.size, self.initial_log_std)

    def noise(self, own: Array, count: int, rng: Generator) -> Array:
        """Return sigma eps, eps standard normal."""
        noise: Array = rng.standard_normal((count, self.size)) * np.exp(own)
        return noise

    def choose(self, noisy: Array) -> Array:
        """Return a = z + sigma eps."""
        return noisy

    def choose_rows(self, noisy: Array) -> Array:
        """Return a = z + sigma eps."""
        return noisy

    def log_prob(self, z: Array, own: Array, act: Array) -> Array:
        """Return -|(a - z) / sigma|^2 / 2 - sum log sigma - (m / 2) log 2 pi."""
        square: Array = np.square((act - z) * np.exp(-own)).sum(axis=1)
        return -0.5 * (square + self.size * _LOG_2_PI) - float(own.sum())

    def errors(self, z: Array, own: Array, act: Array) -> Array:
        """Return (a - z) / sigma^2."""
        errors: Array = (act - z) * np.exp(-2.0 * own)
        return errors

    def own_scores(self, z: Array, own: Array, act: Array) -> Array:
        """Return ((a - z) / sigma)^2 - 1."""
        scores: Array = np.square((act - z) * np.exp(-own)) - 1.0
        return scores

    def fisher_factors(self, z: Array, own: Array) -> list[Array]:
        """Return e_k / sigma_k for each k: the Fisher matrix of z is diag(1 / sigma^2)."""
        return [np.tile(row, (len(z), 1)) for row in np.diag(np.exp(-own))]

    def own_fisher_root(self, own: Array) -> Array:
        """Return sqrt(2) I: E[(eps^2 - 1)^2] = 2, and eps^2 - 1 is uncorrelated with the score of z."""
        return math.sqrt(2.0) * np.eye(self.size)

    def kl(self, z: Array, own: Array, other_z: Array, other_own: Array) -> Array:
        """Return sum (((z - z')^2 + sigma^2) / sigma'^2 - 1) / 2 + log(sigma' / sigma)."""
        ratio = np.exp(2.0 * (own - other_own))
        distance = np.square((z - other_z) * np.exp(-other_own))
        divergence: Array = 0.5 * (distance + ratio - 1.0).sum(axis=1) + (other_own - own).sum()
        return divergence

    def entropy(self, z: Array, own: Array) -> float:
        """Return sum log sigma + (m / 2)(1 + log 2 pi)."""
        return float(own.sum() + 0.5 * self.size * (1.0 + _LOG_2_PI))

    def std(self, own: Array) -> float:
        """Return the mean of sigma."""
        return float(np.exp(own).mean())

    def constrain(self, own: Array) -> None:
        """Raise log sigma to its floor."""
        np.maximum(own, self.min_log_std, out=own)
