"""ASDL's natural gradient by the Sherman-Morrison-Woodbury identity (PyPI asdfghjkl, imported as asdl).

Its per-sample Gram matrix is built layer by layer as a Hadamard product, as ours.  Gradient and Fisher matrix
are of the same per-sample losses, so the cases give it -log pi(a | s) and ours advantages of one; it knows
linear layers alone, so sigma is fixed on both sides.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..case import Inputs, Missing, Task, value
from ..gaussian_mlp import GaussianMLP


def exact_step(kind: str, inputs: Inputs, threads: int) -> Task:
    """Forward, Gram matrix, solve, backward."""
    try:
        import torch
        from asdl import SmwEmpNaturalGradientConfig, SmwEmpNaturalGradientMaker
    except ImportError as error:
        raise Missing(f"asdfghjkl is not installed ({error})") from None

    torch.set_num_threads(threads)
    dtype = {"f32": torch.float32, "f64": torch.float64}[kind]
    policy: GaussianMLP = inputs["policy"]
    model = _network(policy).to(dtype)
    obs, act = (torch.from_numpy(inputs[name]).to(dtype) for name in ("obs", "act"))
    std = torch.from_numpy(np.exp(policy.log_std)).to(dtype)
    config = SmwEmpNaturalGradientConfig(data_size=len(obs), damping=inputs["damping"])
    maker = SmwEmpNaturalGradientMaker(model, config)

    def loss(mean: torch.Tensor, taken: torch.Tensor, reduction: str = "mean") -> torch.Tensor:
        losses = 0.5 * (((taken - mean) / std) ** 2).sum(dim=1)
        return losses.mean() if reduction == "mean" else losses

    def run() -> None:
        model.zero_grad()
        output = maker.setup_model_call(model, obs)
        maker.setup_loss_call(loss, output, act)
        maker.forward_and_backward()

    def direction(_: None) -> Any:
        parts = []
        for module in model:
            if hasattr(module, "weight"):
                parts += [module.weight.grad.numpy().T.ravel(), module.bias.grad.numpy()]
        return value(-np.concatenate(parts))  # of -log pi

    return Task(run, direction)


def _network(policy: GaussianMLP) -> Any:
    import torch

    modules: list[Any] = []
    for layer in policy.layers:
        linear = torch.nn.Linear(layer.shape[0] - 1, layer.shape[1], dtype=torch.float64)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(layer[:-1].T.copy()))
            linear.bias.copy_(torch.from_numpy(layer[-1]))
        modules += [linear, torch.nn.Tanh()]
    return torch.nn.Sequential(*modules[:-1])
