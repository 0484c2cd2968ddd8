"""Parameters that are dead, duplicated or badly scaled, seen in the columns of F or of the scores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from .spectrum import Array

Indices: TypeAlias = NDArray[np.intp]


@dataclass(frozen=True)
class Parameters:
    """What the columns say.

    Attributes
    ----------
    dead : (k,) intp
        Parameters whose column is zero.
    duplicates : tuple of (>= 2,) intp
        Groups of parameters whose columns are the same to rounding.
    spread : float
        Largest column norm of the scores over the smallest positive one.
    """

    dead: Indices
    duplicates: tuple[Indices, ...]
    spread: float

    @property
    def redundant(self) -> int:
        """Zero eigenvalues that these explain."""
        return len(self.dead) + sum(len(group) - 1 for group in self.duplicates)


def parameters(
    column: Callable[[int], Array],
    alive: NDArray[np.bool_],
    squares: Array,
    projection: Array,
    tolerance: Array,
) -> Parameters:
    """Find them.

    Parameters
    ----------
    column : callable
        Column j of F or of the scores, (m,).
    alive : (d,) bool
        Columns that are not zero.
    squares : (d,) array
        Diagonal of F.
    projection : (d,) array
        A fixed random vector times the columns: only neighbours in its order are compared entry by entry.
    tolerance : (m,) array
        Rounding of a column whose parameter has unit norm.
    """
    norms = np.sqrt(np.abs(squares))
    order = np.flatnonzero(alive)[np.argsort(projection[alive], kind="stable")]
    allowed = 10.0 * np.linalg.norm(tolerance) * norms[order[:-1]]
    same = np.diff(projection[order]) <= allowed
    for place in np.flatnonzero(same):
        one, other = int(order[place]), int(order[place + 1])
        same[place] = (np.abs(column(one) - column(other)) <= tolerance * norms[one]).all()
    groups = np.split(order, np.flatnonzero(~same) + 1)
    positive = norms[norms > 0.0]
    return Parameters(
        np.flatnonzero(~alive),
        tuple(np.sort(group) for group in groups if len(group) > 1),
        float(positive.max() / positive.min()) if len(positive) else 1.0,
    )


def random_vector(size: int) -> Array:
    """Draw the same normal vector every time."""
    return np.random.default_rng(0).standard_normal(size)
