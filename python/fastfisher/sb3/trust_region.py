"""One update of a policy: scores, natural step, and how far to go along it.

The quantities are those of SB3-contrib's TRPO, so that its hyper-parameters mean here what they mean there.
Its KL divergence is the mean over samples and, where the distribution keeps them apart (Box and MultiBinary
actions), over the m action dimensions too.  Its Hessian is therefore F / m, the damping is added to that, and
``target_kl`` bounds the mean: the KL divergence of the policies is m times as large.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from stable_baselines3.common.distributions import (
    Distribution,
    StateDependentNoiseDistribution,
    kl_divergence,
)
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import Tensor

from .. import torch as fft
from ..natural import NaturalStep, Solver
from ..runtime import get_num_threads
from .rollout import Batch

FisherName = Literal["empirical", "exact"]

SINGLE_FROM = 1e-4
"""The tolerance from which a step is solved in float32, whose products are good to some 1e-6."""


@dataclass(frozen=True)
class Settings:
    """What a policy update is made by; the names are those of the constructor."""

    fisher: FisherName
    damping: float
    target_kl: float
    tol: float
    solver: Solver
    cg_max_steps: int


@dataclass(frozen=True, eq=False)
class PolicyUpdate:
    """What an update did."""

    result: NaturalStep
    """The natural step and its residual."""
    names: tuple[str, ...]
    """The actor's parameters: those that the log-probabilities depend on."""
    objective: float
    """mean(ratio * advantage) where the policy is now."""
    kl: float
    """Mean KL divergence from where the policy is now to where it was."""
    fraction: float
    """The share of the step that was taken, 0 where the policy stays."""


def natural_step_of(
    policy: ActorCriticPolicy, batch: Batch, advantages: Tensor, settings: Settings
) -> tuple[fft.TorchScores, NaturalStep, Distribution, Tensor]:
    """Return the scores, the natural step for them, the policy's distribution and its log-probabilities.

    One forward pass, one backward pass (one for each row of a sample's Fisher root where it is exact, and one
    for the gradient).
    """
    with fft.capture(policy) as tape:
        distribution = policy.get_distribution(batch.observations)
        log_prob = distribution.log_prob(batch.actions)
    options: dict[str, Any] = {
        "damping": settings.damping,
        "count": float(len(log_prob) * kl_terms(distribution)),
        "max_kl": settings.target_kl,
        "tol": settings.tol,
        "solver": settings.solver,
        "precision": "single" if settings.tol >= SINGLE_FROM else "auto",
        "sample_weights": False,
        "num_threads": threads(),
    }
    if settings.solver == "cg":
        options["max_iterations"] = settings.cg_max_steps
    if settings.fisher == "exact":
        if isinstance(distribution, StateDependentNoiseDistribution):
            raise ValueError(
                'fisher: expected "empirical" for gSDE, whose noise is a function of the state, got "exact"'
            )
        scores = tape.fisher_scores(distribution.distribution, retain_graph=True)
        options["gradient"] = _gradient((advantages * log_prob).mean(), scores)
    else:
        scores = tape.scores(log_prob)
        options["advantages"] = advantages
    return scores, scores.natural_step(**options), copy.copy(distribution), log_prob.detach()


def _gradient(objective: Tensor, scores: fft.TorchScores) -> Tensor:
    """Return autograd's gradient of an objective by the parameters of scores, (d,)."""
    gradients = torch.autograd.grad(objective, scores.parameters, allow_unused=True, materialize_grads=True)
    return torch.cat([gradient.to_dense().flatten() for gradient in gradients])


def kl_terms(distribution: Distribution) -> int:
    """Return how many terms a sample's KL divergence has that are averaged, not added: m, or 1."""
    of_torch: Any = distribution.distribution
    return 1 if isinstance(of_torch, list) else math.prod(of_torch.batch_shape[1:])


def threads() -> int:
    """Return the threads of a step: no more than the user allows fastfisher, nor than he allows PyTorch."""
    return min(get_num_threads(), torch.get_num_threads())


class Line:
    """The line from a policy, which is moved, along a step, measured on the step's batch.

    Parameters
    ----------
    policy : ActorCriticPolicy
    step : dict of str to Tensor
        What is added to the parameters of these names.
    before : Distribution
        The policy's, on the batch's observations.
    log_prob : (N,) Tensor
        The log-probabilities of the batch's actions before.
    batch : Batch
    advantages : (N,) Tensor
    """

    def __init__(
        self,
        policy: ActorCriticPolicy,
        step: dict[str, Tensor],
        before: Distribution,
        log_prob: Tensor,
        batch: Batch,
        advantages: Tensor,
    ) -> None:
        self._policy, self._batch, self._before, self._A = policy, batch, before, advantages
        by_name = dict(policy.named_parameters())
        self._parameters = [by_name[name] for name in step]
        self._start = [parameter.detach().clone() for parameter in self._parameters]
        self._step = [step[name].to(by_name[name]) for name in step]
        self.objective = self._objective(log_prob)

    @torch.no_grad()
    def to(self, fraction: float) -> tuple[float, float]:
        """Put the policy at this share of the step; return the KL divergence and the surrogate there.

        One forward pass.
        """
        for parameter, start, step in zip(self._parameters, self._start, self._step, strict=True):
            torch.add(start, step, alpha=fraction, out=parameter.data)
        after = self._policy.get_distribution(self._batch.observations)
        kl = float(kl_divergence(after, self._before).mean())
        return kl, self._objective(after.log_prob(self._batch.actions))

    @torch.no_grad()
    def back(self) -> None:
        """Put the policy back to where it was, to the bit."""
        for parameter, start in zip(self._parameters, self._start, strict=True):
            parameter.copy_(start)

    def _objective(self, log_prob: Tensor) -> float:
        return float((self._A * torch.exp(log_prob - self._batch.old_log_prob)).mean())


def update_policy(
    policy: ActorCriticPolicy,
    batch: Batch,
    settings: Settings,
    *,
    normalize_advantage: bool,
    shrinking: float,
    tries: int | None,
) -> PolicyUpdate:
    """Take a natural step: the whole of it where `tries` is None, else as much as holds the trust region.

    A step of TRPO (Schulman et al., arXiv 1502.05477, appendix C) is shortened by the factor `shrinking`, at
    most `tries` steps being measured, until the KL divergence is below the target and the surrogate is above
    that of the policy as it was.  Where no step is, and where a whole step leads to no finite policy, the
    policy stays as it was, to the bit.
    """
    A = batch.advantages
    if normalize_advantage:
        A = (A - A.mean()) / (A.std() + 1e-8)
    scores, result, before, log_prob = natural_step_of(policy, batch, A, settings)
    line = Line(policy, scores.unflatten(result.step), before, log_prob, batch, A)
    fraction = 1.0
    for _ in range(1 if tries is None else tries):
        kl, objective = line.to(fraction)
        if (tries is None and math.isfinite(kl)) or (kl < settings.target_kl and objective > line.objective):
            return PolicyUpdate(result, scores.names, objective, kl, fraction)
        fraction *= shrinking
    line.back()
    return PolicyUpdate(result, scores.names, line.objective, 0.0, 0.0)
