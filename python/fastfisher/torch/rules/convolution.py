"""Convolutions: a weight's scores are products of errors with the patches that they came from, summed.

All dimensions, strides, dilations and groups are one strided view of the padded input.  A transposed
convolution is the same with its input and its errors in each other's place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import UnsupportedModuleError
from .table import Call, Factor, rule

_PATCHES = 1 << 19
"""Entries of patches that are written out at a time, so that they stay in a cache."""


@rule(nn.Conv1d, nn.Conv2d, nn.Conv3d)
def convolution(module: Any, call: Call) -> dict[str, Factor]:
    """Return the scores of a convolution's weight (q, p / groups, *kernel) and of its bias (q,)."""
    inputs = _batched(module, call.argument("input", 0))
    padding = _paddings(module)
    if any(padding):
        mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
        inputs = functional.pad(inputs, padding, mode=mode)
    factors: dict[str, Factor] = {"weight": _weight_scores(module, inputs, call.errors)}
    if module.bias is not None:
        factors["bias"] = call.errors.flatten(2).sum(2)
    return factors


@rule(nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
def transposed_convolution(module: Any, call: Call) -> dict[str, Factor]:
    """Return the scores of a transposed convolution's weight (p, q / groups, *kernel) and bias (q,)."""
    inputs = _batched(module, call.argument("input", 0))
    padding = _paddings(module)
    errors = functional.pad(call.errors, padding) if any(padding) else call.errors
    factors: dict[str, Factor] = {"weight": _weight_scores(module, errors, inputs)}
    if module.bias is not None:
        factors["bias"] = call.errors.flatten(2).sum(2)
    return factors


def _weight_scores(module: Any, source: Tensor, target: Tensor) -> Tensor:
    """Return sum over positions of target times the patch of source there, (N, channels, *weight[0])."""
    groups, positions = module.groups, target.shape[2:]
    samples, channels = target.shape[:2]
    weight = module.weight
    source = source.contiguous()
    rows = target.reshape(samples * groups, channels // groups, -1)
    scores = target.new_empty(samples * groups, channels // groups, weight[0].numel())
    # A sample of all patches takes many times the memory of its input, so that it is done in chunks.
    chunk = max(1, _PATCHES // (groups * weight[0].numel() * positions.numel()))
    for start in range(0, samples, chunk):
        some = slice(start, min(start + chunk, samples))
        patches = _patches(source[some], module, positions)
        patches = patches.reshape(len(patches) * groups, weight[0].numel(), positions.numel())
        these = slice(some.start * groups, some.stop * groups)
        torch.bmm(rows[these], patches.transpose(1, 2), out=scores[these])
    return scores.view(samples, *weight.shape)


def _patches(source: Tensor, module: Any, positions: Sequence[int]) -> Tensor:
    """Return the view (N, channels, *kernel, *positions) of what each position of an output looks at."""
    samples, channels, *steps = source.stride()
    offsets = [step * dilation for step, dilation in zip(steps, module.dilation, strict=True)]
    strides = [step * stride for step, stride in zip(steps, module.stride, strict=True)]
    shape = (*source.shape[:2], *module.kernel_size, *positions)
    return source.as_strided(shape, (samples, channels, *offsets, *strides), source.storage_offset())


def _batched(module: Any, inputs: Tensor) -> Tensor:
    if inputs.ndim != len(module.kernel_size) + 2:
        raise UnsupportedModuleError(
            f"{type(module).__name__}: expected an input with a batch axis, got shape {tuple(inputs.shape)}"
        )
    return inputs


def _paddings(module: Any) -> list[int]:
    """Return what `functional.pad` takes: before and after, from the last axis to the first."""
    if module.padding == "valid":
        return []
    if module.padding == "same":
        totals = [
            dilation * (size - 1) for size, dilation in zip(module.kernel_size, module.dilation, strict=True)
        ]
        return [side for total in reversed(totals) for side in (total // 2, total - total // 2)]
    return [size for size in reversed(module.padding) for _ in range(2)]
