"""Moving the policy along a step, and measuring where that leads."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..natural import NaturalStep
from ..policies import Policy, Snapshot
from .line_search import Candidate, backtrack

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Move:
    """Where a step took the policy, measured on its batch."""

    fraction: float
    """Share of the step that was taken; 0 where the policy stays."""
    kl: float
    """KL(old || new), mean over the observations."""
    improvement: float
    """Change of the surrogate mean(ratio * A)."""
    ratio: float
    """Achieved over predicted improvement of the full step, NaN where the policy stays."""
    entropy: float
    """Of the policy now."""
    std: float
    """Mean standard deviation of the policy now, over observations and actions; NaN where there is none."""
    candidates: tuple[Candidate, ...] = ()
    """Of the line search, in the order of trial."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Why the line search shortened or refused the step."""
        rejected = [c for c in self.candidates if c.rejection]
        notes = [f"line search: step x {c.fraction:.3g} rejected, {c.rejection}" for c in rejected]
        if self.candidates and self.fraction == 0.0:
            notes.append("line search: every candidate was rejected; the policy stays")
        return tuple(notes)


def stay(before: Snapshot) -> Move:
    """Leave the policy where it is."""
    return Move(0.0, 0.0, 0.0, float("nan"), before.entropy(), before.std())


def take(policy: Policy, before: Snapshot, step: NaturalStep, act: NDArray[Any], A: Array) -> Move:
    """Take the whole step, whatever comes of it: NPG."""
    walk = _Walk(policy, before, step, act, A)
    kl, improvement = walk.to(1.0)
    return Move(1.0, kl, improvement, _ratio(improvement, step), walk.here.entropy(), walk.here.std())


def take_within(
    policy: Policy,
    before: Snapshot,
    step: NaturalStep,
    act: NDArray[Any],
    A: Array,
    *,
    max_kl: float,
    factor: float,
    tries: int,
) -> Move:
    """Take as much of the step as keeps within ``max_kl`` and improves the surrogate: TRPO.

    Where no candidate does, the policy is what it was to the bit: theta, and its constants, which a policy's
    ``constrain`` may touch.  ``max_kl``, ``factor`` and ``tries`` are those of :func:`.backtrack`.
    """
    walk = _Walk(policy, before, step, act, A)
    constants = {name: np.array(values) for name, values in policy.constants().items()}

    def restore() -> None:
        if constants:
            policy.load_constants(constants)
        policy.parameters = walk.start

    def measure(fraction: float) -> tuple[float, float]:
        restore()
        if not np.isfinite(walk.start + fraction * step.step).all():
            return float("nan"), float("nan")
        # Where the numbers overflow the candidate is rejected, and the reason is said there.
        with np.errstate(all="ignore"):
            return walk.to(fraction)

    candidates = backtrack(measure, max_kl=max_kl, factor=factor, tries=tries)
    last = candidates[-1]
    if last.rejection:
        restore()
        return dataclasses.replace(stay(before), candidates=candidates)
    ratio, here = _ratio(candidates[0].improvement, step), walk.here
    return Move(last.fraction, last.kl, last.improvement, ratio, here.entropy(), here.std(), candidates)


class _Walk:
    """The line from the policy as it is along a step."""

    def __init__(
        self, policy: Policy, before: Snapshot, step: NaturalStep, act: NDArray[Any], A: Array
    ) -> None:
        self._policy, self._before, self._act, self._A = policy, before, act, A
        self._step, self.start = step.step, policy.parameters.copy()
        self._log_prob = before.log_prob(act)
        self.here = before
        """The policy where it was last put."""

    def to(self, fraction: float) -> tuple[float, float]:
        """Put the policy at this share of the step; return KL divergence and improvement."""
        policy, before = self._policy, self._before
        policy.parameters = self.start + fraction * self._step
        policy.constrain()
        self.here = after = before.after(policy)
        gain = np.expm1(after.log_prob(self._act) - self._log_prob) * self._A
        return before.kl(after), float(np.mean(gain))


def _ratio(improvement: float, step: NaturalStep) -> float:
    return improvement / step.predicted_improvement if step.predicted_improvement else float("nan")
