"""Symmetric products of the scores, and the Fisher-vector product."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from ..case import Case, Contender, Inputs, value_error
from ..contenders import blas, ours

DTYPES = {"f32": (np.float32, "single"), "f64": (np.float64, "double")}
LIMITS = {"f32": {"error": 2e-5}, "f64": {"error": 1e-13}}
TALL_LIMIT = {"error": 1e-3}
"""f32 sums of 1e6 terms: 4 sqrt(N) eps is 5e-4."""


def normal_scores(rng: Generator, samples: int, parameters: int, dtype: type) -> Inputs:
    """Independent standard normal scores, (N, d)."""
    return {"scores": rng.standard_normal((samples, parameters), dtype=dtype)}


def with_vector(rng: Generator, samples: int, parameters: int, dtype: type) -> Inputs:
    """Scores, and a vector of the same type."""
    vector = rng.standard_normal(parameters).astype(dtype)
    return {**normal_scores(rng, samples, parameters, dtype), "v": vector}


def symmetric_product(inputs: Inputs, side: str) -> NDArray[np.float64]:
    """S^T S or S S^T in float64."""
    S = inputs["scores"].astype(np.float64)
    return S.T @ S if side == "StS" else S @ S.T


def fisher_vector(inputs: Inputs) -> NDArray[np.float64]:
    """S^T (S v) in float64."""
    S = inputs["scores"].astype(np.float64)
    return S.T @ (S @ inputs["v"].astype(np.float64))


def _syrk(side: str, samples: int, parameters: int, kind: str) -> Case:
    dtype, precision = DTYPES[kind]
    n, depth = (parameters, samples) if side == "StS" else (samples, parameters)
    tall = samples >= 500 * parameters
    limits = TALL_LIMIT if tall and kind == "f32" else LIMITS[kind]
    return Case(
        name=f"{'tall ' * tall}syrk {side} {samples}x{parameters} {kind}",
        inputs=partial(normal_scores, samples=samples, parameters=parameters, dtype=dtype),
        reference=partial(symmetric_product, side=side),
        check=value_error,
        ours=Contender("fastfisher", partial(ours.symmetric_product, side, precision), limits),
        peers=[
            Contender("SciPy syrk", partial(blas.syrk, side, False), limits, gives="one triangle; ours both"),
            Contender(
                "SciPy syrk, mirrored",
                partial(blas.syrk, side, True),
                limits,
                gives="both triangles, by blocks",
            ),
            Contender("NumPy", partial(blas.numpy_product, side), limits, bar=3.0 if tall else None),
        ],
        precision=precision,
        flops=n * (n + 1.0) * depth,
    )


def _fisher_vector(samples: int, parameters: int, kind: str) -> Case:
    dtype, precision = DTYPES[kind]
    return Case(
        name=f"fisher-vector {samples}x{parameters} {kind}",
        inputs=partial(with_vector, samples=samples, parameters=parameters, dtype=dtype),
        reference=fisher_vector,
        check=value_error,
        ours=Contender("fastfisher", partial(ours.fisher_matvec, precision), LIMITS[kind]),
        peers=[Contender("NumPy", blas.numpy_fisher_matvec, LIMITS[kind], bar=1.6)],
        precision=precision,
        flops=4.0 * samples * parameters,
        bytes=float(samples * parameters * np.dtype(dtype).itemsize),
    )


def cases(quick: bool) -> list[Case]:
    """Return the cases of this module."""
    shapes = [(500, 100), (100, 500)] if quick else [(5000, 1000), (1000, 5000)]
    tall = (50_000, 20) if quick else (1_000_000, 100)
    fused = (2000, 500) if quick else (20_000, 5000)
    return [
        *(_syrk(side, *shape, kind) for side in ("StS", "SSt") for shape in shapes for kind in DTYPES),
        _syrk("StS", *tall, "f32"),
        *(_fisher_vector(*fused, kind) for kind in DTYPES),
    ]
