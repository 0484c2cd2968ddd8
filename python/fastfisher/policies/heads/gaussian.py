"""Gaussian actions, their standard deviation the same everywhere or a function of the observation."""

# ruff: noqa: D102 - the base class documents what is overridden here

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable

import numpy as np
from numpy.random import Generator

from .base import Array, Head, sigmoid
from .units import ActionUnits

_LOG_2_PI = math.log(2.0 * math.pi)


def _square_norms(rows: Array) -> Array:
    """Return the sum of squares of each row, in one pass."""
    norms: Array = np.einsum("nk,nk->n", rows, rows)
    return norms


class DiagonalGaussianHead(Head):
    """a ~ N(mu, diag(sigma^2)); in :meth:`moments` a subclass says how these follow from z and ``own``.

    Parameters
    ----------
    actions : int
        m, the number of action dimensions.
    initial_log_std, min_log_std : float
        Start and floor of log sigma: the step towards zero variance never ends, since the score of log sigma
        is of order one however small sigma is.
    units : ActionUnits, optional
        The units of a, which mu and sigma are in; None: the environment's.
    """

    action_dtype = np.float64

    def __init__(
        self,
        actions: int,
        initial_log_std: float = -0.5,
        min_log_std: float = -3.0,
        units: ActionUnits | None = None,
    ) -> None:
        self.action_shape = (actions,)
        self.initial_log_std = initial_log_std
        self.min_log_std = min_log_std
        self.units = units

    @property
    def action_map(self) -> Callable[[Array], Array] | None:
        return self.units

    @property
    def actions(self) -> int:
        """m, the number of action dimensions."""
        return self.action_shape[0]

    @abstractmethod
    def moments(self, z: Array, own: Array) -> tuple[Array, Array]:
        """Return mu, (N, m), and log sigma, (N, m) or, where all rows have the same, (m,)."""

    def log_prob(self, z: Array, own: Array, act: Array) -> Array:
        """Return -|(a - mu) / sigma|^2 / 2 - sum log sigma - (m / 2) log 2 pi."""
        mean, log_std = self.moments(z, own)
        square = _square_norms((act - mean) * np.exp(-log_std))
        log_p: Array = -0.5 * (square + self.actions * _LOG_2_PI) - log_std.sum(axis=-1)
        return log_p

    def kl(self, z: Array, own: Array, other_z: Array, other_own: Array) -> Array:
        """Return sum (((mu - mu')^2 + sigma^2) / sigma'^2 - 1) / 2 + log(sigma' / sigma)."""
        mean, log_std = self.moments(z, own)
        other_mean, other_log_std = self.moments(other_z, other_own)
        ratio = np.exp(2.0 * (log_std - other_log_std))
        distance = _square_norms((mean - other_mean) * np.exp(-other_log_std))
        logs = (other_log_std - log_std).sum(axis=-1)
        divergence: Array = 0.5 * (distance + (ratio - 1.0).sum(axis=-1)) + logs
        return divergence

    def entropy(self, z: Array, own: Array) -> float:
        _, log_std = self.moments(z, own)
        return float(log_std.sum(axis=-1).mean() + 0.5 * self.actions * (1.0 + _LOG_2_PI))

    def std(self, z: Array, own: Array) -> float:
        _, log_std = self.moments(z, own)
        return float(np.exp(log_std).mean())


class GaussianHead(DiagonalGaussianHead):
    """a ~ N(z, diag(sigma^2)); the head's own parameters are log sigma."""

    def __init__(
        self,
        actions: int,
        initial_log_std: float = -0.5,
        min_log_std: float = -3.0,
        units: ActionUnits | None = None,
    ) -> None:
        super().__init__(actions, initial_log_std, min_log_std, units)
        self.size = actions
        self.own_size = actions

    def initial_own(self) -> Array:
        return np.full(self.actions, self.initial_log_std)

    def moments(self, z: Array, own: Array) -> tuple[Array, Array]:
        return z, own

    def noise(self, own: Array, count: int, rng: Generator) -> Array:
        return rng.standard_normal((count, self.actions)) * np.exp(own)

    def errors(self, z: Array, own: Array, act: Array) -> Array:
        return (act - z) * np.exp(-2.0 * own)

    def own_scores(self, z: Array, own: Array, act: Array) -> Array:
        return np.square((act - z) * np.exp(-own)) - 1.0

    def fisher_factors(self, z: Array, own: Array) -> list[Array]:
        """Return e_k / sigma_k for each k: the Fisher matrix of z is diag(1 / sigma^2)."""
        return [np.tile(row, (len(z), 1)) for row in np.diag(np.exp(-own))]

    def own_fisher_root(self, own: Array) -> Array:
        """Return sqrt(2) I: E[(eps^2 - 1)^2] = 2, and eps^2 - 1 is uncorrelated with the score of z."""
        return math.sqrt(2.0) * np.eye(self.actions)

    def set_min_log_std(self, value: float) -> None:
        self.min_log_std = value

    def constrain(self, own: Array) -> None:
        np.maximum(own, self.min_log_std, out=own)


class StateDependentGaussianHead(DiagonalGaussianHead):
    """a ~ N(mu, diag(sigma^2)), z = [mu, y] and log sigma = floor + (ceiling - floor) sigmoid(y + c).

    Floor and ceiling are approached smoothly, so that the score is exact everywhere and never vanishes
    altogether: a policy that has come near either can leave it again.  Without a ceiling an observation
    unlike those of the batch, whose KL divergence bounds the step, could get any sigma, infinity included.
    The constant c makes y = 0, which a new network gives, the initial log sigma.

    Parameters
    ----------
    actions, initial_log_std, min_log_std, units
        See :class:`DiagonalGaussianHead`.
    max_log_std : float
        Ceiling of log sigma; soft actor-critic has e^2 for sigma (arXiv 1801.01290).

    Raises
    ------
    ValueError
        Where ``initial_log_std`` is not between floor and ceiling, which no y reaches.
    """

    def __init__(
        self,
        actions: int,
        initial_log_std: float = -0.5,
        min_log_std: float = -3.0,
        max_log_std: float = 2.0,
        units: ActionUnits | None = None,
    ) -> None:
        super().__init__(actions, initial_log_std, min_log_std, units)
        if not min_log_std < initial_log_std < max_log_std:
            raise ValueError(
                f"initial_log_std: expected above min_log_std = {min_log_std} and below "
                f"max_log_std = {max_log_std}, got {initial_log_std}"
            )
        self.max_log_std = max_log_std
        self.size = 2 * actions
        self._range = max_log_std - min_log_std
        self._offset = math.log(initial_log_std - min_log_std) - math.log(max_log_std - initial_log_std)

    @property
    def noise_size(self) -> int:
        return self.actions

    def moments(self, z: Array, own: Array) -> tuple[Array, Array]:
        return z[:, : self.actions], self._log_std(z)

    def _log_std(self, z: Array) -> Array:
        return self.min_log_std + self._range * sigmoid(z[..., self.actions :] + self._offset)

    def noise(self, own: Array, count: int, rng: Generator) -> Array:
        return rng.standard_normal((count, self.actions))

    def perturb(self, z: Array, noise: Array) -> Array:
        return z[..., : self.actions] + np.exp(self._log_std(z)) * noise

    def _slope(self, z: Array) -> Array:
        """Return d log sigma / d y."""
        y = z[:, self.actions :] + self._offset
        return self._range * sigmoid(y) * sigmoid(-y)

    def errors(self, z: Array, own: Array, act: Array) -> Array:
        """Return (a - mu) / sigma^2, then (((a - mu) / sigma)^2 - 1) d log sigma / d y."""
        mean, log_std = self.moments(z, own)
        standard = (act - mean) * np.exp(-log_std)
        return np.hstack([standard * np.exp(-log_std), (np.square(standard) - 1.0) * self._slope(z)])

    def fisher_factors(self, z: Array, own: Array) -> list[Array]:
        """Return e_k / sigma_k, then sqrt(2) (d log sigma_k / d y_k) e_{m + k}: the matrix is diagonal."""
        _, log_std = self.moments(z, own)
        diagonal = np.hstack([np.exp(-log_std), math.sqrt(2.0) * self._slope(z)])
        return [diagonal[:, k : k + 1] * row for k, row in enumerate(np.eye(self.size))]
