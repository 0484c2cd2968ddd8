"""Rollouts on EnvPool: environments in C++, on threads of its own."""

# ruff: noqa: D102 - the base class documents what is overridden here

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Discrete, Space
from numpy.random import Generator
from numpy.typing import NDArray

from ...policies import Policy
from ..batch import Array, Batch, Trajectory
from ..config import TrainConfig
from ..defaults import decided
from ..environments.recipe import Env
from ..errors import UserError
from ..seeding import Stream, stream
from . import Rollouts
from .cores import worker_count
from .episode import Slot, make_chooser


class EnvPoolRollouts(Rollouts):
    """Steps all environments until together they have at least ``batch_steps`` transitions.

    Each iteration resets all of them.  EnvPool resets an environment whose episode has ended on its next
    step, which is no transition.  Episodes that the end of the batch cuts did not terminate.

    The environments are spread over pools of one thread each, one to a core: while the policy acts for one
    pool the others simulate.  What an environment does depends on its own number and on nothing else, so the
    batch is the same bits however they are spread.

    EnvPool seeds an environment when it is made and never again, and it cannot say what state its generator
    is in.  So a checkpoint keeps how often each was reset, and one that is made anew is reset as often.  That
    restores an environment which draws nothing between its resets, as those of MuJoCo and classic control.

    ``env`` is Gymnasium's own environment of that name, whose spaces EnvPool's must have; ``state`` is what
    :meth:`state` returned, for rollouts that continue others.
    """

    def __init__(self, config: TrainConfig, env: Env, state: Mapping[str, NDArray[Any]]) -> None:
        self._seed, self._batch_steps = config.seed, decided(config, "batch_steps")
        # A run goes on with as many as it began with, since a config from before the rule changed names none.
        count = len(state["resets"]) if state else decided(config, "num_envs")
        groups = min(count, worker_count(config))
        self._lanes = np.array_split(np.arange(count), groups)
        self._pools = [make_pool(config, env, lanes.tolist()) for lanes in self._lanes]
        self._action_dtype = next(
            spec.dtype for name, spec in self._pools[0].spec.action_array_spec.items() if "env_id" not in name
        )
        self.resets: NDArray[np.int64] = np.zeros(count, np.int64)
        """How often each environment was reset."""
        if state:
            self._reset_as_often_as(np.asarray(state["resets"]))

    def _reset_as_often_as(self, resets: NDArray[np.int64]) -> None:
        for pool, lanes in zip(self._pools, self._lanes, strict=True):
            for done in range(int(resets[lanes].max())):
                pool.reset(np.flatnonzero(resets[lanes] > done).astype(np.int32))
        self.resets = resets.copy()

    def collect(self, policy: Policy, iteration: int) -> Batch:
        count, rows = len(self.resets), -(-self._batch_steps // len(self.resets))
        lanes = [
            # There is at most one reset to a transition, so an environment is stepped no more often.
            _Lane(
                lane, policy, self._pools[0], 2 * rows, stream(self._seed, Stream.VECTOR, iteration, lane)[1]
            )
            for lane in range(count)
        ]
        groups = [
            (pool, [lanes[lane] for lane in members])
            for pool, members in zip(self._pools, self._lanes, strict=True)
        ]
        begin = perf_counter()
        for pool, group in groups:
            for lane, observation in zip(group, pool.reset()[0], strict=True):
                lane.refuse_defects(observation)
                lane.begin(observation)
        waiting = perf_counter() - begin
        steps = sum(self._send(pool, group) for pool, group in groups)
        more = True
        while more:
            more = steps < self._batch_steps
            for pool, group in groups:
                begin = perf_counter()
                observations, *results, _ = pool.recv()
                waiting += perf_counter() - begin
                if not (np.isfinite(observations).all() and np.isfinite(results[0]).all()):
                    for lane, *given in zip(group, observations, *results, strict=True):
                        lane.refuse_defects(*given)
                for lane, *result in zip(group, observations, *(r.tolist() for r in results), strict=True):
                    lane.receive(*result)
                if more:
                    steps += self._send(pool, group)
        self.resets += [lane.resets for lane in lanes]
        return Batch.of((trajectory for lane in lanes for trajectory in lane.close()), waiting)

    def _send(self, pool: Any, group: list[_Lane]) -> int:
        """Have one pool take a step; return how many of its environments make a transition of it."""
        pool.send(np.array([lane.act() for lane in group], self._action_dtype))
        return sum(not lane.resetting for lane in group)

    def state(self) -> dict[str, NDArray[Any]]:
        return {"resets": self.resets.copy()}

    def close(self) -> None:
        for pool in self._pools:
            pool.close()
        self._pools.clear()


class _Lane:
    """The transitions of one environment, of this number, in one iteration."""

    def __init__(self, number: int, policy: Policy, pool: Any, rows: int, rng: Generator) -> None:
        self._number = number
        size = int(np.prod(pool.observation_space.shape))
        self.slot = Slot.empty(policy, rows, size)
        self._choose = make_chooser(policy, rng, pool.action_space, self.slot)
        self._action: Any = None
        self._observation: Array = self.slot.final_observation
        self.t, self.resets, self.resetting = 0, 0, False
        self._start = 0
        """Row of the first transition of the trajectory that goes on."""
        self._trajectories: list[Trajectory] = []

    def begin(self, observation: Array) -> None:
        """Take in the observation after a reset."""
        self._observation, self.resetting = observation.ravel(), False
        self.resets += 1

    def act(self) -> Any:
        """Return the action it chooses; for the step that resets, the last one, which nobody looks at."""
        if not self.resetting:
            self._action = self._choose(self.t, self._observation)
        return self._action

    def receive(self, observation: Array, reward: float, terminated: bool, truncated: bool) -> None:
        """Take in what a step gave."""
        if self.resetting:
            self.begin(observation)
            return
        self.slot.rewards[self.t] = reward
        self.t += 1
        self._observation = observation.ravel()
        if terminated or truncated:
            self.resetting = True
            self._end(terminated, complete=True)

    def refuse_defects(
        self, observation: Array, reward: float = 0.0, terminated: bool = False, _: bool = False
    ) -> None:
        """Raise a UserError where what a reset or a step gave is not finite, and somebody asks for it.

        Nobody does for the last observation of a task that ended, nor for the reward of a step that resets.
        """
        of_reward = not np.isfinite(reward) and not self.resetting
        if of_reward or not (terminated or np.isfinite(observation).all()):
            name = f"a reward of {reward}" if of_reward else "an observation that is not finite"
            raise UserError(
                f"environment {self._number} of EnvPool gave {name}, "
                f"after {self.t - self._start} steps of its trajectory"
            )

    def _end(self, terminated: bool, complete: bool) -> None:
        self.slot.final_observation[...] = self._observation
        self._trajectories.append(self.slot.trajectory(self._start, self.t, terminated, complete))
        self._start = self.t

    def close(self) -> list[Trajectory]:
        """End the trajectory that the end of the batch cuts, if there is one, and return all of them."""
        if self.t > self._start:
            self._end(terminated=False, complete=False)
        return self._trajectories


def make_pool(config: TrainConfig, env: Env, lanes: list[int]) -> Any:
    """Return a pool of the environments of these numbers, on one thread.

    It is a UserError where EnvPool is missing, has no such environment, or has another one of that name.
    """
    try:
        import envpool
    except ImportError as error:
        raise UserError(
            f"backend='envpool' needs a package that is missing: {error}; pip install fastfisher[envpool]"
        ) from error
    if config.env not in envpool.list_all_envs():
        raise UserError(f"EnvPool {envpool.__version__} has no {config.env!r}; leave backend='envpool' out")
    options = dict(config.env_kwargs)
    if config.max_episode_steps is not None:
        options["max_episode_steps"] = config.max_episode_steps
    # Seeds have 31 bits here, since EnvPool's are signed.
    seeds = [stream(config.seed, Stream.ENVPOOL, lane)[0] >> 1 for lane in lanes]
    try:
        pool = envpool.make_gymnasium(config.env, num_envs=len(lanes), num_threads=1, seed=seeds, **options)
    except TypeError as error:
        raise UserError(
            f"EnvPool's {config.env} does not take env_kwargs {config.env_kwargs}: {error}"
        ) from error
    for kind in ("observation", "action"):
        ours, theirs = getattr(env, f"{kind}_space"), getattr(pool, f"{kind}_space")
        if not _alike(ours, theirs):
            raise UserError(
                f"EnvPool's {config.env} has {kind}s of {theirs}, and gymnasium's of {ours}; "
                "leave backend='envpool' out"
            )
    return pool


def _alike(ours: Space[Any], theirs: Space[Any]) -> bool:
    if isinstance(ours, Discrete):
        return isinstance(theirs, Discrete) and (ours.n, ours.start) == (theirs.n, theirs.start)
    return isinstance(ours, Box) and isinstance(theirs, Box) and ours.shape == theirs.shape
