"""Fitting the critic to a rollout's returns, and to nothing that the policy is made of.

The parameters that the policy depends on are left as they are, or the KL divergence that a policy's step was
held to would be worth nothing: of a features extractor that both share, the policy's step alone decides.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Literal

import numpy as np
import torch
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import Tensor, nn

from .. import torch as fft
from .rollout import Observations, whole_rollout

CriticName = Literal["adam", "natural"]


def fit_critic(
    policy: ActorCriticPolicy, buffer: RolloutBuffer, actor: Collection[str], *,
    how: CriticName, updates: int, batch_size: int, threads: int,
) -> float:
    """Fit the policy's values to the returns in a buffer.

    Parameters
    ----------
    policy, buffer
        The actor-critic and its rollout.
    actor : collection of str
        The names of the parameters that stay.
    how : {"adam", "natural"}
        By the policy's own optimizer, which is Adam by default, or by Gauss-Newton steps.
    updates : int
        Passes over the batch, or the most Gauss-Newton steps.
    batch_size : int
        Samples of a step of the optimizer.
    threads : int
        Threads of a Gauss-Newton step.

    Returns
    -------
    float
        The mean squared error: of the optimizer its mean over all batches, else where the steps ended; NaN
        where there was nothing to fit.
    """
    free = [
        parameter
        for name, parameter in policy.named_parameters()
        if parameter.requires_grad and name not in actor
    ]
    if updates == 0 or not free:
        return math.nan
    if how == "adam":
        return _by_optimizer(policy, buffer, free, updates, batch_size)
    batch = whole_rollout(buffer)
    with _frozen(parameter for name, parameter in policy.named_parameters() if name in actor):
        return _by_gauss_newton(policy, batch.observations, batch.returns, updates, threads)


def _by_optimizer(
    policy: ActorCriticPolicy, buffer: RolloutBuffer, free: list[nn.Parameter], passes: int, batch_size: int
) -> float:
    losses = []
    for _ in range(passes):
        for samples in buffer.get(batch_size):
            values = policy.predict_values(samples.observations).flatten()
            loss = nn.functional.mse_loss(samples.returns.flatten(), values)
            losses.append(loss.detach())
            policy.optimizer.zero_grad()
            loss.backward(inputs=free)
            policy.optimizer.step()
    return float(torch.stack(losses).mean())


def _by_gauss_newton(
    policy: ActorCriticPolicy, observations: Observations, returns: Tensor, passes: int, threads: int
) -> float:
    raise NotImplementedError


@contextmanager
def _frozen(parameters: Iterator[nn.Parameter]) -> Iterator[None]:
    """Take parameters out of autograd's sight for a while."""
    ours = [parameter for parameter in parameters if parameter.requires_grad]
    for parameter in ours:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in ours:
            parameter.requires_grad_(True)
