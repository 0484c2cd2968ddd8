"""The transitions that one iteration learns from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Batch:
    """N transitions of K trajectories, one trajectory after the other.

    The arrays may be views of buffers that the next collection overwrites.
    """

    observations: Array
    """(N, D): what the policy saw."""
    actions: NDArray[Any]
    """(N, m) or (N,): what it chose, before clipping."""
    rewards: Array
    """(N,)"""
    lengths: NDArray[np.int64]
    """(K,): transitions of each trajectory."""
    terminated: NDArray[np.bool_]
    """(K,): the task itself ended; otherwise the trajectory was cut and its last state has a value."""
    complete: NDArray[np.bool_]
    """(K,): the trajectory is a whole episode, ended by the environment and not by the end of the batch."""
    final_observations: Array
    """(K, D): the observation after each trajectory's last transition."""
    seconds_env_step: float = 0.0

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
            finite = np.isfinite(array) if array.ndim == 1 else np.isfinite(array).all(axis=1)
            if not finite.all():
                row = int(np.argmin(finite))
                trajectory = int(np.searchsorted(self.ends, row, side="right"))
                step = int(self.times[row])
                raise FloatingPointError(
                    f"the environment gave a {name} that is not finite, {array[row]}, "
                    f"at step {step} of trajectory {trajectory}"
                )
