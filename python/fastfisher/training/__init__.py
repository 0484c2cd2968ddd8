"""Training: rollouts, advantages, natural-gradient steps, checkpoints.

A run is a pure function of its config: the same bits on any number of workers, resumed or not.
"""

from .agent import NPG
from .errors import UserError, WorkerError
from .evaluation import Evaluation
from .iteration import IterationInfo
from .trpo import TRPO

__all__ = ["NPG", "TRPO", "Evaluation", "IterationInfo", "UserError", "WorkerError"]
