"""What training asks of a policy."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from ..arguments import refuse_masked
from .heads.base import Array, Head

if TYPE_CHECKING:
    from typing_extensions import Self

Block = Array | tuple[Array, Array]
"""Columns of a score matrix, as :func:`fastfisher.natural_step` takes them.

They are (N, k) columns, or a pair (N, p), (N, q) whose row n is vec(left[n] right[n]^T) in C order.  A pair
(N / m, p), (N / m, m, q) has m rows for each of `left`.
"""
Actor = Callable[[Array], Any]
"""A function from one observation, (D,), to one action."""


class CoreActor(NamedTuple):
    """A network policy at work, for the core."""

    weights: list[Array]
    """The layers, (inputs + 1, outputs), biases in the last row, as they apply to the raw observation."""
    sine_features: bool
    """Whether the outputs of the first layer go through sin, and not through tanh."""
    head: Head
    draw: Callable[[], Array]
    """A function that returns the next few rows of noise, (R, m)."""


class Policy(ABC):
    """A distribution over actions given observations, with a flat vector of parameters theta.

    Observations are float64 rows, (N, D).  Actions are rows too: (N, m) float64 for continuous actions, (N,)
    integers from 0 for discrete ones, (N, m) float64 for a Dict or Tuple, its parts one after the other.

    A subclass provides the abstract methods below; what else is here follows from them.  It holds no open
    resources, since it is pickled to reach the rollout processes.

    Parameters
    ----------
    parameters : (d,) array
        The initial theta, which is copied.
    action_shape : tuple of int
        Shape of one action.
    action_dtype : type
        NumPy type of its entries.
    """

    mask_size = 0
    """Number of entries at the end of each observation that are an action mask: see :meth:`expect_masks`."""

    def __init__(self, parameters: Array, action_shape: tuple[int, ...], action_dtype: type) -> None:
        refuse_masked(parameters, "parameters")
        self._parameters: Array = np.array(parameters, dtype=np.float64)
        self.action_shape = action_shape
        self.action_dtype = action_dtype

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "squash" in vars(cls):  # its name in version 0.1: actions would go out as they are
            raise TypeError(f"{cls.__name__}.squash: expected the name action_map, which it has now")

    @property
    def parameters(self) -> Array:
        """The flat vector theta, (d,) float64; to assign or add to it moves the policy."""
        return self._parameters

    @parameters.setter
    def parameters(self, values: Array) -> None:
        refuse_masked(values, "parameters")
        values = np.asarray(values, dtype=np.float64)
        if values.shape != self._parameters.shape:
            raise ValueError(f"parameters: expected shape {self._parameters.shape}, got {values.shape}")
        if not np.isfinite(values).all():
            raise ValueError("parameters: expected finite numbers")
        self._parameters[...] = values

    @property
    def action_map(self) -> Callable[[Array], Array] | None:
        """A function from actions, one or rows, to the environment's; None where they are the same."""
        return None

    @abstractmethod
    def act(self, obs: Array, rng: Generator) -> NDArray[Any]:
        """Sample an action for each observation."""

    @abstractmethod
    def mode(self, obs: Array) -> NDArray[Any]:
        """Return the most likely action for each observation."""

    @abstractmethod
    def log_prob(self, obs: Array, act: NDArray[Any]) -> Array:
        """Return log pi(act | obs), (N,)."""

    @abstractmethod
    def scores(self, obs: Array, act: NDArray[Any]) -> list[Block]:
        """Return the blocks of S, (N, d): row n is grad_theta log pi(act[n] | obs[n])."""

    @abstractmethod
    def fisher_scores(self, obs: Array) -> list[Block]:
        """Return blocks R with R^T R / N the exact Fisher matrix, the expectation over actions.

        N is the number of observations, not of rows of R.
        """

    @abstractmethod
    def kl(self, other: Self, obs: Array) -> float:
        """Return the mean over the observations of KL(self || other), other of the same kind."""

    @abstractmethod
    def entropy(self, obs: Array) -> float:
        """Return the mean entropy over the observations, in nats."""

    def std(self, obs: Array) -> float:
        """Return the mean standard deviation of continuous actions; NaN where there is none."""
        return float("nan")

    def actor(self, rng: Generator | None) -> Actor:
        """Return the fastest way to choose actions one observation at a time.

        The actor belongs to one episode and draws from ``rng`` alone, so its actions are a function of the
        policy, the observations and the state of ``rng``.  Without an ``rng`` it chooses the mode.
        """
        if rng is None:
            return lambda observation: self.mode(observation[None, :])[0]
        return lambda observation: self.act(observation[None, :], rng)[0]

    def core_actor(self, rng: Generator | None) -> CoreActor | None:
        """Return what the core needs to take a whole step of a rollout in one call; None where it cannot.

        It must choose as :meth:`actor` does.
        """
        return None

    def expect_masks(self, size: int) -> None:
        """Take this many entries at the end of each observation for an action mask, from now on.

        An entry is 1 where a choice is allowed and 0 where it is not.  Only what is asked for a
        distribution, an action among it, sees them; the other methods' observations are without.

        Raises
        ------
        ValueError
            Where the policy takes no mask, or none of this size: as here, unless a subclass knows better.
        """
        raise ValueError(f"a {type(self).__name__} takes no action masks")

    def at(self, obs: Array) -> Snapshot:
        """Return the policy as it is now, on these observations; it can keep what it computes."""
        return Snapshot(self, obs)

    def constrain(self) -> None:  # noqa: B027 - most have nothing to do
        """Put parameters that a step has carried out of their allowed range back into it."""

    def set_min_log_std(self, value: float) -> None:  # noqa: B027 - most have nothing to do
        """Move the floor of log sigma, which ``constrain`` goes by; the policy stays as it is."""

    def prepare(self, obs: Array) -> None:  # noqa: B027 - most have nothing to do
        """See the observations of the first batch before anything is learned from them.

        A policy may set its constants here, if that leaves its distribution as it was.
        """

    def set_input_transform(  # noqa: B027 - most have nothing to do
        self, shift: Array, scale: Array, obs: Array
    ) -> None:
        """Move to features (obs - shift) / scale, changing theta so that the distribution stays.

        A policy that cannot make up for the move everywhere does so on the observations, (N, D), which are
        those of the batch to be learned from.  The change of theta is linear in theta.  A policy without
        input scaling ignores the call.
        """

    def set_initial_transform(self, shift: Array, scale: Array, obs: Array) -> None:
        """Move to the features of the first batch, before anything is learned from it.

        The distribution stays, as by :meth:`set_input_transform`, which this calls.  But where it does not
        depend on the features yet, there is nothing to make up for, and a policy may leave theta as it is.
        """
        self.set_input_transform(shift, scale, obs)

    def constants(self) -> dict[str, NDArray[Any]]:
        """Return what the policy is beside theta and its constructor's arguments."""
        return {}

    def load_constants(self, values: Mapping[str, NDArray[Any]]) -> None:  # noqa: B027 - most have nothing to do
        """Take back what :meth:`constants` returned."""

    def copy(self) -> Self:
        """Return an independent copy."""
        return copy.deepcopy(self)


class Snapshot:
    """A policy as it was when this was made, on the observations of a batch.

    A policy whose scores, log-probabilities and KL share work overrides :meth:`Policy.at` with a
    snapshot that does the work once.
    """

    def __init__(self, policy: Policy, obs: Array) -> None:
        self._policy, self._obs = policy.copy(), obs

    def log_prob(self, act: NDArray[Any]) -> Array:
        """Return log pi(act | obs), (N,)."""
        return self._policy.log_prob(self._obs, act)

    def scores(self, act: NDArray[Any]) -> list[Block]:
        """Return the blocks of S, (N, d)."""
        return self._policy.scores(self._obs, act)

    def fisher_scores(self) -> list[Block]:
        """Return blocks R with R^T R / N the exact Fisher matrix."""
        return self._policy.fisher_scores(self._obs)

    def kl(self, other: Self) -> float:
        """Return the mean of KL(self || other)."""
        return self._policy.kl(other._policy, self._obs)

    def entropy(self) -> float:
        """Return the mean entropy, in nats."""
        return self._policy.entropy(self._obs)

    def std(self) -> float:
        """Return the mean standard deviation of continuous actions; NaN where there is none."""
        return self._policy.std(self._obs)

    def after(self, policy: Policy) -> Snapshot:
        """Return a snapshot of the same policy with other parameters, on the same observations."""
        return policy.at(self._obs)
