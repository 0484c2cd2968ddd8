"""Rollouts on a gymnasium vector environment: all copies take each step together, in this process."""

# ruff: noqa: D102 - the base class documents what is overridden here

from __future__ import annotations

from collections.abc import Iterator
from time import perf_counter
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from numpy.typing import NDArray

from ...policies import Policy
from ..batch import Batch, Trajectory
from ..environments.flat import FlatObservations
from ..environments.interface import CheckedResults, refuse_shared, what_is_malformed
from ..environments.masks import ActionMasked
from ..environments.recipe import Env, Recipe, close_environment
from ..environments.spaces import action_converter
from ..errors import UserError
from ..seeding import Stream, stream
from . import Rollouts
from .vector_interface import VectorInterface, autoreset_mode


class VectorRollouts(Rollouts):
    """Steps all copies until together they have at least ``batch_steps`` transitions.

    Each iteration starts all copies anew, from seeds of its own, or from one where the vector environment
    takes but one.  Episodes that the end of the batch cuts are trajectories that did not terminate.  A copy
    whose episode ends is reset as the vector environment's autoreset mode says: by its next step, which is no
    transition; by the same step, the last observation being in its infos; or, where it resets nothing by
    itself, by us.  Where its metadata name no mode, the first episode to end shows whether it is the second.
    The vector environment stays the caller's, unless :meth:`from_recipe` made it.

    It is a UserError where the vector environment gives what is none of its space, or not finite.
    """

    def __init__(self, envs: VectorEnv[Any, Any, Any], seed: int, batch_steps: int) -> None:
        self._mode = autoreset_mode(envs)
        space = envs.single_observation_space
        if not (isinstance(space, gymnasium.spaces.Box) and len(space.shape) == 1):
            raise UserError(
                f"the vector environment observes {space}; wrap it to a 1-D Box (FlattenObservation)"
            )
        self._envs, self._owns_envs = envs, False
        self._seed, self._batch_steps = seed, batch_steps
        self._interface = VectorInterface(envs.num_envs, space)

    @classmethod
    def from_recipe(cls, recipe: Recipe, copies: int, seed: int, batch_steps: int) -> VectorRollouts:
        """Make the copies in one synchronous vector environment."""
        envs = SyncVectorEnv([lambda: _checked(recipe())] * copies, autoreset_mode=AutoresetMode.NEXT_STEP)
        refuse_shared(envs)
        rollouts = cls(envs, seed, batch_steps)
        rollouts._owns_envs = True
        return rollouts

    def collect(self, policy: Policy, iteration: int) -> Batch:
        try:
            return self._collect(policy, iteration)
        except (TypeError, ValueError) as error:
            reason = what_is_malformed(error)
            if reason is None:
                raise
            raise UserError(f"{reason}, in a copy of the vector environment") from error

    def _collect(self, policy: Policy, iteration: int) -> Batch:
        n, interface = self._envs.num_envs, self._interface
        convert = action_converter(self._envs.single_action_space, batch=True, action_map=policy.action_map)
        _, rng = stream(self._seed, Stream.VECTOR, iteration)
        steps: list[tuple[NDArray[Any], ...]] = []
        resetting = np.zeros(n, dtype=bool)
        transitions, seconds = 0, 0.0
        seen = interface.begin(self._reset(iteration), f"at the start of iteration {iteration}")
        while transitions < self._batch_steps:
            chosen = policy.act(seen, rng)
            transitions += n - int(resetting.sum())
            env_actions = convert(chosen)
            start = perf_counter()
            result = self._envs.step(env_actions)
            seconds += perf_counter() - start
            raw, earned, terminated, ended, infos = interface.step(result)
            reached, over = raw, bool(ended.any())
            where = len(steps) + 1, iteration
            if over and self._mode is None:
                self._mode = interface.mode_shown(infos, ended)
            if over and self._mode == AutoresetMode.SAME_STEP:
                reached = interface.last_observations(raw, infos, ended)
                interface.check_finite(raw, earned, np.zeros(n, dtype=bool), resetting, *where)
            interface.check_finite(reached, earned, terminated, resetting, *where)
            steps.append((seen, chosen, earned, terminated, ended, reached))
            seen = raw
            if self._mode == AutoresetMode.NEXT_STEP:
                resetting = ended
                # Nobody looks at the actions of steps that reset.
                seen = np.where(resetting[:, None] & ~np.isfinite(raw), 0.0, raw) if over else raw
            elif over and self._mode == AutoresetMode.DISABLED:
                seen = interface.begin(
                    self._envs.reset(options={"reset_mask": ended}), f"in iteration {iteration}"
                )
        if iteration == 0 and self._mode == AutoresetMode.SAME_STEP:
            self.notes += _loss_notes(steps)
        return Batch.of(_by_lane(steps, int(self._mode == AutoresetMode.NEXT_STEP)), seconds)

    def _reset(self, iteration: int) -> Any:
        """Start all copies anew, each from its seed, or all from the first."""
        seeds = [stream(self._seed, Stream.VECTOR, iteration, lane)[0] for lane in range(self._envs.num_envs)]
        try:
            return self._envs.reset(seed=seeds)  # type: ignore[arg-type]
        except (TypeError, ValueError, gymnasium.error.Error):
            # The base class of vector environments takes one, and what does not want that either says so.
            return self._envs.reset(seed=seeds[0])

    def close(self) -> None:
        if self._owns_envs:
            close_environment(self._envs)


def _loss_notes(steps: list[tuple[NDArray[Any], ...]]) -> tuple[str, ...]:
    """Return what the user should know where the last observations of a vector environment are the next's.

    Gymnasium keeps the environment's own array, in which an environment that writes each observation into one
    array has put the first of the next episode meanwhile.
    """
    seen, _, _, terminated, ended, reached = (np.array(part) for part in zip(*steps, strict=True))
    cut = (ended & ~terminated)[:-1]
    moved = reached[:-1][cut] != seen[:-1][cut]
    if not moved.any() or not np.array_equal(reached[:-1], seen[1:]):
        return ()
    return (
        "the last observation of every episode is the first of the next, whose value then stands for what a "
        "time limit cuts off: an environment that writes into one array should return copies of it "
        "(or take AutoresetMode.NEXT_STEP)",
    )


def _checked(env: Env) -> Env:
    """Return a copy whose results are checked before they are put beside those of the others.

    One whose observations had to be flattened, or have a mask behind them, has these checked already.
    """
    flat = env if isinstance(env, (ActionMasked, FlatObservations)) else FlatObservations(env)
    return CheckedResults(flat)


def _by_lane(steps: list[tuple[NDArray[Any], ...]], resetting_steps: int) -> Iterator[Trajectory]:
    """Cut steps of all copies into trajectories, one copy after the other.

    A step is what each copy saw, chose and earned, whether its task terminated and its episode ended, and
    the observation that it reached.
    """
    seen, chosen, earned, terminated, ended, reached = (np.array(part) for part in zip(*steps, strict=True))
    for lane, ends in enumerate(ended.T):
        start = 0
        for stop in (*(np.flatnonzero(ends) + 1), len(steps)):
            if start < stop:
                rows, last = (slice(start, stop), lane), (stop - 1, lane)
                yield Trajectory(
                    seen[rows], chosen[rows], earned[rows], reached[last], terminated[last], ended[last]
                )
            start = stop + resetting_steps
