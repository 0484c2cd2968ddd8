"""Several independent categorical actions at a time (MultiDiscrete), the outputs being all their logits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from .base import Head
from .categorical import CategoricalHead

Array = NDArray[np.float64]
Indices = NDArray[np.int64]


class MultiCategoricalHead(Head):
    """p(a | z) = prod_k softmax(z_k)_{a_k}, z_k the k-th stretch of z.

    Parameters
    ----------
    sizes
        Number of choices of each component.
    """

    own_size = 0
    action_dtype = np.int64

    def __init__(self, sizes: Sequence[int]) -> None:
        self.sizes = tuple(sizes)
        self.size = sum(self.sizes)
        self.action_shape = (len(self.sizes),)
        stops = np.cumsum(self.sizes).tolist()
        self._stretches = [
            slice(stop - size, stop) for stop, size in zip(stops, self.sizes, strict=True)
        ]  # fmt: skip
        self._components = [CategoricalHead(size) for size in self.sizes]

    def _split(self, *rows: Array) -> Iterator[tuple[CategoricalHead, list[Array]]]:
        """Yield each component with its stretch of the columns."""
        for head, stretch in zip(self._components, self._stretches, strict=True):
            yield head, [array[:, stretch] for array in rows]

    def initial_own(self) -> Array:
        """Return no parameters."""
        return np.zeros(0)

    def noise(self, own: Array, count: int, rng: Generator) -> Array:
        """Return Gumbel noise: argmax(z_k + noise) is distributed as softmax(z_k)."""
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

    def own_scores(self, z: Array, own: Array, act: Indices) -> Array:
        """Return no columns."""
        return np.zeros((len(z), 0))

    def fisher_factors(self, z: Array, own: Array) -> list[Array]:
        """Return the factors of each component, zero elsewhere: the Fisher matrix is block-diagonal."""
        factors = []
        for (head, (part,)), stretch in zip(self._split(z), self._stretches, strict=True):
            for factor in head.fisher_factors(part, own):
                padded = np.zeros_like(z)
                padded[:, stretch] = factor
                factors.append(padded)
        return factors

    def own_fisher_root(self, own: Array) -> Array:
        """Return no rows."""
        return np.zeros((0, 0))

    def kl(self, z: Array, own: Array, other_z: Array, other_own: Array) -> Array:
        """Return the sum over the components."""
        total = np.zeros(len(z))
        for head, (part, other_part) in self._split(z, other_z):
            total += head.kl(part, own, other_part, other_own)
        return total

    def entropy(self, z: Array, own: Array) -> float:
        """Return the sum over the components."""
        return sum(head.entropy(part, own) for head, (part,) in self._split(z))
