"""Any other layer: its own forward, differentiated for each sample by itself."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.func import functional_call, vjp, vmap
from torch.utils._pytree import tree_flatten, tree_unflatten

from ..errors import UnsupportedModuleError
from .table import Call, Factor

_ENTRIES = 1 << 24
"""Entries of scores that are found at a time."""


def generic(module: nn.Module, call: Call) -> dict[str, Factor]:
    """Return the scores of a layer's parameters by `torch.func.vmap` over its samples.

    Every tensor among the inputs that is as long as the batch has a sample of it; others are the same for
    all.  The layer sees batches of one.
    """
    leaves, form = tree_flatten((call.args, dict(call.kwargs)))
    errors = tree_flatten(call.errors)[0]
    places = [
        k
        for k, leaf in enumerate(leaves)
        if isinstance(leaf, Tensor) and leaf.ndim and len(leaf) == call.size
    ]
    used = [k for k, error in enumerate(errors) if error is not None]
    parameters = {
        name: parameter.detach() for name, parameter in module.named_parameters() if parameter.requires_grad
    }

    def of_one(samples: list[Tensor], of_outputs: list[Tensor]) -> dict[str, Tensor]:
        ours = list(leaves)
        for place, sample in zip(places, samples, strict=True):
            ours[place] = sample.unsqueeze(0)
        args, kwargs = tree_unflatten(ours, form)

        def forward(parameters: dict[str, Tensor]) -> list[Tensor]:
            outputs = tree_flatten(functional_call(module, parameters, args, kwargs))[0]
            return [outputs[k].squeeze(0) for k in used]

        found: dict[str, Tensor] = vjp(forward, parameters)[1](of_outputs)[0]
        return found

    before = [(part, dict(part._parameters)) for part in module.modules()]
    entries = max(1, sum(parameter.numel() for parameter in parameters.values()))
    try:
        found: Any = vmap(of_one, chunk_size=max(1, _ENTRIES // entries))(
            [leaves[place] for place in places], [errors[k] for k in used]
        )
    except (RuntimeError, NotImplementedError, ValueError, IndexError, TypeError) as error:
        raise UnsupportedModuleError(
            f"{type(module).__name__}: its forward cannot be evaluated for each sample by itself, by "
            f"torch.func.vmap: give it a rule by fastfisher.torch.register({type(module).__name__}): {error}"
        ) from error
    finally:
        # functional_call leaves a module that is in two places with tensors in the place of its parameters.
        for part, own in before:
            part._parameters.update(own)
    return {name: scores.detach() for name, scores in found.items()}
