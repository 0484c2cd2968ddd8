"""What one iteration of training did: a row of ``progress.csv``, and the argument of callbacks."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .batch import Batch
    from .config import TrainConfig
    from .learner import Update


@dataclass(frozen=True)
class IterationInfo:
    """Measurements of one iteration.

    Every field is a function of the config and its seed, except those whose names start with
    ``seconds`` or ``steps_per_second``: they are wall-clock time.

    A number that does not exist (the returns of a batch without a whole episode, the standard
    deviation of a categorical policy) is NaN.
    """

    iteration: int
    """Iterations done so far, this one included."""
    steps: int
    """Environment steps so far."""
    episodes: int
    """Whole episodes so far."""
    return_mean: float
    """Mean undiscounted return of the batch's whole episodes, actions sampled from the policy."""
    return_std: float
    return_min: float
    return_max: float
    episode_length_mean: float
    batch_episodes: int
    """Whole episodes in this batch."""
    batch_steps: int
    """Environment steps in this batch."""
    kl_asked: float
    """The config's ``max_kl``, on its way to ``final_max_kl`` where there is one."""
    kl_predicted: float
    """alpha^2 x^T F x / 2 of the step that was taken."""
    kl_achieved: float
    """KL(old || new), mean over the batch's observations, measured after the step."""
    improvement_predicted: float
    """alpha g^T x of the step that was taken."""
    improvement_achieved: float
    """Change of the surrogate mean(ratio * advantage) on the batch."""
    improvement_ratio: float
    """Achieved over predicted improvement of the full step, which adapts the damping; NaN without a move."""
    line_search_candidates: int
    """Step lengths that TRPO tried; 0 for NPG.  The notes say why each was rejected."""
    line_search_fraction: float
    """Share of the full step that was taken: 1 for NPG, 0 where the policy stays."""
    gradient_norm: float
    step_norm: float
    algorithm: str
    fisher: str
    solver: str
    precision: str
    damping: float
    """The absolute value used (the config's number where there was no step)."""
    cg_iterations: int
    residual: float
    """Relative residual of (F + lambda I) x = g."""
    std: float
    """Mean of the policy's standard deviation, over observations and the actions, in its units."""
    entropy: float
    """Mean entropy of the policy, in nats, of actions in its units."""
    explained_variance: float
    """Share of the variance of the batch's returns that the baseline of the batches before explains."""
    notes: tuple[str, ...]
    """Plain sentences: fallbacks taken, steps skipped."""
    seconds: float
    """Wall time of the iteration."""
    seconds_env_step: float
    """Time inside ``env.step``, summed over workers and divided by their number."""
    seconds_rollout: float
    """Wall time of the rollouts, ``env.step`` included."""
    seconds_update: float
    """Wall time of everything else: advantages, natural step, baseline."""
    steps_per_second: float
    """Environment steps of the batch per second of the iteration."""
    skipped_episodes: int = 0
    """Episodes that ``skip_bad_episodes`` has dropped from this batch."""
    evaluation_mean: float = math.nan
    """Mean return of the policy's most likely actions, after this iteration; NaN where none was evaluated."""
    evaluation_std: float = math.nan
    """Standard deviation of these returns."""
    evaluation_best: float = math.nan
    """Largest ``evaluation_mean`` so far."""
    seconds_evaluation: float = 0.0
    """Wall time of the evaluation."""

    def as_row(self) -> dict[str, Any]:
        """Return the fields in order, starting with iteration, steps, episodes, return_mean, return_std.

        ``notes`` is joined to one string, so that every value fits a cell.
        """
        row = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        row["notes"] = " | ".join(self.notes)
        return row


def describe(
    config: TrainConfig,
    counters: tuple[int, int, int],
    batch: Batch,
    update: Update,
    notes: tuple[str, ...],
    *,
    seconds_rollout: float,
    seconds_evaluation: float,
    seconds: float,
) -> IterationInfo:
    """Return the measurements of an iteration, but for the evaluation's.

    ``counters`` are the iterations, steps and episodes so far; ``notes``, about the rollouts, come before
    those about the update.
    """
    iteration, steps, episodes = counters
    step, move, whole = update.step, update.move, batch.complete
    returns, lengths = (
        values[whole] if whole.any() else np.array([np.nan]) for values in (batch.returns, batch.lengths)
    )
    # The predictions are of the whole step: one is a square in its length, the other a line.
    length = move.fraction
    return IterationInfo(
        iteration=iteration,
        steps=steps,
        episodes=episodes,
        return_mean=float(returns.mean()),
        return_std=float(returns.std()),
        return_min=float(returns.min()),
        return_max=float(returns.max()),
        episode_length_mean=float(lengths.mean()),
        batch_episodes=int(whole.sum()),
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
        notes=(*notes, *_skipped(batch), *update.notes),
        seconds=seconds,
        seconds_env_step=batch.seconds_env_step,
        seconds_rollout=seconds_rollout,
        seconds_update=seconds - seconds_rollout - seconds_evaluation,
        steps_per_second=len(batch.rewards) / seconds,
        skipped_episodes=len(batch.defects),
        seconds_evaluation=seconds_evaluation,
    )


def _skipped(batch: Batch) -> tuple[str, ...]:
    count = len(batch.defects)
    if count == 0:
        return ()
    return (f"{count} bad {'episode is' if count == 1 else 'episodes are'} skipped: {batch.defects[0]}",)
