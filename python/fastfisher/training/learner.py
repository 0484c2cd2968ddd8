"""Algorithm 1 of arXiv 1703.02660: from a batch to a better policy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..natural import Event, NaturalStep
from ..policies import Policy, Snapshot
from .advantages import discounted_returns, generalized_advantages
from .baselines.make import make_baseline
from .batch import Array, Batch
from .checkpoint import joined, part_of
from .config import TrainConfig
from .defaults import decided
from .moments import RewardUnit, RunningMoments
from .move import ALGORITHMS, Move, Walk, stay
from .stepper import Stepper

_ROUNDING = 1e-12
"""Advantages, and deviations of returns, below this share of the largest return are rounding."""
_SMALLEST_DEVIATION = 1e-2
"""Raw observations that deviate less are learned from at half the speed, at 0.001 at a tenth."""
_LARGEST_OFFSET = 100.0
"""Deviations that the mean of a raw observation may be away from zero."""


@dataclass(frozen=True, eq=False)
class Update:
    """What an update did, measured on its batch."""

    step: NaturalStep | None
    """None where the advantages were all zero, so that there was no direction to go."""
    move: Move
    """How much of the step was taken, and what came of it."""
    max_kl: float
    """The KL divergence that was asked of the step, in nats."""
    damping: float
    """The damping of the step, in the units of the config's field."""
    explained_variance: float
    """Share of the variance of the targets that the baseline explains before it is fitted to them."""
    notes: tuple[str, ...]
    """What is worth telling of the step, in plain sentences."""


class Learner:
    """The state that training moves: policy, baseline, statistics, what one step hands to the next.

    :meth:`update` is a function of this state and the batch; nothing in it is random.  It is a ValueError
    where the config is not resolved (:mod:`fastfisher.training.defaults`).  ``limit`` is the number of steps
    after which an episode ends at the latest, where that is known.
    """

    def __init__(
        self, config: TrainConfig, policy: Policy, observation_size: int, limit: int | None = None
    ) -> None:
        self.config = config
        self.policy = policy
        self._observation_size = observation_size
        self.reward_unit = RewardUnit()
        self.baseline = make_baseline(config, observation_size, self.reward_unit, limit)
        self.moments = RunningMoments(observation_size)
        self.stepper = Stepper(config)
        self._max_kl: float = decided(config, "max_kl")
        self._final_max_kl = self._max_kl if config.final_max_kl is None else config.final_max_kl
        self._gamma: float = decided(config, "gamma")

    def max_kl(self, progress: float) -> float:
        """Return the KL of a step at this share of the run, 0 to 1."""
        first, last = self._max_kl, self._final_max_kl
        return first * math.pow(last / first, progress)

    def update(self, batch: Batch, progress: float = 0.0) -> Update:
        """Take one natural-gradient step on the batch of the policy as it is, then fit the baseline to it.

        ``progress`` is the share of the run's environment steps that came before the batch, which
        ``final_max_kl`` and ``final_min_log_std`` go by.
        """
        config, policy, baseline, unit = self.config, self.policy, self.baseline, self.reward_unit
        obs, act, times = batch.observations, batch.actions, batch.times
        # An action mask, which follows the observation, is for the distribution of the actions alone.
        seen, last = (
            np.ascontiguousarray(rows[:, : self._observation_size])
            for rows in (obs, batch.final_observations)
        )
        first_notes = self._see(seen)
        self._move_floor(progress)

        # Advantages are measured by the value function of the batches before: one fitted to these very
        # returns would take from them what the actions did (arXiv 1703.02660, Algorithm 1, line 6).
        values = unit.value * baseline.predict(seen, times)
        final_values = unit.value * baseline.predict(last, batch.lengths)
        advantages = generalized_advantages(batch, values, final_values, self._gamma, config.gae_lambda)
        targets = self._targets(batch, values, final_values)
        if config.normalize_rewards:
            unit.update(targets)
        A = self._scaled(advantages, _ROUNDING * max(np.abs(targets).max(), np.abs(values).max()))

        # theta <- theta + alpha F^-1 g, alpha = sqrt(delta / g^T F^-1 g), delta = 2 max_kl (equation 5).
        before, damping, max_kl = policy.at(obs), self.stepper.damping, self.max_kl(progress)
        step = self.stepper.step(policy, before, obs, act, A, max_kl)
        move = self._take(step, before, act, A, max_kl)
        self.stepper.learn(step, move)

        baseline.fit(seen, times, targets / unit.value)
        notes = (*first_notes, *_notes(step, move, config.cg_iterations))
        return Update(step, move, max_kl, damping, _explained_variance(targets, values), notes)

    def _see(self, obs: Array) -> tuple[str, ...]:
        """Let policy and statistics follow the observations, before anything is computed from them.

        Return what is worth telling of the first ones.
        """
        first = self.moments.count == 0
        self.moments.update(obs)
        if self.config.normalize_observations:
            mean, std = self.moments.mean, self.moments.std()
            if first:
                self.policy.set_initial_transform(mean, std, obs)
            else:
                self.stepper.carry(self.policy, mean, std, obs)
                self.policy.set_input_transform(mean, std, obs)
        if first:
            self.policy.prepare(obs)
        return _raw_notes(self.moments) if first and not self.config.normalize_observations else ()

    def _move_floor(self, progress: float) -> None:
        """Put the floor of log sigma where it is at this share of the run, if it falls at all."""
        first, last = self.config.min_log_std, self.config.final_min_log_std
        if last is not None:
            self.policy.set_min_log_std(first + (last - first) * progress)

    def _targets(self, batch: Batch, values: Array, final_values: Array) -> Array:
        """Return what the baseline is fitted to, (N,): lambda-returns V + A, whole returns by lambda 1."""
        gae_lambda = self.config.baseline_lambda
        if gae_lambda == 1.0:
            return discounted_returns(batch, final_values, self._gamma)
        return values + generalized_advantages(batch, values, final_values, self._gamma, gae_lambda)

    def _scaled(self, advantages: Array, rounding: float) -> Array:
        """Return the advantages in the unit of the step; zeros where they are no more than rounding."""
        if self.config.normalize_advantages:
            A = advantages - advantages.mean()
            size = unit = float(A.std())
        else:
            A, unit = advantages, self.reward_unit.value
            size = float(np.abs(A).max())
        return np.zeros_like(A) if size <= rounding else A / unit

    def _take(
        self, step: NaturalStep | None, before: Snapshot, act: NDArray[Any], A: Array, max_kl: float
    ) -> Move:
        config = self.config
        if step is None:
            return stay(before)
        walk = Walk(self.policy, before, step, act, A)
        if not ALGORITHMS[config.algorithm].line_search:
            return walk.whole()
        return walk.within(max_kl=max_kl, factor=config.line_search_factor, tries=config.line_search_steps)

    def state(self) -> dict[str, NDArray[Any]]:
        """Return everything that the next update depends on, as copies, by names of the form part/name."""
        parts = {
            "policy": {"parameters": self.policy.parameters, **self.policy.constants()},
            "baseline": self.baseline.state(),
            "moments": self.moments.state(),
            "reward_unit": self.reward_unit.state() if self.config.normalize_rewards else {},
            "stepper": self.stepper.state(),
        }
        return {name: np.array(array) for name, array in joined(parts).items()}

    def load_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take back what :meth:`state` returned."""
        policy = part_of(state, "policy")
        self.policy.load_constants(policy)
        self.policy.parameters = policy["parameters"]
        self.baseline.load_state(part_of(state, "baseline"))
        self.moments.load_state(part_of(state, "moments"))
        if self.config.normalize_rewards:
            self.reward_unit.load_state(part_of(state, "reward_unit"))
        self.stepper.load_state(part_of(state, "stepper"))


def _raw_notes(moments: RunningMoments) -> tuple[str, ...]:
    """Name the raw observations whose scale or offset keeps a damped step from learning of them."""
    mean, std = moments.mean, moments.std()
    offset = (np.abs(mean) > _LARGEST_OFFSET * std) & (std != 1.0)  # a constant's is 1
    far = np.flatnonzero((std < _SMALLEST_DEVIATION) | offset)
    if not len(far):
        return ()
    first, others = far[0], f" and {len(far) - 1} more" if len(far) > 1 else ""
    return (
        f"raw observations far from unit scale are hardly learned from: entry {first} (mean "
        f"{mean[first]:.3g}, deviation {std[first]:.3g}){others}; normalize_observations=True mends that",
    )


def _notes(step: NaturalStep | None, move: Move, cg_iterations: int | None) -> tuple[str, ...]:
    """Return what is worth telling.

    Two things are not: why the solver was chosen, which is the same every iteration, and that CG took all
    iterations it was given, which columns of their own say, with the residual.
    """
    if step is None:
        return ("all advantages are zero: the policy stays",)

    def usual(event: Event) -> bool:
        asked_for = event.code == "iteration_limit" and event.numbers["iterations"] == cg_iterations
        return event.code in ("chosen", "preconditioned") or (asked_for and event.solver == "cg")

    return (*(event.sentence for event in step.events if not usual(event)), *move.notes)


def _explained_variance(targets: Array, values: Array) -> float:
    variance = float(targets.var())
    rounding = (_ROUNDING * float(np.abs(targets).max())) ** 2
    return 1.0 - float((targets - values).var()) / variance if variance > rounding else float("nan")
