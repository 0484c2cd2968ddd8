"""All causes in order, and the notes: from evidence to words."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from . import limits, mistakes
from .evidence import Evidence

Cause: TypeAlias = Callable[[Evidence], "str | None"]

# The matrix is not the Fisher matrix: damping would only hide that.
MISTAKES: tuple[Cause, ...] = (
    mistakes.zero,
    mistakes.not_symmetric,
    mistakes.outer_of_mean,
    mistakes.outer_flattened,
    mistakes.rank_one,
    mistakes.gram_matrix,
    mistakes.advantage_weighted,
    mistakes.wrong_sign,
    mistakes.indefinite,
    mistakes.indefinite_when_scaled,
)

# Rank and scale, of which nothing is said once the matrix is a mistake.
MOOT: tuple[Cause, ...] = (
    limits.few_samples,
    limits.float32_rounding,
    limits.duplicated_parameters,
    limits.dependent_parameters,
    limits.rank_deficient,
    limits.badly_scaled,
)

# The weightiest first; the name of the first that speaks is the verdict.
CAUSES: tuple[Cause, ...] = (
    *MISTAKES,
    mistakes.not_these_scores,
    mistakes.unnormalised,
    mistakes.gradient_elsewhere,
    limits.few_samples,
    limits.float32_rounding,
    limits.dead_parameters,
    limits.duplicated_parameters,
    limits.dependent_parameters,
    limits.rank_deficient,
    limits.badly_scaled,
    limits.eigvals,
    limits.constant_columns,
    limits.large_mean,
)


def found(e: Evidence) -> dict[str, str]:
    """Code and sentence of each cause that the evidence shows."""
    mistaken = any(cause(e) for cause in MISTAKES)
    causes = [cause for cause in CAUSES if not (mistaken and cause in MOOT)]
    sentences = {cause.__name__: cause(e) for cause in causes}
    return {code: sentence for code, sentence in sentences.items() if sentence is not None}


def notes(e: Evidence) -> tuple[str, ...]:
    """What is worth knowing and no mistake."""
    said = []
    match = e.match
    if match is not None and match.formula == "fisher" and abs(match.coefficients[0] - 1.0) < mistakes.FACTOR:
        said.append("F is S^T S / N of these scores.")
    if match is not None and match.formula == "centred":
        said.append("F is the covariance of the scores: their mean was subtracted.")
    if match is not None and match.formula == "damped":
        said.append(
            f"F is {match.coefficients[0]:.6g} S^T S / N + {match.coefficients[1]:.6g} I: it is damped "
            "already."
        )
    if match is None and e.source == "matrix" and e.samples is not None and e.rank > e.samples:
        said.append(
            f"Rank {e.rank} is above the {e.samples} samples of count=: F is damped, or made of more rows "
            "than that."
        )
    if e.taken_for_scores:
        said.append(
            'The array is square and not symmetric, and was taken for scores; kind="matrix" says otherwise.'
        )
    return tuple(said)
