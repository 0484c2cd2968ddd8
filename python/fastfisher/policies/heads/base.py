"""The head of a network policy: the distribution of actions given the network's outputs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Head(ABC):
    """A family of distributions with coordinates z, the network's outputs, (N, size).

    To sample is to perturb z by noise and then to choose.  The distribution of the noise does not
    depend on the observation, so that of a whole episode can be drawn at once.  Most heads add
    it to z (a Gaussian by nature, a categorical one by the Gumbel-max identity, bits by logistic
    noise).

    ``own`` is the vector of the head's own parameters, which sit at the end of theta.
    """

    size: int
    """The number of outputs the network has to give."""
    own_size: int
    """Number of the head's own parameters."""
    action_shape: tuple[int, ...]
    action_dtype: type

    @property
    def noise_size(self) -> int:
        """Entries of a row of noise."""
        return self.size

    @property
    def squash(self) -> Callable[[Array], Array] | None:
        """From recorded actions to the environment's, one or rows of them, where the two differ."""
        return None

    @abstractmethod
    def initial_own(self) -> Array:
        """Return the head's initial parameters, (own_size,)."""

    @abstractmethod
    def noise(self, own: Array, count: int, rng: Generator) -> Array:
        """Return noise for :meth:`perturb`, (count, noise_size)."""

    def perturb(self, z: Array, noise: Array) -> Array:
        """Return what :meth:`choose` chooses from, for one row or several; zero noise gives the mode."""
        return z + noise

    @abstractmethod
    def choose(self, noisy: Array) -> Any:
        """Return the action that one perturbed row stands for."""

    @abstractmethod
    def choose_rows(self, noisy: Array) -> NDArray[Any]:
        """Return the actions that perturbed rows stand for."""

    @abstractmethod
    def log_prob(self, z: Array, own: Array, act: NDArray[Any]) -> Array:
        """Return log p(act | z), (N,)."""

    @abstractmethod
    def errors(self, z: Array, own: Array, act: NDArray[Any]) -> Array:
        """Return d log p(act | z) / d z, (N, size)."""

    @abstractmethod
    def own_scores(self, z: Array, own: Array, act: NDArray[Any]) -> Array:
        """Return d log p(act | z) / d own, (N, own_size)."""

    @abstractmethod
    def fisher_factors(self, z: Array, own: Array) -> list[Array]:
        """Return matrices E_k, (N, size), with sum_k E_k[n]^T E_k[n] the Fisher matrix of z[n]."""

    @abstractmethod
    def own_fisher_root(self, own: Array) -> Array:
        """Return rows whose Gram is the Fisher matrix of ``own``; it must not depend on z."""

    @abstractmethod
    def kl(self, z: Array, own: Array, other_z: Array, other_own: Array) -> Array:
        """Return KL(p(. | z) || p(. | other_z)), (N,)."""

    @abstractmethod
    def entropy(self, z: Array, own: Array) -> float:
        """Return the mean entropy, in nats."""

    def std(self, z: Array, own: Array) -> float:
        """Return the mean standard deviation over rows and actions; NaN where there is none."""
        return float("nan")

    def set_min_log_std(self, value: float) -> None:  # noqa: B027 - most have nothing to do
        """Move the floor of log sigma, which :meth:`constrain` goes by."""

    def constrain(self, own: Array) -> None:  # noqa: B027 - most have nothing to do
        """Put ``own`` back into its allowed range, in place."""
