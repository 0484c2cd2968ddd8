"""What a step did to a batch, measured: log-probabilities before and after, by a closure called again.

The natural step is made of models, linear of the surrogate and quadratic of the KL divergence, so its last
word is a measurement (Schulman, Levine, Moritz, Jordan and Abbeel, arXiv 1502.05477, appendix C).  Where KL
is not bounded, it is a price: but for the damping, the step lr F^-1 g is where g^T s - s^T F s / (2 lr) is
largest, so that what has to grow is the surrogate less KL / lr.  For advantages of one, and KL estimated from
the samples, that is the mean log-likelihood at lr = 1, and below it for a smaller lr: it cannot fall.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from .fisher import frozen, kl_from, members

_RANDOM_IN_TRAINING = (nn.modules.dropout._DropoutNd, nn.RReLU)
_WITH_DROPOUT = (nn.RNNBase, nn.MultiheadAttention)
_LinAlgError: type[Exception] = vars(torch.linalg)["LinAlgError"]  # public, but not in its stubs


class Measurement(NamedTuple):
    """How a batch is seen from new parameters."""

    improvement: float
    """Change of the surrogate, mean((ratio - 1) A)."""
    kl: float
    """KL(old || new) in nats, exact or the estimate mean(ratio - 1 - log ratio)."""


@dataclass(frozen=True)
class Batch:
    """What a closure returned.

    Attributes
    ----------
    log_prob : (N,) tensor
    advantages : (N,) float64 tensor on the CPU
    distribution : distribution, list of them or None
    """

    log_prob: Tensor
    advantages: Tensor
    distribution: Any

    @classmethod
    def of(cls, returned: object) -> Batch:
        """Check what a closure returned; a TypeError or ValueError says what is wrong with it."""
        if not isinstance(returned, (tuple, list)) or len(returned) not in (2, 3):
            raise TypeError(
                "closure: expected it to return (log_prob, advantages) or (log_prob, advantages, "
                f"distribution), got {_description(returned)}"
            )
        log_prob, advantages, *rest = returned
        if not isinstance(log_prob, Tensor) or not log_prob.is_floating_point() or log_prob.ndim != 1:
            raise TypeError(
                "closure, log_prob: expected a tensor (N,), the log-probability of each sample's action, "
                f"summed over its components, got {_description(log_prob)}"
            )
        if not len(log_prob):
            raise ValueError("closure, log_prob: expected at least one sample, got shape (0,)")
        if advantages is None:
            raise TypeError("closure, advantages: expected a tensor (N,), one a sample, got None")
        A = _on_host(torch.as_tensor(advantages))
        if A.shape != log_prob.shape:
            raise ValueError(
                f"closure, advantages: expected shape {tuple(log_prob.shape)}, one a sample, "
                f"got {tuple(A.shape)}"
            )
        _check_finite(log_prob, "log_prob")
        _check_finite(A, "advantages")
        distribution = rest[0] if rest else None
        for name, member in () if distribution is None else members(distribution):
            if member.batch_shape[:1] != log_prob.shape:
                raise ValueError(
                    f"closure, {name}: expected a batch_shape that begins with {len(log_prob)}, as many as "
                    f"samples, got {tuple(member.batch_shape)}"
                )
        return cls(log_prob, A, distribution)


class Before:
    """A batch as the old parameters see it.

    Parameters
    ----------
    batch : Batch
        What the closure returned at the old parameters.  Nothing in it is changed, or kept.
    """

    def __init__(self, batch: Batch) -> None:
        self.log_prob = _on_host(batch.log_prob)
        self.advantages = batch.advantages
        self.members: tuple[Distribution, ...] | None = None
        if batch.distribution is not None:
            self.members = frozen(batch.distribution)

    def check_repeats(self, batch: Batch) -> None:
        """Refuse a closure that at the same parameters gave other log-probabilities than the first time."""
        eps = torch.finfo(batch.log_prob.dtype).eps
        now = _on_host(batch.log_prob)
        if now.shape == self.log_prob.shape:
            excess = (now - self.log_prob).abs() - math.sqrt(eps) * (1.0 + self.log_prob.abs())
            row = int(excess.argmax())
            if excess[row] <= 0.0:
                return
            difference = f"{self.log_prob[row]:.6g} and then {now[row]:.6g} at row {row}"
        else:
            difference = f"shape {tuple(self.log_prob.shape)} and then {tuple(now.shape)}"
        raise ValueError(
            f"closure: expected the same log_prob when it is called again, got {difference}: draw actions "
            "outside of it, and leave out what is random, or set line_search=False"
        )

    def after(self, closure: Callable[[], Any]) -> Measurement | None:
        """Measure what the closure returns at the new parameters; None where it is not finite.

        A distribution refuses parameters that are not finite by a ValueError of its own, and a Cholesky
        factorisation by a LinAlgError: the step went too far, since at the old ones all was well.
        """
        try:
            batch = Batch.of(closure())
        except (ValueError, _LinAlgError):
            return None
        change = _on_host(batch.log_prob) - self.log_prob
        gain = torch.expm1(change)
        improvement = float((gain * self.advantages).mean())
        if self.members is None:
            kl = float((gain - change).mean())
        else:
            kl = float(_on_host(kl_from(self.members, batch.distribution)).mean())
        return Measurement(improvement, kl) if math.isfinite(improvement) and math.isfinite(kl) else None


def rejection(measured: Measurement | None, max_kl: float | None, lr: float) -> str:
    """Return why a step must not be taken; empty where it may be."""
    if measured is None:
        return "log_prob, or the KL divergence, is not finite"
    improvement, kl = measured
    if max_kl is not None:
        if kl > max_kl:
            return f"KL {kl:.4g} is above {max_kl:.4g}"
        return "" if improvement > 0.0 else f"the surrogate changed by {improvement:.4g}"
    return (
        ""
        if improvement - kl / lr > 0.0
        else f"the surrogate less KL / lr changed by {improvement - kl / lr:.4g}"
    )


def check_not_random(module: nn.Module) -> None:
    """Refuse a module with a part that is random in training mode; the ValueError names it."""
    for path, part in module.named_modules():
        random = isinstance(part, _RANDOM_IN_TRAINING) and getattr(part, "p", 1.0) > 0.0
        random = random or (isinstance(part, _WITH_DROPOUT) and part.dropout > 0.0)
        if part.training and random:
            raise ValueError(
                f"{path or 'module'}: expected {type(part).__name__} in evaluation mode, since a line search "
                "compares two calls and it draws anew for each: call module.eval(), or set line_search=False"
            )


def _on_host(values: Tensor) -> Tensor:
    """Return values in float64 on the CPU: not every device has float64."""
    return values.detach().cpu().double()


def _check_finite(values: Tensor, name: str) -> None:
    finite = values.detach().isfinite()
    if not bool(finite.all()):
        row = int(finite.logical_not().nonzero()[0, 0])
        raise ValueError(f"closure, {name}: expected finite values, got {values[row].item()} at row {row}")


def _description(value: object) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)} of {value.dtype}"
    if isinstance(value, (tuple, list)):
        return f"a {type(value).__name__} of {len(value)}"
    return type(value).__name__
