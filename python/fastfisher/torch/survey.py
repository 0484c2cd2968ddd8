"""What a module consists of: layers that a rule covers, and loose parameters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrize

from .errors import UnsupportedModuleError
from .loose import LooseParameter
from .rules import Rule, generic, rule_for

_CONTAINERS = nn.Sequential, nn.ParameterList, nn.ParameterDict
_PARALLEL = nn.DataParallel, nn.parallel.DistributedDataParallel
_BY_HOOKS = "_orig", "_g", "_v"
"""How the parameters end that `torch.nn.utils`' weight_norm, spectral_norm and prune make a weight of."""


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
    mixing: tuple[tuple[str, nn.Module], ...]
    """Modules that mix samples with one another while they train."""


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
        if isinstance(parameter, LooseParameter):
            raise RuntimeError(
                f"{name}: expected a module that no other block captures, got one within such a block, or "
                "captured in another thread: enter one after the other, or give each thread a copy"
            )
        names[id(parameter)] = name
        if parameter.requires_grad:
            _check(name, parameter)
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
    mixing = [
        (path, part)
        for path, part in module.named_modules()
        if isinstance(part, nn.modules.batchnorm._BatchNorm)
    ]
    return Survey(trainable, modules, tuple(layers), tuple(loose), tuple(mixing))


def _parts(
    module: nn.Module, path: str, seen: set[nn.Module]
) -> Iterator[tuple[str, nn.Module, Rule | None]]:
    """Yield the module and those in it, each once; one with a rule is a part as a whole."""
    if module in seen:
        return
    seen.add(module)
    if isinstance(module, _PARALLEL):
        raise UnsupportedModuleError(
            f"{described(path, module)}: its batch is spread over replicas: capture its `module` instead"
        )
    if isinstance(module, torch.jit.ScriptModule):
        raise UnsupportedModuleError(
            f"{described(path, module)}: a compiled script hides its layers: capture the module that it was "
            "made of"
        )
    rule = _rule(path, module)
    yield path, module, rule
    if rule is None:
        for name, child in module.named_children():
            yield from _parts(child, f"{path}.{name}" if path else name, seen)


def _rule(path: str, module: nn.Module) -> Rule | None:
    """Return a module's rule, None where its own parameters are loose."""
    rule = rule_for(module)
    if _is_reparametrized(module):
        if rule is not None and not rule.batch_first:
            raise UnsupportedModuleError(
                f"{described(path, module)}: there is no rule for it with parametrized weights"
            )
        return None
    if rule is None and _is_torchs_own(module):
        return Rule(generic, evaluates=True)
    return rule


def _is_reparametrized(module: nn.Module) -> bool:
    """Tell whether a weight of the module is made of other parameters before each call."""
    if parametrize.is_parametrized(module):
        return True
    made = {name.removesuffix(end) for name in module._parameters for end in _BY_HOOKS if name.endswith(end)}
    made -= set(module._parameters)
    return any(isinstance(getattr(module, name, None), torch.Tensor) for name in made)


def _is_torchs_own(module: nn.Module) -> bool:
    """Tell whether it is one of torch's own layers, whose forward uses parameters of its own."""
    forward = type(module).forward
    return (
        getattr(forward, "__module__", "").startswith("torch.nn.modules.")
        and forward is not nn.Module.forward
        and not isinstance(module, _CONTAINERS)
        and any(parameter is not None for parameter in module._parameters.values())
    )


def _check(name: str, parameter: nn.Parameter) -> None:
    if is_lazy(parameter):
        raise ValueError(
            f"module: expected initialized parameters, got none yet for {name}: call it once first"
        )
    if not parameter.is_floating_point():
        raise UnsupportedModuleError(f"{name}: expected a real parameter, got one of {parameter.dtype}")
