"""The value baseline that a config asks for."""

from __future__ import annotations

from typing import Literal

from ..config import TrainConfig
from ..moments import RewardUnit
from ..seeding import Stream, stream
from .base import Baseline, RecentBaseline
from .network import NetworkBaseline
from .ridge import RidgeBaseline

_QUADRATIC_UP_TO = 40
"""Entries of an observation up to which "auto" is quadratic, with 865 features then."""


def make_baseline(config: TrainConfig, observation_size: int, unit: RewardUnit) -> Baseline:
    """Build ``config.baseline`` for observations of this size, and targets in this unit."""
    baseline, batches = _of_one_batch(config, observation_size), config.baseline_batches
    return baseline if batches == 1 else RecentBaseline(baseline, batches, unit)


def baseline_kind(config: TrainConfig, observation_size: int) -> Literal["linear", "quadratic", "mlp"]:
    """Return which baseline ``config.baseline`` is, "auto" decided."""
    if config.baseline != "auto":
        return config.baseline
    if config.policy == "mlp":
        return "mlp"
    return "quadratic" if observation_size <= _QUADRATIC_UP_TO else "linear"


def _of_one_batch(config: TrainConfig, observation_size: int) -> Baseline:
    kind = baseline_kind(config, observation_size)
    if kind == "mlp":
        _, rng = stream(config.seed, Stream.BASELINE)
        return NetworkBaseline(observation_size, config.baseline_hidden, config.baseline_steps, rng)
    return RidgeBaseline(kind, observation_size, config.ridge)
