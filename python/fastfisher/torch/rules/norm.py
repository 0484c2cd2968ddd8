"""Normalizations: the scores of a gain are the normalized inputs times the errors."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.instancenorm import _InstanceNorm

from .table import Call, Factor, rule


@rule(nn.LayerNorm)
def layer_norm(module: nn.LayerNorm, call: Call) -> dict[str, Factor]:
    """Return the scores of the gain and the bias, both (*normalized_shape,)."""
    normalized = functional.layer_norm(call.argument("input", 0), module.normalized_shape, eps=module.eps)
    return _over_positions(module, normalized, call.errors, len(module.normalized_shape))


@rule(nn.RMSNorm)
def rms_norm(module: nn.RMSNorm, call: Call) -> dict[str, Factor]:
    """Return the scores of the gain (*normalized_shape,)."""
    normalized = functional.rms_norm(call.argument("x", 0), module.normalized_shape, eps=module.eps)
    return _over_positions(module, normalized, call.errors, len(module.normalized_shape))


@rule(nn.GroupNorm)
def group_norm(module: nn.GroupNorm, call: Call) -> dict[str, Factor]:
    """Return the scores of the gain and the bias, both (channels,)."""
    return _of_channels(
        module,
        functional.group_norm(call.argument("input", 0), module.num_groups, eps=module.eps),
        call.errors,
    )


@rule(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
def batch_norm(module: Any, call: Call) -> dict[str, Factor]:
    """Return the scores of the gain and the bias, both (channels,), for statistics that are fixed."""
    return _of_channels(module, _by_running_statistics(module, call.argument("input", 0)), call.errors)


@rule(nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)
def instance_norm(module: _InstanceNorm, call: Call) -> dict[str, Factor]:
    """Return the scores of the gain and the bias, both (channels,)."""
    inputs: Tensor = call.argument("input", 0)
    if module.track_running_stats and not module.training:
        return _of_channels(module, _by_running_statistics(module, inputs), call.errors)
    return _of_channels(module, functional.instance_norm(inputs, eps=module.eps), call.errors)


def _by_running_statistics(module: Any, inputs: Tensor) -> Tensor:
    return functional.batch_norm(inputs, module.running_mean, module.running_var, eps=module.eps)


def _over_positions(module: Any, normalized: Tensor, errors: Tensor, axes: int) -> dict[str, Factor]:
    def total(values: Tensor) -> Tensor:
        between = values.ndim - axes
        return values.flatten(1, between - 1).sum(1) if between > 1 else values

    return _gain_and_bias(module, total(normalized * errors), total(errors))


def _of_channels(module: Any, normalized: Tensor, errors: Tensor) -> dict[str, Factor]:
    def total(values: Tensor) -> Tensor:
        return values.flatten(2).sum(2) if values.ndim > 2 else values

    return _gain_and_bias(module, total(normalized * errors), total(errors))


def _gain_and_bias(module: Any, gain: Tensor, bias: Tensor) -> dict[str, Factor]:
    has_bias = getattr(module, "bias", None) is not None
    return {"weight": gain, "bias": bias} if has_bias else {"weight": gain}
