"""The transitions that one iteration learns from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]


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

    @classmethod
    def of(cls, trajectories: Iterable[Trajectory], seconds_env_step: float) -> Batch:
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

    def check_finite(self) -> None:
        """Raise FloatingPointError, naming trajectory and step, at a NaN or infinity the environment gave."""
        for name, array in (("reward", self.rewards), ("observation", self.observations)):
            row = first_not_finite(array)
            if row is not None:
                trajectory = int(np.searchsorted(self.ends, row, side="right"))
                raise _not_finite(name, array[row], int(self.times[row]), trajectory)
        # Where the task ended nobody asks what the last state is worth.
        cut = np.flatnonzero(~self.terminated)
        last = first_not_finite(self.final_observations[cut])
        if last is not None:
            trajectory = int(cut[last])
            length = int(self.lengths[trajectory])
            raise _not_finite("observation", self.final_observations[trajectory], length, trajectory)


def first_not_finite(rows: Array) -> int | None:
    """Return the first row that holds a NaN or infinity, if there is one."""
    finite = np.isfinite(rows)
    return None if finite.all() else int(np.argmin(finite.reshape(len(rows), -1).all(axis=1)))


def _not_finite(name: str, value: Any, step: int, trajectory: int) -> FloatingPointError:
    return FloatingPointError(
        f"the environment gave a {name} that is not finite, {value}, "
        f"at step {step} of trajectory {trajectory}"
    )
