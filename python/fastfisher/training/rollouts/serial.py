"""Whole episodes, one after the other, in this process."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...policies import Policy
from ..batch import Batch
from ..environments.recipe import Env
from ..seeding import Stream, stream
from .episode import Episode, Slot, make_chooser, run_episode

Array = NDArray[np.float64]


class Rollouts(Protocol):
    """A way to collect the batch of an iteration."""

    notes: tuple[str, ...]
    """What the user should know about how it runs."""

    def collect(self, policy: Policy, iteration: int) -> Batch:
        """Return the transitions of this iteration, a function of the policy, the seed and the iteration."""
        ...

    def state(self) -> dict[str, NDArray[Any]]:
        """Return what a checkpoint has to keep; most keep nothing."""
        ...

    def close(self) -> None:
        """Release environments and processes."""
        ...


class SerialRollouts:
    """Episodes 0, 1, 2, ... until together they have at least ``batch_steps`` steps.

    Parameters
    ----------
    env
        Stays the caller's.
    seed, batch_steps
        From the config.
    horizon
        Steps after which an episode is cut as by a time limit.
    """

    def __init__(self, env: Env, seed: int, batch_steps: int, horizon: int) -> None:
        self.notes: tuple[str, ...] = ()
        self._env = env
        self._seed, self._batch_steps, self._horizon = seed, batch_steps, horizon
        assert env.observation_space.shape is not None
        self.observation_size = env.observation_space.shape[0]

    def collect(self, policy: Policy, iteration: int) -> Batch:
        """Return the transitions of this iteration."""
        rows = self._batch_steps - 1 + self._horizon
        observations = np.empty((rows, self.observation_size))
        actions: NDArray[Any] = np.empty((rows, *policy.action_shape), policy.action_dtype)
        rewards = np.empty(rows)
        finals: list[Array] = []
        episodes: list[Episode] = []
        start = 0
        while start < self._batch_steps:
            final = np.empty(self.observation_size)
            window = slice(start, start + self._horizon)
            env_seed, rng = stream(self._seed, Stream.EPISODE, iteration, len(episodes))
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

    def state(self) -> dict[str, NDArray[Any]]:
        """Return nothing: a batch is a function of the iteration."""
        return {}

    def close(self) -> None:
        """Do nothing: the environment is the caller's."""
