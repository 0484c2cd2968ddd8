"""Hooks that note what goes into each layer, and where its output is in the graph."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.nn.utils.rnn import PackedSequence
from torch.utils._pytree import TreeSpec, tree_flatten, tree_map, tree_unflatten
from torch.utils.hooks import RemovableHandle

from .errors import UnsupportedModuleError
from .loose import Batch, LooseParameter, Source
from .rules import Call
from .survey import Layer, Survey, described


@dataclass(frozen=True)
class Record:
    """One call of a layer.

    An output is held by its edge in the graph, not as a tensor: where the next operation works in place, as
    ``nn.ReLU(inplace=True)`` does, the tensor becomes that operation's, and its edge stays the layer's.
    """

    layer: Layer
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    versions: tuple[tuple[Tensor, int], ...]
    edges: tuple[GradientEdge | None, ...]
    outputs: tuple[tuple[torch.Size, torch.dtype], ...]
    form: TreeSpec

    def call(self, errors: Sequence[Tensor | None], size: int) -> Call:
        """Return the call with the errors of its outputs."""
        for tensor, version in self.versions:
            if tensor._version != version:
                raise RuntimeError(
                    f"{self.layer}: expected its input as it was in the forward pass"
                    f"{', and its parameters' * self.layer.rule.evaluates}, got one that was "
                    "changed in place after it"
                )
        args, kwargs, given = tree_map(self._in_full_precision, (self.args, self.kwargs, list(errors)))
        return Call(args, kwargs, tree_unflatten(given, self.form), size)

    def _in_full_precision(self, value: Any) -> Any:
        """Return a tensor that autocast made, in the precision of the layer's parameters."""
        dtype = next(self.layer.module.parameters()).dtype
        is_half = isinstance(value, Tensor) and value.dtype in (torch.bfloat16, torch.float16)
        return value.to(dtype) if is_half and dtype in (torch.float32, torch.float64) else value


class Recorder:
    """Watches the forward passes of a module while it is entered."""

    def __init__(self, module: nn.Module, parts: Survey) -> None:
        self.records: list[Record] = []
        self.batch = Batch()
        self.sources: dict[str, Source] = {
            name: Source(name, parts.parameters[name], self.batch) for _, _, name in parts.loose
        }
        self._module, self._parts = module, parts
        self._undo: list[Callable[[], None]] = []
        self.started = False

    def start(self) -> None:
        """Put the hooks and the loose parameters' stand-ins in place."""
        self.started = True
        try:
            self._run_eagerly()
            self._hook(
                self._module.register_forward_pre_hook(_Hook(self._see_batch), prepend=True, with_kwargs=True)
            )
            for path, module in self._parts.mixing:
                self._hook(module.register_forward_pre_hook(_Hook(_refusing(path)), prepend=True))
            for layer in self._parts.layers:
                note = self._noting(layer)
                self._hook(layer.module.register_forward_hook(_Hook(note), prepend=True, with_kwargs=True))
            stand_ins = {name: source.stand_in() for name, source in self.sources.items()}
            for module, name, full in self._parts.loose:
                self._replace(module, name, stand_ins[full])
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Take them away again."""
        self.started = False
        while self._undo:
            self._undo.pop()()

    def _run_eagerly(self) -> None:
        """Have what was compiled run as it was written: a compiled module skips hooks that came later."""
        if "torch._dynamo" in sys.modules and can_run_eagerly():
            stance = torch.compiler.set_stance("force_eager")
            stance.__enter__()
            self._undo.append(lambda: stance.__exit__(None, None, None))

    def _hook(self, handle: RemovableHandle) -> None:
        self._undo.append(handle.remove)

    def _replace(self, module: nn.Module, name: str, stand_in: LooseParameter) -> None:
        parameters: dict[str, Any] = module._parameters
        before = parameters[name]

        def restore() -> None:
            if parameters.get(name) is stand_in:
                parameters[name] = before

        parameters[name] = stand_in
        self._undo.append(restore)

    def _see_batch(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.batch.see((args, kwargs))

    def _noting(self, layer: Layer) -> Callable[..., Any]:
        def note(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
            self.batch.see((args, kwargs))
            if not torch.is_grad_enabled():
                return None
            if any(isinstance(value, PackedSequence) for value in (*args, *kwargs.values())):
                raise UnsupportedModuleError(
                    f"{layer}: a PackedSequence has no batch axis: call it with padded sequences"
                )
            outputs, form = tree_flatten(output)
            several = sum(_is_in_graph(value) for value in outputs) > 1
            # One output may be made of another, as an LSTMCell's state of its memory: a copy of each has the
            # errors of what comes after the layer alone.  So has a copy of a view, which operations in place
            # go around.
            outputs = [
                value.clone() if _is_in_graph(value) and (several or value._is_view()) else value
                for value in outputs
            ]
            edges = tuple(get_gradient_edge(value) if _is_in_graph(value) else None for value in outputs)
            if not any(edges):
                return None
            args, kwargs = tree_map(_detached, (args, kwargs))
            inputs = tree_flatten((args, kwargs))[0]
            if layer.rule.evaluates:
                inputs = [*inputs, *module.parameters()]
            self.records.append(
                Record(
                    layer,
                    args,
                    kwargs,
                    tuple((t, t._version) for t in inputs if isinstance(t, Tensor) and not t.is_inference()),
                    edges,
                    tuple((o.shape, o.dtype) for o in outputs if isinstance(o, Tensor)),
                    form,
                )
            )
            return tree_unflatten(outputs, form)

        return note


class _Hook:
    """A hook that a copy of the module, made within the block, does not have: its own does nothing."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._function(*args, **kwargs)

    def __reduce__(self) -> Any:
        return _no_hook, ()


def _no_hook() -> Callable[..., None]:
    return _nothing


def _nothing(*args: Any, **kwargs: Any) -> None:
    """Do nothing."""


def can_run_eagerly() -> bool:
    """Tell whether torch can have what was compiled run as it was written: from torch 2.6 on."""
    return hasattr(torch.compiler, "set_stance")


def _refusing(path: str) -> Callable[..., None]:
    def refuse(module: Any, args: tuple[Any, ...]) -> None:
        if torch.is_grad_enabled() and (module.training or module.running_mean is None):
            raise UnsupportedModuleError(
                f"{described(path, module)}: it mixes the samples of a batch, so that they have no scores of "
                "their own: call its eval(), or take a GroupNorm or LayerNorm in its place"
            )

    return refuse


def _is_in_graph(value: Any) -> bool:
    return isinstance(value, Tensor) and value.requires_grad


def _detached(value: Any) -> Any:
    return value.detach() if isinstance(value, Tensor) else value
