"""The head of a network policy, which distributes actions given the outputs; and what heads share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Array = NDArray[np.float64]

IMPOSSIBLE = -1e300
"""The logit of a choice that a mask forbids.

Its probability, its score and what it adds to an entropy or a KL divergence are zero to the bit, in the
formulas of the heads as they are.
"""


class Head(ABC):
    """A family of distributions with coordinates z, the network's outputs, (N, size).

    To sample is to perturb z by noise and then to choose.  The distribution of the noise does not depend on
    the observation, so the noise of a whole episode can be drawn at once.  Most heads add it to z (a Gaussian
    by nature, a categorical one by the Gumbel-max identity, bits by logistic noise).

    ``own`` is the vector of the head's own parameters, which sit at the end of theta.  A head without any
    leaves :meth:`initial_own`, :meth:`own_scores` and :meth:`own_fisher_root` as they are here.
    """

    size: int
    """The number of outputs the network has to give."""
    own_size: int = 0
    """The number of the head's own parameters."""
    mask_size: int = 0
    """The number of entries of a mask of its actions: one for each choice; 0 where it has none to forbid."""
    action_shape: tuple[int, ...]
    action_dtype: type

    @property
    def noise_size(self) -> int:
        """The number of entries of a row of noise, and of what :meth:`perturb` makes of it."""
        return self.size

    @property
    def action_map(self) -> Callable[[Array], Array] | None:
        """A function from recorded actions to the environment's, one or rows, where the two differ."""
        return None

    def masked(self, z: Array, allowed: NDArray[np.bool_]) -> Array:
        """Return coordinates in which choices that are not ``allowed``, (..., mask_size), are impossible.

        z is one row or several.
        """
        return z

    def initial_own(self) -> Array:
        """Return the head's initial parameters, (own_size,)."""
        return np.zeros(0)

    @abstractmethod
    def noise(self, own: Array, count: int, rng: Generator) -> Array:
        """Return noise for :meth:`perturb`, (count, noise_size)."""

    def perturb(self, z: Array, noise: Array) -> Array:
        """Return what :meth:`choose` chooses from, for one row or several; zero noise gives the mode."""
        return z + noise

    def choose(self, noisy: Array) -> Any:
        """Return the action that one perturbed row stands for: here the row itself."""
        return noisy

    def choose_rows(self, noisy: Array) -> NDArray[Any]:
        """Return the actions that perturbed rows stand for."""
        actions: NDArray[Any] = self.choose(noisy)
        return actions

    @abstractmethod
    def log_prob(self, z: Array, own: Array, act: NDArray[Any]) -> Array:
        """Return log p(act | z), (N,)."""

    @abstractmethod
    def errors(self, z: Array, own: Array, act: NDArray[Any]) -> Array:
        """Return d log p(act | z) / d z, (N, size)."""

    def own_scores(self, z: Array, own: Array, act: NDArray[Any]) -> Array:
        """Return d log p(act | z) / d own, (N, own_size)."""
        return np.zeros((len(z), 0))

    @abstractmethod
    def fisher_factors(self, z: Array, own: Array) -> list[Array]:
        """Return matrices E_k, (N, size), with sum_k E_k[n]^T E_k[n] the Fisher matrix of z[n]."""

    def own_fisher_root(self, own: Array) -> Array:
        """Return rows whose Gram is the Fisher matrix of ``own``; it must not depend on z."""
        return np.zeros((0, 0))

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


# NumPy lacks these: they are accurate, and do not overflow, for any argument.


def softplus(x: Array) -> Array:
    """Return log(1 + e^x)."""
    return np.logaddexp(0.0, x)


def log_sigmoid(x: Array) -> Array:
    """Return log(1 / (1 + e^-x))."""
    return -softplus(-x)


def sigmoid(x: Array) -> Array:
    """Return 1 / (1 + e^-x)."""
    return np.exp(log_sigmoid(x))


def log_softmax(z: Array) -> Array:
    """Return z - log sum e^z, by rows."""
    shifted: Array = z - z.max(axis=1, keepdims=True)
    normalizer: Array = np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return shifted - normalizer


def even_spread(count: int, most: int) -> NDArray[np.int64]:
    """Return at most so many of the rows 0 to count - 1, at equal distances."""
    return np.linspace(0, count - 1, min(count, most)).astype(np.int64)
