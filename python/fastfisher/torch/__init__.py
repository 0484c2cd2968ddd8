"""Natural gradients for PyTorch: the per-sample scores of any module, and the step back into it.

Autograd's backward pass gives the mean gradient; F is made of the scores of each sample.  `capture` watches a
forward pass, and one backward pass to the layers' outputs gives the scores: products of inputs and errors for
linear layers, which are never multiplied out, and rows elsewhere.

>>> import torch, fastfisher.torch as fft
>>> policy = torch.nn.Linear(3, 4)
>>> with fft.capture(policy) as tape:
...     distribution = torch.distributions.Categorical(logits=policy(torch.randn(50, 3)))
...     log_prob = distribution.log_prob(torch.randint(4, (50,)))
>>> scores = tape.scores(log_prob)
>>> result = scores.natural_step(torch.randn(50), max_kl=0.01)
>>> scores.add_(result.step)
TorchScores(shape=(50, 16), names=['weight', 'bias'])
"""

from __future__ import annotations

try:
    import torch as _torch
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "fastfisher.torch needs PyTorch: python -m pip install 'fastfisher[torch]'", name=error.name
    ) from error

from .capture import capture
from .errors import ScoresMismatchError, UnsupportedModuleError
from .optimizer import NaturalGradient
from .rules import register
from .scores import TorchScores
from .tape import Tape

del _torch

__all__ = [
    "NaturalGradient",
    "ScoresMismatchError",
    "Tape",
    "TorchScores",
    "UnsupportedModuleError",
    "capture",
    "register",
]
