"""One episode: the loop in which training spends its time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeGuard

import numpy as np
from gymnasium.spaces import Box, Discrete, Space
from numpy.random import Generator
from numpy.typing import NDArray

from ..._core import BoxActor, DiscreteActor
from ..._core import run_episode as run_in_core
from ...policies import ActionUnits, CategoricalHead, GaussianHead, Policy
from ..batch import Array, Trajectory
from ..environments.interface import first_observation, what_is_malformed
from ..environments.recipe import Env
from ..environments.spaces import action_converter
from ..errors import UserError
from .memory import empty_rows

MOST_SKIPPED = 100
"""Episodes of one iteration, or evaluation, that ``skip_bad_episodes`` drops: more are no accident."""


@dataclass(frozen=True)
class Episode:
    """How an episode ended."""

    length: int
    terminated: bool
    seconds_env_step: float
    defect: str | None = None
    """What was not finite, so that the episode ended there and is no use: a sentence; None of a good one."""


def refuse_defects(defects: Sequence[str], most_skipped: int) -> None:
    """Raise a UserError where more episodes are bad, in their order, than may be skipped."""
    if len(defects) <= most_skipped:
        return
    if most_skipped == 0:
        raise UserError(f"{defects[0]}; skip_bad_episodes (--skip-bad-episodes) drops such episodes")
    raise UserError(f"{len(defects)} bad episodes are too many to skip; of the last one, {defects[-1]}")


class Slot(NamedTuple):
    """Where an episode is written."""

    observations: Array
    """Row t receives the observation at step t."""
    actions: NDArray[Any]
    rewards: Array
    final_observation: Array
    """(D,): the observation after the last step."""

    @classmethod
    def empty(cls, policy: Policy, rows: int, size: int) -> Slot:
        """Return room for up to so many steps of a policy, and observations of this size."""
        return cls(
            empty_rows((rows, size), np.float64),
            empty_rows((rows, *policy.action_shape), policy.action_dtype),
            empty_rows((rows,), np.float64),
            np.empty(size),
        )

    def trajectory(self, start: int, stop: int, terminated: bool, complete: bool = True) -> Trajectory:
        """Return a copy of these rows and of the final observation, since more may be written here."""
        return Trajectory(
            self.observations[start:stop].copy(),
            self.actions[start:stop].copy(),
            self.rewards[start:stop].copy(),
            self.final_observation.copy(),
            terminated,
            complete,
        )


Chooser = Callable[[int, Any], Any]
"""From the step and its observation to the environment's action; the slot receives observation and action."""


def make_chooser(policy: Policy, rng: Generator | None, space: Space[Any], slot: Slot) -> Chooser:
    """Return what chooses the actions of one episode, and writes into the slot what it saw and chose.

    ``rng`` is the source of the policy's noise; None for its mode.  ``space`` is the environment's.
    """
    core, units = policy.core_actor(rng), policy.action_map
    # A map of the user's own is a Python function.
    if core is not None and (units is None or type(units) is ActionUnits):
        network = (core.weights, core.sine_features, core.draw, slot.observations, slot.actions)
        # The type must be this very one, since a head derived from it may choose otherwise.
        if type(core.head) is GaussianHead and _is_vector(space):
            low, high = np.asarray(space.low, np.float64), np.asarray(space.high, np.float64)
            pair = None if units is None else (units.center, units.half_range)
            return BoxActor(*network, low, high, pair, single=space.dtype == np.float32)
        if type(core.head) is CategoricalHead and isinstance(space, Discrete) and units is None:
            return DiscreteActor(*network, int(space.start))
    act, convert = policy.actor(rng), action_converter(space, action_map=units)
    observations, actions = slot.observations, slot.actions

    def choose(t: int, observation: Any) -> Any:
        observations[t] = observation
        action = act(observations[t])
        actions[t] = action
        return convert(action)

    return choose


def _is_vector(space: Space[Any]) -> TypeGuard[Box]:
    return isinstance(space, Box) and len(space.shape) == 1 and space.dtype in (np.float32, np.float64)


class Watch(NamedTuple):
    """How an episode is followed, and abandoned, while it runs; other processes may hold the cells."""

    episode: int
    """Its index in the iteration."""
    length: NDArray[np.int64]
    """(1,): receives the steps so far."""
    unwanted_from: NDArray[np.int64]
    """(1,): the episode is abandoned once this is at most its index."""

    @classmethod
    def nobody(cls) -> Watch:
        """Return a watch that never abandons the episode."""
        return cls(0, np.zeros(1, np.int64), np.ones(1, np.int64))


def run_episode(
    env: Env, env_seed: int, choose: Chooser, slot: Slot, watch: Watch | None = None
) -> Episode | None:
    """Run one episode into the slot, of at most as many steps as it has rows; None where it was abandoned.

    ``choose`` is what :func:`make_chooser` returned for this slot.  The episode's course is a function of
    ``env_seed`` and the chooser, if the environment's is one of its seed and the actions.

    It ends at the first observation or reward that is not finite, before an action is chosen from it, but for
    the last observation of a task that ended, which nobody asks for.  It is a UserError where the environment
    gives what is none of its space.
    """
    watch = watch or Watch.nobody()
    try:
        observation = first_observation(env, env_seed)
        wanted, length, terminated, seconds, defect = run_in_core(
            choose, env.step, observation, slot.rewards, slot.final_observation, *watch
        )
    except (TypeError, ValueError) as error:
        reason = what_is_malformed(error)
        if reason is None:
            raise
        where = f"at step {int(watch.length[0])} of the episode that env.reset(seed={env_seed}) began"
        raise UserError(f"{reason}, {where}") from error
    if not wanted:
        return None
    if defect is not None:
        where = f"at step {length} of the episode that env.reset(seed={env_seed}) began"
        defect = f"the environment gave {defect}, {where}"
    return Episode(length, terminated, seconds, defect)
