"""Fitting the critic to a rollout's returns, and to nothing that the policy is made of.

The parameters that the policy depends on are left as they are, or the KL divergence that a policy's step was
held to would be worth nothing: of a features extractor that both share, the policy's step alone decides.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import Tensor, nn

from .. import torch as fft
from .rollout import Batch, whole_rollout

CriticName = Literal["adam", "natural"]

UPDATES_A_PASS = 5
"""Passes of Adam that one pass of Gauss-Newton steps stands for."""
STEPS_A_PASS, FEWEST_ROWS, MOST_ROWS = 16, 64, 512
"""A pass is cut into this many steps, as long as their rows are within these bounds."""
DAMPING = 3.0
"""Of a Gauss-Newton step, relative to the mean eigenvalue of the rows' Gram matrix."""


def fit_critic(
    policy: ActorCriticPolicy,
    buffer: RolloutBuffer,
    actor: Collection[str],
    *,
    how: CriticName,
    updates: int,
    batch_size: int,
    threads: int,
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
        Passes of the optimizer over the batch; Gauss-Newton steps take a fifth as many, rounded up.
    batch_size : int
        Samples of a step of the optimizer.
    threads : int
        Threads of a Gauss-Newton step.

    Returns
    -------
    float
        The mean squared error: over all batches of the optimizer, or on the whole rollout after Gauss-Newton
        steps; NaN where there was nothing to fit.
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
    with _frozen(parameter for name, parameter in policy.named_parameters() if name in actor):
        passes = -(-updates // UPDATES_A_PASS)
        return _by_gauss_newton(policy, whole_rollout(buffer), free, passes, threads)


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
            torch.autograd.backward(loss, inputs=free)
            policy.optimizer.step()
    return float(torch.stack(losses).mean())


def _by_gauss_newton(
    policy: ActorCriticPolicy, batch: Batch, free: list[nn.Parameter], passes: int, threads: int
) -> float:
    """Take stochastic Gauss-Newton steps, and end at the mean of the later ones.

    With J the rows' gradients of the values, x = (J^T J / n + lambda I)^-1 J^T (returns - values) / n: the
    natural gradient of values that are the means of Gaussians.  The rows of one step are few, so that it is
    solved by their Gram matrix, and the damping is large, so that it does not follow the noise of their
    returns; the mean over the last half of the steps (Polyak and Juditsky, 1992) takes out what it follows.
    A fit that ends with a larger error than it began with is undone.
    """
    size = len(batch.returns)
    rows = min(max(size // STEPS_A_PASS, FEWEST_ROWS), MOST_ROWS)
    orders = [torch.randperm(size, device=batch.returns.device) for _ in range(passes)]
    steps = [order[k : k + rows] for order in orders for k in range(0, size, rows)]
    start = [parameter.detach().clone() for parameter in free]
    before = _error(policy, batch)
    mean = [torch.zeros_like(parameter) for parameter in free]
    averaged = 0
    for number, order in enumerate(steps):
        some = batch.some(order)
        with fft.capture(policy) as tape:
            values = policy.predict_values(some.observations).flatten()
        J = tape.scores(values)
        result = J.natural_step(
            some.returns - values.detach(),
            damping=DAMPING,
            relative_damping=True,
            tol=1e-3,
            precision="single",
            sample_weights=False,
            num_threads=threads,
        )
        J.add_(result.step)
        if 2 * number >= len(steps) - 1:
            averaged += 1
            torch._foreach_lerp_(mean, [p.detach() for p in free], 1.0 / averaged)
    _assign(free, mean)
    after = _error(policy, batch)
    if not after < before:
        _assign(free, start)
        return before
    return after


@torch.no_grad()
def _error(policy: ActorCriticPolicy, batch: Batch) -> float:
    """Return the mean squared error of the values."""
    return float(nn.functional.mse_loss(policy.predict_values(batch.observations).flatten(), batch.returns))


@torch.no_grad()
def _assign(parameters: list[nn.Parameter], values: list[Tensor]) -> None:
    for parameter, value in zip(parameters, values, strict=True):
        parameter.copy_(value)


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
