"""Advantages against the textbook's loop: truncation and termination, and the order of fit and use."""

from __future__ import annotations

import numpy as np
import pytest

from fastfisher.training.advantages import discounted_returns, discounted_sums, generalized_advantages
from fastfisher.training.batch import Batch
from fastfisher.training.errors import UserError


def make_batch(lengths: list[int], terminated: list[bool], seed: int = 0) -> Batch:
    rng = np.random.default_rng(seed)
    n, k = sum(lengths), len(lengths)
    return Batch(
        observations=rng.standard_normal((n, 2)),
        actions=rng.standard_normal((n, 1)),
        rewards=rng.standard_normal(n),
        lengths=np.array(lengths),
        terminated=np.array(terminated),
        complete=np.ones(k, dtype=bool),
        final_observations=rng.standard_normal((k, 2)),
    )


def textbook(
    batch: Batch, values: np.ndarray, final_values: np.ndarray, gamma: float, gae_lambda: float
) -> np.ndarray:
    advantages = np.zeros_like(values)
    stop = 0
    for k, length in enumerate(batch.lengths):
        start, stop = stop, stop + length
        following = 0.0 if batch.terminated[k] else final_values[k]
        running = 0.0
        for t in reversed(range(start, stop)):
            delta = batch.rewards[t] + gamma * following - values[t]
            running = delta + gamma * gae_lambda * running
            advantages[t] = running
            following = values[t]
    return advantages


@pytest.mark.parametrize("lengths", [[1], [1, 1, 1], [5, 1, 8, 7], [64, 65, 63], [1000, 3, 17]], ids=str)
@pytest.mark.parametrize(("gamma", "gae_lambda"), [(0.99, 0.95), (1.0, 1.0), (0.0, 0.5), (0.9, 0.0)])
def test_equals_the_textbook_loop(lengths: list[int], gamma: float, gae_lambda: float) -> None:
    batch = make_batch(lengths, [i % 2 == 0 for i in range(len(lengths))])
    rng = np.random.default_rng(1)
    values, final_values = rng.standard_normal(sum(lengths)), rng.standard_normal(len(lengths))
    np.testing.assert_allclose(
        generalized_advantages(batch, values, final_values, gamma, gae_lambda),
        textbook(batch, values, final_values, gamma, gae_lambda),
        rtol=1e-11, atol=1e-11,
    )  # fmt: skip


def test_a_time_limit_is_not_death() -> None:
    batch = make_batch([3, 3], [True, False])
    values, final_values = np.zeros(6), np.array([100.0, 100.0])
    advantages = generalized_advantages(batch, values, final_values, 0.5, 1.0)
    assert advantages[2] == batch.rewards[2]
    assert advantages[5] == batch.rewards[5] + 50.0
    returns = discounted_returns(batch, final_values, 0.5)
    assert returns[2] == batch.rewards[2]
    assert returns[3] == pytest.approx(
        batch.rewards[3] + 0.5 * batch.rewards[4] + 0.25 * batch.rewards[5] + 0.125 * 100.0
    )


def test_sums_leave_their_input_alone() -> None:
    terms = np.ones(4)
    np.testing.assert_array_equal(discounted_sums(terms, np.array([4]), 1.0), [4.0, 3.0, 2.0, 1.0])
    np.testing.assert_array_equal(terms, 1.0)


def test_times_returns_and_ends_of_a_batch() -> None:
    batch = make_batch([2, 1, 3], [True, True, False])
    np.testing.assert_array_equal(batch.times, [0, 1, 0, 0, 1, 2])
    np.testing.assert_array_equal(batch.ends, [2, 3, 6])
    np.testing.assert_allclose(
        batch.returns, [batch.rewards[:2].sum(), batch.rewards[2], batch.rewards[3:].sum()]
    )


def test_rewards_whose_squares_overflow_are_named() -> None:
    batch = make_batch([2, 3], [True, True])
    batch.rewards[3] = -1e150
    batch.check_range()
    batch.rewards[3] = -1e154
    with pytest.raises(UserError, match=r"reward of -1e\+154, and squares of such returns are beyond double"):
        batch.check_range()


@pytest.mark.parametrize("gamma", [0.0, 0.9, 0.995, 1.0])
def test_monte_carlo_is_lambda_one(gamma: float) -> None:
    batch = make_batch([5, 1, 8, 70], [True, False, False, True])
    rng = np.random.default_rng(1)
    values, final_values = rng.standard_normal(84), rng.standard_normal(4)
    np.testing.assert_allclose(
        generalized_advantages(batch, values, final_values, gamma, 1.0),
        discounted_returns(batch, final_values, gamma) - values,
        rtol=1e-10, atol=1e-10,
    )  # fmt: skip
