"""Every comparison, in the order of the report."""

from __future__ import annotations

from ..case import Case
from . import cholesky, dense_step, exact_step, least_squares, policy_update, products


def all_cases(quick: bool) -> list[Case]:
    """Return the cases; `quick` shrinks the sizes until only correctness is left to look at."""
    groups = (products, cholesky, dense_step, policy_update, exact_step, least_squares)
    return [case for group in groups for case in group.cases(quick)]
