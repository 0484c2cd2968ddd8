"""What a module consists of: layers that a rule covers, and loose parameters; what has no scores is refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn
from torch.nn.utils import parametrize

from .errors import UnsupportedModuleError
from .rules import Rule, rule_for

_CONTAINERS = nn.ParameterList, nn.ParameterDict


@dataclass(frozen=True)
class Layer:
    """A module whose parameters, its submodules' among them, have their scores by one rule."""

    path: str
    module: nn.Module
    rule: Rule
    names: dict[str, str]
    """The full name of each trainable parameter, by its name within the layer."""

    def __str__(self) -> str:
        return described(self.path, self.module)


@dataclass(frozen=True)
class Survey:
    """The parts of a module."""

    parameters: dict[str, nn.Parameter]
    """All trainable parameters, by name, in the order of ``named_parameters()``."""
    modules: dict[str, str]
    """What a message calls the module of each."""
    layers: tuple[Layer, ...]
    loose: tuple[tuple[nn.Module, str, str], ...]
    """Each place of a loose parameter: its module, its name there, its full name."""


def described(path: str, module: nn.Module) -> str:
    """Return a module's path and type, for messages."""
    return f"{path or 'the module itself'} ({type(module).__name__})"


def survey(module: nn.Module) -> Survey:
    """Find the layers and the loose parameters of a module.

    Raises
    ------
    UnsupportedModuleError
        If one of its modules has no per-sample scores, or would hide from hooks.
    """
    names: dict[int, str] = {}
    trainable: dict[str, nn.Parameter] = {}
    for name, parameter in module.named_parameters():
        names[id(parameter)] = name
        if parameter.requires_grad:
            trainable[name] = parameter
    layers: list[Layer] = []
    loose: list[tuple[nn.Module, str, str]] = []
    modules: dict[str, str] = {}
    for path, part, rule in _parts(module, "", set()):
        owned = part.named_parameters() if rule is not None else part.named_parameters(recurse=False)
        local = {name: names[id(parameter)] for name, parameter in owned if parameter.requires_grad}
        for name in local.values():
            modules.setdefault(name, described(path, part))
        if not local:
            continue
        if rule is None:
            loose += [(part, name, full) for name, full in local.items()]
        else:
            layers.append(Layer(path, part, rule, local))
    return Survey(trainable, modules, tuple(layers), tuple(loose))


def _parts(
    module: nn.Module, path: str, seen: set[nn.Module]
) -> Iterator[tuple[str, nn.Module, Rule | None]]:
    """Yield the module and those in it, each once; one with a rule is a part as a whole."""
    if module in seen:
        return
    seen.add(module)
    rule = None if parametrize.is_parametrized(module) else rule_for(module)
    if rule is None and _is_torchs_own(module):
        raise UnsupportedModuleError(
            f"{described(path, module)}: there is no rule for its scores: give it one by "
            f"fastfisher.torch.register({type(module).__name__})"
        )
    yield path, module, rule
    if rule is None:
        for name, child in module.named_children():
            yield from _parts(child, f"{path}.{name}" if path else name, seen)


def _is_torchs_own(module: nn.Module) -> bool:
    """Tell whether it is one of torch's own layers, whose forward uses parameters of its own."""
    forward = type(module).forward
    return (
        getattr(forward, "__module__", "").startswith("torch.nn.modules.")
        and forward is not nn.Module.forward
        and not isinstance(module, _CONTAINERS)
        and not parametrize.is_parametrized(module)
        and any(
            parameter is not None and parameter.requires_grad for parameter in module._parameters.values()
        )
    )
