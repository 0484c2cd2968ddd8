"""A Gaussian policy with a tanh network in NumPy and float64: inputs and reference of the policy cases.

It shares no code with fastfisher.policies, only the layout of the parameters: each layer, (inputs + 1,
outputs), in C order with the biases in its last row, then log sigma.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Array = NDArray[np.float64]
Pairs = list[tuple[Array, Array]]


@dataclass(frozen=True)
class GaussianMLP:
    """a ~ N(z(s), diag(sigma^2))."""

    layers: Sequence[Array]
    log_std: Array

    @classmethod
    def random(cls, sizes: Sequence[int], rng: Generator) -> GaussianMLP:
        """Draw weights of a policy that has begun to learn: its outputs depend on the observation."""
        layers = []
        for inputs, outputs in pairwise(sizes):
            weights = rng.standard_normal((inputs, outputs)) / np.sqrt(inputs)
            layers.append(np.vstack([weights, 0.1 * rng.standard_normal((1, outputs))]))
        return cls(layers, np.full(sizes[-1], -0.5))

    @property
    def parameters(self) -> Array:
        """theta, (d,)."""
        return np.concatenate([*(layer.ravel() for layer in self.layers), self.log_std])

    def with_parameters(self, theta: Array) -> GaussianMLP:
        """Return the same network with other parameters."""
        parts = np.split(theta, np.cumsum([*(layer.size for layer in self.layers)]))
        shapes = [layer.shape for layer in self.layers]
        layers = [part.reshape(shape) for part, shape in zip(parts, shapes, strict=False)]
        return GaussianMLP(layers, parts[-1])

    def forward(self, obs: Array) -> tuple[list[Array], Array]:
        """Return each layer's inputs with a column of ones, and z."""
        inputs, hidden = [], obs
        for depth, layer in enumerate(self.layers, start=1):
            inputs.append(np.column_stack([hidden, np.ones(len(hidden))]))
            hidden = inputs[-1] @ layer
            if depth < len(self.layers):
                hidden = np.tanh(hidden)
        return inputs, hidden

    def backward(self, inputs: list[Array], errors: Array) -> Pairs:
        """Return each layer's (inputs, errors), given d/dz: row n of its scores is their outer product."""
        pairs = [(inputs[-1], errors)]
        for index in range(len(self.layers) - 1, 0, -1):
            errors = (errors @ self.layers[index][:-1].T) * (1.0 - inputs[index][:, :-1] ** 2)
            pairs.append((inputs[index - 1], errors))
        return pairs[::-1]

    def scores(self, obs: Array, act: Array) -> tuple[Pairs, Array]:
        """Return the layers' score pairs, and the scores of log sigma, (N, m)."""
        inputs, z = self.forward(obs)
        noise = (act - z) / np.exp(self.log_std)
        return self.backward(inputs, noise / np.exp(self.log_std)), noise**2 - 1.0

    def log_prob(self, obs: Array, act: Array) -> Array:
        """log pi(a | s) without its constant, (N,)."""
        noise = (act - self.forward(obs)[1]) / np.exp(self.log_std)
        return -0.5 * (noise**2).sum(axis=1) - self.log_std.sum()

    def kl(self, other: GaussianMLP, obs: Array) -> float:
        """Mean KL(self || other)."""
        shift = (self.forward(obs)[1] - other.forward(obs)[1]) / np.exp(other.log_std)
        ratio = np.exp(2.0 * (self.log_std - other.log_std))
        return float(0.5 * (shift**2 + ratio - 1.0).sum(axis=1).mean() + (other.log_std - self.log_std).sum())


def multiply(pairs: Pairs, own: Array | None, v: Array) -> Array:
    """S v, (N,); `own` are dense columns at the end."""
    start, total = 0, np.zeros(len(pairs[0][0]))
    for left, right in pairs:
        stop = start + left.shape[1] * right.shape[1]
        total += ((left @ v[start:stop].reshape(left.shape[1], right.shape[1])) * right).sum(axis=1)
        start = stop
    return total if own is None else total + own @ v[start:]


def multiply_transposed(pairs: Pairs, own: Array | None, u: Array) -> Array:
    """S^T u, (d,)."""
    parts = [(left.T @ (u[:, None] * right)).ravel() for left, right in pairs]
    return np.concatenate(parts if own is None else [*parts, own.T @ u])


def empirical_fisher(policy: GaussianMLP, obs: Array, act: Array) -> Callable[[Array], Array]:
    """Return v -> S^T (S v) / N."""
    pairs, own = policy.scores(obs, act)
    return lambda v: multiply_transposed(pairs, own, multiply(pairs, own, v)) / len(obs)


def exact_fisher(policy: GaussianMLP, obs: Array) -> Callable[[Array], Array]:
    """Return v -> F v for F = mean sum_k grad mu_k grad mu_k^T / sigma_k^2, and 2 I for log sigma."""
    inputs, z = policy.forward(obs)
    heads = [policy.backward(inputs, np.tile(row, (len(z), 1))) for row in np.diag(np.exp(-policy.log_std))]

    def product(v: Array) -> Array:
        of_means = sum(multiply_transposed(pairs, None, multiply(pairs, None, v)) for pairs in heads)
        return np.concatenate([of_means / len(z), 2.0 * v[-len(policy.log_std) :]])

    return product


def conjugate_gradient(product: Callable[[Array], Array], b: Array, iterations: int) -> Array:
    """Return the iterate of Hestenes and Stiefel 1952 that starts at zero."""
    x, r, p = np.zeros_like(b), b.copy(), b.copy()
    rr = r @ r
    for _ in range(iterations):
        Ap = product(p)
        step = rr / (p @ Ap)
        x += step * p
        r -= step * Ap
        rr, previous = r @ r, rr
        p = r + (rr / previous) * p
    return x
