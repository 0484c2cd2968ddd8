"""Wrappers that standardise by statistics of their own, which training cannot keep track of."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import gymnasium
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv, VectorEnv

from ..errors import UserError

_RUNNING = re.compile(r"Running_?(Mean_?(Std|Var)|Moment|Norm|Stat|Std|Var)", re.IGNORECASE)
"""Classes of running statistics: RunningMeanStd of gymnasium, and of most who wrote their own."""
_OF_REWARDS = re.compile(r"(^|_)re[tw]", re.IGNORECASE)
_ATTRIBUTES = ("obs_rms", "return_rms", "ret_rms", "reward_rms")
"""What such statistics are called, where no more can be learned of an environment in another process."""


def refuse_statistics(env: gymnasium.Env[Any, Any] | VectorEnv[Any, Any, Any]) -> None:
    """Raise a UserError where a layer of the environment standardises by running statistics of its own.

    Each worker would have others, and a checkpoint none.  Statistics that are frozen, by gymnasium's
    ``update_running_mean = False``, are a part of the environment like any other.
    """
    for layer in _layers(env):
        attributes = getattr(layer, "__dict__", {})
        if attributes.get("_update_running_mean", attributes.get("update_running_mean")) is False:
            continue
        for name, value in attributes.items():
            if _RUNNING.search(type(value).__name__):
                _refuse(type(layer).__name__, name)
    base = env.unwrapped
    if isinstance(base, AsyncVectorEnv):
        for name in _ATTRIBUTES:
            if any(base.call("has_wrapper_attr", name)) and not _are_frozen(base):
                _refuse("a wrapper of the vector's environments", name)


def _are_frozen(envs: AsyncVectorEnv) -> bool:
    name = "update_running_mean"
    return all(envs.call("has_wrapper_attr", name)) and not any(envs.get_attr(name))


def _layers(env: Any) -> Iterator[Any]:
    """Return every layer of an environment, and of the environments of a vector that are in this process."""
    seen: list[Any] = []
    inner = env
    # Not every wrapper is one of gymnasium's, and who knows what else an environment calls its env.
    while isinstance(inner, (gymnasium.Env, VectorEnv)) and not any(inner is layer for layer in seen):
        env = inner
        seen.append(env)
        yield env
        inner = getattr(env, "__dict__", {}).get("env")
    if isinstance(env, SyncVectorEnv):
        for copy in env.envs:
            yield from _layers(copy)


def _refuse(layer: str, attribute: str) -> None:
    what = "rewards" if _OF_REWARDS.search(attribute) else "observations"
    option = f"normalize_{what}"
    raise UserError(
        f"{layer} standardises {what} by running statistics of its own ({attribute}), which workers do not "
        f"share and checkpoints do not keep: leave it out and train with {option}=True "
        f"(--{option.replace('_', '-')}), whose statistics are the agent's"
    )
