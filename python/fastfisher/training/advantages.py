"""Generalised advantage estimation, arXiv 1506.02438."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .batch import Array, Batch


def generalized_advantages(
    batch: Batch, values: Array, final_values: Array, gamma: float, gae_lambda: float
) -> Array:
    """Return A_t = sum_k (gamma lambda)^k delta_{t+k}, delta_t = r_t + gamma V(s_{t+1}) - V(s_t), (N,).

    The sum stops at the end of the trajectory.  There V(s_{t+1}) is zero where the task terminated, and one
    of ``final_values``, (K,), where a time limit or the end of the batch cut it.  ``values`` is V(s_t), (N,).
    """
    last = batch.ends - 1
    next_values = np.empty_like(values)
    next_values[:-1] = values[1:]
    next_values[last] = np.where(batch.terminated, 0.0, final_values)
    deltas = batch.rewards + gamma * next_values - values
    return discounted_sums(deltas, batch.lengths, gamma * gae_lambda)


def discounted_returns(batch: Batch, final_values: Array, gamma: float) -> Array:
    """Return sum_k gamma^k r_{t+k} to the end of the trajectory and, where it was cut, V there, (N,)."""
    last = batch.ends - 1
    rewards = batch.rewards.copy()
    rewards[last] += gamma * np.where(batch.terminated, 0.0, final_values)
    return discounted_sums(rewards, batch.lengths, gamma)


def discounted_sums(terms: Array, lengths: NDArray[np.int64], discount: float) -> Array:
    """Return y_t = terms_t + discount y_{t+1} within each trajectory, (N,).

    The sums are made by doubling (Hillis and Steele 1986): after a pass with shift s, y_t holds the first 2 s
    terms and weight_t the discount to what follows them, zero across the end of a trajectory.
    log2(longest trajectory) passes of vector arithmetic take the place of N scalar steps.
    """
    sums = terms.copy()
    weight = np.full(len(terms), discount)
    weight[np.cumsum(lengths) - 1] = 0.0
    shift, longest = 1, int(lengths.max())
    while shift < longest:
        sums[:-shift] += weight[:-shift] * sums[shift:]
        weight[:-shift] *= weight[shift:]
        weight[-shift:] = 0.0
        shift *= 2
    return sums
