"""What a run tells a view, and the interface of the views, which shows nothing itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ...training.iteration import IterationInfo

if TYPE_CHECKING:
    from typing_extensions import Self

State = Literal["training", "done", "stopped", "failed"]

Facts = Mapping[str, str]
"""Lines of a name and a value, as a run begins and ends."""


@dataclass(frozen=True)
class SeedRow:
    """Where a seed is."""

    seed: int
    state: State
    last: IterationInfo | None
    """Its last iteration; None before the first."""


Rows = Sequence[SeedRow]
"""Where a run is: a row for each of its seeds."""


STOPPING = "finishing this iteration and saving; Ctrl-C again stops at once"
"""What a view says once the run is asked to stop."""


def steps_of(rows: Rows) -> int:
    """Return the environment steps of all seeds together."""
    return sum(row.last.steps for row in rows if row.last is not None)


class View:
    """Shows nothing: the view of ``--quiet`` and the interface of the others.

    Used as a context manager, so that the terminal is restored however the run ends.
    """

    def __enter__(self) -> Self:
        """Begin the part between header and summary."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""

    def header(self, title: str, facts: Facts) -> None:
        """Say what is about to run."""

    def update(self, rows: Rows) -> None:
        """Take in progress; cheap, so that watching does not slow the training down."""

    def stopping(self) -> None:
        """Say that the run ends after this iteration; called from a signal handler."""

    def summary(self, title: str, facts: Facts) -> None:
        """Say how the run ended and what to do next; after the live part is over."""
