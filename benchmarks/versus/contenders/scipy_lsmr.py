"""SciPy's LSMR on the scores: min ||S x - A||^2 + N lambda ||x||^2 has the direction as its solution."""

from __future__ import annotations

import math

import numpy as np

from ..case import Inputs, Missing, Task, value


def natural_step(target: float, inputs: Inputs, threads: int) -> Task:
    """The loosest tolerance, of half decades, whose relative residual of the damped system is <= target."""
    try:
        from scipy.sparse.linalg import lsmr
    except ImportError as error:
        raise Missing(f"SciPy is not installed ({error})") from None

    S, A = inputs["scores"], inputs["advantages"]
    damp = math.sqrt(len(S) * inputs["damping"])
    g = S.T @ A / len(S)

    def solve(tolerance: float) -> np.ndarray:
        return lsmr(S, A, damp=damp, atol=tolerance, btol=tolerance, conlim=0.0, maxiter=100_000)[0]

    def residual(x: np.ndarray) -> float:
        r = g - S.T @ (S @ x) / len(S) - inputs["damping"] * x
        return float(np.linalg.norm(r) / np.linalg.norm(g))

    tolerance = next((t for t in 10.0 ** -np.arange(6.0, 15.0, 0.5) if residual(solve(t)) <= target), None)
    if tolerance is None:
        raise ArithmeticError(f"LSMR does not reach a relative residual of {target:g}")
    return Task(lambda: solve(tolerance), value)
