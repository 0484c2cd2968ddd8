"""The table of rules, and what a rule takes and gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn


class Pair(NamedTuple):
    """Scores of one parameter as outer products, summed over T positions: (N, T, p) and (N, T, q)."""

    left: Tensor
    right: Tensor

    def dense(self) -> Tensor:
        """Return the products written out, (N, p, q)."""
        return torch.bmm(self.left.transpose(1, 2), self.right)


Factor: TypeAlias = Tensor | Pair
"""The scores of one parameter: (N, *shape), or a pair whose product in C order is the parameter's."""


def as_product(factor: Factor) -> tuple[Tensor, Tensor] | None:
    """Return the sides (N, p) and (N, q) of a pair of one position; None where a factor is not one."""
    if isinstance(factor, Pair) and factor.left.shape[1] == 1:
        return factor.left[:, 0], factor.right[:, 0]
    return None


def written_out(factor: Factor) -> Tensor:
    """Return the scores as rows (N, k), products multiplied out."""
    rows = factor.dense() if isinstance(factor, Pair) else factor
    return rows.reshape(len(rows), -1)


def is_same(one: Tensor, other: Tensor) -> bool:
    """Tell whether two tensors are the same view of the same memory."""
    return one.data_ptr() == other.data_ptr() and one.shape == other.shape and one.stride() == other.stride()


@dataclass(frozen=True)
class Call:
    """One call of a module's forward: what went in, and log_prob's derivative by what came out."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    errors: Any
    """Shaped like the output: a tensor (N, ...), or a tuple of tensors and None."""
    size: int
    """N."""

    def argument(self, name: str, place: int) -> Any:
        """Return an argument of forward by its place or its name, None where it was not given."""
        return self.args[place] if place < len(self.args) else self.kwargs.get(name)


Apply: TypeAlias = Callable[[Any, Call], Mapping[str, Factor]]
"""(module, call) -> the factors of its parameters, by their names within the module."""


class Rule(NamedTuple):
    """A rule, and how it has to be called."""

    apply: Apply
    batch_first: bool = True
    """Whether the inputs and outputs have the batch along their first axis."""
    evaluates: bool = False
    """Whether it evaluates the layer once more, so that its parameters must not have changed."""


_RULES: dict[type[nn.Module], Rule] = {}


def rule(
    *types: type[nn.Module], batch_first: bool = True, evaluates: bool = False
) -> Callable[[Apply], Apply]:
    """Enter a rule in the table, for one or more types of modules."""

    def enter(function: Apply) -> Apply:
        for module_type in types:
            _RULES[module_type] = Rule(function, batch_first, evaluates)
        return function

    return enter


def rule_for(module: nn.Module) -> Rule | None:
    """Return the rule for a module, None where it has none of its own.

    A subclass has its parent's rule where it has its parent's forward.
    """
    for module_type in type(module).__mro__:
        if module_type in _RULES:
            same = type(module).forward is module_type.forward
            return _RULES[module_type] if same else None
    return None


def register(module_type: type[nn.Module]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    r"""Give the modules of a type, and of its subclasses with the same forward, a rule of your own.

    Parameters
    ----------
    module_type : type
        A subclass of `torch.nn.Module`.

    Returns
    -------
    callable
        A decorator for the rule, a function ``(module, inputs, errors) -> {name: scores}``: `inputs` is the
        tuple of what forward was called with, tensors detached; `errors` is the derivative of the
        log-probability by forward's output, shaped like it; `name` is that of a parameter within the module,
        and `scores` a tensor (N, \*parameter.shape), or a pair of tensors (N, p) and (N, q) for a parameter
        of p q entries, whose outer product in C order it is.  A module that is called more than once in a
        forward pass has its rule called for each, and the scores are added.  The rule has the parameters of
        the module's submodules too, by names such as "inner.weight".

    Raises
    ------
    TypeError
        If `module_type` is not a type of modules.

    Notes
    -----
    A rule that is wrong is found on the first batch, where the scores are compared with autograd's gradient.

    Examples
    --------
    >>> import torch, fastfisher.torch as fft
    >>> class Scale(torch.nn.Module):
    ...     def __init__(self, size):
    ...         super().__init__()
    ...         self.factor = torch.nn.Parameter(torch.ones(size))
    ...     def forward(self, x):
    ...         return self.factor * x
    >>> @fft.register(Scale)
    ... def scale(module, inputs, errors):
    ...     return {"factor": inputs[0] * errors}
    """
    if not (isinstance(module_type, type) and issubclass(module_type, nn.Module)):
        raise TypeError(f"module_type: expected a subclass of torch.nn.Module, got {module_type!r}")

    def enter(function: Callable[..., Any]) -> Callable[..., Any]:
        def apply(module: nn.Module, call: Call) -> dict[str, Factor]:
            found = function(module, call.args, call.errors)
            return {name: _as_factor(value) for name, value in found.items()}

        _RULES[module_type] = Rule(apply, evaluates=True)
        return function

    return enter


def _as_factor(value: Any) -> Factor:
    if isinstance(value, Tensor):
        return value.detach()
    left, right = value
    return Pair(left.detach().unsqueeze(1), right.detach().unsqueeze(1))
