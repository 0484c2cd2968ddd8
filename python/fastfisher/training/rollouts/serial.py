"""Whole episodes, one after the other, in this process."""

# ruff: noqa: D102 - the base class documents what is overridden here

from __future__ import annotations

import numpy as np

from ...policies import Policy
from ..batch import Array, Batch
from ..environments.recipe import Env
from ..seeding import Stream, stream
from . import Rollouts
from .episode import Episode, Slot, make_chooser, run_episode


class SerialRollouts(Rollouts):
    """Episodes 0, 1, 2, ... until together they have at least ``batch_steps`` steps.

    Parameters
    ----------
    env
        The environment, which stays the caller's.
    seed, batch_steps
        The config's.
    horizon
        Steps after which an episode is cut as by a time limit.
    """

    def __init__(self, env: Env, seed: int, batch_steps: int, horizon: int) -> None:
        self._env = env
        self._seed, self._batch_steps, self._horizon = seed, batch_steps, horizon
        assert env.observation_space.shape is not None
        self.observation_size = env.observation_space.shape[0]

    def collect(self, policy: Policy, iteration: int) -> Batch:
        rows = self._batch_steps - 1 + self._horizon
        observations, actions, rewards, _ = Slot.empty(policy, rows, self.observation_size)
        finals: list[Array] = []
        episodes: list[Episode] = []
        start = 0
        while start < self._batch_steps:
            window = slice(start, start + self._horizon)
            env_seed, rng = stream(self._seed, Stream.EPISODE, iteration, len(episodes))
            final = np.empty(self.observation_size)
            slot = Slot(observations[window], actions[window], rewards[window], final)
            choose = make_chooser(policy, rng, self._env.action_space, slot)
            episode = run_episode(self._env, env_seed, choose, slot)
            assert episode is not None
            episodes.append(episode)
            finals.append(final)
            start += episode.length
        return Batch(
            observations=observations[:start],
            actions=actions[:start],
            rewards=rewards[:start],
            lengths=np.array([episode.length for episode in episodes]),
            terminated=np.array([episode.terminated for episode in episodes]),
            complete=np.ones(len(episodes), dtype=bool),
            final_observations=np.array(finals),
            seconds_env_step=sum(episode.seconds_env_step for episode in episodes),
        )
