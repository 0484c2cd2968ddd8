"""The head of a network policy: the distribution of actions given the network's outputs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Head(ABC):
    """A family of distributions with m natural coordinates z, the network's outputs, (N, m).

    Both families here sample by adding noise to z and then choosing (a Gaussian by nature, a
    categorical one by the Gumbel-max identity), so the noise of a whole episode can be drawn at
    once, with the bias of the last layer already in it.

    ``own`` is the vector of the head's own parameters, which sit at the end of theta.
    """

    size: int
    """m, the number of outputs the network has to give."""
    own_size: int
    """Number of the head's own parameters."""
    action_shape: tuple[int, ...]
    action_dtype: type

    @abstractmethod
    def initial_own(self) -> Array:
        """Return the head's initial parameters, (own_size,)."""

    @abstractmethod
    def noise(self, own: Array, count: int, rng: Generator) -> Array:
        """Return noise to add to z, (count, m)."""

    @abstractmethod
    def choose(self, noisy: Array) -> Any:
        """Return the action that one row z + noise stands for, (m,)."""

    @abstractmethod
    def choose_rows(self, noisy: Array) -> NDArray[Any]:
        """Return the actions of rows z + noise; without noise, the modes."""

    @abstractmethod
    def log_prob(self, z: Array, own: Array, act: NDArray[Any]) -> Array:
        """Return log p(act | z), (N,)."""

    @abstractmethod
    def errors(self, z: Array, own: Array, act: NDArray[Any]) -> Array:
        """Return d log p(act | z) / d z, (N, m)."""

    @abstractmethod
    def own_scores(self, z: Array, own: Array, act: NDArray[Any]) -> Array:
        """Return d log p(act | z) / d own, (N, own_size)."""

    @abstractmethod
    def fisher_factors(self, z: Array, own: Array) -> list[Array]:
        """Return matrices E_k, (N, m), with sum_k E_k[n]^T E_k[n] the Fisher matrix of z[n]."""

    @abstractmethod
    def own_fisher_root(self, own: Array) -> Array:
        """Return rows whose Gram is the Fisher matrix of ``own``; it must not depend on z."""

    @abstractmethod
    def kl(self, z: Array, own: Array, other_z: Array, other_own: Array) -> Array:
        """Return KL(p(. | z) || p(. | other_z)), (N,)."""

    @abstractmethod
    def entropy(self, z: Array, own: Array) -> float:
        """Return the mean entropy, in nats."""

    def std(self, own: Array) -> float:
        """Return the mean standard deviation of the actions; NaN where there is none."""
        return float("nan")

    def constrain(self, own: Array) -> None:  # noqa: B027 - most have nothing to do
        """Put ``own`` back into its allowed range, in place."""
