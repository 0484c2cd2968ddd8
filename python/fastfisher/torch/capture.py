"""``capture(module)``: watch a module's forward pass for the per-sample scores of its parameters."""

from __future__ import annotations

from torch import nn

from .survey import survey
from .tape import Tape


def capture(module: nn.Module, *, check: bool | None = None) -> Tape:
    """Watch the forward passes of a module, for the scores of its parameters.

    Parameters
    ----------
    module : nn.Module
        A policy, or anything that has parameters.  It is called as always, by whatever code, inside of the
        ``with`` block.
    check : bool, optional
        Compare the scores with autograd's own gradient: True always, False never; default on the first batch
        of the module, and on the first of each way it is called.

    Returns
    -------
    Tape
        A context manager; see `Tape.scores`.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above, or the module has no trainable parameter.
    UnsupportedModuleError
        If a module in it has no per-sample scores, or no rule for them; the message names it.

    Examples
    --------
    >>> import torch, fastfisher.torch as fft
    >>> torch.manual_seed(0) and None
    >>> policy = torch.nn.Sequential(torch.nn.Linear(3, 16), torch.nn.Tanh(), torch.nn.Linear(16, 4))
    >>> observations, actions = torch.randn(50, 3), torch.randint(4, (50,))
    >>> with fft.capture(policy) as tape:
    ...     distribution = torch.distributions.Categorical(logits=policy(observations))
    ...     log_prob = distribution.log_prob(actions)
    >>> scores = tape.scores(log_prob)
    >>> scores.shape
    (50, 132)
    >>> result = scores.natural_step(torch.randn(50), max_kl=0.01)
    >>> scores.add_(result.step).names
    ('0.weight', '0.bias', '2.weight', '2.bias')
    """
    if not isinstance(module, nn.Module):
        raise TypeError(f"module: expected a torch.nn.Module, got {type(module).__name__}")
    if check is not None and not isinstance(check, bool):
        raise TypeError(f"check: expected True, False or None, got {check!r}")
    parts = survey(module)
    if not parts.parameters:
        raise ValueError("module: expected at least one parameter that requires a gradient, got none")
    return Tape(module, parts, check)
