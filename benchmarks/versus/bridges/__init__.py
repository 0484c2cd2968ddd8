"""Comparisons of the bridges with what their frameworks' users have today, one module a framework.

A module has a function ``rows(quick)`` that returns `Row`s, each made by `compared`; `all_rows` lists the
modules.
"""

from __future__ import annotations

from ..case import Case
from . import jax_rows, sb3_rows
from .row import Row, compared

__all__ = ["Row", "all_cases", "all_rows", "compared"]


def all_rows(quick: bool) -> list[Row]:
    """Return the comparisons; `quick` shrinks the sizes until only correctness is left to look at."""
    return [*sb3_rows.rows(quick), *jax_rows.rows(quick)]


def all_cases(quick: bool) -> list[Case]:
    """Return the cases of all rows, for a worker to find its own by name."""
    return [row.case for row in all_rows(quick)]
