"""The NumPy definition of every kernel: the contract that the C++ core is held to.

Each function is the formula and nothing else, in float64.  The tests compare the compiled
kernels with these at every SIMD level; nothing in the package calls them on a hot path.

Symbols are those of docs/explanation/theory.md: ``S`` is the (N, d) matrix of scores (row n is
grad log pi(a_n | s_n)), ``w`` the (N,) weights, ``F`` the Fisher matrix, ``g`` the policy
gradient, ``A`` the advantages.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def _double(array: object) -> Array:
    return np.asarray(array, dtype=np.float64)


def _weights(scores: Array, weights: object | None) -> Array:
    return np.ones(len(scores)) if weights is None else _double(weights)


def syrk_columns(scores: object, weights: object | None = None) -> Array:
    """S^T diag(w) S, the unnormalised Fisher, (d, d)."""
    S = _double(scores)
    R = np.sqrt(_weights(S, weights))[:, None] * S
    return R.T @ R


def syrk_rows(scores: object, weights: object | None = None) -> Array:
    """diag(sqrt w) S S^T diag(sqrt w), the Gram matrix or "Fisher kernel", (N, N)."""
    S = _double(scores)
    R = np.sqrt(_weights(S, weights))[:, None] * S
    return R @ R.T


def matvec(scores: object, v: object) -> Array:
    """S v, (N,)."""
    return _double(scores) @ _double(v)


def rmatvec(scores: object, u: object) -> Array:
    """S^T u, (d,)."""
    return _double(scores).T @ _double(u)


def fisher_matvec(scores: object, v: object, weights: object | None = None) -> Array:
    """S^T diag(w) (S v), the unnormalised Fisher-vector product, (d,)."""
    S = _double(scores)
    return S.T @ (_weights(S, weights) * (S @ _double(v)))


def row_square_norms(scores: object) -> Array:
    """||s_n||^2 for each row, (N,)."""
    norms: Array = np.square(_double(scores)).sum(axis=1)
    return norms


def network_forward(features: object, weights: list[Array]) -> tuple[list[Array], Array]:
    """Each layer's inputs [x, 1] and the last one's outputs: z = [x, 1] W, then x = tanh(z)."""
    inputs, hidden = [], _double(features)
    for depth, W in enumerate(weights, start=1):
        inputs.append(np.hstack([hidden, np.ones((len(hidden), 1))]))
        hidden = inputs[-1] @ W
        if depth < len(weights):
            hidden = np.tanh(hidden)
    return inputs, hidden


def network_backward(weights: list[Array], inputs: list[Array], errors: object) -> list[Array]:
    """Each layer's errors d / d z, from the last one's: e = (e W^T, biases left out) (1 - x^2)."""
    result = [_double(errors)]
    for W, X in zip(weights[:0:-1], inputs[:0:-1], strict=True):
        result.append(result[-1] @ W[:-1].T * (1.0 - X[:, :-1] ** 2))
    return result[::-1]


def column_moments(matrix: object) -> tuple[Array, Array]:
    """The mean of each column, and the sum of squared deviations from it."""
    X = _double(matrix)
    return X.mean(axis=0), np.square(X - X.mean(axis=0)).sum(axis=0)


def value_features(
    observations: object, times: object, time_unit: float, shift: object, scale: object, products: bool
) -> Array:
    """Rows [1, s, ..., s^4, x, (x_i x_j)]: s is t / time_unit, x the standardized observation.

    x is clipped at 5 and divided by that.
    """
    s = _double(times)[:, None] / time_unit
    x = np.clip((_double(observations) - _double(shift)) / _double(scale), -5.0, 5.0) / 5.0
    i, j = np.triu_indices(x.shape[1])
    return np.hstack([s ** np.arange(5), x, x[:, i] * x[:, j]] if products else [s ** np.arange(5), x])


def cholesky(matrix: object) -> Array:
    """The lower factor L of A = L L^T; LinAlgError where A is not positive definite."""
    return _double(np.linalg.cholesky(_double(matrix)))


def cholesky_solve(factor: object, rhs: object) -> Array:
    """Solve L L^T x = b, for b of shape (n,) or (n, k)."""
    L = _double(factor)
    return np.linalg.solve(L.T, np.linalg.solve(L, _double(rhs)))


def conjugate_gradient(
    matrix: object, rhs: object, tol: float = 1e-8, max_iterations: int = 1000, initial: object = None
) -> tuple[Array, int]:
    """Hestenes and Stiefel 1952: x with ||b - A x|| <= tol ||b||, and the iterations it took."""
    A, b = _double(matrix), _double(rhs)
    x = np.zeros_like(b) if initial is None else _double(initial).copy()
    r = b - A @ x
    p, rho = r.copy(), r @ r
    for iteration in range(max_iterations):
        if np.sqrt(rho) <= tol * np.linalg.norm(b):
            return x, iteration
        Ap = A @ p
        alpha = rho / (p @ Ap)
        x += alpha * p
        r -= alpha * Ap
        rho, rho_old = r @ r, rho
        p = r + (rho / rho_old) * p
    return x, max_iterations


def centred(scores: object, weights: object | None = None) -> Array:
    """S - 1 m^T with the mean score m = S^T w / sum w, (N, d)."""
    S = _double(scores)
    w = _weights(S, weights)
    deviations: Array = S - w @ S / w.sum()
    return deviations


def natural_direction(
    scores: object,
    advantages: object | None = None,
    gradient: object | None = None,
    weights: object | None = None,
    count: float | None = None,
    damping: float = 1e-4,
    center: bool = False,
) -> Array:
    """Return x = (F + lambda I)^-1 g with F = S^T diag(w) S / count and g = S^T (w A) / sum w."""
    S = centred(scores, weights) if center else _double(scores)
    w = _weights(S, weights)
    F = syrk_columns(S, w) / (w.sum() if count is None else count)
    g = _double(gradient) if advantages is None else S.T @ (w * _double(advantages)) / w.sum()
    return np.linalg.solve(F + damping * np.eye(S.shape[1]), g)


def step_size(gradient: object, direction: object, max_kl: float) -> float:
    """Return alpha = sqrt(2 max_kl / g^T x), arXiv 1703.02660, equation 5 with delta = 2 max_kl."""
    return float(np.sqrt(2.0 * max_kl / (_double(gradient) @ _double(direction))))
