"""Categorical actions, the network's outputs being the logits."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from .base import Head
from .functions import log_softmax

Array = NDArray[np.float64]
Indices = NDArray[np.int64]


class CategoricalHead(Head):
    """p(a | z) = softmax(z)_a for a in 0 ... m - 1."""

    own_size = 0
    action_shape = ()
    action_dtype = np.int64

    def __init__(self, size: int) -> None:
        self.size = size

    def initial_own(self) -> Array:
        """Return no parameters."""
        return np.zeros(0)

    def noise(self, own: Array, count: int, rng: Generator) -> Array:
        """Return Gumbel noise: argmax(z + noise) is distributed as softmax(z)."""
        return rng.gumbel(size=(count, self.size))

    def choose(self, noisy: Array) -> int:
        """Return argmax."""
        return int(noisy.argmax())

    def choose_rows(self, noisy: Array) -> Indices:
        """Return argmax of each row."""
        indices: Indices = np.argmax(noisy, axis=1).astype(np.int64)
        return indices

    def log_prob(self, z: Array, own: Array, act: Indices) -> Array:
        """Return log softmax(z)_a."""
        chosen: Array = log_softmax(z)[np.arange(len(z)), act]
        return chosen

    def errors(self, z: Array, own: Array, act: Indices) -> Array:
        """Return e_a - p, p = softmax(z)."""
        errors: Array = -np.exp(log_softmax(z))
        errors[np.arange(len(z)), act] += 1.0
        return errors

    def own_scores(self, z: Array, own: Array, act: Indices) -> Array:
        """Return no columns."""
        return np.zeros((len(z), 0))

    def fisher_factors(self, z: Array, own: Array) -> list[Array]:
        """Return sqrt(p_a) (e_a - p) for each a: the Fisher matrix is sum_a p_a (e_a - p)(e_a - p)^T."""
        p: Array = np.exp(log_softmax(z))
        identity = np.eye(self.size)
        return [np.sqrt(p[:, a : a + 1]) * (identity[a] - p) for a in range(self.size)]

    def own_fisher_root(self, own: Array) -> Array:
        """Return no rows."""
        return np.zeros((0, 0))

    def kl(self, z: Array, own: Array, other_z: Array, other_own: Array) -> Array:
        """Return sum p log(p / p')."""
        log_p = log_softmax(z)
        divergence: Array = (np.exp(log_p) * (log_p - log_softmax(other_z))).sum(axis=1)
        return divergence

    def entropy(self, z: Array, own: Array) -> float:
        """Return the mean of -sum p log p."""
        log_p = log_softmax(z)
        return float(-(np.exp(log_p) * log_p).sum(axis=1).mean())
