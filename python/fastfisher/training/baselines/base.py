"""What training asks of a value baseline."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Baseline(ABC):
    """V, the expected discounted return from an observation and the steps since the episode began.

    Before its first fit V is zero.  Prediction and fit are functions of the state and their arguments.
    """

    @abstractmethod
    def predict(self, observations: Array, times: NDArray[np.int64]) -> Array:
        """Return V, (N,)."""

    @abstractmethod
    def fit(self, observations: Array, times: NDArray[np.int64], targets: Array) -> None:
        """Fit to value targets, (N,)."""

    @abstractmethod
    def state(self) -> dict[str, NDArray[Any]]:
        """Return what a checkpoint has to keep."""

    @abstractmethod
    def load_state(self, values: Mapping[str, NDArray[Any]]) -> None:
        """Take back what :meth:`state` returned."""
