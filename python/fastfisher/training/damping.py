"""Damping that follows how well the step's model predicts: the rule of Levenberg and Marquardt.

Marquardt (1963); the constants are those of Martens, "Deep learning via Hessian-free optimization" (2010),
section 4.1.
"""

from __future__ import annotations

_POOR, _GOOD = 0.25, 0.75
"""Achieved over predicted improvement below which the damping grows and above which it shrinks."""
_FACTOR = 1.5


def adapted_damping(damping: float, ratio: float, *, least: float, most: float) -> float:
    """Return the damping of the next step, given how this one's prediction held.

    The prediction is the first-order one, alpha g^T x, and what it is compared with is the change of the
    surrogate mean(ratio A) measured on the same batch after the full step.  It is not the quadratic model
    alpha g^T x - alpha^2 x^T F x / 2 of least squares: here F is the curvature of the KL divergence, which
    bounds the step, and not that of the surrogate, so the gain that a step promises is the linear one.
    Where that promise fails, the step went too far along directions of small curvature, which is where
    (F + lambda I)^-1 sends it and what lambda holds back.  One batch gives both numbers, so their ratio
    sees the failure of the model and no sampling noise; that a step overfits its batch it cannot see, for
    which there is ``least``.

    Parameters
    ----------
    damping
        That of this step, > 0, in whatever units.
    ratio
        Achieved over predicted improvement; NaN where the step could not be measured, which counts as poor.
    least, most
        Bounds of the result.
    """
    if ratio > _GOOD:
        damping /= _FACTOR
    elif not ratio >= _POOR:
        damping *= _FACTOR
    return min(max(damping, least), most)
