"""One episode: the loop in which training spends its time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any, NamedTuple, TypeGuard

import numpy as np
from gymnasium.spaces import Box, Discrete, Space
from numpy.random import Generator
from numpy.typing import NDArray

from .. import _core
from ..policies import CategoricalHead, GaussianHead, Policy
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
    core = policy.core_actor(rng)
    if core is not None:
        network = (core.weights, core.sine_features, core.draw, slot.observations, slot.actions)
        # Exactly these: a head derived from them may choose otherwise.
        if type(core.head) is GaussianHead and _is_vector(space):
            low, high = np.asarray(space.low, np.float64), np.asarray(space.high, np.float64)
            return _core.BoxActor(*network, low, high, single=space.dtype == np.float32)
        if type(core.head) is CategoricalHead and isinstance(space, Discrete):
            return _core.DiscreteActor(*network, int(space.start))
    act, convert = policy.actor(rng), action_converter(space, squash=policy.squash)
    observations, actions = slot.observations, slot.actions

    def choose(t: int, observation: Any) -> Any:
        observations[t] = observation
        action = act(observations[t])
        actions[t] = action
        return convert(action)

    return choose


def _is_vector(space: Space[Any]) -> TypeGuard[Box]:
    return isinstance(space, Box) and len(space.shape) == 1 and space.dtype in (np.float32, np.float64)


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
