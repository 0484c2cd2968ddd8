"""Categorical actions, one or several independent ones at a time, the network's outputs being the logits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from .base import Array, Head, log_softmax

Indices = NDArray[np.int64]


class CategoricalHead(Head):
    """p(a | z) = softmax(z)_a for a in 0 ... m - 1."""

    action_shape = ()
    action_dtype = np.int64

    def __init__(self, size: int) -> None:
        self.size = size

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
        """Return the mean of -sum p log p."""
        log_p = log_softmax(z)
        return float(-(np.exp(log_p) * log_p).sum(axis=1).mean())


class MultiCategoricalHead(Head):
    """p(a | z) = prod_k softmax(z_k)_{a_k}, z_k the k-th stretch of z (MultiDiscrete actions).

    Parameters
    ----------
    sizes : sequence of int
        Number of choices of each component.
    """

    action_dtype = np.int64

    def __init__(self, sizes: Sequence[int]) -> None:
        self.sizes = tuple(sizes)
        self.size = sum(self.sizes)
        self.action_shape = (len(self.sizes),)
        stops = np.cumsum(self.sizes).tolist()
        self._stretches = [slice(stop - size, stop) for stop, size in zip(stops, self.sizes, strict=True)]
        self._components = [CategoricalHead(size) for size in self.sizes]

    def _split(self, *rows: Array) -> Iterator[tuple[CategoricalHead, list[Array]]]:
        """Yield each component with its stretch of the columns."""
        for head, stretch in zip(self._components, self._stretches, strict=True):
            yield head, [array[:, stretch] for array in rows]

    def noise(self, own: Array, count: int, rng: Generator) -> Array:
        """Return Gumbel noise for all logits, as of one component."""
        return rng.gumbel(size=(count, self.size))

    def choose(self, noisy: Array) -> Indices:
        """Return the argmax of each stretch."""
        return np.array([noisy[stretch].argmax() for stretch in self._stretches], dtype=np.int64)

    def choose_rows(self, noisy: Array) -> Indices:
        """Return the argmax of each stretch of each row."""
        return np.stack([head.choose_rows(part) for head, (part,) in self._split(noisy)], axis=1)

    def log_prob(self, z: Array, own: Array, act: Indices) -> Array:
        """Return sum_k log softmax(z_k)_{a_k}."""
        total = np.zeros(len(z))
        for k, (head, (part,)) in enumerate(self._split(z)):
            total += head.log_prob(part, own, act[:, k])
        return total

    def errors(self, z: Array, own: Array, act: Indices) -> Array:
        """Return e_{a_k} - softmax(z_k), side by side."""
        return np.hstack(
            [head.errors(part, own, act[:, k]) for k, (head, (part,)) in enumerate(self._split(z))]
        )

    def fisher_factors(self, z: Array, own: Array) -> list[Array]:
        """Return the factors of each component, zero elsewhere: the Fisher matrix is block-diagonal."""
        factors = []
        for (head, (part,)), stretch in zip(self._split(z), self._stretches, strict=True):
            for factor in head.fisher_factors(part, own):
                padded = np.zeros_like(z)
                padded[:, stretch] = factor
                factors.append(padded)
        return factors

    def kl(self, z: Array, own: Array, other_z: Array, other_own: Array) -> Array:
        """Return the sum over the components."""
        total = np.zeros(len(z))
        for head, (part, other_part) in self._split(z, other_z):
            total += head.kl(part, own, other_part, other_own)
        return total

    def entropy(self, z: Array, own: Array) -> float:
        """Return the sum over the components."""
        return sum(head.entropy(part, own) for head, (part,) in self._split(z))
