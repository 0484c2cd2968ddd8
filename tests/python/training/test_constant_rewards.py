"""Advantages that are rounding are none: the policy stays, and small rewards are still rewards."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from learners import make_batch, make_learner

from fastfisher import NPG
from fastfisher.training.iteration import IterationInfo


class OneStep(gymnasium.Env):  # type: ignore[type-arg]
    """Episodes of one step, all of which earn the same."""

    def __init__(self, reward: float) -> None:
        self.observation_space = spaces.Box(-1.0, 1.0, (3,), np.float64)
        self.action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
        self._reward = reward

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self.np_random.uniform(-1.0, 1.0, 3), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return self.np_random.uniform(-1.0, 1.0, 3), self._reward, True, False, {}


@pytest.mark.parametrize("baseline", ["linear", "quadratic", "mlp"])
@pytest.mark.parametrize("reward", [0.1, -1e7 / 3.0, 1e-20])
def test_a_constant_reward_moves_nothing(reward: float, baseline: str) -> None:
    infos: list[IterationInfo] = []
    with NPG(OneStep(reward), policy="linear", baseline=baseline, batch_steps=300) as agent:
        before = agent.policy.parameters.copy()
        agent.learn(900, infos.append)
        np.testing.assert_array_equal(agent.policy.parameters, before)
        values = agent._learner.baseline.predict(np.zeros((1, 3)), np.zeros(1, np.int64))
    np.testing.assert_allclose(values, reward, rtol=1e-12)
    for info in infos:
        assert info.notes[-1] == "all advantages are zero: the policy stays"
        assert (info.kl_predicted, info.kl_achieved, info.step_norm) == (0.0, 0.0, 0.0)
        assert np.isnan(info.explained_variance)


def test_once_the_baseline_knows_a_constant_raw_advantages_are_zero() -> None:
    """Before, they are the reward itself, from which nothing is subtracted."""
    infos: list[IterationInfo] = []
    options: dict[str, Any] = {"baseline": "quadratic", "normalize_advantages": False}
    with NPG(OneStep(0.1), policy="linear", batch_steps=300, **options) as agent:
        agent.learn(900, infos.append)
    assert [info.kl_predicted > 0.0 for info in infos] == [True, False, False]


@pytest.mark.parametrize(("scale", "offset"), [(1e-9, 0.0), (1.0, 1e6), (1e-6, 1.0)])
def test_small_differences_are_learned_from(scale: float, offset: float) -> None:
    """Beside an offset, too: it is nothing to trajectories of one step, whose advantages are centred."""
    lengths, terminated = (1,) * 200, (True,) * 200
    one, two = make_learner(), make_learner()
    batch = make_batch(one.policy, 0, lengths, terminated)
    small = make_batch(two.policy, 0, lengths, terminated)
    small.rewards[:] = scale * small.rewards + offset
    one.update(batch)
    two.update(small)
    np.testing.assert_allclose(two.policy.parameters, one.policy.parameters, rtol=1e-6)
