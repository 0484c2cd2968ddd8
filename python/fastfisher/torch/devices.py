"""Where the parameters are on another device than the CPU, and how a step gets there.

The factors of the scores are captured on the device, by its own kernels, and copied to the host once: N rows
of each layer's inputs and errors.  The step is solved there.  There are two ways back: d numbers, the step
itself, or N numbers, its sample weights u with direction = S^T u, from which the device makes the step out of
the factors that it still holds, which is the work of the weight gradients of one weighted backward pass.  The
fewer numbers are taken.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from ..natural import NaturalStep
from .scores import TorchScores


def on_host(tensor: Tensor) -> bool:
    """Tell whether NumPy can read a tensor's memory."""
    return tensor.device.type == "cpu"


def without_autocast(output: Tensor) -> AbstractContextManager[Any]:
    """Return a context in which rules and sums are computed in the precision of what they are given."""
    kind = output.device.type
    return torch.autocast(kind, enabled=False) if torch.amp.is_autocast_available(kind) else nullcontext()


def sends_weights(scores: TorchScores, result: NaturalStep) -> bool:
    """Tell whether N sample weights go to the device, and not d numbers.

    So where there are fewer rows than columns, and weights; an exact Fisher matrix and a gradient of its own
    have none.  In the CPU's memory nothing has to go anywhere.
    """
    elsewhere = not all(map(on_host, scores.parameters))
    rows, columns = scores.shape
    return elsewhere and result.sample_weights is not None and rows < columns


@torch.no_grad()
def add_step_(
    scores: TorchScores, result: NaturalStep, scale: float = 1.0, *, momentum: bool = False
) -> None:
    """Add `scale` times the step of these scores to their parameters, in place, on whatever device they are.

    Parameters
    ----------
    scores : TorchScores
    result : NaturalStep
        What their `natural_step` gave.
    scale : float
    momentum : bool
        Whether the direction has a part of momentum's, which the sample weights have not.
    """
    if momentum or not sends_weights(scores, result):
        scores.add_(result.step, scale)
        return
    u = torch.from_numpy(scale * result.step_size * result.sample_weights)  # type: ignore[operator]
    sent: dict[tuple[torch.device, torch.dtype], Tensor] = {}  # once to each device
    for parameter, block in zip(scores.parameters, scores.tensors, strict=True):
        like = block if isinstance(block, Tensor) else block[0]
        place = like.device, like.dtype
        weights = sent[place] if place in sent else sent.setdefault(place, u.to(like.dtype).to(like.device))
        if isinstance(block, Tensor):
            change = weights @ block
        else:
            left, right = block
            change = (left * weights[:, None]).T @ right
        parameter.add_(change.reshape(parameter.shape).to(parameter))
