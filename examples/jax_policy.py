"""A policy in JAX on contextual bandits: natural-gradient steps of a pytree, beside plain ones of equal KL.

A context is eight numbers, of six arms one is right, by the signs of the first three numbers.

python examples/jax_policy.py [ITERATIONS]
"""

from __future__ import annotations

import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import fastfisher.jax as ffj

ITERATIONS = int(sys.argv[1]) if len(sys.argv) > 1 else 60
SAMPLES, CONTEXT, ARMS, MAX_KL = 1_000, 8, 6, 0.05
Params = dict[str, Any]


def initial() -> Params:
    keys = jax.random.split(jax.random.key(0), 2)
    return {
        "w1": 0.3 * jax.random.normal(keys[0], (CONTEXT, 32)), "b1": jnp.zeros(32),
        "w2": 0.1 * jax.random.normal(keys[1], (32, ARMS)), "b2": jnp.zeros(ARMS),
    }  # fmt: skip


def logits(params: Params, contexts: jax.Array) -> jax.Array:
    return jnp.tanh(contexts @ params["w1"] + params["b1"]) @ params["w2"] + params["b2"]


def log_prob(params: Params, contexts: jax.Array, arms: jax.Array) -> jax.Array:  # (N,)
    return jnp.take_along_axis(jax.nn.log_softmax(logits(params, contexts)), arms[:, None], 1)[:, 0]


def rewards_of(contexts: jax.Array, arms: jax.Array) -> jax.Array:
    right = ((contexts[:, 0] > 0) * 3 + (contexts[:, 1] > 0) + (contexts[:, 2] > 0)).astype(int)
    return (arms == right).astype(jnp.float32)


def train(natural: bool) -> float:
    """Return the mean reward of the last batch."""
    params, reward = initial(), 0.0
    for iteration in range(ITERATIONS):
        of_contexts, of_arms = jax.random.split(jax.random.key(iteration + 1))
        contexts = jax.random.normal(of_contexts, (SAMPLES, CONTEXT))
        arms = jax.random.categorical(of_arms, logits(params, contexts))
        rewards = rewards_of(contexts, arms)
        advantages = rewards - rewards.mean()
        reward = float(rewards.mean())

        S = ffj.scores(log_prob, params, contexts, arms)
        if natural:
            step = S.natural_step(advantages, max_kl=MAX_KL, damping=1e-3).step
        else:  # along the gradient, as far as the same KL divergence allows: (alpha g)^T F (alpha g) / 2
            g = S.natural_step(advantages).gradient
            step = np.sqrt(2 * MAX_KL / np.mean((S.scores @ g) ** 2)) * g
        params = S.add(params, step)
    return reward


def main() -> None:
    for natural in (True, False):
        print(f"{'natural' if natural else 'plain':7} gradient: {train(natural):.3f} of 1 in the last batch")


if __name__ == "__main__":
    main()
