"""The certificate: scores add up to autograd's own gradient, parameter by parameter.

For random weights w, (N,), the sum of the scores' rows by these weights is the gradient of
(w * log_prob).sum(), which autograd finds without any of the rules.  Plain column sums would be blind to rows
that change places, such as those of a batch axis that was taken for another.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .errors import ScoresMismatchError
from .rules import Factor, as_product, written_out

_OWN, _OF_THE_MODULE, _OF_ALL = 4096.0, 256.0, 16.0
"""Roundings by which a sum may be off: of a parameter's own scores, of its module's, of all scores.

Where scores are zero but for rounding, as those of a key's bias before a softmax, so is the gradient, and the
two have nothing in common but that they are small beside the others.
"""
_COARSEST = 0.125


class Sum(NamedTuple):
    """A weighted sum of a parameter's scores, and the root of the sum of their squares."""

    total: Tensor
    scale: float


def random_weights(*shape: int) -> Tensor:
    """Return weights for the rows of scores, the same ones every time."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def certify(
    sums: Mapping[str, Sum],
    parameters: Mapping[str, nn.Parameter],
    modules: Mapping[str, str],
    outputs: Sequence[Tensor],
    errors: Sequence[Tensor],
    *,
    eps: float,
    retain_graph: bool,
) -> set[str]:
    """Compare weighted sums of the scores with autograd's gradient.

    Parameters
    ----------
    sums : mapping
        The sum of each parameter's scores by random weights, by the parameter's name.
    parameters : mapping
        All trainable parameters of the module, by name.
    modules : mapping
        What a message calls the module that a parameter, by its name, belongs to.
    outputs, errors : sequences of (N, ...) tensors
        What the scores are the derivatives of, and the weights by which its entries are summed.  The graph of
        `outputs` must still be there.
    eps : float
        The relative rounding of the coarsest dtype on the way.
    retain_graph : bool
        Leave it there for others.

    Returns
    -------
    set of str
        The parameters of which nothing was told, as zeros agree with any rule and NaN with none: those behind
        a head that begins with zeros, say.

    Raises
    ------
    ScoresMismatchError
        If a parameter's sums differ by more than rounding, or the outputs depend on one that has no scores.
    """
    gradients = torch.autograd.grad(
        outputs, list(parameters.values()), errors, retain_graph=retain_graph, allow_unused=True
    )
    tolerance = min(_OWN * eps, _COARSEST) + _OF_ALL * eps * math.sqrt(len(outputs[0]))
    of_modules: dict[str, float] = {}
    for name, (_, scale) in sums.items():
        of_modules[modules[name]] = max(of_modules.get(modules[name], 0.0), scale)
    untold = {name for name, (_, scale) in sums.items() if not 0.0 < scale < math.inf}
    of_all = max(of_modules.values(), default=0.0)
    for (name, parameter), gradient in zip(parameters.items(), gradients, strict=True):
        if gradient is not None and gradient.is_sparse:
            gradient = gradient.to_dense()
        if name not in sums:
            if gradient is not None and gradient.any():
                raise ScoresMismatchError(
                    f"{name} of {modules[name]}: expected scores, since log_prob depends on it (its gradient "
                    f"has the norm {gradient.norm():.3g}), got none: it is used other than by calling its "
                    "module, before the capture began, compiled where torch is older than 2.6, or where the "
                    "samples are not along the first axis, as in a MultivariateNormal with one covariance "
                    "for all: expand it over the batch"
                )
            if gradient is not None:
                untold.add(name)
            continue
        found, scale = sums[name].total.reshape(parameter.shape), sums[name].scale
        expected = torch.zeros_like(found) if gradient is None else gradient.detach().to(found)
        difference = float((found - expected).norm())
        beside = _OF_THE_MODULE * eps * of_modules[modules[name]] + _OF_ALL * eps * of_all
        if math.isfinite(scale) and not difference <= tolerance * scale + beside:
            raise ScoresMismatchError(
                f"{name} of {modules[name]}: expected scores that add up to autograd's gradient, of the norm "
                f"{expected.norm():.6g} for random weights of the samples, got a sum of the norm "
                f"{found.norm():.6g}, which is off by {difference:.3g}"
            )
    return untold


def operations(outputs: Sequence[Tensor]) -> int:
    """Return a hash of the operations in the graph of the outputs, and of how they follow on one another.

    What is done with a module's outputs may change from one batch to the next, such as the order of the rows.
    """
    nodes: list[Any] = [output.grad_fn for output in outputs if output.grad_fn is not None]
    places = {node: place for place, node in enumerate(nodes)}
    found = []
    for node in nodes:  # which grows
        before = []
        for other, output in node.next_functions:
            if other is not None and other not in places:
                places[other] = len(nodes)
                nodes.append(other)
            before.append((places.get(other), output))
        found.append((node.name(), *before))
    return hash(tuple(found))


def sum_of_products(left: Tensor, right: Tensor, weights: Tensor) -> Sum:
    """Return the weighted sum of left[n] right[n]^T."""
    w = weights.to(left)
    squares = (w * w) @ ((left * left).sum(1) * (right * right).sum(1))
    return Sum((left * w[:, None]).T @ right, math.sqrt(float(squares)))


def sum_of_rows(rows: Tensor, weights: Tensor) -> Sum:
    """Return the weighted sum of rows (N, ...)."""
    rows = rows.reshape(len(rows), -1)
    w = weights.to(rows)
    return Sum(w @ rows, math.sqrt(float((w * w) @ (rows * rows).sum(1))))


def sum_of(factor: Factor, weights: Tensor) -> Sum:
    """Return the weighted sum of a parameter's scores."""
    product = as_product(factor)
    if product is not None:
        return sum_of_products(*product, weights)
    return sum_of_rows(written_out(factor), weights)
