"""Rewards in units of their returns' spread: the unit itself, and that values follow it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from learners import make_batch, make_learner

from fastfisher.training.advantages import discounted_returns
from fastfisher.training.moments import RewardUnit


def test_the_unit_is_the_spread_of_all_returns() -> None:
    rng, unit = np.random.default_rng(0), RewardUnit()
    assert unit.value == 1.0
    batches = [rng.standard_normal(n) * 7.0 - 200.0 for n in (100, 3, 57)]
    for returns in batches:
        unit.update(returns)
    assert unit.value == pytest.approx(np.concatenate(batches).std(), rel=1e-12)
    other = RewardUnit()
    other.load_state(unit.state())
    assert other.value == unit.value


@pytest.mark.parametrize("value", [0.0, 1.0, -1e9, 0.1])
def test_returns_that_do_not_differ_leave_it_at_one(value: float) -> None:
    unit = RewardUnit()
    for _ in range(3):
        unit.update(np.full(50, value) * (1.0 + np.arange(50) * 1e-16))
    assert unit.value == 1.0


@pytest.mark.parametrize("scale", [1e-6, 1e3])
def test_the_scale_of_the_rewards_is_nothing_to_the_learner(scale: float) -> None:
    """Through several batches: a baseline left in the unit of the batch before would tell."""
    options: dict[str, Any] = {"normalize_rewards": True, "normalize_advantages": False, "ridge": 1e-3}
    one, two = make_learner(**options), make_learner(**options)
    for seed in range(4):
        batch = make_batch(one.policy, seed)
        scaled = make_batch(one.policy, seed, reward_scale=scale)
        updates = one.update(batch), two.update(scaled)
        np.testing.assert_allclose(two.policy.parameters, one.policy.parameters, rtol=1e-6)
        assert updates[1].explained_variance == pytest.approx(updates[0].explained_variance, rel=1e-6)
        assert two.reward_unit.value == pytest.approx(scale * one.reward_unit.value, rel=1e-9)


def test_the_returns_are_bootstrapped_in_the_environments_unit() -> None:
    gamma = 0.9
    learner = make_learner(normalize_rewards=True, gamma=gamma)
    seen: list[np.ndarray] = []
    for seed in range(3):
        batch = make_batch(learner.policy, seed, reward_scale=50.0)
        final_values = learner.reward_unit.value * learner.baseline.predict(
            batch.final_observations, batch.lengths
        )
        seen.append(discounted_returns(batch, final_values, gamma))
        learner.update(batch)
        assert learner.reward_unit.value == pytest.approx(np.concatenate(seen).std(), rel=1e-12)
    # The values at the cuts are returns and not returns in some unit.
    assert np.abs(final_values).mean() > 0.2 * np.abs(seen[-1]).mean()


def test_it_is_off_unless_asked_for() -> None:
    learner = make_learner()
    learner.update(make_batch(learner.policy, reward_scale=50.0))
    assert learner.reward_unit.value == 1.0
    assert not any(name.startswith("reward_unit/") for name in learner.state())
