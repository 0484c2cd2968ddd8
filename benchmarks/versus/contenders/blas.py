"""SciPy's and NumPy's OpenBLAS, used as an expert would: no hidden copies, no work twice.

A C-ordered S is a Fortran-ordered S^T, so f2py takes ``scores.T`` as it lies.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..case import Inputs, Missing, Task, value

Array = NDArray[Any]
MIRROR_BLOCK = 256


def syrk(side: str, mirrored: bool, inputs: Inputs, threads: int) -> Task:
    """The lower triangle of S^T S or S S^T, and the upper one if `mirrored`."""
    scores = inputs["scores"]
    product = _function("blas", "syrk", scores.dtype)
    transposed = 0 if side == "StS" else 1

    def run() -> Array:
        lower = product(1.0, scores.T, trans=transposed, lower=1)
        if mirrored:
            _mirror(lower)
        return lower

    return Task(run, lambda result: value(result if mirrored else np.tril(result) + np.tril(result, -1).T))


def numpy_product(side: str, inputs: Inputs, threads: int) -> Task:
    """``S.T @ S`` or ``S @ S.T``: NumPy calls syrk and mirrors."""
    S = inputs["scores"]
    return Task((lambda: S.T @ S) if side == "StS" else (lambda: S @ S.T), value)


def numpy_fisher_matvec(inputs: Inputs, threads: int) -> Task:
    """``S.T @ (S @ v)``: two passes over S."""
    S, v = inputs["scores"], inputs["v"]
    return Task(lambda: S.T @ (S @ v), value)


def potrf_of_copy(inputs: Inputs, threads: int) -> Task:
    """Copy, factor, zero the other triangle: what ours gives."""
    matrix = inputs["matrix"]
    factor = _function("lapack", "potrf", matrix.dtype)

    # A symmetric matrix in C order is itself in Fortran order.
    def run() -> Array:
        return _successful(factor(matrix.T.copy(order="F"), lower=1, clean=1, overwrite_a=1))

    return Task(run, value)


def potrf_in_place(inputs: Inputs, threads: int) -> Task:
    """Factor the lower triangle where it lies."""
    matrix = inputs["matrix"]
    factor = _function("lapack", "potrf", matrix.dtype)
    work = np.empty_like(matrix.T)
    return Task(
        lambda: _successful(factor(work, lower=1, clean=0, overwrite_a=1)),
        lambda result: value(np.tril(result)),
        reset=lambda: np.copyto(work, matrix.T),
    )


def natural_step(inputs: Inputs, threads: int) -> Task:
    """syrk, potrf and potrs on the smaller of the two matrices, gemv for the rest."""
    scores, damping = inputs["scores"], inputs["damping"]
    samples, parameters = scores.shape
    dtype = scores.dtype
    product, times = _function("blas", "syrk", dtype), _function("blas", "gemv", dtype)
    factor, solve = _function("lapack", "potrf", dtype), _function("lapack", "potrs", dtype)
    advantages = (inputs["advantages"] / samples).astype(dtype)
    dual = samples < parameters

    def run() -> Array:
        right = advantages if dual else times(1.0, scores.T, advantages)
        matrix = product(1.0 / samples, scores.T, trans=int(dual), lower=1)
        matrix.T.ravel()[:: len(matrix) + 1] += damping  # ravel of the C-ordered view copies nothing
        lower = _successful(factor(matrix, lower=1, clean=0, overwrite_a=1))
        solution = _successful(solve(lower, right, lower=1))
        return times(1.0, scores.T, solution) if dual else solution

    return Task(run, value)


def _mirror(lower: Array) -> None:
    """Copy the lower triangle to the upper one, by blocks."""
    n = len(lower)
    above = np.tri(MIRROR_BLOCK, dtype=bool).T
    for start in range(0, n, MIRROR_BLOCK):
        stop = min(start + MIRROR_BLOCK, n)
        lower[:start, start:stop] = lower[start:stop, :start].T
        corner = lower[start:stop, start:stop]
        np.copyto(corner, corner.T, where=above[: stop - start, : stop - start])


def _function(library: str, name: str, dtype: np.dtype[Any]) -> Any:
    try:
        from scipy.linalg import blas, lapack
    except ImportError as error:
        raise Missing(f"SciPy is not installed ({error})") from None
    return getattr({"blas": blas, "lapack": lapack}[library], ("s" if dtype == np.float32 else "d") + name)


def _successful(result: tuple[Array, int]) -> Array:
    array, info = result
    if info != 0:
        raise ArithmeticError(f"LAPACK returned info = {info}")
    return array
