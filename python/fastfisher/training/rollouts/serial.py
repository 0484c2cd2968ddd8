"""Whole episodes, one after the other, in this process."""

# ruff: noqa: D102 - the base class documents what is overridden here

from __future__ import annotations

from ...policies import Policy
from ..batch import Batch, Trajectory
from ..environments.recipe import Env
from ..seeding import Stream, stream
from . import Rollouts
from .episode import Slot, make_chooser, refuse_defects, run_episode


class SerialRollouts(Rollouts):
    """Episodes 0, 1, 2, ... until together they have at least ``batch_steps`` steps.

    The environment stays the caller's.  An episode is cut after ``horizon`` steps, as by a time limit.  Up to
    ``most_skipped`` episodes that are not finite are dropped, and do not count; one more is a UserError.
    """

    def __init__(self, env: Env, seed: int, batch_steps: int, horizon: int, most_skipped: int = 0) -> None:
        self._env, self._most_skipped = env, most_skipped
        self._seed, self._batch_steps, self._horizon = seed, batch_steps, horizon
        assert env.observation_space.shape is not None
        self.observation_size = env.observation_space.shape[0]

    def collect(self, policy: Policy, iteration: int) -> Batch:
        slot = Slot.empty(policy, self._horizon, self.observation_size)
        trajectories: list[Trajectory] = []
        defects: list[str] = []
        steps, seconds = 0, 0.0
        while steps < self._batch_steps:
            index = len(trajectories) + len(defects)
            env_seed, rng = stream(self._seed, Stream.EPISODE, iteration, index)
            choose = make_chooser(policy, rng, self._env.action_space, slot)
            episode = run_episode(self._env, env_seed, choose, slot)
            assert episode is not None
            seconds += episode.seconds_env_step
            if episode.defect is not None:
                defects.append(episode.defect)
                refuse_defects(defects, self._most_skipped)
                continue
            trajectories.append(slot.trajectory(0, episode.length, episode.terminated))
            steps += episode.length
        return Batch.of(trajectories, seconds, defects)
