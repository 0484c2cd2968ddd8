"""The transitions that one iteration learns from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .errors import UserError

Array: TypeAlias = NDArray[np.float64]

_LARGEST = 1e150
"""Of an observation: squares of what is made of larger ones are beyond double precision."""


class Trajectory(NamedTuple):
    """Transitions in a row: a :class:`Batch`'s fields, of one trajectory."""

    observations: Array
    actions: NDArray[Any]
    rewards: Array
    final_observation: Array
    terminated: bool
    complete: bool = True


@dataclass(frozen=True, eq=False)
class Batch:
    """N transitions of K trajectories, one trajectory after the other."""

    observations: Array
    """(N, D): what the policy saw."""
    actions: NDArray[Any]
    """(N, m) or (N,): what it chose, in its units, before clipping."""
    rewards: Array
    """(N,)"""
    lengths: NDArray[np.int64]
    """(K,): transitions of each trajectory."""
    terminated: NDArray[np.bool_]
    """(K,): the task itself ended; otherwise the trajectory was cut and its last state has a value."""
    complete: NDArray[np.bool_]
    """(K,): the trajectory is a whole episode, which the environment ended, or the trainer where there is no
    time limit, and not the end of the batch."""
    final_observations: Array
    """(K, D): the observation after each trajectory's last transition."""
    seconds_env_step: float = 0.0
    defects: tuple[str, ...] = ()
    """What was wrong with each episode that was skipped, a sentence."""

    @classmethod
    def of(
        cls, trajectories: Iterable[Trajectory], seconds_env_step: float, defects: Iterable[str] = ()
    ) -> Batch:
        """Return a batch of copies of these trajectories."""
        observations, actions, rewards, last, terminated, complete = zip(*trajectories, strict=True)
        return cls(
            observations=np.concatenate(observations),
            actions=np.concatenate(actions),
            rewards=np.concatenate(rewards),
            lengths=np.array([len(earned) for earned in rewards]),
            terminated=np.array(terminated, bool),
            complete=np.array(complete, bool),
            final_observations=np.array(last),
            seconds_env_step=seconds_env_step,
            defects=tuple(defects),
        )

    @property
    def ends(self) -> NDArray[np.int64]:
        """(K,): row after each trajectory's last one."""
        return np.cumsum(self.lengths)

    @property
    def times(self) -> NDArray[np.int64]:
        """(N,): steps since the start of the trajectory."""
        return np.arange(len(self.rewards)) - np.repeat(self.ends - self.lengths, self.lengths)

    @property
    def returns(self) -> Array:
        """(K,): undiscounted sum of the rewards of each trajectory."""
        return np.add.reduceat(self.rewards, self.ends - self.lengths)

    def check_range(self) -> None:
        """Raise a UserError where squares of observations or returns are beyond double precision."""
        for seen in (self.observations, self.final_observations[~self.terminated]):
            if seen.size and max(seen.max(), -seen.min()) > _LARGEST:
                row, entry = np.unravel_index(np.argmax(np.abs(seen)), seen.shape)
                raise UserError(
                    f"the environment gave an observation whose entry {entry} is {seen[row, entry]:g}, and "
                    "squares of such are beyond double precision: scale the observations "
                    "(gymnasium.wrappers.TransformObservation)"
                )
        with np.errstate(over="ignore"):
            total = float(np.abs(self.rewards).sum())
        if total > np.sqrt(np.finfo(np.float64).max / len(self.rewards)):
            largest = float(self.rewards[np.argmax(np.abs(self.rewards))])
            raise UserError(
                f"the environment gave a reward of {largest:g}, and squares of such returns are beyond "
                "double precision: scale the rewards (gymnasium.wrappers.TransformReward)"
            )


def first_not_finite(rows: Array) -> int | None:
    """Return the first row that holds a NaN or infinity, if there is one."""
    finite = np.isfinite(rows)
    return None if finite.all() else int(np.argmin(finite.reshape(len(rows), -1).all(axis=1)))
