"""Gauss-Newton for a physics-informed network: Poisson's equation on the unit square, in JAX.

    -(u_xx + u_yy) = f inside, u = 0 on the edge, and f such that u = sin(pi x) sin(pi y)

The loss is the mean square of the residuals, those of the equation at points inside and those of the edge.
Its Gauss-Newton matrix is F = J^T J / N, J the residuals' Jacobian: the rows of J are fastfisher's scores,
minus the residuals its advantages, and the step is Levenberg and Marquardt's, its damping the best of four.

    python examples/pinn_jax.py --steps 120
"""

from __future__ import annotations

import argparse
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import fastfisher.jax as ffj

EDGE_WEIGHT = 30.0  # what a residual of the edge counts beside one of the equation


def initial(width: int, seed: int) -> list[tuple[Any, Any]]:
    """Return a network's weights and biases."""
    sizes = [(2, width), (width, width), (width, 1)]
    keys = jax.random.split(jax.random.PRNGKey(seed), len(sizes))
    return [
        (jax.random.normal(key, size) / jnp.sqrt(size[0]), jnp.zeros(size[1]))
        for key, size in zip(keys, sizes, strict=True)
    ]


def u(params: Any, point: Any) -> Any:
    """Return the network's solution at one point (x, y)."""
    for weights, bias in params[:-1]:
        point = jnp.tanh(point @ weights + bias)
    weights, bias = params[-1]
    return (point @ weights + bias)[0]


def solution(points: Any) -> Any:
    """Return the true solution."""
    return jnp.sin(jnp.pi * points[..., 0]) * jnp.sin(jnp.pi * points[..., 1])


def residuals(params: Any, points: Any, at_edge: Any) -> Any:
    """Return what is to be zero: of the equation inside, of u itself at the edge, one number a point."""

    def of_one(point: Any, at_edge: Any) -> Any:
        laplacian = jnp.trace(jax.hessian(u, argnums=1)(params, point))
        inside = laplacian + 2.0 * jnp.pi**2 * solution(point)
        return jnp.where(at_edge, EDGE_WEIGHT * u(params, point), inside)

    return jax.vmap(of_one)(points, at_edge)


def grid(inside: int, edge: int) -> tuple[Any, Any]:
    """Return points of a grid inside and on the edge, and which of them are on it."""
    centres = (jnp.arange(inside) + 0.5) / inside
    within = jnp.stack(jnp.meshgrid(centres, centres), axis=-1).reshape(-1, 2)
    t = jnp.arange(edge) / edge
    sides = [(t, 0 * t), (1 + 0 * t, t), (1 - t, 1 + 0 * t), (0 * t, 1 - t)]
    around = jnp.concatenate([jnp.stack(side, axis=1) for side in sides])
    return jnp.concatenate([within, around]), jnp.arange(len(within) + len(around)) >= len(within)


def train(steps: int, width: int = 32, seed: int = 0, inside: int = 30, edge: int = 30) -> list[float]:
    """Train a network; return the relative L2 error before the first step and after each."""
    points, at_edge = grid(inside, edge)
    test = jax.random.uniform(jax.random.PRNGKey(seed + 1), (2000, 2))

    @jax.jit
    def error(params: Any) -> Any:
        difference = jax.vmap(u, (None, 0))(params, test) - solution(test)
        return jnp.linalg.norm(difference) / jnp.linalg.norm(solution(test))

    @jax.jit
    def loss(params: Any) -> Any:
        return (residuals(params, points, at_edge) ** 2).mean()

    values = jax.jit(residuals)
    params, damping = initial(width, seed), 1e-3
    current, errors = float(loss(params)), [float(error(params))]
    for step in range(1, steps + 1):
        J = ffj.scores(residuals, params, points, at_edge)
        tried = J.natural_step(
            -np.asarray(values(params, points, at_edge)),
            damping=[damping * factor for factor in (0.01, 0.1, 1.0, 10.0)],
        )
        candidates = [J.add(params, one.step) for one in tried]
        losses = [float(loss(candidate)) for candidate in candidates]
        best = int(np.nanargmin(losses))
        if losses[best] < current:
            params, current, damping = candidates[best], losses[best], max(tried[best].damping, 1e-15)
        else:
            damping *= 100.0
        errors.append(float(error(params)))
        if step % 10 == 0 or step == steps:
            print(
                f"step {step:4d}  loss {current:.2e}  relative L2 error {errors[-1]:.2e}  "
                f"damping {damping:.0e}  {tried[best].solver}, residual {tried[best].residual:.0e}"
            )
    return errors


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A physics-informed network by Gauss-Newton")
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    jax.config.update("jax_enable_x64", True)  # curvatures of 1e-15 are of use
    train(**vars(parser.parse_args()))
