"""fastfisher's policies and natural_step: a whole policy update."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..case import Inputs, Task, value
from ..gaussian_mlp import GaussianMLP

if TYPE_CHECKING:
    import fastfisher as ff

BACKTRACKS, SHRINKING = 10, 0.8


@dataclass(frozen=True)
class Update:
    """What an update did."""

    direction: NDArray[np.float64]
    step: NDArray[np.float64]


def policy_update(
    policy: Any,
    obs: Any,
    act: Any,
    advantages: Any,
    max_kl: float,
    *,
    fisher: str,
    single: bool,
    **options: Any,
) -> Update:
    """Scores, natural step, line search: theta moves by the first step that keeps within max_kl and gains."""
    import fastfisher as ff

    A = (advantages - advantages.mean()) / (advantages.std(ddof=1) + 1e-8)
    before = policy.at(obs)
    old_log_prob = before.log_prob(act)
    S = before.scores(act)
    result: ff.NaturalStep
    if fisher == "empirical":
        result = ff.natural_step(_as_single(S) if single else S, A, max_kl=max_kl, **options)
    else:
        g, R = ff.Scores(S).T @ (A / len(A)), before.fisher_scores()
        result = ff.natural_step(
            _as_single(R) if single else R, gradient=g, count=len(A), max_kl=max_kl, **options
        )

    theta = policy.parameters.copy()
    step = result.step
    for _ in range(BACKTRACKS):
        policy.parameters = theta + step
        after = before.after(policy)
        kl = before.kl(after)
        gain = float(np.mean(np.expm1(after.log_prob(act) - old_log_prob) * A))
        if kl < max_kl and gain > 0.0:
            return Update(result.direction, step)
        step = SHRINKING * step
    policy.parameters = theta
    return Update(result.direction, np.zeros_like(theta))


def update_task(fisher: str, single: bool, options: dict[str, Any], inputs: Inputs, threads: int) -> Task:
    """The update of the inputs' policy, put back before each run."""
    reference: GaussianMLP = inputs["policy"]
    policy = _policy(reference)
    policy.single_scores = single
    theta = reference.parameters
    arrays = [inputs[name] for name in ("obs", "act", "advantages")]

    def run() -> Update:
        return policy_update(
            policy,
            *arrays,
            inputs["max_kl"],
            fisher=fisher,
            single=single,
            damping=inputs["damping"],
            num_threads=threads,
            **options,
        )

    def reset() -> None:
        policy.parameters = theta

    return Task(run, lambda update: {"direction": update.direction, "step": update.step}, reset)


def exact_step(precision: str, inputs: Inputs, threads: int) -> Task:
    """Forward and backward pass, then the exact direction for the layers' parameters (sigma is fixed)."""
    import fastfisher as ff

    policy = _policy(inputs["policy"])
    policy.single_scores = precision == "single"
    obs, act, A = inputs["obs"], inputs["act"], inputs["advantages"]

    def run() -> ff.NaturalStep:
        blocks = policy.scores(obs, act)[: len(inputs["policy"].layers)]
        if precision == "single":
            blocks = _as_single(blocks)
        return ff.natural_step(blocks, A, damping=inputs["damping"], precision=precision, num_threads=threads)

    return Task(run, lambda result: value(result.direction))


def _policy(reference: GaussianMLP) -> Any:
    from fastfisher.policies import GaussianHead, MLPPolicy

    sizes = [layer.shape for layer in reference.layers]
    policy = MLPPolicy(
        sizes[0][0] - 1,
        [outputs for _, outputs in sizes[:-1]],
        GaussianHead(sizes[-1][1]),
        np.random.default_rng(0),
    )
    policy.parameters = reference.parameters
    return policy


def _as_single(blocks: Any) -> Any:
    return [
        tuple(half.astype(np.float32, copy=False) for half in block)
        if isinstance(block, tuple)
        else block.astype(np.float32, copy=False)
        for block in blocks
    ]
