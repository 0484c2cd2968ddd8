"""What is wrong with a Fisher matrix that "is not positive semi-definite", and why.

v^T F v = mean (s_n . v)^2 >= 0: a Fisher matrix is positive semi-definite whatever the signs in the scores.
One that looks otherwise was rounded, or is another matrix, and
docs/explanation/why-f-looks-indefinite.md tells the ways.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal, TypeAlias, cast

import numpy as np
from numpy.typing import ArrayLike

from ..arguments import POSITIVE, choice, number, thread_count
from ..fisher import Fisher
from ..scores import (
    FloatArray,
    Scores,
    ScoresLike,
    as_float_array,
    check_finite,
    describe,
    is_blocks,
    optional_vector,
)
from .evidence import Matrix, of_matrix, of_scores
from .report import FisherReport, report_of
from .samples import Samples
from .spectrum import DOUBLE, terms

Kind: TypeAlias = Literal["auto", "matrix", "scores"]

# The largest ||F - F^T|| / ||F|| in Frobenius norms of what is taken for a matrix.  Damaged Fisher matrices
# stay far below, and square scores lie near sqrt(2).
MATRIX_ASYMMETRY = 0.1


def diagnose(
    F: ArrayLike | Fisher | ScoresLike,
    *,
    kind: Kind = "auto",
    scores: ScoresLike | None = None,
    advantages: ArrayLike | None = None,
    gradient: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    count: float | None = None,
    num_threads: int | None = None,
) -> FisherReport:
    """Say what a Fisher matrix is: definite, indefinite or only rounded, of what rank, and by which mistake.

    Some mistakes look alike in the spectrum of a matrix: np.outer(g, g) and np.outer(S, S) are both of rank
    one; advantage-weighted outer products and Hessians are both indefinite.  The finding then names all
    candidates; `scores` and `advantages` beside the matrix tell them apart.

    Parameters
    ----------
    F : (d, d) array, Fisher, (N, d) array, or list or dict of blocks
        The matrix, or the scores to make it of; see `fastfisher.scores`.  Any float dtype, order and strides.
        A float32 matrix is held to the rounding of float32.
    kind : {"auto", "matrix", "scores"}
        What F is.  "auto" takes an array for a matrix if it is square and within a tenth of its norm of
        symmetric, or comes with `scores`, and for scores otherwise.  So a square matrix far from symmetric
        needs kind="matrix", and N = d scores that happen to be symmetric need kind="scores".
    scores : (N, d) array, or list or dict of blocks, optional
        Beside a matrix: what it is said to be made of.
    advantages : (N,) array, optional
        A, beside a matrix with `scores`, or beside a `gradient` and scores.
    gradient : (d,) array, optional
        g; its part outside the range of F is measured.
    weights : (N,) array, optional
        w >= 0, of the scores; default ones.
    count : float, optional
        With scores: divisor of F where rows are not samples; default sum w.  With a matrix alone: the number
        of samples N that it is the mean of.
    num_threads : int, optional
        Threads for products of the scores; default `fastfisher.get_num_threads()`.  numpy.linalg has its own.

    Returns
    -------
    FisherReport

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above; the message names it, says what was expected and what came.
    RuntimeError
        If F is a `Fisher` that has seen no row.

    Examples
    --------
    >>> import fastfisher as ff, numpy as np
    >>> S = np.random.default_rng(0).standard_normal((500, 20))
    >>> ff.diagnose(S.T @ S / 500).verdict
    'healthy'
    >>> g = S.mean(axis=0)
    >>> report = ff.diagnose(np.outer(g, g), scores=S)
    >>> report.verdict, report.rank
    ('outer_of_mean', 1)
    """
    threads = thread_count(num_threads, "num_threads")
    divisor = None if count is None else number(count, "count", POSITIVE)
    choice(kind, "kind", ("auto", "matrix", "scores"))
    given = _as_matrix(F, "matrix" if kind == "auto" and scores is not None else kind)
    if given is None:
        if scores is not None:
            raise TypeError("scores: expected only beside a matrix, got them beside scores")
        if advantages is not None and gradient is None:
            raise TypeError("advantages: expected with scores only beside a gradient, got no gradient")
        made_of = Samples(cast(ScoresLike, F), weights, divisor, threads)
        A = optional_vector(advantages, made_of.rows, "advantages", "row")
        g = optional_vector(gradient, made_of.columns, "gradient", "parameter")
        square = kind == "auto" and isinstance(F, np.ndarray) and made_of.rows == made_of.columns
        return report_of(replace(of_scores(made_of, A, g), taken_for_scores=square))
    if scores is None:
        for name, value in (("weights", weights), ("advantages", advantages)):
            if value is not None:
                raise TypeError(f"{name}: expected only with scores, got a matrix without scores=")
    if divisor is not None and given.source == "fisher":
        raise TypeError("count: expected none with a Fisher, which knows its own")
    beside = None if scores is None else Samples(scores, weights, divisor, threads)
    size = len(given.array)
    if beside is not None and size not in (beside.columns, beside.rows, beside.rows * beside.columns):
        raise ValueError(
            f"scores: expected {size} columns as F has, got {beside.rows} rows of {beside.columns} columns"
        )
    samples = given.samples if divisor is None else round(divisor)
    if beside is not None:
        samples = beside.samples if size == beside.columns else None
    A = optional_vector(advantages, 0 if beside is None else beside.rows, "advantages", "row")
    g = optional_vector(gradient, size, "gradient", "parameter")
    return report_of(of_matrix(given._replace(samples=samples), beside, A, g))


def _as_matrix(F: Any, kind: str) -> Matrix | None:
    """Return F as a square matrix of finite numbers; None where it is scores."""
    if isinstance(F, (Fisher, Scores)) and kind == ("scores" if isinstance(F, Fisher) else "matrix"):
        raise TypeError(f"F: expected {kind}, got a {type(F).__name__}")
    if isinstance(F, Fisher):
        return Matrix(F.matrix(), DOUBLE, "fisher", F.count)
    if kind == "scores" or isinstance(F, Scores) or (kind == "auto" and is_blocks(F)):
        return None
    complex_dtype = isinstance(F, np.ndarray) and F.dtype.kind == "c"
    array = as_float_array(F.real if complex_dtype else F, "F")
    if array.ndim != 2:
        hint = "; pass the matrix, not its eigenvalues" if array.ndim == 1 else ""
        raise ValueError(f"F: expected a matrix (d, d) or scores (N, d), got {describe(array)}{hint}")
    if array.shape[0] != array.shape[1]:
        if kind == "matrix" or complex_dtype:
            raise ValueError(f"F: expected a square matrix (d, d), got {describe(array)}")
        return None
    if array.size == 0:
        raise ValueError(f"F: expected at least one row and one column, got {describe(array)}")
    check_finite(array, "F", "row", "column")
    came_as = F.dtype if isinstance(F, np.ndarray) and F.dtype.kind in "fc" else array.dtype
    eps = max(DOUBLE, float(np.finfo(came_as).eps))
    if complex_dtype:
        imaginary = np.abs(F.imag).max() / (np.abs(array).max() or 1.0)
        if not imaginary <= terms(len(array), None) * eps:
            raise TypeError(
                f"F: expected real numbers, got imaginary parts to {imaginary:.2g} of the largest"
            )
    elif kind == "auto" and not _is_near_symmetric(array):
        return None
    return Matrix(array, eps, "matrix", complex_dtype=complex_dtype)


def _is_near_symmetric(array: FloatArray) -> bool:
    unit = np.ldexp(array.astype(np.float64), -int(np.frexp(np.abs(array).max())[1]))
    return bool(np.linalg.norm(unit - unit.T) <= MATRIX_ASYMMETRY * np.linalg.norm(unit))
