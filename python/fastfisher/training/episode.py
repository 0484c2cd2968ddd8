"""One episode: the loop in which training spends its time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from gymnasium.spaces import Box, Space
from numpy.random import Generator
from numpy.typing import NDArray

from .. import _core
from ..policies import Policy
from .environment import Env, action_converter

Array = NDArray[np.float64]

CHECK_EVERY = 64
"""Steps between two looks at whether the episode is still wanted: about 3 ms of a MuJoCo environment."""


@dataclass(frozen=True)
class Episode:
    """How an episode ended."""

    length: int
    terminated: bool
    seconds_env_step: float


class Slot(NamedTuple):
    """Where an episode is written."""

    observations: Array
    """Row t receives the observation at step t."""
    actions: NDArray[Any]
    rewards: Array
    final_observation: Array
    """(D,): the observation after the last step."""


Chooser = Callable[[int, Any], Any]
"""From the step and its observation to the environment's action; the slot receives observation and action."""


def make_chooser(policy: Policy, rng: Generator | None, space: Space[Any], slot: Slot) -> Chooser:
    """Return what chooses the actions of one episode, and writes down what it saw and chose.

    Parameters
    ----------
    policy, rng
        The policy, and where its noise comes from; None for its mode.
    space
        Of the environment's actions.
    slot
        Where the episode is written.
    """
    affine = policy.affine_actor(rng)
    if affine is not None and isinstance(space, Box) and len(space.shape) == 1:
        weights, draw = affine
        return _core.EpisodeActor(
            weights,
            draw,
            np.asarray(space.low, np.float64),
            np.asarray(space.high, np.float64),
            slot.observations,
            slot.actions,
            single=space.dtype == np.float32,
        )
    act, convert = policy.actor(rng), action_converter(space, squash=policy.squash)
    observations, actions = slot.observations, slot.actions

    def choose(t: int, observation: Any) -> Any:
        observations[t] = observation
        action = act(observations[t])
        actions[t] = action
        return convert(action)

    return choose


def run_episode(
    env: Env,
    env_seed: int,
    choose: Chooser,
    slot: Slot,
    unwanted: Callable[[int], bool] | None = None,
) -> Episode | None:
    """Run one episode into the slot, of at most as many steps as it has rows.

    Its course is a function of ``env_seed`` and the actor, if the environment's is one of its seed
    and the actions.

    Parameters
    ----------
    choose
        Of :func:`make_chooser`, for this slot.
    slot
        Receives the transitions.
    unwanted
        Called with the steps so far every ``CHECK_EVERY`` steps; True abandons the episode.

    Returns
    -------
    Episode or None
        None where it was abandoned.
    """
    rewards, step = slot.rewards, env.step
    seconds = 0.0
    terminated = truncated = False
    observation, _ = env.reset(seed=env_seed)
    t = 0
    for t in range(len(rewards)):
        env_action = choose(t, observation)
        start = perf_counter()
        observation, reward, terminated, truncated, _ = step(env_action)
        seconds += perf_counter() - start
        rewards[t] = reward
        if terminated or truncated:
            break
        if unwanted is not None and t % CHECK_EVERY == CHECK_EVERY - 1 and unwanted(t + 1):
            return None
    slot.final_observation[...] = observation
    return Episode(t + 1, bool(terminated), seconds)
