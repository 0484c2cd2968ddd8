"""The policies' log-probabilities and divergences from the textbook, for complex parameters too.

Analytic functions of theta, written without the tricks that keep the package's own from overflow, so
that a complex step, Im f(theta + i h e_k) / h, gives derivatives to the last digit.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from fastfisher.policies import (
    BernoulliHead,
    CategoricalHead,
    GaussianHead,
    Head,
    MultiCategoricalHead,
    NetworkPolicy,
    ProductHead,
    SquashedHead,
    StateDependentGaussianHead,
)

Vector = np.ndarray[Any, Any]


def outputs(policy: NetworkPolicy, theta: Vector, obs: Vector) -> tuple[Vector, Vector]:
    """Return z, (N, size), and the head's own parameters."""
    x, start = policy.features(obs), 0
    shapes = policy._shapes
    for depth, (rows, columns) in enumerate(shapes, start=1):
        W = theta[start : start + rows * columns].reshape(rows, columns)
        start += rows * columns
        x = x @ W[:-1] + W[-1]
        if depth < len(shapes):
            x = np.tanh(x)
    return x, theta[start:]


def log_prob(head: Head, z: Vector, own: Vector, act: Vector) -> Vector:
    """Return log p(act | z), (N,)."""
    if isinstance(head, SquashedHead):
        # The density of the action itself: that of u over da/du.
        slope = head.units.half_range / np.cosh(act) ** 2
        return log_prob(head.gaussian, z, own, act) - np.log(slope).sum(axis=1)
    if type(head) is ProductHead:
        return sum(log_prob(*part) for part in parts(head, z, own, act))
    if isinstance(head, CategoricalHead):
        return z[np.arange(len(z)), act] - np.log(np.exp(z).sum(axis=1))
    if isinstance(head, MultiCategoricalHead):
        return sum(
            part[np.arange(len(z)), act[:, k]] - np.log(np.exp(part).sum(axis=1))
            for k, part in enumerate(np.split(z, np.cumsum(head.sizes)[:-1], axis=1))
        )
    if isinstance(head, BernoulliHead):
        p = 1.0 / (1.0 + np.exp(-z))
        return np.log(np.where(act == 1, p, 1.0 - p)).sum(axis=1)
    mean, std = moments(head, z, own)
    return (-((act - mean) ** 2) / (2.0 * std**2) - np.log(std * np.sqrt(2.0 * np.pi))).sum(axis=1)


def parts(head: ProductHead, z: Vector, own: Vector, act: Vector) -> Iterator[tuple[Any, ...]]:
    """Yield each part of a product with its columns of the outputs, its own parameters and its actions."""
    at = np.zeros(3, int)
    for part in head.parts:
        first, at = at, np.add(at, (part.size, part.own_size, int(np.prod(part.action_shape))))
        of_part = act[:, first[2] : at[2]] if part.action_shape else act[:, first[2]]
        yield part, z[:, first[0] : at[0]], own[first[1] : at[1]], of_part.astype(part.action_dtype)


def moments(head: Head, z: Vector, own: Vector) -> tuple[Vector, Vector]:
    """Return mean and standard deviation of a Gaussian head, (N, m) each."""
    if isinstance(head, GaussianHead):
        return z, np.exp(own) + 0.0 * z
    assert isinstance(head, StateDependentGaussianHead)
    m, floor, ceiling = head.actions, head.min_log_std, head.max_log_std
    # The logistic function with e^-c = (ceiling - start) / (start - floor), so that y = 0 gives `start`.
    odds = (ceiling - head.initial_log_std) / (head.initial_log_std - floor)
    return z[:, :m], np.exp(floor + (ceiling - floor) / (1.0 + odds * np.exp(-z[:, m:])))


def kl(head: Head, z: Vector, own: Vector, other_z: Vector, other_own: Vector) -> Vector:
    """Return KL(p(. | z) || p(. | other_z)), (N,)."""
    if isinstance(head, SquashedHead):
        return kl(head.gaussian, z, own, other_z, other_own)
    if type(head) is ProductHead:
        no_actions = np.zeros((len(z), *head.action_shape))
        here, there = (parts(head, *outputs, no_actions) for outputs in ((z, own), (other_z, other_own)))
        return sum(kl(*a[:3], *b[1:3]) for a, b in zip(here, there, strict=True))
    if isinstance(head, CategoricalHead):
        p, q = (np.exp(x) / np.exp(x).sum(axis=1, keepdims=True) for x in (z, other_z))
        return (p * np.log(p / q)).sum(axis=1)
    if isinstance(head, MultiCategoricalHead):
        cuts = np.cumsum(head.sizes)[:-1]
        pairs = zip(np.split(z, cuts, axis=1), np.split(other_z, cuts, axis=1), strict=True)
        return sum(kl(CategoricalHead(a.shape[1]), a, own, b, own) for a, b in pairs)
    if isinstance(head, BernoulliHead):
        p, q = (1.0 / (1.0 + np.exp(-x)) for x in (z, other_z))
        return (p * np.log(p / q) + (1.0 - p) * np.log((1.0 - p) / (1.0 - q))).sum(axis=1)
    (mean, std), (other_mean, other_std) = moments(head, z, own), moments(head, other_z, other_own)
    square = std**2 + (mean - other_mean) ** 2
    return (np.log(other_std / std) + square / (2.0 * other_std**2) - 0.5).sum(axis=1)
