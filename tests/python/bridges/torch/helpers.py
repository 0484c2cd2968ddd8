"""What the scores of a module are: autograd's gradient of each sample by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import fastfisher.torch as fft

TOLERANCE = {torch.float32: 2e-6, torch.float64: 1e-13}


def scores_one_by_one(
    log_prob: Callable[..., Tensor], module: nn.Module, *batch: Tensor
) -> dict[str, np.ndarray]:
    """Return the gradients of each sample, in a batch of its own, by the parameters that it depends on."""
    named = {name: p for name, p in module.named_parameters() if p.requires_grad}
    rows: dict[str, list[np.ndarray]] = {}
    for n in range(len(batch[0])):
        value = log_prob(*(tensor[n : n + 1] for tensor in batch))
        gradients = torch.autograd.grad(value.sum(), list(named.values()), allow_unused=True)
        for (name, _), gradient in zip(named.items(), gradients, strict=True):
            if gradient is not None:
                dense = gradient.to_dense() if gradient.is_sparse else gradient
                rows.setdefault(name, []).append(dense.reshape(-1).double().numpy())
    return {name: np.stack(gradients) for name, gradients in rows.items()}


def captured(log_prob: Callable[..., Tensor], module: nn.Module, *batch: Tensor) -> fft.TorchScores:
    """Return the scores of a batch, compared with autograd's gradient."""
    with fft.capture(module, check=True) as tape:
        value = log_prob(*batch)
    return tape.scores(value)


def assert_scores(
    log_prob: Callable[..., Tensor], module: nn.Module, *batch: Tensor, tolerance: float | None = None
) -> fft.TorchScores:
    """Hold the scores of a batch to those of its samples one by one; return them."""
    expected = scores_one_by_one(log_prob, module, *batch)
    scores = captured(log_prob, module, *batch)
    assert scores.names == tuple(expected)
    assert_close(scores.scores.to_dense(), np.hstack(list(expected.values())), module, tolerance)
    return scores


def assert_close(found: Any, expected: Any, module: nn.Module, tolerance: float | None = None) -> None:
    dtype = next(module.parameters()).dtype
    allowed = (TOLERANCE[dtype] if tolerance is None else tolerance) * np.abs(expected).max()
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= allowed


def any_log_prob(module: nn.Module) -> Callable[..., Tensor]:
    """Return a function of a batch that has something of every output of the module in it."""

    def log_prob(*batch: Tensor) -> Tensor:
        return weighted(module(*batch))

    return log_prob


def weighted(output: Tensor) -> Tensor:
    """Return the sum of each sample's values, by weights of sines that are the same for all."""
    flat = output.flatten(1)
    return (flat * torch.sin(torch.arange(flat.shape[1], dtype=flat.dtype) + 1.0)).sum(1)
