"""Shared memory of the rollout workers: who runs which episode, how far it is, and its transitions."""

from __future__ import annotations

import fcntl
import math
import os
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..batch import Array, Trajectory
from .memory import shared_memory, too_long

_ALIGNMENT = 64

GOOD, BAD = 1, 2
"""How an episode finished."""


@dataclass(frozen=True)
class ArenaLayout:
    """Sizes that parent and workers agree on."""

    workers: int
    batch_steps: int
    horizon: int
    observation_size: int
    action_shape: tuple[int, ...]
    action_dtype: str
    most_skipped: int = 0
    """Bad episodes that the batch may do without."""
    evaluation_episodes: int = 0
    """Episodes of an evaluation, whose lengths have the places of those of a batch."""

    @property
    def rows(self) -> int:
        """Transitions that one worker may have to keep.

        A worker starts no episode once the earlier ones, its own among them, have ``batch_steps`` steps.
        """
        return self.batch_steps - 1 + self.horizon

    @property
    def episodes(self) -> int:
        """Episodes that may be started, in a batch or an evaluation.

        A good one has a step at least, and each worker may start one too many.
        """
        return max(self.batch_steps + self.most_skipped + self.workers, self.evaluation_episodes)

    def fields(self) -> list[tuple[str, tuple[int, ...], str]]:
        """Return name, shape and dtype of each array."""
        per_worker = (self.workers, self.rows)
        return [
            ("next_episode", (1,), "<i8"),
            # This is the first episode that the batch is sure to do without.
            ("unwanted_from", (1,), "<i8"),
            # The index is the worker, and the value the episode that it runs.
            ("running", (self.workers,), "<i8"),
            # The index is the episode.  A length grows while the episode runs.
            ("length", (self.episodes,), "<i8"),
            # This is 0 while it runs, then GOOD or BAD.
            ("finished", (self.episodes,), "<i8"),
            ("terminated", (self.episodes,), "<i8"),
            ("worker", (self.episodes,), "<i8"),
            ("start", (self.episodes,), "<i8"),
            ("final_observation", (self.episodes, self.observation_size), "<f8"),
            # The indices are worker and row.
            ("observations", (*per_worker, self.observation_size), "<f8"),
            ("actions", (*per_worker, *self.action_shape), self.action_dtype),
            ("rewards", per_worker, "<f8"),
        ]


class Arena:
    """The arrays of :meth:`ArenaLayout.fields`, as attributes, in a file in memory.

    Pages that nobody touches take no memory.  ``descriptor`` is that of a file which another process made;
    None makes a new one.  It is a UserError where the addresses of so many rows do not suffice.
    """

    next_episode: NDArray[np.int64]
    unwanted_from: NDArray[np.int64]
    running: NDArray[np.int64]
    length: NDArray[np.int64]
    finished: NDArray[np.int64]
    terminated: NDArray[np.int64]
    worker: NDArray[np.int64]
    start: NDArray[np.int64]
    final_observation: Array
    observations: Array
    actions: Array
    rewards: Array

    def __init__(self, layout: ArenaLayout, descriptor: int | None = None) -> None:
        self.layout = layout
        places, size = {}, 0
        for name, shape, dtype in layout.fields():
            places[name] = (size, shape, np.dtype(dtype))
            size += -(-math.prod(shape) * np.dtype(dtype).itemsize // _ALIGNMENT) * _ALIGNMENT
        try:
            self.descriptor, memory = shared_memory(size, descriptor)
        except (OSError, OverflowError, ValueError) as error:
            raise too_long(layout.rows, size) from error
        for name, (offset, shape, kind) in places.items():
            setattr(self, name, np.ndarray(shape, kind, buffer=memory, offset=offset))

    def close(self) -> None:
        """Close the descriptor; the arrays stay until they are collected."""
        os.close(self.descriptor)

    def clear(self) -> None:
        """Forget the episodes of the last iteration; no worker may be running."""
        for array in (self.next_episode, self.length, self.finished):
            array[...] = 0
        self.running[...] = -1
        self.unwanted_from[0] = self.layout.episodes

    def take(self, worker: int) -> int | None:
        """Return the next episode to run, a different one to each caller; None where the batch needs no more.

        A worker calls this as its last episode ends, so it also finds out which of the others' episodes are
        not wanted any more: all after the first ones that fill the batch, or whose bad ones end the run.
        An episode is abandoned only where those before it suffice, and what counts only grows, so an early
        answer is never wrong: where bad episodes are skipped, the length of a good one counts at its end.
        """
        # The system releases a POSIX record lock should its holder die.
        fcntl.lockf(self.descriptor, fcntl.LOCK_EX)
        try:
            episode = int(self.next_episode[0])
            self.next_episode[0] = episode + 1
            self.unwanted_from[0] = self._needed(episode, finished_only=self.layout.most_skipped > 0)
        finally:
            fcntl.lockf(self.descriptor, fcntl.LOCK_UN)
        if episode >= self.unwanted_from[0]:
            return None
        self.running[worker] = episode
        return episode

    def _needed(self, started: int, *, finished_only: bool) -> int:
        """Return how many episodes, from the first on, it takes to fill the batch, or to give it up."""
        finished, lengths = self.finished[:started], self.length[:started]
        steps = np.cumsum(np.where(finished == GOOD, lengths, 0) if finished_only else lengths)
        filling = int(np.searchsorted(steps, self.layout.batch_steps)) + 1
        needed = filling if filling <= started else self.layout.episodes
        bad = np.flatnonzero(finished == BAD)
        most = self.layout.most_skipped
        return min(needed, int(bad[most]) + 1) if len(bad) > most else needed

    def prefix(self) -> int:
        """Return how many episodes, 0, 1, ..., a finished batch is made of, the bad ones included.

        They are the fewest whose good ones fill it, or one of which is one bad episode too many.
        """
        count = self._needed(self.layout.episodes, finished_only=True)
        assert self.finished[:count].all()
        return count

    def trajectory(self, episode: int) -> Trajectory:
        """Return a finished episode, as views."""
        start = self.start[episode]
        place = self.worker[episode], slice(start, start + self.length[episode])
        return Trajectory(
            self.observations[place],
            self.actions[place],
            self.rewards[place],
            self.final_observation[episode],
            bool(self.terminated[episode]),
        )
