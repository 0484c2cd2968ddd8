"""Rollouts: how the batch of an iteration is collected."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

if TYPE_CHECKING:
    from ...policies import Policy
    from ..batch import Batch
    from ..evaluation import Evaluation


class Rollouts(ABC):
    """A way to collect the batch of an iteration."""

    notes: tuple[str, ...] = ()
    """What the user should know about how it runs."""

    @abstractmethod
    def collect(self, policy: Policy, iteration: int) -> Batch:
        """Return the transitions of this iteration, a function of the policy, the seed and the iteration."""

    def evaluate(self, policy: Policy, iteration: int) -> Evaluation | None:
        """Evaluate the policy's mode after so many iterations; None where no other process can do it.

        What comes of it is as :class:`.EvaluationInTraining` has it.
        """
        return None

    def state(self) -> dict[str, NDArray[Any]]:
        """Return what a checkpoint has to keep; nothing, where a batch is a function of the iteration."""
        return {}

    def close(self) -> None:  # noqa: B027 - an environment of the caller's stays open
        """Release the environments and processes that are the rollouts' own."""
