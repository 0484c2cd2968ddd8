"""Comparisons of the bridges with what their frameworks' users have today, one module a framework.

A module has a function ``rows(quick)`` that returns `Row`s, each made by `compared`; `all_rows` lists the
modules.
"""

from __future__ import annotations

import importlib.util

from ..case import Case
from .row import Row, compared

FRAMEWORKS = ("sb3_rows", "jax_rows")
"""The modules here that have rows, in the order of the report; one that is not there has none."""

__all__ = ["Row", "all_cases", "all_rows", "compared"]


def all_rows(quick: bool) -> list[Row]:
    """Return the comparisons; `quick` shrinks the sizes until only correctness is left to look at."""
    found = []
    for name in FRAMEWORKS:
        if importlib.util.find_spec(f"{__name__}.{name}") is not None:
            found += importlib.import_module(f"{__name__}.{name}").rows(quick)
    return found


def all_cases(quick: bool) -> list[Case]:
    """Return the cases of all rows, for a worker to find its own by name."""
    return [row.case for row in all_rows(quick)]
