"""Algorithm 1 of arXiv 1703.02660: from a batch to a better policy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import TrainConfig
from ..natural import NaturalStep, natural_step
from ..policies import Policy, Snapshot
from ..scores import Scores
from .advantages import discounted_returns, generalized_advantages
from .batch import Batch
from .make_baseline import make_baseline
from .moments import RunningMoments

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Update:
    """What an update did, measured on its batch."""

    step: NaturalStep | None
    """None where the advantages were all zero, so that there was no direction to go."""
    kl: float
    improvement: float
    entropy: float
    explained_variance: float
    notes: tuple[str, ...]


class Learner:
    """The state that training moves: policy, baseline, observation statistics.

    :meth:`update` is a function of this state and the batch; nothing in it is random.
    """

    def __init__(self, config: TrainConfig, policy: Policy, observation_size: int) -> None:
        self.config = config
        self.policy = policy
        self.baseline = make_baseline(config, observation_size)
        self.moments = RunningMoments(observation_size)

    def update(self, batch: Batch) -> Update:
        """Take one natural-gradient step on the batch, then fit the baseline to it."""
        config, policy, baseline = self.config, self.policy, self.baseline
        obs, act, times = batch.observations, batch.actions, batch.times
        self._see(obs)

        # Advantages by the value function of the batches before: one fitted to these very returns
        # would take from them what the actions did (arXiv 1703.02660, Algorithm 1, line 6).
        values = baseline.predict(obs, times)
        final_values = baseline.predict(batch.final_observations, batch.lengths)
        advantages = generalized_advantages(batch, values, final_values, config.gamma, config.gae_lambda)
        A = _standardized(advantages) if config.normalize_advantages else advantages

        # theta <- theta + alpha F^-1 g, alpha = sqrt(delta / g^T F^-1 g), delta = 2 max_kl (equation 5).
        before = policy.at(obs)
        step = self._natural_step(before, act, A)
        if step is not None:
            policy.parameters += step.step
            policy.constrain()
        after = before.after(policy)

        # Whole returns and not lambda-returns: with those HalfCheetah-v5 settled at half the return.
        targets = discounted_returns(batch, final_values, config.gamma)
        baseline.fit(obs, times, targets)
        return Update(
            step=step,
            kl=before.kl(after),
            improvement=float(np.mean(np.expm1(after.log_prob(act) - before.log_prob(act)) * A)),
            entropy=after.entropy(),
            explained_variance=_explained_variance(targets, values),
            notes=_worth_telling(step.notes)
            if step is not None
            else ("all advantages are zero: the policy stays",),
        )

    def _see(self, obs: Array) -> None:
        """Let policy and statistics follow the observations, before anything is computed from them."""
        if self.moments.count == 0:
            self.policy.prepare(obs)
        self.moments.update(obs)
        if self.config.normalize_observations:
            self.policy.set_input_transform(self.moments.mean, self.moments.std())

    def _natural_step(self, snapshot: Snapshot, act: NDArray[Any], A: Array) -> NaturalStep | None:
        config = self.config
        if not A.any():
            return None

        def step(S: Scores, *advantages: Array, **options: Any) -> NaturalStep:
            return natural_step(
                S,
                *advantages,
                damping=float(config.damping),
                relative_damping=config.relative_damping,
                max_kl=config.max_kl,
                solver=config.solver,
                precision=config.precision,
                tol=config.cg_tolerance,
                max_iterations=config.cg_iterations,
                **options,
            )

        S = Scores(snapshot.scores(act))
        if config.fisher == "empirical":
            return step(S, A)
        R = Scores(snapshot.fisher_scores())
        return step(R, gradient=S.T @ A / len(A), count=len(A))

    def state(self) -> dict[str, NDArray[Any]]:
        """Return everything that the next update depends on, as copies, by names of the form part/name."""
        parts = {
            "policy": {"parameters": self.policy.parameters, **self.policy.constants()},
            "baseline": self.baseline.state(),
            "moments": self.moments.state(),
        }
        return {
            f"{part}/{name}": np.array(array)
            for part, arrays in parts.items()
            for name, array in arrays.items()
        }

    def load_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take back what :meth:`state` returned."""

        def part(name: str) -> dict[str, NDArray[Any]]:
            prefix = f"{name}/"
            return {key.removeprefix(prefix): array for key, array in state.items() if key.startswith(prefix)}

        policy = part("policy")
        self.policy.load_constants(policy)
        self.policy.parameters = policy["parameters"]
        self.baseline.load_state(part("baseline"))
        self.moments.load_state(part("moments"))


def _worth_telling(notes: tuple[str, ...]) -> tuple[str, ...]:
    """Leave out why the solver was chosen: the same every iteration."""
    return tuple(note for note in notes if not note.startswith("auto chose"))


def _standardized(advantages: Array) -> Array:
    centred: Array = advantages - advantages.mean()
    std = float(centred.std())
    return centred / std if std > 0.0 else centred


def _explained_variance(targets: Array, values: Array) -> float:
    variance = float(targets.var())
    return 1.0 - float((targets - values).var()) / variance if variance > 0.0 else float("nan")
