"""Categorical actions, one or several independent ones at a time, the network's outputs being the logits."""

# ruff: noqa: D102 - the base class documents what is overridden here

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from .base import IMPOSSIBLE, Array, Head, log_softmax
from .product import ProductHead

Indices = NDArray[np.int64]


class CategoricalHead(Head):
    """p(a | z) = softmax(z)_a for a in 0 ... m - 1."""

    action_shape = ()
    action_dtype = np.int64

    def __init__(self, size: int) -> None:
        self.size = self.mask_size = size

    def masked(self, z: Array, allowed: NDArray[np.bool_]) -> Array:
        return np.where(allowed, z, IMPOSSIBLE)

    def noise(self, own: Array, count: int, rng: Generator) -> Array:
        # Gumbel noise: argmax(z + noise) is distributed as softmax(z).
        return rng.gumbel(size=(count, self.size))

    def choose(self, noisy: Array) -> int:
        return int(noisy.argmax())

    def choose_rows(self, noisy: Array) -> Indices:
        indices: Indices = np.argmax(noisy, axis=1).astype(np.int64)
        return indices

    def log_prob(self, z: Array, own: Array, act: Indices) -> Array:
        return log_softmax(z)[np.arange(len(z)), act]

    def errors(self, z: Array, own: Array, act: Indices) -> Array:
        """Return e_a - p, p = softmax(z)."""
        errors: Array = -np.exp(log_softmax(z))
        errors[np.arange(len(z)), act] += 1.0
        return errors

    def fisher_factors(self, z: Array, own: Array) -> list[Array]:
        """Return sqrt(p_a) (e_a - p) for each a: the Fisher matrix is sum_a p_a (e_a - p)(e_a - p)^T."""
        p: Array = np.exp(log_softmax(z))
        identity = np.eye(self.size)
        return [np.sqrt(p[:, a : a + 1]) * (identity[a] - p) for a in range(self.size)]

    def kl(self, z: Array, own: Array, other_z: Array, other_own: Array) -> Array:
        """Return sum p log(p / p')."""
        log_p = log_softmax(z)
        divergence: Array = (np.exp(log_p) * (log_p - log_softmax(other_z))).sum(axis=1)
        return divergence

    def entropy(self, z: Array, own: Array) -> float:
        log_p = log_softmax(z)
        return float(-(np.exp(log_p) * log_p).sum(axis=1).mean())


class MultiCategoricalHead(ProductHead):
    """p(a | z) = prod_k softmax(z_k)_{a_k}, z_k the k-th stretch of z (MultiDiscrete actions).

    Parameters
    ----------
    sizes : sequence of int
        Number of choices of each component.
    """

    action_dtype = np.int64

    def __init__(self, sizes: Sequence[int]) -> None:
        self.sizes = tuple(sizes)
        super().__init__([CategoricalHead(size) for size in self.sizes])

    def noise(self, own: Array, count: int, rng: Generator) -> Array:
        # Gumbel noise for all logits, as for those of one component.
        return rng.gumbel(size=(count, self.size))

    def perturb(self, z: Array, noise: Array) -> Array:
        return z + noise
