"""The push: in weights, for half a second, and where the seed says."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from experiments.push import TORSO, Push

from fastfisher.training import UserError

pytestmark = pytest.mark.filterwarnings("ignore:.*compiler attribute")


def forces(env: Push, seed: int) -> Any:
    env.reset(seed=seed)
    robot: Any = env.unwrapped
    rows = []
    for _ in range(env.last + 3):
        env.step(np.zeros(env.action_space.shape))
        rows.append(robot.data.xfrc_applied[TORSO].copy())
    return np.array(rows)


@pytest.mark.parametrize("name", ["HalfCheetah-v5", "Ant-v5"])
def test_the_force_is_the_one_asked_for_while_it_is(name: str) -> None:
    env = Push(gymnasium.make(name, disable_env_checker=True), 0.25, start=0.5)
    robot: Any = env.unwrapped
    weight = robot.model.body_mass.sum() * 9.81
    directions = set()
    for seed in range(6):
        rows = forces(env, seed)
        np.testing.assert_allclose(np.linalg.norm(rows[10:20, :3], axis=1), 0.25 * weight, rtol=1e-12)
        assert (rows[10:20] == rows[10]).all()
        assert not rows[:10].any()
        assert not rows[20:].any()
        assert not rows[:, 2:].any(), "horizontal, and no torque"
        assert (rows == forces(env, seed)).all()
        directions.add(tuple(np.round(rows[10, :2] / np.linalg.norm(rows[10]), 6)))
    assert directions == {(1.0, 0.0), (-1.0, 0.0)} if name.startswith("Half") else len(directions) == 6


def test_an_episode_is_its_own_up_to_the_push_and_another_after_it() -> None:
    def observations(strength: float) -> Any:
        env = Push(gymnasium.make("HalfCheetah-v5", disable_env_checker=True), strength, start=0.5)
        env.reset(seed=1)
        return np.array([env.step(np.full(6, 0.1))[0] for _ in range(25)])

    calm, pushed = observations(0.0), observations(0.5)
    np.testing.assert_array_equal(calm[:10], pushed[:10])
    assert (calm[10:] != pushed[10:]).any(axis=1).all()


def test_other_environments_are_refused() -> None:
    with pytest.raises(UserError, match=r"a push knows .*Ant.*, and not Pendulum-v1"):
        Push(gymnasium.make("Pendulum-v1"), 0.5, start=1.0)
