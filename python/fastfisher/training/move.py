"""Moving the policy along a step, and measuring where that leads.

NPG takes the whole step.  TRPO (Schulman, Levine, Moritz, Jordan and Abbeel, arXiv 1502.05477, appendix C)
backtracks along it until KL divergence and surrogate allow it: the natural step is made from models of both,
linear and quadratic, so its last word is a measurement.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..natural import NaturalStep
from ..policies import Policy, Snapshot
from .batch import Array
from .config import AlgorithmName, FisherName

Measure: TypeAlias = Callable[[float], tuple[float, float]]
"""From a fraction of the step to the KL divergence and the improvement of the surrogate that it gives."""


class Algorithm(NamedTuple):
    """All that training does differently from one algorithm to another."""

    fisher: FisherName
    """The Fisher matrix of a config that names none."""
    line_search: bool
    """Whether a step is measured, and shortened or refused, before it is taken."""


ALGORITHMS: Mapping[AlgorithmName, Algorithm] = {
    "npg": Algorithm(fisher="empirical", line_search=False),
    "trpo": Algorithm(fisher="exact", line_search=True),
}


@dataclass(frozen=True)
class Candidate:
    """A step length that was tried."""

    fraction: float
    """Share of the full step."""
    kl: float
    """KL(old || new), in nats."""
    improvement: float
    """Change of the surrogate."""
    rejection: str
    """Why it was not taken; empty for the one that was."""


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
    """Entropy of the policy now."""
    std: float
    """Mean standard deviation of the policy now, over observations and actions; NaN where there is none."""
    candidates: tuple[Candidate, ...] = ()
    """What the line search tried, in the order of trial."""

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


class Walk:
    """The line from the policy, which is moved, along a step, measured on the step's batch.

    ``before`` is the policy's snapshot on the batch's observations; ``act``, (N, m) or (N,), and ``A``, (N,),
    are the batch's actions and advantages.
    """

    def __init__(
        self, policy: Policy, before: Snapshot, step: NaturalStep, act: NDArray[Any], A: Array
    ) -> None:
        self._policy, self._before, self._here = policy, before, before
        self._step, self._start = step, policy.parameters.copy()
        self._act, self._A, self._log_prob = act, A, before.log_prob(act)

    def whole(self) -> Move:
        """Take the whole step, whatever comes of it: NPG."""
        kl, improvement = self._to(1.0)
        return self._taken(Candidate(1.0, kl, improvement, ""), improvement)

    def within(self, *, max_kl: float, factor: float, tries: int) -> Move:
        """Take as much of the step as keeps within ``max_kl`` and improves the surrogate: TRPO.

        Where no candidate does, the policy is what it was to the bit: theta, and the constants that its
        ``constrain`` may touch.  The arguments are those of :func:`backtrack`.
        """
        policy = self._policy
        constants = {name: np.array(values) for name, values in policy.constants().items()}

        def restore() -> None:
            if constants:
                policy.load_constants(constants)
            policy.parameters = self._start

        def measure(fraction: float) -> tuple[float, float]:
            restore()
            if not np.isfinite(self._start + fraction * self._step.step).all():
                return float("nan"), float("nan")
            # Where the numbers overflow the candidate is rejected, and the reason is said there.
            with np.errstate(all="ignore"):
                return self._to(fraction)

        candidates = backtrack(measure, max_kl=max_kl, factor=factor, tries=tries)
        if candidates[-1].rejection:
            restore()
            return dataclasses.replace(stay(self._before), candidates=candidates)
        return self._taken(candidates[-1], candidates[0].improvement, candidates)

    def _to(self, fraction: float) -> tuple[float, float]:
        """Put the policy at this share of the step; return KL divergence and improvement."""
        policy, before = self._policy, self._before
        policy.parameters = self._start + fraction * self._step.step
        policy.constrain()
        self._here = after = before.after(policy)
        gain = np.expm1(after.log_prob(self._act) - self._log_prob) * self._A
        return before.kl(after), float(np.mean(gain))

    def _taken(self, last: Candidate, of_whole: float, candidates: tuple[Candidate, ...] = ()) -> Move:
        """Return the move to the last candidate, given the improvement that the whole step brought."""
        predicted, here = self._step.predicted_improvement, self._here
        ratio = of_whole / predicted if predicted else float("nan")
        return Move(last.fraction, last.kl, last.improvement, ratio, here.entropy(), here.std(), candidates)


def backtrack(
    measure: Measure, *, max_kl: float, factor: float = 0.8, tries: int = 10
) -> tuple[Candidate, ...]:
    """Try the step, then ``factor`` of it, ``factor``^2, ..., until one keeps within ``max_kl`` and gains.

    The bound, in nats, has no slack.  ``measure`` is called once for each candidate and may move the policy
    there, so the last call is the accepted candidate's.  At most ``tries`` candidates are returned, in order:
    each but the last is rejected, and where the last is too, none was fit.
    """
    tried: list[Candidate] = []
    for power in range(tries):
        fraction = factor**power
        kl, improvement = measure(fraction)
        tried.append(Candidate(fraction, kl, improvement, rejection(kl, improvement, max_kl)))
        if not tried[-1].rejection:
            break
    return tuple(tried)


def rejection(kl: float, improvement: float, max_kl: float) -> str:
    """Return why a step must not be taken; empty where it may be."""
    if not (math.isfinite(kl) and math.isfinite(improvement)):
        return f"not finite: KL {kl:.3g}, improvement {improvement:.3g}"
    if kl > max_kl:
        return f"KL too large: {kl:.6g} > {max_kl:.6g}"
    if improvement <= 0.0:
        return f"surrogate not improved: {improvement:.3g}"
    return ""
