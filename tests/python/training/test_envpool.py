"""EnvPool as a backend: its resets are no transitions, its bits those of the seed."""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from fastfisher.training import NPG, UserError
from fastfisher.training.batch import Batch
from fastfisher.training.config import TrainConfig
from fastfisher.training.defaults import resolve
from fastfisher.training.make_policy import make_head, make_policy
from fastfisher.training.rollouts.envpool import EnvPoolRollouts

NAME = "CartPole-v1"
OPTIONS: dict[str, Any] = {"backend": "envpool", "num_envs": 3, "batch_steps": 200}


def collect(**changes: Any) -> tuple[Batch, np.ndarray]:
    env = gymnasium.make(changes.get("env", NAME))
    size = env.observation_space.shape[0]  # type: ignore[index]
    config = TrainConfig(**{"env": NAME, "seed": 5, **OPTIONS, **changes})
    config = resolve(config, env.action_space, size, 500)
    policy = make_policy(config, size, make_head(env.action_space, config), np.random.default_rng(0))
    rollouts = EnvPoolRollouts(config, env, {})
    batch = rollouts.collect(policy, 0)
    rollouts.close()
    return batch, rollouts.resets


@pytest.mark.parametrize(
    ("batch_steps", "limit", "count"),
    [(10_000, 1_000, 10), (2_048, 1_000, 2), (500, 1_000, 1), (9_000, 50, 10), (9, None, 10)],
)
def test_as_many_by_default_as_see_whole_episodes(batch_steps: int, limit: int | None, count: int) -> None:
    config = TrainConfig(NAME, backend="envpool", batch_steps=batch_steps)
    assert resolve(config, gymnasium.spaces.Discrete(2), 4, limit).num_envs == count
    assert resolve(config.replace(num_envs=3), gymnasium.spaces.Discrete(2), 4, limit).num_envs == 3
    assert resolve(config.replace(backend="gymnasium"), gymnasium.spaces.Discrete(2), 4, limit).num_envs == 0


def test_episodes_begin_at_a_reset_and_end_where_the_pole_falls() -> None:
    pytest.importorskip("envpool")
    batch, resets = collect()
    assert 200 <= len(batch.rewards) < 203
    assert batch.lengths.sum() == len(batch.rewards)
    np.testing.assert_array_equal(batch.rewards, 1.0)
    # The first state of an episode is within 0.05 of the origin, and the last one beyond the limits.
    firsts = batch.observations[batch.ends - batch.lengths]
    assert np.abs(firsts).max() <= 0.05
    assert len(np.unique(firsts, axis=0)) == len(firsts)
    fallen = (np.abs(batch.final_observations[:, 0]) > 2.4) | (
        np.abs(batch.final_observations[:, 2]) > 0.2094
    )
    np.testing.assert_array_equal(fallen, batch.terminated)
    np.testing.assert_array_equal(batch.complete, batch.terminated)
    assert resets.sum() in range(3 + int(batch.complete.sum()) - 3, 3 + int(batch.complete.sum()) + 1)


def test_a_time_limit_truncates() -> None:
    pytest.importorskip("envpool")
    batch, _ = collect(env="Pendulum-v1", max_episode_steps=30)
    assert not batch.terminated.any()
    np.testing.assert_array_equal(batch.lengths[batch.complete], 30)
    assert batch.complete.sum() >= 3


@pytest.mark.parametrize("action_units", ["bounds", "environment"])
def test_actions_are_in_the_units_of_the_config(action_units: str) -> None:
    """Pendulum-v1's reward says what torque it got: -(angle^2 + 0.1 speed^2 + 0.001 torque^2)."""
    pytest.importorskip("envpool")
    batch, _ = collect(env="Pendulum-v1", batch_steps=2_000, action_units=action_units)
    cosine, sine, speed = batch.observations.T
    angle = np.arctan2(sine, cosine)
    squares = 1e3 * (-batch.rewards - angle**2 - 0.1 * speed**2)
    half_range = 2.0 if action_units == "bounds" else 1.0
    expected = np.clip(half_range * batch.actions[:, 0], -2.0, 2.0) ** 2
    small = angle**2 + 0.1 * speed**2 < 4.0  # where float32 resolves 1e-3 of the squares
    assert small.sum() > 20
    np.testing.assert_allclose(squares[small], expected[small], atol=5e-3)


@contextmanager
def trained(env: str = NAME, **changes: Any) -> Iterator[NPG]:
    with NPG(env, seed=5, **{**OPTIONS, **changes}) as agent:
        yield agent.learn(800)


def test_the_bits_are_those_of_the_seed_whatever_the_threads_and_where_it_stopped(tmp_path: Path) -> None:
    pytest.importorskip("envpool")
    parameters = []
    for workers in (1, 2, 3):
        with trained(workers=workers) as agent:
            parameters.append(agent.policy.parameters.tobytes())
    assert parameters[0] == parameters[1] == parameters[2]
    with NPG(NAME, seed=5, **OPTIONS) as agent:
        agent.learn(400).save(tmp_path / "half.zip")
    with NPG.load(tmp_path / "half.zip") as agent:
        assert agent.learn(800 - agent.steps).policy.parameters.tobytes() == parameters[0]


def test_what_cannot_be_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="needs an environment id"):
        NPG(lambda: gymnasium.make(NAME), **OPTIONS).learn(1)
    original = builtins.__import__

    def without_envpool(name: str, *arguments: Any, **options: Any) -> Any:
        if name == "envpool":
            raise ModuleNotFoundError("No module named 'envpool'", name="envpool")
        return original(name, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(builtins, "__import__", without_envpool)
        with pytest.raises(UserError, match=r"pip install fastfisher\[envpool\]"):
            NPG(NAME, **OPTIONS).learn(1)
    pytest.importorskip("envpool")
    gymnasium.register("Unknown-v0", "gymnasium.envs.classic_control:PendulumEnv")
    try:
        with pytest.raises(UserError, match=r"EnvPool .* has no 'Unknown-v0'"):
            NPG("Unknown-v0", **OPTIONS).learn(1)
    finally:
        del gymnasium.registry["Unknown-v0"]


@pytest.mark.parametrize("wrapper", [lambda envs: envs, gymnasium.wrappers.vector.RecordEpisodeStatistics])
def test_an_object_of_envpool_is_refused_with_what_serves(wrapper: Any) -> None:
    envpool = pytest.importorskip("envpool")
    with pytest.raises(UserError, match=r"object of EnvPool .* backend='envpool' and num_envs"):
        NPG(wrapper(envpool.make(NAME, env_type="gymnasium", num_envs=2)))
