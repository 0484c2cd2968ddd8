"""The certificate: scores add up to autograd's own gradient, parameter by parameter.

For random weights w, (N,), the sum of the scores' rows by these weights is the gradient of
(w * log_prob).sum(), which autograd finds without any of the rules.  Plain column sums would be blind to rows
that change places, such as those of a batch axis that was taken for another.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from .errors import ScoresMismatchError
from .rules import Factor, Pair

_ROUNDINGS = 4096.0
_COARSEST = 0.125


def certify(
    factors: Mapping[str, Factor],
    parameters: Mapping[str, nn.Parameter],
    modules: Mapping[str, str],
    outputs: Sequence[Tensor],
    errors: Sequence[Tensor],
    *,
    retain_graph: bool,
) -> None:
    """Compare weighted sums of the scores with autograd's gradient.

    Parameters
    ----------
    factors : mapping
        The scores of each parameter, by name.
    parameters : mapping
        All trainable parameters of the module, by name.
    modules : mapping
        What a message calls the module that a parameter, by its name, belongs to.
    outputs, errors : sequences of (N, ...) tensors
        What the scores are the derivatives of, and by which weights its entries are summed: log_prob and
        ones.  The graph of `outputs` must still be there.
    retain_graph : bool
        Leave it there for others.

    Raises
    ------
    ScoresMismatchError
        If a parameter's sums differ by more than rounding, or the outputs depend on one that has no scores.
    """
    size = len(outputs[0])
    weights = torch.randn(size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    weighted = [error * weights.to(error).reshape(size, *(1,) * (error.ndim - 1)) for error in errors]
    gradients = torch.autograd.grad(
        outputs, list(parameters.values()), weighted, retain_graph=retain_graph, allow_unused=True
    )
    eps = max(torch.finfo(tensor.dtype).eps for tensor in (*outputs, *parameters.values()))
    tolerance = min(_ROUNDINGS * eps, _COARSEST) + 16.0 * eps * math.sqrt(size)
    for (name, parameter), gradient in zip(parameters.items(), gradients, strict=True):
        factor = factors.get(name)
        if factor is None:
            if gradient is not None and gradient.any():
                raise ScoresMismatchError(
                    f"{name} of {modules[name]}: expected scores, since log_prob depends on it (its gradient "
                    f"has the norm {gradient.norm():.3g}), got none: it is used other than by calling its "
                    "module, or before the capture began"
                )
            continue
        found, scale = _weighted_sum(factor, weights)
        found = found.reshape(parameter.shape)
        expected = torch.zeros_like(found) if gradient is None else gradient.detach().to(found)
        difference = float((found - expected).norm())
        if math.isfinite(scale) and not difference <= tolerance * scale:
            raise ScoresMismatchError(
                f"{name} of {modules[name]}: expected scores that add up to autograd's gradient, of the norm "
                f"{expected.norm():.6g} for random weights of the samples, got a sum of the norm "
                f"{found.norm():.6g}, which is off by {difference:.3g}"
            )


def _weighted_sum(factor: Factor, weights: Tensor) -> tuple[Tensor, float]:
    """Return the weighted sum of a parameter's scores, and the root of the sum of their squares."""
    if isinstance(factor, Pair) and factor.left.shape[1] == 1:
        left, right = factor.left[:, 0], factor.right[:, 0]
        w = weights.to(left)
        total = (left * w[:, None]).T @ right
        squares = (w * w) @ ((left * left).sum(1) * (right * right).sum(1))
    else:
        rows = (factor.dense() if isinstance(factor, Pair) else factor).flatten(1)
        w = weights.to(rows)
        total = w @ rows
        squares = (w * w) @ (rows * rows).sum(1)
    return total, math.sqrt(float(squares))
