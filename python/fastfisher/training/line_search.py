"""Backtracking along a step until KL divergence and surrogate allow it.

Schulman, Levine, Moritz, Jordan and Abbeel, "Trust Region Policy Optimization", arXiv 1502.05477, appendix C:
the natural step is made from models of both, linear and quadratic, so its last word is a measurement.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

Measure: TypeAlias = Callable[[float], tuple[float, float]]
"""From a fraction of the step to the KL divergence and the improvement of the surrogate that it gives."""


@dataclass(frozen=True)
class Candidate:
    """A step length that was tried."""

    fraction: float
    """Of the full step."""
    kl: float
    """KL(old || new), in nats."""
    improvement: float
    """Change of the surrogate."""
    rejection: str
    """Why it was not taken; empty for the one that was."""


def backtrack(
    measure: Measure, *, max_kl: float, factor: float = 0.8, tries: int = 10
) -> tuple[Candidate, ...]:
    """Try the step, then ``factor`` of it, ``factor``^2, ..., until one keeps within ``max_kl`` and gains.

    Parameters
    ----------
    measure
        Called once a candidate; it may move the policy there, so the last call is the accepted candidate's.
    max_kl
        Largest KL divergence accepted, in nats, without any slack.
    factor
        In (0, 1).
    tries
        Candidates at most.

    Returns
    -------
    tuple of Candidate
        In the order of trial.  All but the last are rejected; where the last is too, none was fit.
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
