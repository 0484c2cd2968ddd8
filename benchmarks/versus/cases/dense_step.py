"""The natural step from dense scores, (F + lambda I)^-1 g."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from ..case import Answer, Case, Contender, Inputs, Measures, relative_error
from ..contenders import blas, netket_sr, ours, torch_dense
from .products import normal_scores

DAMPING = 1e-3
# What comes in, what ours is asked for, whose peak.
KINDS = {"f32": (np.float32, "single"), "f64": (np.float64, "double"), "mixed": (np.float64, "mixed")}
LIMITS = {
    "f32": {"error": 1e-4},
    "f64": {"error": 1e-10, "residual": 1e-12},
    "mixed": {"error": 1e-9, "residual": 1e-10},
}


def problem(rng: Generator, samples: int, parameters: int, dtype: type) -> Inputs:
    """Normal scores and advantages."""
    scores = normal_scores(rng, samples, parameters, dtype)
    return {**scores, "advantages": rng.standard_normal(samples), "damping": DAMPING}


def direction(inputs: Inputs) -> NDArray[np.float64]:
    """x in float64, by the smaller of the two matrices."""
    S, A = inputs["scores"].astype(np.float64), inputs["advantages"]
    samples, parameters = S.shape
    if samples < parameters:
        K = S @ S.T / samples + inputs["damping"] * np.eye(samples)
        return S.T @ np.linalg.solve(K, A / samples)
    F = S.T @ S / samples + inputs["damping"] * np.eye(parameters)
    return np.linalg.solve(F, S.T @ A / samples)


def check(inputs: Inputs, reference: NDArray[np.float64], answer: Answer) -> Measures:
    """The error against the reference, and ||g - (F + lambda I) x|| / ||g|| from the scores in float64."""
    S, x = inputs["scores"].astype(np.float64), answer["value"].astype(np.float64)
    g = S.T @ inputs["advantages"] / len(S)
    residual = g - (S.T @ (S @ x) / len(S) + inputs["damping"] * x)
    return {
        "error": relative_error(answer["value"], reference),
        "residual": float(np.linalg.norm(residual) / np.linalg.norm(g)),
    }


def _step(samples: int, parameters: int, kind: str) -> Case:
    dtype, precision = KINDS[kind]
    limits = LIMITS[kind]
    least, most = sorted((samples, parameters))
    peers = [
        Contender("SciPy syrk, potrf, potrs", blas.natural_step, limits, bar=1.15),
        Contender("PyTorch", torch_dense.natural_step, limits, bar=3.0),
        Contender("NetKet, dense SR", netket_sr.natural_step, limits),
    ]
    if kind == "mixed":
        peers = [Contender("SciPy syrk, potrf, potrs, float64", blas.natural_step, limits, bar=1.6)]
    return Case(
        name=f"natural step {samples}x{parameters} {kind}",
        inputs=partial(problem, samples=samples, parameters=parameters, dtype=dtype),
        reference=direction,
        check=check,
        ours=Contender("fastfisher", partial(ours.natural_step, "auto", precision), limits),
        peers=peers,
        precision="double" if kind == "f64" else "single",
        flops=most * float(least) ** 2 + least**3 / 3.0,
        notes=("ours also checks its arguments, measures its residual and predicts the KL divergence",),
    )


def cases(quick: bool) -> list[Case]:
    """Return the cases of this module."""
    shapes = [(100, 1000), (500, 100), (100, 500)] if quick else [(2000, 20_000), (5000, 1000), (1000, 5000)]
    return [_step(*shape, kind) for shape in shapes for kind in KINDS]
