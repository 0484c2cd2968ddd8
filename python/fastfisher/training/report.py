"""From a batch and its update to the row that is logged."""

from __future__ import annotations

import numpy as np

from ..config import TrainConfig
from .batch import Batch
from .iteration import IterationInfo
from .learner import Update

_NAN = float("nan")


def describe(
    config: TrainConfig,
    counters: tuple[int, int, int],
    batch: Batch,
    update: Update,
    std: float,
    notes: tuple[str, ...],
    *,
    seconds_rollout: float,
    seconds: float,
) -> IterationInfo:
    """Return the measurements of an iteration; ``counters`` are iteration, steps and episodes so far."""
    iteration, steps, episodes = counters
    returns, lengths = batch.returns[batch.complete], batch.lengths[batch.complete]
    whole, step = len(returns) > 0, update.step
    assert config.max_kl is not None  # the agent has filled it in
    return IterationInfo(
        iteration=iteration,
        steps=steps,
        episodes=episodes,
        return_mean=float(returns.mean()) if whole else _NAN,
        return_std=float(returns.std()) if whole else _NAN,
        return_min=float(returns.min()) if whole else _NAN,
        return_max=float(returns.max()) if whole else _NAN,
        episode_length_mean=float(lengths.mean()) if whole else _NAN,
        batch_episodes=len(returns),
        batch_steps=len(batch.rewards),
        kl_asked=config.max_kl,
        kl_predicted=float(step.predicted_kl) if step else 0.0,
        kl_achieved=update.kl,
        improvement_predicted=float(step.predicted_improvement) if step else 0.0,
        improvement_achieved=update.improvement,
        gradient_norm=float(np.linalg.norm(step.gradient)) if step else 0.0,
        step_norm=float(np.linalg.norm(step.step)) if step else 0.0,
        fisher=config.fisher,
        solver=step.solver if step else "none",
        precision=step.precision if step else "none",
        damping=float(step.damping) if step else config.damping,
        cg_iterations=step.iterations if step else 0,
        residual=float(step.residual) if step else 0.0,
        std=std,
        entropy=update.entropy,
        explained_variance=update.explained_variance,
        notes=(*notes, *update.notes),
        seconds=seconds,
        seconds_env_step=batch.seconds_env_step,
        seconds_rollout=seconds_rollout,
        seconds_update=seconds - seconds_rollout,
        steps_per_second=len(batch.rewards) / seconds,
    )
