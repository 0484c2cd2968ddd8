"""From a batch and its update to the row that is logged."""

from __future__ import annotations

import numpy as np

from .batch import Batch
from .config import TrainConfig
from .iteration import IterationInfo
from .learner import Update

_NAN = float("nan")


def describe(
    config: TrainConfig,
    counters: tuple[int, int, int],
    batch: Batch,
    update: Update,
    notes: tuple[str, ...],
    *,
    seconds_rollout: float,
    seconds: float,
) -> IterationInfo:
    """Return the measurements of an iteration; ``counters`` are iteration, steps and episodes so far."""
    iteration, steps, episodes = counters
    returns, lengths = batch.returns[batch.complete], batch.lengths[batch.complete]
    whole, step, move = len(returns) > 0, update.step, update.move
    # Of the step as far as it was taken: the models are a square and a line in its length.
    length = move.fraction
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
        kl_asked=update.max_kl,
        kl_predicted=length**2 * float(step.predicted_kl) if step else 0.0,
        kl_achieved=move.kl,
        improvement_predicted=length * float(step.predicted_improvement) if step else 0.0,
        improvement_achieved=move.improvement,
        improvement_ratio=move.ratio,
        line_search_candidates=len(move.candidates),
        line_search_fraction=move.fraction,
        gradient_norm=float(np.linalg.norm(step.gradient)) if step else 0.0,
        step_norm=length * float(np.linalg.norm(step.step)) if step else 0.0,
        algorithm=config.algorithm,
        fisher=str(config.fisher),
        solver=step.solver if step else "none",
        precision=step.precision if step else "none",
        damping=float(step.damping) if step else update.damping,
        cg_iterations=step.iterations if step else 0,
        residual=float(step.residual) if step else 0.0,
        std=move.std,
        entropy=move.entropy,
        explained_variance=update.explained_variance,
        notes=(*notes, *update.notes),
        seconds=seconds,
        seconds_env_step=batch.seconds_env_step,
        seconds_rollout=seconds_rollout,
        seconds_update=seconds - seconds_rollout,
        steps_per_second=len(batch.rewards) / seconds,
    )
