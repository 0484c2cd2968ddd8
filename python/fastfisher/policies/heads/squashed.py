"""Gaussian actions squashed by tanh into the bounds of a Box."""

# ruff: noqa: D102 - the base class documents what is overridden here

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.random import Generator

from .base import Array, Head, even_spread, softplus
from .gaussian import DiagonalGaussianHead
from .units import ActionUnits, has_bounds

_NODES: Array = np.linspace(-6.0, 6.0, 97)
"""Standard deviations from the mean at which the entropy's integrand is summed.

The integrand being singular at +-i pi / 2, the trapezoidal rule errs by about exp(-pi^2 / (sigma / 8)): by
less than 1e-6 nats for sigma up to 5, and 1e-4 up to e^2.
"""
_ENTROPY_ROWS = 250
"""The entropy is averaged over so many observations: it is for the log, and not worth more time."""


class SquashedHead(Head):
    """a = center + half_range tanh(u), u distributed as a Gaussian head says.

    An action is recorded as u, which tanh could not give back near the bounds; :attr:`action_map` turns it
    into the environment's.  The map from u to a is fixed and invertible, so scores, Fisher matrix and KL are
    those of u.  ``log_prob`` is the density of a; the mode is that of u, squashed.

    Parameters
    ----------
    gaussian : DiagonalGaussianHead
        The distribution of u.
    low, high : (m,) array
        Bounds of the actions, finite.

    Raises
    ------
    ValueError
        Where a bound is not finite, low is not below high, or there are not as many as actions.
    """

    def __init__(self, gaussian: DiagonalGaussianHead, low: Array, high: Array) -> None:
        low, high = np.asarray(low, np.float64), np.asarray(high, np.float64)
        if low.shape != gaussian.action_shape or high.shape != gaussian.action_shape:
            raise ValueError(
                f"low, high: expected shape {gaussian.action_shape}, got {low.shape} and {high.shape}"
            )
        if not (has_bounds(low, high).all() and (low < high).all()):
            raise ValueError(f"low, high: expected finite bounds, low below high, got {low} and {high}")
        self.gaussian = gaussian
        self.size, self.own_size = gaussian.size, gaussian.own_size
        self.action_shape, self.action_dtype = gaussian.action_shape, gaussian.action_dtype
        self.units = ActionUnits.of_bounds(low, high)

    @property
    def noise_size(self) -> int:
        return self.gaussian.noise_size

    @property
    def action_map(self) -> Callable[[Array], Array]:
        return self._squash

    def _squash(self, u: Array) -> Array:
        return self.units(np.tanh(u))

    def _log_slope(self, u: Array) -> Array:
        """Return log da/du = log(half_range (1 - tanh^2 u)), without the cancellation."""
        return np.log(self.units.half_range) + 2.0 * (math.log(2.0) - np.abs(u) - softplus(-2.0 * np.abs(u)))

    def initial_own(self) -> Array:
        return self.gaussian.initial_own()

    def noise(self, own: Array, count: int, rng: Generator) -> Array:
        return self.gaussian.noise(own, count, rng)

    def perturb(self, z: Array, noise: Array) -> Array:
        return self.gaussian.perturb(z, noise)

    def log_prob(self, z: Array, own: Array, act: Array) -> Array:
        """Return log N(u; mu, sigma^2) - sum log da/du, u = ``act``."""
        log_p: Array = self.gaussian.log_prob(z, own, act) - self._log_slope(act).sum(axis=1)
        return log_p

    def errors(self, z: Array, own: Array, act: Array) -> Array:
        # da/du does not depend on z.
        return self.gaussian.errors(z, own, act)

    def own_scores(self, z: Array, own: Array, act: Array) -> Array:
        return self.gaussian.own_scores(z, own, act)

    def fisher_factors(self, z: Array, own: Array) -> list[Array]:
        return self.gaussian.fisher_factors(z, own)

    def own_fisher_root(self, own: Array) -> Array:
        return self.gaussian.own_fisher_root(own)

    def kl(self, z: Array, own: Array, other_z: Array, other_own: Array) -> Array:
        return self.gaussian.kl(z, own, other_z, other_own)

    def entropy(self, z: Array, own: Array) -> float:
        """Return the mean of H(u) + sum E[log da/du], over up to 250 observations, spread evenly.

        The expectation has no closed form.  It is summed by the trapezoidal rule, without randomness.
        """
        rows = z[even_spread(len(z), _ENTROPY_ROWS)]
        mean, log_std = self.gaussian.moments(rows, own)
        density = np.exp(-0.5 * np.square(_NODES))
        slopes = self._log_slope(mean + np.exp(log_std) * _NODES[:, None, None])
        expected = np.tensordot(density / density.sum(), slopes, axes=1)
        return self.gaussian.entropy(rows, own) + float(expected.sum(axis=1).mean())

    def std(self, z: Array, own: Array) -> float:
        return self.gaussian.std(z, own)

    def set_min_log_std(self, value: float) -> None:
        self.gaussian.set_min_log_std(value)

    def constrain(self, own: Array) -> None:
        self.gaussian.constrain(own)
