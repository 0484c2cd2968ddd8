"""Multi-head attention: its projections are linear layers that its forward does not call as such."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import UnsupportedModuleError
from .table import Call, Factor, Pair, is_same, rule


@rule(nn.MultiheadAttention, batch_first=False, evaluates=True)
def attention(module: nn.MultiheadAttention, call: Call) -> dict[str, Factor]:
    """Return the scores of the input and output projections.

    The attention between them is done once more by torch's own function, whose projections are then the
    identity, for the errors of what was projected and the inputs of the output's projection.
    """
    if module.training and module.dropout > 0:
        raise UnsupportedModuleError(
            "MultiheadAttention: its dropout would be drawn again: call eval(), or set it to 0"
        )
    bound = inspect.signature(type(module).forward).bind(module, *call.args, **call.kwargs)
    bound.apply_defaults()
    given = bound.arguments
    if given["query"].ndim != 3:
        raise UnsupportedModuleError(
            f"MultiheadAttention: expected a query with a batch axis, got shape {tuple(given['query'].shape)}"
        )
    if module.bias_k is not None:
        raise UnsupportedModuleError("MultiheadAttention: there is no rule for add_bias_kv=True")
    sides = [given[name] if not module.batch_first else given[name].transpose(0, 1) for name in _SIDES]
    weights, biases = _projections(module)
    with torch.enable_grad():
        projected = [
            functional.linear(side, weight, bias).requires_grad_()
            for side, weight, bias in zip(sides, weights, biases, strict=True)
        ]
        context, attended = _core(module, projected, given)
    errors, attended_errors = call.errors
    outputs, output_errors = [context], [torch.zeros_like(context)]
    if errors is not None:
        errors = errors.transpose(0, 1) if module.batch_first else errors
        output_errors = [errors @ module.out_proj.weight.detach()]
    if attended_errors is not None:
        outputs, output_errors = [context, attended], [*output_errors, attended_errors]
    found = torch.autograd.grad(outputs, projected, output_errors, allow_unused=True)
    return _factors(module, sides, found, context.detach(), errors)


_SIDES = "query", "key", "value"
_OPTIONS = "key_padding_mask", "need_weights", "attn_mask", "average_attn_weights", "is_causal"


def _projections(module: nn.MultiheadAttention) -> tuple[list[Tensor], list[Tensor | None]]:
    weights: list[Any]
    packed: Any = module.in_proj_weight
    if packed is not None:
        weights = list(packed.detach().chunk(3))
    else:
        weights = [getattr(module, f"{side}_proj_weight").detach() for side in "qkv"]
    bias: Any = module.in_proj_bias
    return weights, [None, None, None] if bias is None else list(bias.detach().chunk(3))


def _core(
    module: nn.MultiheadAttention, projected: list[Tensor], given: dict[str, Any]
) -> tuple[Tensor, Any]:
    size = module.embed_dim
    identity = torch.eye(size, dtype=projected[0].dtype, device=projected[0].device)
    attend: Any = functional.multi_head_attention_forward
    context, attended = attend(
        *projected,
        size,
        module.num_heads,
        in_proj_weight=None,
        in_proj_bias=None,
        bias_k=None,
        bias_v=None,
        add_zero_attn=module.add_zero_attn,
        dropout_p=0.0,
        out_proj_weight=identity,
        out_proj_bias=None,
        training=False,
        use_separate_proj_weight=True,
        q_proj_weight=identity,
        k_proj_weight=identity,
        v_proj_weight=identity,
        **{name: given[name] for name in _OPTIONS},
    )
    return context, attended


def _factors(
    module: nn.MultiheadAttention,
    sides: list[Tensor],
    found: tuple[Tensor | None, ...],
    context: Tensor,
    errors: Tensor | None,
) -> dict[str, Factor]:
    """Return the factors from sequences (L, N, p), and their errors."""
    length, samples, size = context.shape
    pairs = []
    for side, error in zip(sides, found, strict=True):
        if error is None:
            error = side.new_zeros(*side.shape[:2], size)
        pairs.append(Pair(error.transpose(0, 1), side.transpose(0, 1)))
    factors: dict[str, Factor] = {}
    packed: Any = module.in_proj_weight
    if packed is None:
        factors = {f"{name}_proj_weight": pair for name, pair in zip("qkv", pairs, strict=True)}
    elif is_same(sides[0], sides[1]) and is_same(sides[0], sides[2]):
        factors["in_proj_weight"] = Pair(torch.cat([pair.left for pair in pairs], dim=2), pairs[0].right)
    else:
        factors["in_proj_weight"] = torch.cat([pair.dense() for pair in pairs], dim=1)
    if module.in_proj_bias is not None:
        factors["in_proj_bias"] = torch.cat([pair.left.sum(1) for pair in pairs], dim=1)
    output = context.new_zeros(length, samples, size) if errors is None else errors
    factors["out_proj.weight"] = Pair(output.transpose(0, 1), context.transpose(0, 1))
    if module.out_proj.bias is not None:
        factors["out_proj.bias"] = output.sum(0)
    return factors
