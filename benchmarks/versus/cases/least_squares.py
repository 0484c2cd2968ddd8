"""Iterative solution of a badly scaled dense system, where CG needs many steps."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.random import Generator

from ..case import Case, Contender, Inputs
from ..contenders import ours, scipy_lsmr
from .dense_step import check, direction

RESIDUAL = 1e-8
LIMITS = {"residual": RESIDUAL}


def problem(rng: Generator, samples: int, parameters: int) -> Inputs:
    """Normal scores whose columns scale from 1 to 1e-3: F + lambda I has a condition of about 1e4."""
    scales = np.logspace(0.0, -3.0, parameters)
    return {
        "scores": rng.standard_normal((samples, parameters)) * scales,
        "advantages": rng.standard_normal(samples),
        "damping": 1e-4,
    }


def _system(samples: int, parameters: int, solver: str) -> Case:
    return Case(
        name=f"damped system {samples}x{parameters} f64, ours by {solver}",
        inputs=partial(problem, samples=samples, parameters=parameters),
        reference=direction,
        check=check,
        ours=Contender("fastfisher", partial(ours.natural_step, solver, "double"), LIMITS),
        peers=[Contender("SciPy lsmr", partial(scipy_lsmr.natural_step, RESIDUAL), LIMITS)],
        notes=(f"both to a relative residual of {RESIDUAL:g}",),
    )


def cases(quick: bool) -> list[Case]:
    """Return the cases of this module."""
    shape = (500, 100) if quick else (8000, 1000)
    return [_system(*shape, solver) for solver in ("cg", "auto")]
