"""The Cholesky factorisation of a damped Fisher matrix."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from ..case import Case, Contender, Inputs, value_error
from ..contenders import blas, ours
from .products import DTYPES

LIMITS = {"f32": {"error": 1e-4}, "f64": {"error": 1e-12}}


def positive_definite(rng: Generator, n: int, dtype: type) -> Inputs:
    """F + I / 10 of 2 n normal scores."""
    S = rng.standard_normal((2 * n, n), dtype=np.float32).astype(np.float64)
    matrix = S.T @ S / (2 * n) + 0.1 * np.eye(n)
    return {"matrix": matrix.astype(dtype)}


def factor(inputs: Inputs) -> NDArray[np.float64]:
    """L in float64."""
    return np.linalg.cholesky(inputs["matrix"].astype(np.float64))


def _cholesky(n: int, kind: str) -> Case:
    dtype, precision = DTYPES[kind]
    limits = LIMITS[kind]
    return Case(
        name=f"cholesky {n} {kind}",
        inputs=partial(positive_definite, n=n, dtype=dtype),
        reference=factor,
        check=value_error,
        ours=Contender("fastfisher", ours.cholesky, limits),
        peers=[
            Contender("SciPy potrf of a copy", blas.potrf_of_copy, limits, gives="the same: copies, zeroes"),
            Contender(
                "SciPy potrf in place",
                blas.potrf_in_place,
                limits,
                gives="no copy, other triangle left; ours copies and zeroes",
            ),
        ],
        precision=precision,
        flops=n**3 / 3.0,
    )


def cases(quick: bool) -> list[Case]:
    """Return the cases of this module."""
    return [_cholesky(n, kind) for n in ((200, 500) if quick else (2000, 5000)) for kind in DTYPES]
