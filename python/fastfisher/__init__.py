"""Natural-gradient steps for reinforcement learning, exact and fast on a CPU."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from ._core import __version__
from .diagnosis.diagnose import diagnose
from .diagnosis.report import FisherReport
from .fisher import Fisher
from .natural import Event, NaturalStep, natural_step
from .runtime import get_cmake_dir, get_num_threads, set_num_threads, show_config
from .scores import Scores

if TYPE_CHECKING:
    from .policies import Policy
    from .training.agent import NPG, TRPO
    from .training.config import TrainConfig

# The trainer needs gymnasium, which the core does not: it is imported when it is first named.
_LAZY = {
    "NPG": "fastfisher.training.agent",
    "TRPO": "fastfisher.training.agent",
    "Policy": "fastfisher.policies",
    "TrainConfig": "fastfisher.training.config",
}

__all__ = [
    "NPG",
    "TRPO",
    "Event",
    "Fisher",
    "FisherReport",
    "NaturalStep",
    "Policy",
    "Scores",
    "TrainConfig",
    "__version__",
    "diagnose",
    "get_cmake_dir",
    "get_num_threads",
    "natural_step",
    "set_num_threads",
    "show_config",
]


def __getattr__(name: str) -> object:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
