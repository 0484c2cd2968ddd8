"""Diverse initial states: functions of the seed, healthy, above the ground, the same for all workers."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest

from fastfisher.training import NPG, UserError
from fastfisher.training.config import TrainConfig
from fastfisher.training.environments.init_noise import ROBOTS, InitNoise, _penetration

pytestmark = pytest.mark.filterwarnings("ignore:.*compiler attribute")


def state(env: gymnasium.Env[Any, Any]) -> bytes:
    data = env.unwrapped.data  # type: ignore[attr-defined]
    return bytes(np.concatenate([data.qpos, data.qvel]).tobytes())


@pytest.mark.parametrize("scale", [0.1, 1.0])
@pytest.mark.parametrize("name", ROBOTS)
def test_initial_states_are_diverse_healthy_and_a_function_of_the_seed(name: str, scale: float) -> None:
    own = gymnasium.make(f"{name}-v5", disable_env_checker=True)
    env = InitNoise(gymnasium.make(f"{name}-v5", disable_env_checker=True), scale)
    robot: Any = env.unwrapped
    model, data = robot.model, robot.data
    starts, own_starts = [], []
    for seed in range(12):
        observation, _ = env.reset(seed=seed)
        np.testing.assert_array_equal(observation, robot._get_obs())
        assert env.observation_space.contains(observation)
        assert getattr(robot, "is_healthy", True)
        limited = model.jnt_limited.astype(bool)
        at = model.jnt_qposadr[limited]
        # Ant's own ankles start outside of their range, and its own noise may leave any.
        bounds = np.column_stack([model.jnt_range[limited], robot.init_qpos[at]])
        assert (bounds.min(axis=1) - 0.11 <= data.qpos[at]).all()
        assert (data.qpos[at] <= bounds.max(axis=1) + 0.11).all()
        starts.append(np.concatenate([data.qpos, data.qvel]))
        assert state(env) == (env.reset(seed=seed), state(env))[1]
        own.reset(seed=seed)
        own_starts.append(np.frombuffer(state(own)))
        assert _penetration(model, data) <= 0.05
    spread, own_spread = np.std(starts, axis=0), np.std(own_starts, axis=0)
    assert (spread > (2.0 if scale == 1.0 else 0.5) * own_spread)[1:].mean() > 0.6
    assert "reset_model" not in vars(robot), "another user of the environment has its own states"
    env.close()
    own.close()


def test_the_noise_is_undone_where_no_state_is_healthy() -> None:
    env = InitNoise(gymnasium.make("Hopper-v5", healthy_angle_range=(5.0, 6.0)), 0.5)
    plain = gymnasium.make("Hopper-v5")
    env.reset(seed=3)
    plain.reset(seed=3)
    assert state(env) == state(plain)


def test_workers_and_a_resumed_run_have_the_same_bits(tmp_path: Any) -> None:
    options: dict[str, Any] = {
        "policy": "linear", "batch_steps": 300, "max_episode_steps": 60, "init_noise": 0.3
    }  # fmt: skip
    agents = [NPG("Hopper-v5", workers=workers, **options) for workers in (1, 2)]
    for agent in agents:
        agent.learn(600)
        agent.close()
    half = NPG("Hopper-v5", workers=1, **options).learn(300)
    half.save(tmp_path / "half.zip")
    resumed = NPG.load(tmp_path / "half.zip").learn(agents[0].steps - half.steps)
    bits = agents[0].policy.parameters.tobytes()
    assert bits == agents[1].policy.parameters.tobytes() == resumed.policy.parameters.tobytes()
    without = NPG("Hopper-v5", workers=1, **{**options, "init_noise": 0.0}).learn(600)
    assert bits != without.policy.parameters.tobytes()


def test_evaluation_takes_other_initial_states_than_training() -> None:
    options: dict[str, Any] = {"policy": "linear", "workers": 1, "max_episode_steps": 60}
    noisy, usual = (NPG("Hopper-v5", init_noise=noise, **options) for noise in (0.3, 0.0))
    given = NPG(gymnasium.make("Hopper-v5"), init_noise=0.3, **options)
    for other in (usual, given):
        other.policy.parameters = noisy.policy.parameters
    lengths = {name: agent.evaluate(3).lengths for name, agent in (("noisy", noisy), ("usual", usual))}
    assert not np.array_equal(lengths["noisy"], lengths["usual"])
    for agent in (noisy, usual, given):
        np.testing.assert_array_equal(agent.evaluate(3, init_noise=0.3).lengths, lengths["noisy"])
        np.testing.assert_array_equal(agent.evaluate(3, init_noise=0.0).lengths, lengths["usual"])
    np.testing.assert_array_equal(noisy.evaluate(3).lengths, lengths["noisy"], "the config's is as it was")
    for wrong in (-0.1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=f"init_noise: expected a finite number >= 0, got {wrong}"):
            noisy.evaluate(3, init_noise=wrong)
    cart = NPG("CartPole-v1", policy="linear", workers=1)
    with pytest.raises(UserError, match=r"init_noise knows .*Hopper.*, and not CartPole-v1"):
        cart.evaluate(1, init_noise=0.1)


def test_what_it_is_not_for_is_refused() -> None:
    with pytest.raises(UserError, match=r"init_noise knows .*Hopper.*, and not CartPole-v1"):
        NPG("CartPole-v1", init_noise=0.1)
    with pytest.raises(UserError, match=r"init_noise is for single environments"):
        NPG(gymnasium.make_vec("Hopper-v5", 2, vectorization_mode="sync"), init_noise=0.1)
    with pytest.raises(ValueError, match=r"init_noise: expected 0 with backend = 'envpool'"):
        TrainConfig("Hopper-v5", init_noise=0.1, backend="envpool")
    with pytest.raises(ValueError, match=r"init_noise: expected a finite number >= 0, got -0.1"):
        TrainConfig("Hopper-v5", init_noise=-0.1)
