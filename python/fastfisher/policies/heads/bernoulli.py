"""Vectors of independent bits (MultiBinary actions), the network's outputs being the logits."""

# ruff: noqa: D102 - the base class documents what is overridden here

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from .base import IMPOSSIBLE, Array, Head, log_sigmoid, sigmoid

Bits = NDArray[np.int8]


class BernoulliHead(Head):
    """P(a_k = 1 | z) = sigmoid(z_k), independently for k in 0 ... m - 1."""

    action_dtype = np.int8

    def __init__(self, size: int) -> None:
        self.size, self.mask_size = size, 2 * size
        self.action_shape = (size,)

    def masked(self, z: Array, allowed: NDArray[np.bool_]) -> Array:
        """Return z where a bit may be either; ``allowed`` says of each bit whether it may be 0, then 1."""
        zero, one = allowed[..., 0::2], allowed[..., 1::2]
        return np.where(zero & one, z, np.where(one, -IMPOSSIBLE, IMPOSSIBLE))

    def noise(self, own: Array, count: int, rng: Generator) -> Array:
        # Logistic noise: P(z + noise > 0) = sigmoid(z).
        return rng.logistic(size=(count, self.size))

    def choose(self, noisy: Array) -> Bits:
        return (noisy > 0.0).astype(np.int8)

    def log_prob(self, z: Array, own: Array, act: Bits) -> Array:
        """Return sum log sigmoid(+-z), the sign that of the bit."""
        log_p: Array = log_sigmoid(np.where(act, z, -z)).sum(axis=1)
        return log_p

    def errors(self, z: Array, own: Array, act: Bits) -> Array:
        """Return a - p, p = sigmoid(z), without the cancellation of 1 - p where p is near one."""
        return np.where(act, sigmoid(-z), -sigmoid(z))

    def fisher_factors(self, z: Array, own: Array) -> list[Array]:
        """Return sqrt(p_k (1 - p_k)) e_k for each k: the Fisher matrix is diagonal."""
        root = np.exp(0.5 * (log_sigmoid(z) + log_sigmoid(-z)))
        return [root[:, k : k + 1] * row for k, row in enumerate(np.eye(self.size))]

    def kl(self, z: Array, own: Array, other_z: Array, other_own: Array) -> Array:
        """Return sum p log(p / p') + (1 - p) log((1 - p) / (1 - p')), p = sigmoid(z)."""
        of_ones = sigmoid(z) * (log_sigmoid(z) - log_sigmoid(other_z))
        of_zeros = sigmoid(-z) * (log_sigmoid(-z) - log_sigmoid(-other_z))
        divergence: Array = (of_ones + of_zeros).sum(axis=1)
        return divergence

    def entropy(self, z: Array, own: Array) -> float:
        terms = sigmoid(z) * log_sigmoid(z) + sigmoid(-z) * log_sigmoid(-z)
        return float(-terms.sum(axis=1).mean())
