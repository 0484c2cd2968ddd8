"""Rules of the trainer that are no option, broken one at a time: what are they good for?

Each is a :class:`~fastfisher.training.learner.Learner` like the shipped one but in one respect.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from gymnasium.spaces.utils import flatdim
from numpy.typing import NDArray

from fastfisher import NPG
from fastfisher.policies import Policy
from fastfisher.training.baselines.base import Baseline
from fastfisher.training.baselines.make import make_baseline
from fastfisher.training.batch import Batch
from fastfisher.training.config import TrainConfig
from fastfisher.training.learner import Learner, Update
from fastfisher.training.moments import RewardUnit

Array = NDArray[np.float64]
Times = NDArray[np.int64]

_TIME_SCALE = 1_000.0
"""As the ridge baseline's: steps to a unit."""


class _Wrapped(Baseline):
    """A baseline that sees something else than the trainer shows it."""

    def __init__(self, inner: Baseline) -> None:
        self.inner = inner

    def state(self) -> dict[str, NDArray[Any]]:
        return self.inner.state()

    def load_state(self, values: Mapping[str, NDArray[Any]]) -> None:
        self.inner.load_state(values)


class WithoutTime(_Wrapped):
    """Every step is the first: the powers of t are columns of zeros, whose coefficients ridge makes zero."""

    def predict(self, observations: Array, times: Times) -> Array:
        return self.inner.predict(observations, np.zeros_like(times))

    def fit(self, observations: Array, times: Times, targets: Array) -> None:
        self.inner.fit(observations, np.zeros_like(times), targets)


class WithTime(_Wrapped):
    """Time is one entry more of the observation, for the network baseline, which is not shown it."""

    def predict(self, observations: Array, times: Times) -> Array:
        return self.inner.predict(self._with_time(observations, times), times)

    def fit(self, observations: Array, times: Times, targets: Array) -> None:
        self.inner.fit(self._with_time(observations, times), times, targets)

    @staticmethod
    def _with_time(observations: Array, times: Times) -> Array:
        return np.column_stack([observations, times / _TIME_SCALE])


class FittedBefore(_Wrapped):
    """Fitted by :class:`SameBatchLearner` alone, in the environment's unit of reward.

    That unit is fixed, where the trainer's moves between the fit and the end of the update.
    """

    def __init__(self, inner: Baseline, unit: RewardUnit) -> None:
        super().__init__(inner)
        self._unit = unit

    def predict(self, observations: Array, times: Times) -> Array:
        values: Array = self.inner.predict(observations, times) / self._unit.value
        return values

    def fit(self, observations: Array, times: Times, targets: Array) -> None:
        """Do nothing: the baseline knows this batch already."""


class SameBatchLearner(Learner):
    """Fits the baseline to the batch's own returns before, not after, its advantages are computed."""

    def __init__(self, config: TrainConfig, policy: Policy, observation_size: int, limit: int | None) -> None:
        super().__init__(config, policy, observation_size, limit)
        # Of a unit that stays 1: one that keeps older batches must not bring them to the trainer's.
        self._inner = make_baseline(config, observation_size, RewardUnit(), limit)
        self.baseline = FittedBefore(self._inner, self.reward_unit)

    def update(self, batch: Batch, progress: float = 0.0) -> Update:
        final_values = self._inner.predict(batch.final_observations, batch.lengths)
        values = self._inner.predict(batch.observations, batch.times)
        targets = self._targets(batch, values, final_values)
        self._inner.fit(batch.observations, batch.times, targets)
        return super().update(batch, progress)


class WithoutTimeLearner(Learner):
    """A learner whose baseline knows the observation only."""

    def __init__(self, config: TrainConfig, policy: Policy, observation_size: int, limit: int | None) -> None:
        super().__init__(config, policy, observation_size, limit)
        self.baseline = WithoutTime(self.baseline)


class WithTimeLearner(Learner):
    """A learner whose baseline knows the time, too."""

    def __init__(self, config: TrainConfig, policy: Policy, observation_size: int, limit: int | None) -> None:
        super().__init__(config, policy, observation_size, limit)
        self.baseline = WithTime(make_baseline(config, observation_size + 1, self.reward_unit, limit))


RULES: Mapping[str, Callable[[TrainConfig, Policy, int, int | None], Learner]] = {
    "same batch": SameBatchLearner,
    "without time": WithoutTimeLearner,
    "with time": WithTimeLearner,
}


def agent_of(config: TrainConfig, rule: str | None) -> NPG:
    """Return the agent of a config, with another learner where a rule is broken."""
    agent = NPG.from_config(config)
    if rule is not None:
        size = flatdim(agent.observation_space)
        agent._learner = RULES[rule](agent.config, agent.policy, size, agent._limit)
    return agent
