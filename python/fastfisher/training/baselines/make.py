"""The value baseline that a config asks for."""

from __future__ import annotations

from ..config import TrainConfig
from ..defaults import decided
from ..moments import RewardUnit
from ..seeding import Stream, stream
from .base import Baseline, RecentBaseline
from .network import NetworkBaseline
from .ridge import RidgeBaseline


def make_baseline(
    config: TrainConfig, observation_size: int, unit: RewardUnit, limit: int | None = None
) -> Baseline:
    """Build the baseline of a resolved config for observations of this size, and targets in this unit.

    ``limit`` is the number of steps after which an episode ends at the latest, where that is known.
    """
    baseline, batches = _of_one_batch(config, observation_size, limit), config.baseline_batches
    return baseline if batches == 1 else RecentBaseline(baseline, batches, unit)


def _of_one_batch(config: TrainConfig, observation_size: int, limit: int | None) -> Baseline:
    kind = decided(config, "baseline")
    if kind == "mlp":
        _, rng = stream(config.seed, Stream.BASELINE)
        return NetworkBaseline(observation_size, config.baseline_hidden, config.baseline_steps, rng)
    return RidgeBaseline(kind, observation_size, config.ridge, limit)
