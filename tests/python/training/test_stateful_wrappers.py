"""Wrappers with running statistics of their own are refused by name, wherever in the stack they are."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import cloudpickle  # type: ignore[import-untyped]
import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv, VectorEnv
from gymnasium.wrappers import (
    FrameStackObservation,
    NormalizeObservation,
    NormalizeReward,
    RecordEpisodeStatistics,
    TimeLimit,
    TransformReward,
)
from gymnasium.wrappers import vector as vector_wrappers

from fastfisher.training import NPG, UserError

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers do not find it

SMALL: dict[str, Any] = {"policy": "linear", "batch_steps": 400, "workers": 1}


def pendulum() -> gymnasium.Env[Any, Any]:
    return gymnasium.make("Pendulum-v1")


class RunningMeanStd:
    """What users write themselves, or copy from Baselines."""


class OwnNormalizer(gymnasium.Wrapper[Any, Any, Any, Any]):
    def __init__(self, env: Any, attribute: str) -> None:
        super().__init__(env)
        setattr(self, attribute, RunningMeanStd())


class RunningMean:
    """What a meter has, for a log."""


class Derived(NormalizeObservation[Any, Any, Any]):
    pass


STACKS: dict[str, tuple[Callable[[], Any], str]] = {
    "observations": (lambda: NormalizeObservation(pendulum()), "NormalizeObservation .*observations"),
    "rewards": (lambda: NormalizeReward(pendulum()), "NormalizeReward .*rewards"),
    "inside of others": (
        lambda: TimeLimit(FrameStackObservation(NormalizeObservation(pendulum()), 2), 50),
        "NormalizeObservation .*observations",
    ),
    "derived": (lambda: Derived(pendulum()), "Derived .*observations"),
    "a user's own": (lambda: OwnNormalizer(pendulum(), "stats"), "OwnNormalizer .*observations"),
    "a user's own of rewards": (lambda: OwnNormalizer(pendulum(), "ret_rms"), "OwnNormalizer .*rewards"),
}


@pytest.mark.parametrize("stack", STACKS)
def test_a_function_or_an_environment_with_running_statistics_is_refused(stack: str) -> None:
    make, words = STACKS[stack]
    for env in (make, make()):
        with pytest.raises(UserError, match=f"^{words}") as caught:
            NPG(env, **SMALL)
        name = "normalize_rewards" if "rewards" in words else "normalize_observations"
        assert f"{name}=True" in str(caught.value)
        assert f"--{name.replace('_', '-')}" in str(caught.value)
        assert "\n" not in str(caught.value)


class OwnWrapper(gymnasium.Env[Any, Any]):
    """A wrapper that is none of gymnasium's, whose environment knows it."""

    def __init__(self, env: Any) -> None:
        self.env, env.unwrapped.env = env, self
        self.observation_space, self.action_space = env.observation_space, env.action_space

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return self.env.reset(seed=seed)

    def step(self, action: Any) -> Any:
        return self.env.step(action)


def test_wrappers_that_are_none_of_gymnasiums_are_looked_through() -> None:
    assert NPG(OwnWrapper(pendulum()), **SMALL).learn(400).steps == 400
    with pytest.raises(UserError, match=r"^NormalizeReward"):
        NPG(OwnWrapper(normalized()), **SMALL)


def test_one_that_is_registered_with_its_wrapper_is_refused() -> None:
    gymnasium.register(
        "Normalized-v0",
        "gymnasium.envs.classic_control:PendulumEnv",
        additional_wrappers=(NormalizeObservation.wrapper_spec(),),
    )
    try:
        with pytest.raises(UserError, match="NormalizeObservation standardises observations"):
            NPG("Normalized-v0", **SMALL)
    finally:
        del gymnasium.registry["Normalized-v0"]


def normalized() -> Any:
    return NormalizeReward(pendulum())


VECTORS: dict[str, tuple[Callable[[], VectorEnv[Any, Any, Any]], str]] = {
    "observations": (
        lambda: vector_wrappers.NormalizeObservation(SyncVectorEnv([pendulum] * 2)),
        "normalize_observations=True",
    ),
    "rewards": (
        lambda: vector_wrappers.RecordEpisodeStatistics(
            vector_wrappers.NormalizeReward(SyncVectorEnv([pendulum] * 2))
        ),
        "normalize_rewards=True",
    ),
    "in its environments": (lambda: SyncVectorEnv([pendulum, normalized]), "normalize_rewards=True"),
    "in other processes": (lambda: AsyncVectorEnv([pendulum, normalized]), "normalize_rewards=True"),
}


@pytest.mark.parametrize("stack", VECTORS)
def test_vector_environments_are_looked_through(stack: str) -> None:
    make, words = VECTORS[stack]
    envs = make()
    try:
        with pytest.raises(UserError, match=words):
            NPG(envs, **SMALL)
    finally:
        envs.close()


def frozen() -> gymnasium.Env[Any, Any]:
    env: NormalizeObservation[Any, Any, Any] = NormalizeObservation(pendulum())
    env.obs_rms.mean, env.obs_rms.var = np.zeros(3, np.float32), np.full(3, 4.0, np.float32)
    env.update_running_mean = False
    return env


def test_statistics_that_are_frozen_are_the_environments_own() -> None:
    trained = []
    for workers in (1, 2):
        with NPG(frozen, **{**SMALL, "workers": workers}) as agent:
            trained.append(agent.learn(400).policy.parameters.tobytes())
    assert trained[0] == trained[1]
    envs = AsyncVectorEnv([frozen] * 2)
    NPG(envs, **SMALL).learn(200)
    envs.close()


def test_wrappers_that_only_record_or_begin_anew_with_each_episode_are_taken() -> None:
    trained = []
    for workers in (1, 2):
        with NPG(recorded, **{**SMALL, "workers": workers}) as agent:
            trained.append(agent.learn(400).policy.parameters.tobytes())
    assert trained[0] == trained[1]
    envs = vector_wrappers.RecordEpisodeStatistics(SyncVectorEnv([pendulum] * 2))
    NPG(envs, **SMALL).learn(200)


def recorded() -> gymnasium.Env[Any, Any]:
    return metered(
        TransformReward(
            RecordEpisodeStatistics(FrameStackObservation(pendulum(), 2)), lambda reward: float(reward) / 10.0
        )
    )


def metered(env: Any) -> Any:
    env.meter = RunningMean()
    return env
