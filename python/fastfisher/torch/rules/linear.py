"""Linear layers: the scores of a weight are outer products of errors and inputs."""

from __future__ import annotations

from torch import nn

from .table import Call, Factor, Pair, rule


@rule(nn.Linear)
def linear(module: nn.Linear, call: Call) -> dict[str, Factor]:
    """Return the pair (errors, inputs) for the weight (q, p), and the errors for the bias (q,).

    Any axes between the batch's and the features' are positions, whose products are summed.
    """
    inputs, errors = call.argument("input", 0), call.errors
    left = errors.reshape(len(errors), -1, errors.shape[-1])
    factors: dict[str, Factor] = {"weight": Pair(left, inputs.reshape(len(inputs), -1, inputs.shape[-1]))}
    if module.bias is not None:
        factors["bias"] = left[:, 0] if left.shape[1] == 1 else left.sum(1)
    return factors
