"""Independent actions side by side, each of a head of its own (Tuple and Dict actions)."""

# ruff: noqa: D102 - the base class documents what is overridden here

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from .base import Array, Head


@dataclass(frozen=True)
class _Part:
    """One of the heads, and its columns."""

    head: Head
    z: slice
    own: slice
    noise: slice
    act: slice | int
    mask: slice

    def of(self, act: NDArray[Any]) -> NDArray[Any]:
        """Return the part's actions, of rows, as its head knows them."""
        return act[:, self.act].astype(self.head.action_dtype, copy=False)


class ProductHead(Head):
    """p(a | z) = prod_k p_k(a_k | z_k), z_k the k-th stretch of z.

    An action is recorded as one row, the actions of the parts one after the other.  Log-probabilities, KL
    divergences and entropies are sums, and the Fisher matrix is block-diagonal.

    Parameters
    ----------
    parts : sequence of Head
        The distributions of the parts.
    """

    action_dtype: type = np.float64

    def __init__(self, parts: Sequence[Head]) -> None:
        self.parts = tuple(parts)
        z, own, noise, act, mask = (
            _stretches(sizes)
            for sizes in zip(
                *(
                    (p.size, p.own_size, p.noise_size, math.prod(p.action_shape), p.mask_size)
                    for p in self.parts
                ),
                strict=True,
            )
        )
        self._parts = [
            _Part(head, z[k], own[k], noise[k], act[k] if head.action_shape else act[k].start, mask[k])
            for k, head in enumerate(self.parts)
        ]
        self.size, self.own_size, self.mask_size = z[-1].stop, own[-1].stop, mask[-1].stop
        self.action_shape = (act[-1].stop,)
        self._noise_size: int = noise[-1].stop

    @property
    def noise_size(self) -> int:
        return self._noise_size

    @property
    def action_map(self) -> Callable[[Array], Array] | None:
        return self._map if any(part.head.action_map for part in self._parts) else None

    def _map(self, actions: Array) -> Array:
        mapped = actions.copy()
        for part in self._parts:
            of_part = part.head.action_map
            if of_part is not None:
                mapped[..., part.act] = of_part(actions[..., part.act])
        return mapped

    def masked(self, z: Array, allowed: NDArray[np.bool_]) -> Array:
        each = [part.head.masked(z[..., part.z], allowed[..., part.mask]) for part in self._parts]
        return np.concatenate(each, axis=-1)

    def initial_own(self) -> Array:
        return np.concatenate([head.initial_own() for head in self.parts])

    def noise(self, own: Array, count: int, rng: Generator) -> Array:
        return np.hstack([part.head.noise(own[part.own], count, rng) for part in self._parts])

    def perturb(self, z: Array, noise: Array) -> Array:
        each = [part.head.perturb(z[..., part.z], noise[..., part.noise]) for part in self._parts]
        return np.concatenate(each, axis=-1)

    def choose(self, noisy: Array) -> NDArray[Any]:
        action: NDArray[Any] = np.empty(self.action_shape, self.action_dtype)
        for part in self._parts:
            action[part.act] = part.head.choose(noisy[part.noise])
        return action

    def choose_rows(self, noisy: Array) -> NDArray[Any]:
        actions: NDArray[Any] = np.empty((len(noisy), *self.action_shape), self.action_dtype)
        for part in self._parts:
            actions[:, part.act] = part.head.choose_rows(noisy[:, part.noise])
        return actions

    def log_prob(self, z: Array, own: Array, act: NDArray[Any]) -> Array:
        """Return the sum of the parts' log-probabilities."""
        each = (part.head.log_prob(z[:, part.z], own[part.own], part.of(act)) for part in self._parts)
        return sum(each, start=np.zeros(len(z)))

    def errors(self, z: Array, own: Array, act: NDArray[Any]) -> Array:
        return np.hstack(
            [part.head.errors(z[:, part.z], own[part.own], part.of(act)) for part in self._parts]
        )

    def own_scores(self, z: Array, own: Array, act: NDArray[Any]) -> Array:
        return np.hstack(
            [part.head.own_scores(z[:, part.z], own[part.own], part.of(act)) for part in self._parts]
        )

    def fisher_factors(self, z: Array, own: Array) -> list[Array]:
        """Return the factors of each part, zero elsewhere: the Fisher matrix is block-diagonal."""
        factors = []
        for part in self._parts:
            for factor in part.head.fisher_factors(z[:, part.z], own[part.own]):
                padded = np.zeros_like(z)
                padded[:, part.z] = factor
                factors.append(padded)
        return factors

    def own_fisher_root(self, own: Array) -> Array:
        """Return the parts' roots, side by side and one below the other."""
        roots = [part.head.own_fisher_root(own[part.own]) for part in self._parts]
        root, row = np.zeros((sum(map(len, roots)), self.own_size)), 0
        for part, block in zip(self._parts, roots, strict=True):
            root[row : row + len(block), part.own] = block
            row += len(block)
        return root

    def kl(self, z: Array, own: Array, other_z: Array, other_own: Array) -> Array:
        each = (
            part.head.kl(z[:, part.z], own[part.own], other_z[:, part.z], other_own[part.own])
            for part in self._parts
        )
        return sum(each, start=np.zeros(len(z)))

    def entropy(self, z: Array, own: Array) -> float:
        return sum(part.head.entropy(z[:, part.z], own[part.own]) for part in self._parts)

    def std(self, z: Array, own: Array) -> float:
        deviations = [
            (part.head.std(z[:, part.z], own[part.own]), math.prod(part.head.action_shape))
            for part in self._parts
        ]
        continuous = [(std, count) for std, count in deviations if not math.isnan(std)]
        if not continuous:
            return math.nan
        return sum(std * count for std, count in continuous) / sum(count for _, count in continuous)

    def set_min_log_std(self, value: float) -> None:
        for head in self.parts:
            head.set_min_log_std(value)

    def constrain(self, own: Array) -> None:
        for part in self._parts:
            part.head.constrain(own[part.own])


def _stretches(sizes: Sequence[int]) -> list[slice]:
    """Return slices of these sizes, one after the other."""
    stops = np.cumsum(sizes).tolist()
    return [slice(stop - size, stop) for size, stop in zip(sizes, stops, strict=True)]
