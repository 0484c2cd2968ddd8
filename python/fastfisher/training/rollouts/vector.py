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
from ..environments.recipe import Recipe
from ..environments.spaces import action_converter
from ..errors import UserError
from ..seeding import Stream, stream
from . import Rollouts


class VectorRollouts(Rollouts):
    """Steps all copies until together they have at least ``batch_steps`` transitions.

    Each iteration starts all copies anew, from seeds of its own.  Episodes that the end of the batch cuts are
    trajectories that did not terminate.  A copy whose episode ends is reset as the vector
    environment's autoreset mode says: by its next step, which is no transition; by the same step, the
    last observation being in its infos; or, where it resets nothing by itself, by us.  The vector environment
    stays the caller's, unless :meth:`from_recipe` made it.
    """

    def __init__(self, envs: VectorEnv[Any, Any, Any], seed: int, batch_steps: int) -> None:
        if type(envs).__module__.startswith("envpool"):
            raise UserError("EnvPool ignores the seeds of a reset; train by id, with backend='envpool'")
        self._mode = envs.metadata.get("autoreset_mode", AutoresetMode.NEXT_STEP)
        if not isinstance(self._mode, AutoresetMode):
            raise UserError(f"autoreset_mode: expected a gymnasium.vector.AutoresetMode, got {self._mode!r}")
        space = envs.single_observation_space
        if not (isinstance(space, gymnasium.spaces.Box) and len(space.shape) == 1):
            raise UserError(
                f"the vector environment observes {space}; wrap it to a 1-D Box (FlattenObservation)"
            )
        self._envs, self._owns_envs = envs, False
        self._seed, self._batch_steps = seed, batch_steps
        self._observation_dtype = space.dtype

    @classmethod
    def from_recipe(cls, recipe: Recipe, copies: int, seed: int, batch_steps: int) -> VectorRollouts:
        """Make the copies in one synchronous vector environment."""
        envs = SyncVectorEnv([recipe] * copies, autoreset_mode=AutoresetMode.NEXT_STEP)
        rollouts = cls(envs, seed, batch_steps)
        rollouts._owns_envs = True
        return rollouts

    def collect(self, policy: Policy, iteration: int) -> Batch:
        n = self._envs.num_envs
        convert = action_converter(self._envs.single_action_space, batch=True, action_map=policy.action_map)
        env_seeds = [stream(self._seed, Stream.VECTOR, iteration, lane)[0] for lane in range(n)]
        _, rng = stream(self._seed, Stream.VECTOR, iteration)
        steps: list[tuple[NDArray[Any], ...]] = []
        resetting = np.zeros(n, dtype=bool)
        transitions, seconds = 0, 0.0
        raw, _ = self._envs.reset(seed=env_seeds)  # type: ignore[arg-type]
        while transitions < self._batch_steps:
            seen = np.array(raw, dtype=np.float64)
            chosen = policy.act(seen, rng)
            transitions += n - int(resetting.sum())
            env_actions = convert(chosen)
            start = perf_counter()
            raw, rewards, terminated, truncated, infos = self._envs.step(env_actions)
            seconds += perf_counter() - start
            # These are copies, since the environment may use its arrays again.
            reached, ended = np.array(raw, dtype=np.float64), np.array(terminated | truncated)
            earned = np.array(rewards, dtype=np.float64)
            steps.append((seen, chosen, earned, np.array(terminated), ended, reached))
            if self._mode == AutoresetMode.NEXT_STEP:
                resetting = ended
            elif not ended.any():
                continue
            elif self._mode == AutoresetMode.SAME_STEP:
                for lane in np.flatnonzero(ended):
                    # The environment cast the other observations to its space's type, but not this one.
                    reached[lane] = np.asarray(infos["final_obs"][lane], self._observation_dtype)
            else:
                raw, _ = self._envs.reset(options={"reset_mask": ended})
        return Batch.of(_by_lane(steps, int(self._mode == AutoresetMode.NEXT_STEP)), seconds)

    def close(self) -> None:
        if self._owns_envs:
            self._envs.close()


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
