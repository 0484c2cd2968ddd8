"""Training: rollouts, advantages, natural-gradient steps, checkpoints.

A run is a pure function of its config: the same bits on any number of workers, resumed or not.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from .errors import UserError, WorkerError

if TYPE_CHECKING:
    from .agent import NPG, TRPO
    from .evaluation import Evaluation
    from .iteration import IterationInfo

# The command line needs configs and errors at its start, and gymnasium only when it trains: what
# imports gymnasium is itself imported when it is first named.
_LAZY = {"NPG": ".agent", "TRPO": ".agent", "Evaluation": ".evaluation", "IterationInfo": ".iteration"}

__all__ = ["NPG", "TRPO", "Evaluation", "IterationInfo", "UserError", "WorkerError"]


def __getattr__(name: str) -> object:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
