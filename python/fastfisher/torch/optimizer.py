"""The natural gradient as a `torch.optim.Optimizer`: from a closure to a step that is measured and taken."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from ..arguments import NOT_NEGATIVE, POSITIVE, Bounds, choice, flag, number, whole
from ..natural import Event, NaturalStep
from .capture import capture
from .devices import add_step_
from .line_search import Batch, Before, check_not_random, rejection
from .scores import TorchScores

OPTIONS = frozenset(
    {
        "center",
        "relative_damping",
        "solver",
        "precision",
        "tol",
        "max_iterations",
        "precondition",
        "memory_limit",
        "num_threads",
    }
)
"""What `fastfisher.natural_step` takes besides what the optimizer names itself."""


class NaturalGradient(torch.optim.Optimizer):
    """Natural-gradient ascent on the mean of ratio times advantage, with a measured step.

    Each `step` captures the scores of a module while the closure runs, solves (F + lambda I) x = g for the
    direction, and moves the parameters by lr alpha x.  With `line_search` the closure is called again,
    without gradients, and the step halved until what it did to the batch is what it was meant to do:

    - with `max_kl`, that the surrogate mean(ratio * advantages) improves and KL(old || new) <= `max_kl`;
    - without, that the surrogate less KL / lr improves.  The unbounded step is where the quadratic model of
      that is largest.  For advantages of one it is, at lr = 1, the mean log-likelihood.

    Where no halving does, the parameters are what they were, to the bit, and an event says so.

    The learning rate scales the step, also one that `max_kl` has scaled: its KL is then about lr^2 `max_kl`.
    Schedulers set it.  `lr`, `max_kl`, `damping` and all other settings are in ``param_groups[0]``, may be
    changed there between steps, and are saved with momentum's state by ``state_dict``.

    Parameters
    ----------
    module : nn.Module
        The policy; all its parameters are in one group, since one Fisher matrix spans them.  A step moves
        those that require a gradient and that log_prob depends on.
    lr : float
        Learning rate, >= 0.
    max_kl : float, optional
        The KL divergence of a step, in nats; None takes lr (F + lambda I)^-1 g.
    damping : float
        lambda.
    line_search : bool
        Measure each step before it is kept.  The closure then must be deterministic: dropout in training mode
        is refused, and the first step calls it twice at the same parameters to see that it is.
    max_halvings : int
        The most halvings of one step.
    fisher : {"empirical", "exact"}
        The Fisher matrix of the sampled actions, S^T S / N, or the expectation over all actions, which needs
        the distribution as the closure's third item.
    momentum : float
        mu in [0, 1) of SPRING; see `fastfisher.natural_step`.
    check : bool, optional
        As of `fastfisher.torch.capture`: None certifies the scores of the first batch, True of every batch.
    **options
        ``center``, ``relative_damping``, ``solver``, ``precision``, ``tol``, ``max_iterations``,
        ``precondition``, ``memory_limit`` and ``num_threads``, as `fastfisher.natural_step` takes them.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above; the message names it, says what was expected and what came.

    Examples
    --------
    >>> import torch, fastfisher.torch as fft
    >>> _ = torch.manual_seed(0)
    >>> policy, observations = torch.nn.Linear(4, 3), torch.randn(50, 4)
    >>> actions, advantages = torch.randint(3, (50,)), torch.randn(50)
    >>> optimizer = fft.NaturalGradient(policy, max_kl=0.01, damping=1e-3)
    >>> def closure():
    ...     pi = torch.distributions.Categorical(logits=policy(observations))
    ...     return pi.log_prob(actions), advantages, pi
    >>> result = optimizer.step(closure)
    >>> bool(0.0 < result.predicted_kl < 0.0101)
    True
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        lr: float = 1.0,
        max_kl: float | None = None,
        damping: float = 1e-4,
        line_search: bool = True,
        max_halvings: int = 10,
        fisher: Literal["empirical", "exact"] = "empirical",
        momentum: float = 0.0,
        check: bool | None = None,
        **options: Any,
    ) -> None:
        if not isinstance(module, nn.Module):
            raise TypeError(
                "module: expected an nn.Module, whose forward pass the scores are captured from, "
                f"got {type(module).__name__}"
            )
        if unknown := sorted(options.keys() - OPTIONS):
            raise TypeError(f"{unknown[0]}: expected one of {', '.join(sorted(OPTIONS))} as a further option")
        defaults = {
            "lr": lr,
            "max_kl": max_kl,
            "damping": damping,
            "line_search": line_search,
            "max_halvings": max_halvings,
            "fisher": fisher,
            "momentum": momentum,
            **options,
        }
        _Settings.of(defaults)
        self.module = module
        self.check = None if check is None else flag(check, "check")
        self._repeats = False  # Whether the closure is known to give the same when it is called again.
        super().__init__(module.parameters(), defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Refuse a second group: a Fisher matrix spans all parameters, so none has settings of its own."""
        if self.param_groups:
            raise ValueError(
                "param_group: expected none besides that of the module, since one Fisher matrix spans all "
                "its parameters: put what is to be trained into one module"
            )
        super().add_param_group(param_group)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> NaturalStep:
        """Move the parameters by one natural-gradient step.

        Parameters
        ----------
        closure : function
            Calls the module and returns ``(log_prob, advantages)``: the (N,) tensor of log pi(a_n | s_n), and
            A, (N,), of any device and dtype.  A third item may be the torch distribution, or list of them,
            that log_prob is of: the line search then measures KL exactly, and else estimates it from the
            samples by mean(ratio - 1 - log ratio), which is never negative.

        Returns
        -------
        NaturalStep
            Its ``step`` is what was added to the parameters: lr and the halvings are in it, in ``step_size``
            and in what is predicted.  The last of its events, of the code "line_search" or
            "line_search_failed", has the numbers "halvings", "improvement" and "kl".

        Raises
        ------
        TypeError, ValueError
            If the closure returns anything else, or what is not finite, with the row; the parameters are then
            as they were.
        """
        if closure is None:
            raise TypeError(
                "closure: expected a function that returns (log_prob, advantages), got None: .grad holds the "
                "mean of the scores, and the Fisher matrix is made of each"
            )
        # A state_dict of another optimizer, or from before there was a setting, has not all of them.
        settings = _Settings.of({**self.defaults, **self.param_groups[0]})
        if settings.line_search:
            check_not_random(self.module)
        with torch.enable_grad(), capture(self.module, check=self.check) as tape:
            batch = Batch.of(closure())
        if settings.fisher == "exact" and batch.distribution is None:
            raise TypeError(
                "closure: expected (log_prob, advantages, distribution), since fisher is 'exact', got two"
            )
        if settings.lr == 0.0:  # A scheduler's end.
            settings = dataclasses.replace(settings, line_search=False)
        before = Before(batch) if settings.line_search else None
        scores, result = self._solve(tape, batch, settings)
        del tape, batch  # The graph, before more is computed.
        result = _scaled(result, settings.lr)
        momentum = settings.momentum > 0.0
        if before is None:
            add_step_(scores, result, momentum=momentum)
            taken = True
        else:
            result, taken = self._search(closure, before, scores, result, settings)
        if momentum and taken:
            self._remember(scores, result)
        return result

    def _solve(self, tape: Any, batch: Batch, settings: _Settings) -> tuple[TorchScores, NaturalStep]:
        options: dict[str, Any] = {
            "max_kl": settings.max_kl,
            "damping": settings.damping,
            **settings.options,
        }
        exact = None
        if settings.fisher == "exact":
            exact = tape.fisher_scores(batch.distribution, check=self.check, retain_graph=True)
        scores: TorchScores = tape.scores(batch.log_prob)
        if settings.momentum > 0.0:
            options |= {"momentum": settings.momentum, "previous": self._remembered(scores)}
        if exact is None:
            return scores, scores.natural_step(batch.advantages, **options)
        if apart := sorted(set(scores.names) ^ set(exact.names)):
            raise ValueError(
                "closure, distribution: expected the one that log_prob is of, got one that depends on other "
                f"parameters: {apart[0]} is behind one of the two alone"
            )
        gradient = scores.unflatten(scores.mean_gradient(batch.advantages))
        return exact, exact.natural_step(gradient=gradient, **options)

    def _search(
        self,
        closure: Callable[[], Any],
        before: Before,
        scores: TorchScores,
        result: NaturalStep,
        settings: _Settings,
    ) -> tuple[NaturalStep, bool]:
        """Halve the step until it may be taken, and leave the parameters there or where they were."""
        kept = [parameter.detach().clone() for parameter in scores.parameters]

        def restore() -> None:
            for parameter, values in zip(scores.parameters, kept, strict=True):
                parameter.copy_(values)

        if not self._repeats:
            before.check_repeats(Batch.of(closure()))
            self._repeats = True
        if not result.step.any():
            return result, True
        reasons: list[str] = []
        try:
            for halvings in range(settings.max_halvings + 1):
                fraction = 0.5**halvings
                if halvings:
                    restore()
                add_step_(scores, result, fraction, momentum=settings.momentum > 0.0)
                measured = before.after(closure)
                reason = rejection(measured, settings.max_kl, settings.lr)
                if not reason and measured is not None:
                    numbers = {"halvings": float(halvings), **measured._asdict()}
                    since = f", the first since {reasons[0]}" if reasons else ""
                    sentence = f"The line search took the step after {_halvings(halvings)}{since}."
                    return _with_event(_scaled(result, fraction), "line_search", numbers, sentence), True
                reasons.append(reason)
        except BaseException:
            restore()
            raise
        restore()
        numbers = {"halvings": float(settings.max_halvings), "improvement": 0.0, "kl": 0.0}
        sentence = (
            f"The line search took no step: after {_halvings(settings.max_halvings)} {reasons[-1]}; the "
            "parameters are as they were."
        )
        return _with_event(_scaled(result, 0.0), "line_search_failed", numbers, sentence), False

    # Momentum's state is by name, in float64: per-parameter state would be cast to the parameter's dtype when
    # it is loaded, and training would go on with other bits.

    def _remember(self, scores: TorchScores, result: NaturalStep) -> None:
        parts = scores.unflatten(np.array(result.direction))
        state: dict[Any, Any] = self.state
        state["previous"] = {name: part.clone() for name, part in parts.items()}

    def _remembered(self, scores: TorchScores) -> dict[str, Tensor] | None:
        """Return the last direction, zero for parameters that it was not of; None before the first step."""
        state: Mapping[Any, Any] = self.state
        if "previous" not in state:
            return None
        previous: Mapping[str, Tensor] = state["previous"]
        return {
            name: previous[name] if name in previous else torch.zeros(parameter.shape, dtype=torch.float64)
            for name, parameter in zip(scores.names, scores.parameters, strict=True)
        }

    def __getstate__(self) -> dict[str, Any]:
        """Return what pickle and deepcopy keep: the module too, which the closure's scores come from."""
        extra = {"module": self.module, "check": self.check, "_repeats": self._repeats}
        return {**super().__getstate__(), **extra}


@dataclasses.dataclass(frozen=True)
class _Settings:
    """The settings of a parameter group, checked."""

    lr: float
    max_kl: float | None
    damping: float
    line_search: bool
    max_halvings: int
    fisher: str
    momentum: float
    options: Mapping[str, Any]

    @classmethod
    def of(cls, group: Mapping[str, Any]) -> _Settings:
        lr, max_kl = group["lr"], group["max_kl"]
        return cls(
            lr=number(lr.item() if isinstance(lr, Tensor) else lr, "lr", NOT_NEGATIVE),
            max_kl=None if max_kl is None else number(max_kl, "max_kl", POSITIVE),
            damping=number(group["damping"], "damping", NOT_NEGATIVE),
            line_search=flag(group["line_search"], "line_search"),
            max_halvings=whole(group["max_halvings"], "max_halvings"),
            fisher=choice(group["fisher"], "fisher", ("empirical", "exact")),
            momentum=number(group["momentum"], "momentum", Bounds(at_least=0, below=1)),
            options={name: group[name] for name in OPTIONS if name in group},
        )


def _scaled(result: NaturalStep, factor: float) -> NaturalStep:
    """Return a step that goes `factor` times as far."""
    if factor == 1.0:
        return result
    return dataclasses.replace(
        result,
        step=factor * result.step,
        step_size=factor * result.step_size,
        predicted_kl=factor**2 * result.predicted_kl,
        predicted_improvement=factor * result.predicted_improvement,
    )


def _halvings(number: int) -> str:
    return f"{number} halving{'s' * (number != 1)}"


def _with_event(result: NaturalStep, code: str, numbers: Mapping[str, float], sentence: str) -> NaturalStep:
    event = Event(code, "auto", numbers, sentence)
    return dataclasses.replace(result, events=(*result.events, event))
