"""Parameters that no layer's rule covers: a policy's log_std, a position embedding, a weight of one's own.

Row n of such a parameter's scores is the derivative of sample n's log-probability, so each sample is given a
copy of its own to differentiate with respect to: the parameter expanded over the batch.  Put in the
parameter's place, an expanded tensor would change what ``log_std.sum()`` or ``x @ weight`` mean.  A
`LooseParameter` therefore has the parameter's own shape and value, and watches what is done with it.
Functions of it alone are noted.  Where it meets a tensor with a batch axis, the function is evaluated for
each sample with its own copy, by `torch.vmap`, and what comes out is an ordinary tensor of the graph.  That
tensor is compared with what the function gives for the parameter itself, so no use can change a value.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_unflatten

from .errors import UnsupportedModuleError

_EXPANDING = frozenset(("expand", "expand_as", "broadcast_to", "repeat", "tile"))
"""Functions by which a parameter is written out for the batch, with the batch's size among the arguments."""

Rows = dict["Source", Tensor]


class Source:
    """A loose parameter of a batch: its copies, one a sample, once the batch's size is known.

    Parameters
    ----------
    path : str
        The parameter's full name, for messages.
    parameter : Parameter
    batch : Batch
        What the parameters of one capture know together of the batch.
    """

    __slots__ = ("batch", "copies", "parameter", "path")

    def __init__(self, path: str, parameter: nn.Parameter, batch: Batch) -> None:
        self.path, self.parameter, self.batch = path, parameter, batch
        self.copies: dict[int, Tensor] = {}

    def rows(self, size: int) -> Tensor:
        """Return the parameter's copies for a batch of `size` samples, (size, *shape), in the graph."""
        if size not in self.copies:
            self.copies[size] = self.parameter.expand(size, *self.parameter.shape)
        return self.copies[size]

    def stand_in(self) -> LooseParameter:
        """Return what stands in the parameter's place."""
        return LooseParameter.of(self.parameter, (self,), lambda rows: rows[self])


class Batch:
    """The batch of one capture: its size, found from the first input of any module."""

    __slots__ = ("dtypes", "refused", "size")

    def __init__(self) -> None:
        self.dtypes: set[torch.dtype] = set()
        self.size: int | None = None
        self.refused: UnsupportedModuleError | None = None

    def refuse(self, message: str) -> UnsupportedModuleError:
        """Return the error, and keep it: Python's operators turn any TypeError into one of their own."""
        self.refused = UnsupportedModuleError(message)
        return self.refused

    def see(self, values: Any) -> None:
        """Take the size from the first tensor with axes among a module's inputs."""
        if self.size is None:
            for value in tree_flatten(values)[0]:
                if isinstance(value, Tensor) and not isinstance(value, LooseParameter) and value.ndim:
                    self.size = len(value)
                    return


class LooseParameter(Tensor):
    """A loose parameter, or a function of loose parameters alone, within a capture."""

    sources: tuple[Source, ...]
    lift: Callable[[Rows], Tensor]

    @staticmethod
    def of(value: Tensor, sources: tuple[Source, ...], lift: Callable[[Rows], Tensor]) -> LooseParameter:
        """Return `value` as a function of `sources`; `lift` evaluates it for one sample's copies of them."""
        # The value stays in the graph of the parameter.  A use that goes around `__torch_function__` shows in
        # autograd's gradient, therefore, and the certificate finds that the scores lack it.
        loose = value.as_subclass(LooseParameter)
        loose.sources, loose.lift = sources, lift
        return loose

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        """Return a copy of the parameter, as of a module that is copied within the block."""
        copied: Tensor = copy.deepcopy(self.sources[0].parameter, memo)
        return copied

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Apply a function of torch, for the parameter itself and for each sample's copy of it."""
        with torch._C.DisableTorchFunctionSubclass():
            leaves, form = tree_flatten((args, kwargs or {}))
            return _apply(func, leaves, form)


def _apply(func: Any, leaves: list[Any], form: Any) -> Any:
    def call(leaves: list[Any]) -> Any:
        args, kwargs = tree_unflatten(leaves, form)
        return func(*args, **kwargs)

    loose = [leaf for leaf in leaves if isinstance(leaf, LooseParameter)]
    plain = [leaf.as_subclass(Tensor) if isinstance(leaf, LooseParameter) else leaf for leaf in leaves]
    name = getattr(func, "__name__", str(func))
    if func == Tensor.data.__set__ and isinstance(leaves[0], LooseParameter):
        leaves[0].sources[0].parameter.data = plain[1]  # The module is converted, or moved.
        return call(leaves)
    if not torch.is_grad_enabled() or not loose:
        return call(plain)
    sources = tuple(dict.fromkeys(source for leaf in loose for source in leaf.sources))
    if name.endswith("_") and not name.endswith("__"):
        raise sources[0].batch.refuse(
            f"{sources[0].path}: {name}() changes it in place while its scores are captured: do that "
            "outside, or under torch.no_grad()"
        )
    value = call(plain)
    if not any(_differentiable(leaf) for leaf in tree_flatten(value)[0]):
        return value

    def for_one(rows: Rows, leaves: list[Any]) -> Any:
        return call([leaf.lift(rows) if isinstance(leaf, LooseParameter) else leaf for leaf in leaves])

    size = _batch_size(sources[0].batch, leaves, value)
    result = None if size is None else _over_the_batch(name, for_one, leaves, sources, value, size)
    if result is not None:
        return result
    values, structure = tree_flatten(value)

    def part(place: int) -> Callable[[Rows], Tensor]:
        return lambda rows: tree_flatten(for_one(rows, leaves))[0][place]

    parts = [
        LooseParameter.of(leaf, sources, part(place)) if _differentiable(leaf) else leaf
        for place, leaf in enumerate(values)
    ]
    return tree_unflatten(parts, structure)


def _differentiable(value: Any) -> bool:
    return isinstance(value, Tensor) and value.requires_grad


def _batch_size(batch: Batch, leaves: list[Any], value: Any) -> int | None:
    """Return the batch's size, where no module has been called yet that of the first tensor met."""
    if batch.size is None:
        first = next((v for v in tree_flatten(value)[0] if isinstance(v, Tensor) and v.ndim), None)
        if first is not None:
            batch.see([v for v in leaves if isinstance(v, Tensor) and v.ndim and len(v) == len(first)])
    return batch.size


def _over_the_batch(
    name: str,
    for_one: Callable[[Rows, list[Any]], Any],
    leaves: list[Any],
    sources: tuple[Source, ...],
    value: Any,
    size: int,
) -> Any:
    """Return the value with a copy of the parameters for each sample, None where there is no batch."""
    batched = [
        place
        for place, leaf in enumerate(leaves)
        if isinstance(leaf, Tensor)
        and not isinstance(leaf, LooseParameter)
        and leaf.ndim
        and len(leaf) == size
    ]
    replaced = list(leaves)
    if not batched:
        if name not in _EXPANDING or value.ndim == 0 or len(value) != size:
            return None
        place = next((k for k, leaf in enumerate(leaves) if isinstance(leaf, int) and leaf == size), None)
        if place is None:
            return None
        replaced[place] = 1

    def one(copies: tuple[Tensor, ...], samples: tuple[Tensor, ...]) -> Any:
        ours = list(replaced)
        for place, sample in zip(batched, samples, strict=True):
            ours[place] = sample.unsqueeze(0)
        return for_one(dict(zip(sources, copies, strict=True)), ours)

    copies = tuple(source.rows(size) for source in sources)
    path = sources[0].path
    try:
        result = (
            torch.vmap(one, in_dims=(0, 0))(copies, tuple(leaves[place] for place in batched))
            if batched
            else (torch.vmap(lambda copies: one(copies, ()))(copies))
        )
    except (RuntimeError, NotImplementedError, ValueError, IndexError, TypeError) as error:
        raise sources[0].batch.refuse(
            f"{path}: {name}() of it cannot be evaluated for each sample by itself, by torch.vmap: {error}"
        ) from error
    results, form = tree_flatten(result)
    wanted = tree_flatten(value)[0]
    found = []
    for ours, theirs in zip(results, wanted, strict=True):
        if not isinstance(theirs, Tensor):
            found.append(theirs)
            continue
        if ours.ndim < 2 or ours.shape[1] != 1 or ours.squeeze(1).shape != theirs.shape:
            return None  # A tensor that is as long as the batch, but has no batch axis.
        ours = ours.squeeze(1)
        if not _same(ours.detach(), theirs.detach()):
            return None
        found.append(ours)
        sources[0].batch.dtypes.add(ours.dtype)
    return tree_unflatten(found, form)


def _same(ours: Tensor, theirs: Tensor) -> bool:
    if torch.equal(ours, theirs):
        return True
    if not ours.is_floating_point():
        return False
    size = theirs.abs().amax() if theirs.numel() else theirs.sum()
    tolerance = 1e3 * torch.finfo(ours.dtype).eps * float(size)
    return torch.allclose(ours, theirs, rtol=0.0, atol=tolerance, equal_nan=True) or bool(
        torch.isinf(size) or torch.isnan(size)
    )
