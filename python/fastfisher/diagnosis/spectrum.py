"""Eigenvalues, and which of them are zero to rounding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

DOUBLE = float(np.finfo(np.float64).eps)
SINGLE = float(np.finfo(np.float32).eps)

# This stands for sqrt(N) where N is not known: a thousand samples, near LAPACK's threshold of 30 for a scaled
# residual.
UNKNOWN_SAMPLES = 32.0


@dataclass(frozen=True)
class Spectrum:
    """Eigenvalues of a symmetric matrix of order `size`."""

    values: Array  # (k,), ascending; the other size - k are zero by algebra, not by computation.
    size: int
    terms: float  # See the function `terms`.
    eps: float  # The relative rounding error of the arithmetic that made the matrix.

    @property
    def smallest(self) -> float:
        """The smallest eigenvalue."""
        value = float(self.values[0])
        return value if len(self.values) == self.size else min(value, 0.0)

    @property
    def largest(self) -> float:
        """The largest eigenvalue."""
        value = float(self.values[-1])
        return value if len(self.values) == self.size else max(value, 0.0)

    @property
    def norm(self) -> float:
        """The spectral norm, ||A||_2."""
        return max(abs(self.smallest), abs(self.largest))

    def rounding(self, eps: float) -> float:
        """Return the eigenvalue that arithmetic of precision `eps` cannot tell from zero."""
        return self.terms * eps * self.norm

    @property
    def bound(self) -> float:
        """The `rounding` of the arithmetic that made the matrix."""
        return self.rounding(self.eps)

    @property
    def rank(self) -> int:
        """The number of eigenvalues above `bound`."""
        return int((self.values > self.bound).sum())

    @property
    def negative(self) -> int:
        """The number of eigenvalues below -`bound`."""
        return int((self.values < -self.bound).sum())

    @property
    def condition(self) -> float:
        """The largest eigenvalue over the smallest above `bound`; NaN where there is none."""
        above = self.values[self.values > self.bound]
        return float(above[-1] / above[0]) if len(above) else float("nan")


def terms(size: int, samples: int | None) -> float:
    """Return d + sqrt(N), the number of rounding errors in an eigenvalue.

    The order d counts for the eigenvalue algorithm; those of a sum over N samples add up like a random walk.
    """
    return size + (UNKNOWN_SAMPLES if samples is None else float(np.sqrt(samples)))


def spectrum(symmetric: Array, size: int, samples: int | None, eps: float) -> Spectrum:
    """Return the eigenvalues of a symmetric matrix; its order is below `size` where the rest are zero."""
    return Spectrum(np.linalg.eigvalsh(symmetric).astype(np.float64), size, terms(size, samples), eps)


def unit_diagonal(symmetric: Array) -> Array:
    """Return D^-1/2 A D^-1/2 over the rows of positive diagonal D.

    Congruence keeps the signs of the eigenvalues (Sylvester), and a sum of squares has entries right to eps
    sqrt(A_ii A_jj): so what rounding hides of small parameters in A shows here.
    """
    diagonal = symmetric.diagonal()
    alive = diagonal > 0.0
    root = np.sqrt(diagonal[alive])
    return symmetric[np.ix_(alive, alive)] / root[:, None] / root


def spurious_eigvals(matrix: NDArray[np.floating], seen: Spectrum) -> tuple[int, int] | None:
    """Count what `numpy.linalg.eigvals`, which does not use symmetry, gets wrong of a symmetric matrix.

    The counts are of complex eigenvalues and of those falsely below -bound; None stands for none of either.
    """
    try:
        values = np.linalg.eigvals(matrix)
    except np.linalg.LinAlgError:  # it did not converge: nothing to show
        return None
    negative = int((values.real < -seen.bound).sum()) - seen.negative
    found = int((values.imag != 0.0).sum()), max(negative, 0)
    return found if any(found) else None
