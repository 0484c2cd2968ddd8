"""What a diagnosis says: from evidence to words."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from . import limits, mistakes
from .evidence import Evidence

WIDTH = 110

Cause: TypeAlias = Callable[[Evidence], "str | None"]

# These say that F is not the Fisher matrix, which damping would only hide.
MISTAKES: tuple[Cause, ...] = (
    mistakes.zero, mistakes.not_symmetric, mistakes.outer_of_mean, mistakes.outer_flattened,
    mistakes.rank_one, mistakes.gram_matrix, mistakes.advantage_weighted, mistakes.wrong_sign,
    mistakes.indefinite, mistakes.indefinite_when_scaled,
)  # fmt: skip

# These are about rank and scale: they are not asked where F is a mistake.
MOOT: tuple[Cause, ...] = (
    limits.few_samples, limits.float32_rounding, limits.duplicated_parameters,
    limits.dependent_parameters, limits.rank_deficient, limits.badly_scaled,
)  # fmt: skip

# All causes, the weightiest first; the name of the first that speaks is the verdict.
CAUSES: tuple[Cause, ...] = (
    *MISTAKES, mistakes.not_these_scores, mistakes.unnormalised, mistakes.gradient_elsewhere,
    limits.few_samples, limits.float32_rounding, limits.dead_parameters, limits.duplicated_parameters,
    limits.dependent_parameters, limits.rank_deficient, limits.badly_scaled, limits.eigvals,
    limits.constant_columns, limits.large_mean,
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class FisherReport:
    """What `diagnose` found, with the evidence for it.

    Attributes
    ----------
    verdict : str
        Code of the first cause, or "healthy": symmetric, positive semi-definite to rounding, of full rank
        and well scaled.
    causes : tuple of str
        Codes of all that was found, the weightiest first; empty where healthy.
    findings : tuple of str
        One plain sentence for each cause.
    notes : tuple of str
        What is worth knowing and no mistake.
    size : int
        d, the number of parameters.
    samples : int or None
        N, the rows of positive weight; None where a matrix alone was given.
    symmetric : bool
        Whether F is its transpose, to rounding.
    asymmetry : float
        ``max |F - F^T| / max |F|``.
    positive_semidefinite : bool
        Whether smallest >= -bound.
    smallest, largest : float
        Extreme eigenvalues of (F + F^T) / 2, by `numpy.linalg.eigvalsh` in float64.
    bound : float
        Eigenvalues within +-bound are zero to rounding: ``(d + sqrt(N)) eps max |eigenvalue|``, where eps
        belongs to the arithmetic that made the matrix and an unknown sqrt(N) is taken as 32.
    rank : int
        Number of eigenvalues above bound.
    rank_limit : int
        min(N, d), or d where N is not known.
    condition : float
        largest over the smallest eigenvalue above bound; NaN where there is none.
    trace : float
        tr(F), the mean of ||s||^2.
    damping : float or None
        lambda after which a solve keeps half of the digits; None where none is needed, or where the matrix is
        not a Fisher matrix and damping would hide the mistake.
    """

    verdict: str
    causes: tuple[str, ...]
    findings: tuple[str, ...]
    notes: tuple[str, ...]
    size: int
    samples: int | None
    symmetric: bool
    asymmetry: float
    positive_semidefinite: bool
    smallest: float
    largest: float
    bound: float
    rank: int
    rank_limit: int
    condition: float
    trace: float
    damping: float | None

    def __repr__(self) -> str:
        symmetry = "no, off" if not self.symmetric else "to rounding, off" if self.asymmetry else ""
        rows = [
            ("verdict", self.verdict),
            ("parameters", f"{self.size:,}"),
            ("samples", "not known" if self.samples is None else f"{self.samples:,}"),
            ("symmetric", f"{symmetry} by {self.asymmetry:.1e}" if symmetry else "exactly"),
            ("positive semi-definite", "yes, to rounding" if self.positive_semidefinite else "no"),
            ("eigenvalues", f"{self.smallest:.4g} to {self.largest:.4g}"),
            ("rounding bound", f"{self.bound:.1e}"),
            ("rank", f"{self.rank:,} of at most {self.rank_limit:,}"),
            ("condition", f"{self.condition:.3g}"),
            ("trace", f"{self.trace:.6g}"),
            ("suggested damping", "none" if self.damping is None else f"{self.damping:.2g}"),
            *(("finding", finding) for finding in self.findings),
            *(("note", note) for note in self.notes),
        ]
        return "FisherReport\n" + "\n".join(_row(name, value) for name, value in rows)


def _row(name: str, value: str) -> str:
    head = f"  {name:<22}  "
    return textwrap.fill(value, WIDTH, initial_indent=head, subsequent_indent=" " * len(head))


def report_of(e: Evidence) -> FisherReport:
    """Put evidence, causes and notes together."""
    seen = e.spectrum
    mistaken = any(cause(e) for cause in MISTAKES)
    told = [(cause.__name__, cause(e)) for cause in CAUSES if not (mistaken and cause in MOOT)]
    causes = {code: sentence for code, sentence in told if sentence is not None}
    return FisherReport(
        verdict=next(iter(causes), "healthy"),
        causes=tuple(causes),
        findings=tuple(causes.values()),
        notes=_notes(e),
        size=e.size,
        samples=e.samples,
        symmetric=e.symmetric,
        asymmetry=e.asymmetry,
        positive_semidefinite=not e.indefinite,
        smallest=e.true_size(seen.smallest),
        largest=e.true_size(seen.largest),
        bound=e.true_size(seen.bound),
        rank=seen.rank,
        rank_limit=e.size if e.samples is None else min(e.samples, e.size),
        condition=seen.condition,
        trace=e.true_size(e.trace),
        damping=None if mistaken else _damping(e),
    )


def _notes(e: Evidence) -> tuple[str, ...]:
    """Say what is worth knowing and no mistake."""
    said = []
    formula, coefficients = (None, ()) if e.match is None else (e.match.formula, e.match.coefficients)
    if formula == "fisher" and abs(coefficients[0] - 1.0) < mistakes.FACTOR:
        said.append("F is S^T S / N of these scores.")
    if formula == "centred":
        said.append("F is the covariance of the scores: their mean was subtracted.")
    if formula == "damped":
        said.append(f"F is {coefficients[0]:.6g} S^T S / N + {coefficients[1]:.6g} I: it is damped already.")
    if e.match is None and e.source == "matrix" and e.samples is not None and e.rank > e.samples:
        said.append(
            f"Rank {e.rank} is above the {e.samples} samples of count=: F is damped, or made of more rows "
            "than that."
        )
    if e.taken_for_scores:
        said.append(
            'The array is square and not symmetric, and was taken for scores; kind="matrix" says otherwise.'
        )
    return tuple(said)


def _damping(e: Evidence) -> float | None:
    seen = e.spectrum
    half_of_the_digits = seen.eps**0.5
    if seen.rank == seen.size and seen.condition < 1.0 / half_of_the_digits:
        return None
    return e.true_size(max(half_of_the_digits * seen.largest, 10.0 * seen.bound))
