"""What training asks of a value baseline, and how any of them is fitted to more than the last batch."""

# ruff: noqa: D102 - the base class documents what is overridden here

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..batch import Array
from ..checkpoint import joined, part_of
from ..moments import RewardUnit

Times: TypeAlias = NDArray[np.int64]

_PREFIX = "recent"


class Baseline(ABC):
    """V, the expected discounted return from an observation and the steps since the episode began.

    Before its first fit V is zero.  Prediction and fit are functions of the state and their arguments.
    """

    @abstractmethod
    def predict(self, observations: Array, times: Times) -> Array:
        """Return V, (N,)."""

    @abstractmethod
    def fit(self, observations: Array, times: Times, targets: Array) -> None:
        """Fit to value targets, (N,)."""

    @abstractmethod
    def state(self) -> dict[str, NDArray[Any]]:
        """Return what a checkpoint has to keep."""

    @abstractmethod
    def load_state(self, values: Mapping[str, NDArray[Any]]) -> None:
        """Take back what :meth:`state` returned."""


class RecentBaseline(Baseline):
    """Another baseline, fitted to all transitions of the last batches together.

    A batch of 2,048 steps is a few episodes, whose steps share their luck: V fitted to it alone follows that
    luck, and the next batch's advantages pay for it.  The older batches' targets are those of their time, of
    policies a few steps away: a bias that the smaller variance is worth (docs/results/ablations.md).  Targets
    come in ``unit``, and older ones follow where it has moved.
    """

    def __init__(self, inner: Baseline, batches: int, unit: RewardUnit) -> None:
        self._inner, self._unit = inner, unit
        self._recent: deque[tuple[Array, Times, Array]] = deque(maxlen=batches)

    def predict(self, observations: Array, times: Times) -> Array:
        return self._inner.predict(observations, times)

    def fit(self, observations: Array, times: Times, targets: Array) -> None:
        # Copies, since a caller may use its arrays again.
        self._recent.append((observations.copy(), times.copy(), self._unit.value * targets))
        every_observation, every_time, every_target = (
            np.concatenate(arrays) for arrays in zip(*self._recent, strict=True)
        )
        self._inner.fit(every_observation, every_time, every_target / self._unit.value)

    def state(self) -> dict[str, NDArray[Any]]:
        names = ("observations", "times", "targets")
        batches = (dict(zip(names, batch, strict=True)) for batch in self._recent)
        return {
            **self._inner.state(),
            **joined({f"{_PREFIX}{age}": batch for age, batch in enumerate(batches)}),
        }

    def load_state(self, values: Mapping[str, NDArray[Any]]) -> None:
        self._recent.clear()
        for age in range(self._recent.maxlen or 0):
            batch = part_of(values, f"{_PREFIX}{age}")
            if batch:
                self._recent.append((batch["observations"], batch["times"], batch["targets"]))
        self._inner.load_state(values)
