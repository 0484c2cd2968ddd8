"""The exact direction of a network policy, from observations and actions, against other exact methods."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.random import Generator

from ..case import Answer, Case, Contender, Inputs, Measures, relative_error
from ..contenders import asdl_smw, netket_sr, ours_policy
from ..gaussian_mlp import Array, multiply, multiply_transposed
from .policy_update import batch

DTYPES = {"f32": np.float32, "f64": np.float64}
# In float32 the peers' formula cancels digits, (1 - b) / lambda.
OURS_LIMITS = {"f32": {"residual": 1e-4}, "f64": {"residual": 1e-8}}
PEER_LIMITS = {"f32": {"residual": 1e-2}, "f64": {"residual": 1e-8}}


def problem(rng: Generator, samples: int, width: int) -> Inputs:
    """A batch whose advantages are one: ASDL takes no others."""
    return {**batch(rng, samples, (width, width)), "advantages": np.ones(samples)}


def direction(inputs: Inputs) -> Array:
    """x in float64 by a dense solve of the smaller system; sigma is fixed."""
    pairs, _ = inputs["policy"].scores(inputs["obs"], inputs["act"])
    S = np.hstack([(L[:, :, None] * R[:, None, :]).reshape(len(L), -1) for L, R in pairs])
    samples, parameters = S.shape
    A = inputs["advantages"] / samples
    if samples < parameters:
        return S.T @ np.linalg.solve(S @ S.T / samples + inputs["damping"] * np.eye(samples), A)
    return np.linalg.solve(S.T @ S / samples + inputs["damping"] * np.eye(parameters), S.T @ A)


def check(inputs: Inputs, reference: Array, answer: Answer) -> Measures:
    """The error, and the relative residual from the factored scores."""
    pairs, _ = inputs["policy"].scores(inputs["obs"], inputs["act"])
    samples = len(inputs["obs"])
    g = multiply_transposed(pairs, None, inputs["advantages"]) / samples
    x = answer["value"].astype(np.float64)
    Fx = multiply_transposed(pairs, None, multiply(pairs, None, x)) / samples
    residual = g - Fx - inputs["damping"] * x
    return {
        "error": relative_error(answer["value"], reference),
        "residual": float(np.linalg.norm(residual) / np.linalg.norm(g)),
    }


def _exact(samples: int, width: int, kind: str) -> Case:
    limits = PEER_LIMITS[kind]
    return Case(
        name=f"exact direction 17-{width}-{width}-6 N={samples} {kind}",
        inputs=partial(problem, samples=samples, width=width),
        reference=direction,
        check=check,
        ours=Contender(
            "fastfisher",
            partial(ours_policy.exact_step, "single" if kind == "f32" else "double"),
            OURS_LIMITS[kind],
        ),
        peers=[
            Contender("ASDL Smw", partial(asdl_smw.exact_step, kind), limits),
            Contender("NetKet, Jacobian and minSR", partial(netket_sr.exact_step, DTYPES[kind]), limits),
        ],
        precision="single" if kind == "f32" else "double",
        notes=("advantages are one: ASDL takes no others", "sigma is fixed: ASDL knows linear layers alone"),
    )


def cases(quick: bool) -> list[Case]:
    """Return the cases of this module."""
    samples, width = (300, 16) if quick else (5000, 64)
    return [_exact(samples, width, kind) for kind in DTYPES]
