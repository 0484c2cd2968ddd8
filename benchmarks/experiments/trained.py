"""A trained policy from wherever it is kept: a run folder, a checkpoint, or an exported policy."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import gymnasium

from fastfisher.exported import NumpyPolicy
from fastfisher.runs.export import export_policy
from fastfisher.runs.folder import RunFolder
from fastfisher.training import NPG
from fastfisher.training.config import TrainConfig
from fastfisher.training.environments.recipe import Env


@dataclass(frozen=True, eq=False)
class Trained:
    """The policy's most likely actions, and what it was trained on."""

    path: Path
    policy: NumpyPolicy
    config: TrainConfig
    steps: int

    def environment(self) -> Env:
        """Make its environment, of the usual initial states and episodes whatever training's were."""
        return gymnasium.make(self.config.env, disable_env_checker=True, **self.config.env_kwargs)


def play(
    env: Env, policy: NumpyPolicy, seed: int, look: Callable[[int], None] = lambda step: None
) -> tuple[float, int]:
    """Play one episode; return its return and length.  ``look`` is called with the number of each step."""
    observation, _ = env.reset(seed=seed)
    total, length, ended = 0.0, 0, False
    while not ended:
        look(length)
        observation, reward, terminated, truncated, _ = env.step(policy.predict(observation))
        total += float(reward)
        length += 1
        ended = terminated or truncated
    return total, length


def load(path: Path) -> Trained:
    """Read a run folder, a checkpoint (.zip) or an exported policy (.npz).

    An exported policy does not know its config; where a record of that name (.json, as
    benchmarks/learning.py keeps) is beside it, it is taken from there.

    Raises
    ------
    UserError, ValueError, OSError
        Where it is none of these.
    """
    if path.suffix == ".npz":
        policy = NumpyPolicy.load(path)
        record = path.with_suffix(".json")
        config = TrainConfig(env=policy.header["env"])
        if record.exists():
            config = TrainConfig.from_dict(json.loads(record.read_text("utf-8"))["config"])
        return Trained(path, policy, config, policy.header["steps"])
    with RunFolder.open(path).load_trained() if path.is_dir() else NPG.load(path) as agent:
        with tempfile.TemporaryDirectory() as folder:
            export_policy(agent, file := Path(folder) / "policy.npz")
            policy = NumpyPolicy.load(file)
        return Trained(path, policy, agent.config, agent.steps)
