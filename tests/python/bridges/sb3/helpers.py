"""Environments of every kind of space, and models whose rollout is there already."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.logger import configure

from fastfisher.sb3 import NPG, TRPO

ACTIONS = {
    "box": spaces.Box(-1.0, 1.0, (3,)),
    "discrete": spaces.Discrete(4),
    "multi-discrete": spaces.MultiDiscrete([3, 2]),
    "multi-binary": spaces.MultiBinary(3),
}
OBSERVATIONS = {
    "box": spaces.Box(-1.0, 1.0, (5,)),
    "double": spaces.Box(-1.0, 1.0, (5,), np.float64),
    "discrete": spaces.Discrete(6),
    "multi-discrete": spaces.MultiDiscrete([3, 4]),
    "image": spaces.Box(0, 255, (36, 36, 1), np.uint8),
    "dict": spaces.Dict({"vector": spaces.Box(-1.0, 1.0, (4,)), "place": spaces.Discrete(3)}),
}


class Drawn(gymnasium.Env[Any, Any]):
    """Draws its observations from their space; the reward is that of being near to the observation's mean."""

    def __init__(self, observations: str = "box", actions: str = "box", length: int = 25) -> None:
        self.observation_space, self.action_space = OBSERVATIONS[observations], ACTIONS[actions]
        self._length, self._steps = length, 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        if seed is not None:
            self.observation_space.seed(seed)
        self._steps = 0
        self._seen = self.observation_space.sample()
        return self._seen, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        seen = self._seen["vector"] if isinstance(self._seen, dict) else self._seen
        reward = -float(abs(np.mean(action) - np.mean(seen)))
        self._steps += 1
        self._seen = self.observation_space.sample()
        return self._seen, reward, False, self._steps == self._length, {}


def model(kind: type[Any] = TRPO, env: Any = None, policy: str = "MlpPolicy", **options: Any) -> Any:
    """Return a small model with a logger that keeps what is recorded."""
    options = {"n_steps": 128, "batch_size": 32, "seed": 0, "device": "cpu", **options}
    made = kind(policy, Drawn() if env is None else env, **options)
    made.set_logger(configure(None, []))
    return made


def with_rollout(made: Any) -> Any:
    """Have a model collect a rollout, and not train by it."""
    made._setup_learn(made.n_steps * made.n_envs)
    made.collect_rollouts(
        made.env, made._init_callback(None), made.rollout_buffer, n_rollout_steps=made.n_steps
    )
    return made


def parameters(made: Any) -> dict[str, torch.Tensor]:
    """Return copies of a model's parameters."""
    return {name: tensor.detach().clone() for name, tensor in made.policy.named_parameters()}


def logged(made: Any) -> dict[str, Any]:
    """Return what a model has recorded since the last dump."""
    return dict(made.logger.name_to_value)


KINDS = (NPG, TRPO)
