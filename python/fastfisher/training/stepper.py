"""The natural-gradient step that a config asks for: the rows of F, the damping and its rule, the momentum."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..natural import Event, NaturalStep, natural_step
from ..policies import Policy, Snapshot
from ..scores import Scores
from .batch import Array
from .config import TrainConfig
from .defaults import decided
from .move import Move

_POOR, _GOOD = 0.25, 0.75
"""Achieved over predicted improvement below which the damping grows and above which it shrinks."""
_FACTOR = 1.5
"""What the damping is multiplied with, or divided by."""


class Stepper:
    """Makes x = (F + lambda I)^-1 g and alpha, and keeps what one step hands to the next.

    It keeps the damping, where that adapts, and with momentum the last direction.  The direction is kept in
    the coordinates of theta: where the policy moves those (:meth:`carry`) it moves along, and S x stays what
    it was.  It is forgotten where it led nowhere: where every candidate of a line search was rejected, and
    where the new direction would lose by the gradient, g^T x <= 0 (the restart of O'Donoghue and Candes,
    arXiv 1204.3982).
    """

    def __init__(self, config: TrainConfig) -> None:
        self.config = config
        self._exact = decided(config, "fisher") == "exact"
        self.damping = config.damping
        """The damping of the next step, in the units of the config's field."""
        self.previous: Array | None = None
        """The direction x of the step before; None without momentum, and before the first step."""

    def step(
        self, policy: Policy, before: Snapshot, obs: Array, act: NDArray[Any], A: Array, max_kl: float
    ) -> NaturalStep | None:
        """Return the step of a batch; None where its advantages A, (N,), are all zero, so that there is none.

        ``before`` is the policy's snapshot on ``obs``, and ``max_kl`` the KL divergence of the step by the
        quadratic model, in nats.
        """
        if not A.any():
            return None
        system = self._system(policy, before, obs, act, A)
        step = self._solve(system, self.previous, max_kl)
        if self.previous is None or step.predicted_improvement > 0.0:
            return step
        self.previous = None
        step = self._solve(system, None, max_kl)
        forgotten = "the momentum pointed against the gradient and was forgotten"
        restart = Event("momentum_forgotten", step.solver, {}, forgotten)
        return dataclasses.replace(step, events=(*step.events, restart))

    def _system(
        self, policy: Policy, before: Snapshot, obs: Array, act: NDArray[Any], A: Array
    ) -> dict[str, Any]:
        """Return the rows of F and where g comes from, as :func:`.natural_step` takes them."""
        exact, fraction = self._exact, self.config.fisher_fraction
        S = Scores(before.scores(act))
        if fraction == 1.0 and not exact:
            return {"scores": S, "advantages": A}
        gradient = S.T @ A / len(A)
        if fraction == 1.0:
            return {"scores": Scores(before.fisher_scores()), "gradient": gradient, "count": len(A)}
        rows = fisher_rows(len(A), fraction)
        if not exact:
            return {"scores": S[rows], "gradient": gradient}
        R = Scores(policy.at(obs[rows]).fisher_scores())
        return {"scores": R, "gradient": gradient, "count": len(rows)}

    def _solve(self, system: dict[str, Any], previous: Array | None, max_kl: float) -> NaturalStep:
        config = self.config
        return natural_step(
            **system,
            damping=self.damping,
            relative_damping=config.relative_damping,
            max_kl=max_kl,
            solver=config.solver,
            precision=config.precision,
            tol=config.cg_tolerance,
            max_iterations=config.cg_iterations,
            momentum=config.momentum,
            previous=previous,
            sample_weights=False,
        )

    def carry(self, policy: Policy, shift: Array, scale: Array, obs: Array) -> None:
        """Take the direction along, before ``policy.set_input_transform(shift, scale, obs)`` moves theta.

        That map is linear in theta, so a direction goes where theta would go in its place.
        """
        if self.previous is not None:
            carrier = policy.copy()
            carrier.parameters = self.previous
            carrier.set_input_transform(shift, scale, obs)
            self.previous = carrier.parameters

    def learn(self, step: NaturalStep | None, move: Move) -> None:
        """See how the step turned out."""
        config = self.config
        if step is None:
            return
        if config.momentum > 0.0:
            self.previous = step.direction if move.fraction > 0.0 else None
        if config.damping_rule == "adaptive" and step.predicted_improvement > 0.0:
            self.damping = adapted_damping(
                self.damping, move.ratio, least=config.min_damping, most=config.max_damping
            )

    def state(self) -> dict[str, NDArray[Any]]:
        """Return what a checkpoint has to keep."""
        state = {"damping": np.array(self.damping)} if self.config.damping_rule == "adaptive" else {}
        return state if self.previous is None else {**state, "previous": self.previous}

    def load_state(self, values: Mapping[str, NDArray[Any]]) -> None:
        """Take back what :meth:`state` returned."""
        self.damping = float(values.get("damping", self.config.damping))
        self.previous = np.array(values["previous"]) if "previous" in values else None


def fisher_rows(count: int, fraction: float) -> NDArray[np.int64]:
    """Return about ``fraction`` of the rows 0 to count - 1, at least one, at equal distances.

    No chance is in it, so every product of the step and every run has the same rows; and they are spread over
    the batch, so every trajectory and every part of it has its share.
    """
    kept = max(1, round(fraction * count))
    rows: NDArray[np.int64] = ((np.arange(kept) + 0.5) * (count / kept)).astype(np.int64)
    return rows


def adapted_damping(damping: float, ratio: float, *, least: float, most: float) -> float:
    """Return the damping of the next step, given how this one's prediction held.

    The rule is that of Levenberg and Marquardt (1963), its constants those of Martens, "Deep learning via
    Hessian-free optimization" (2010), section 4.1.

    ``ratio`` is achieved over predicted improvement; NaN, of a step that could not be measured, is poor.
    The prediction is the first-order one, alpha g^T x, and the achievement is the change of the surrogate
    mean(ratio A) measured on the same batch after the full step.  The prediction is not the quadratic model
    alpha g^T x - alpha^2 x^T F x / 2 of least squares: here F is the curvature of the KL divergence, which
    bounds the step, and not the surrogate's, so the gain that a step promises is the linear one.
    Where that promise fails, the step went too far along directions of small curvature, which is where
    (F + lambda I)^-1 sends it and what lambda holds back.  One batch gives both numbers, so their ratio
    sees the failure of the model and no sampling noise.  It cannot see that a step overfits its batch;
    ``least`` is there for that.
    """
    if ratio > _GOOD:
        damping /= _FACTOR
    elif not ratio >= _POOR:
        damping *= _FACTOR
    return min(max(damping, least), most)
