"""Scores of a module's parameters, with the way back: a step becomes parameters again."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from ..natural import NaturalStep, natural_step
from ..scores import FloatArray, NativeBlock, Scores

VectorLike: TypeAlias = "ArrayLike | Tensor | NaturalStep | Mapping[str, Tensor] | Sequence[Tensor]"

_VECTORS = "initial", "previous"


class Column(NamedTuple):
    """A parameter that has columns."""

    name: str
    parameter: nn.Parameter


Blocks: TypeAlias = "Sequence[Tensor | tuple[Tensor, Tensor]]"


class TorchScores:
    """Scores of a module's parameters, as `Tape.scores` gives them.

    Columns are in the order of `names`, which is that of ``module.named_parameters()``, each parameter
    flattened in C order as `torch.nn.utils.parameters_to_vector` does it.

    Parameters
    ----------
    columns : sequence of Column
        The parameters that have columns, in their order.
    blocks : sequence of tensors and pairs of tensors
        As `fastfisher.Scores` takes them.
    order : (d,) array, optional
        Where the columns of torch's order are among those of the blocks; default in the same order.
    count : int, optional
        The number of samples, where rows are not samples.

    Attributes
    ----------
    names : tuple of str
        The parameters that have columns, in the order of the columns.
    count : int or None
        The divisor of F where rows are not samples.
    """

    def __init__(
        self,
        columns: Iterable[Column],
        blocks: Blocks,
        *,
        order: NDArray[np.intp] | None = None,
        count: int | None = None,
    ) -> None:
        self._columns, self._blocks = tuple(columns), tuple(blocks)
        self._order, self.count = order, count
        self.names = tuple(column.name for column in self._columns)
        if not self._columns:
            raise ValueError("log_prob: expected it to depend on a trainable parameter of the module")

    @cached_property
    def scores(self) -> Scores:
        """The matrix as the core takes it, sharing the tensors' memory where they lie on the CPU.

        The columns of an exact Fisher's rows are in an order of the core's own; all vectors of this class are
        in torch's.
        """
        return Scores([_native(block) for block in self._blocks])

    @property
    def blocks(self) -> tuple[NativeBlock, ...]:
        """The blocks of `scores`."""
        return self.scores.blocks

    @property
    def tensors(self) -> Blocks:
        """The blocks as tensors, on the device on which they were captured."""
        return self._blocks

    @property
    def shape(self) -> tuple[int, int]:
        """The shape (N, d); (N m, d) where each sample has m rows."""
        return self.scores.shape

    @property
    def parameters(self) -> tuple[nn.Parameter, ...]:
        """The parameters themselves, in the order of `names`."""
        return tuple(column.parameter for column in self._columns)

    def natural_step(
        self,
        advantages: ArrayLike | Tensor | None = None,
        *,
        gradient: VectorLike | None = None,
        **options: Any,
    ) -> Any:
        """Solve for the natural-gradient step of these scores.

        Parameters
        ----------
        advantages : (N,) tensor or array, optional
            A; the gradient is then S^T A / N.  Exactly one of it and `gradient` is given.
        gradient : (d,) tensor or array, or mapping of names to tensors, optional
            The gradient itself.
        **options
            As those of `fastfisher.natural_step`; `initial` and `previous` are taken as `flatten` takes them.

        Returns
        -------
        NaturalStep
            Its vectors are in the order of torch's own; a tuple of them for a sequence of dampings.

        Raises
        ------
        TypeError, ValueError
            If an argument is not as above; the message names it.
        """
        if self.count is not None:
            options.setdefault("count", self.count)
        for name in _VECTORS:
            if options.get(name) is not None:
                options[name] = self._inward(self._vector(options[name], name))
        if gradient is not None:
            gradient = self._inward(self._vector(gradient, "gradient"))
        if isinstance(advantages, Tensor):
            advantages = as_numpy(advantages)
        steps = natural_step(self.scores, advantages, gradient=gradient, **options)
        return (
            tuple(map(self._outward_step, steps)) if isinstance(steps, tuple) else self._outward_step(steps)
        )

    def mean_gradient(self, advantages: ArrayLike | Tensor) -> NDArray[np.float64]:
        """Return the policy gradient S^T A / N, (d,), for advantages (N,)."""
        values = as_numpy(advantages) if isinstance(advantages, Tensor) else advantages
        rows = len(self.scores)
        return self._outward(self.scores.T @ values / (self.count or rows))

    def unflatten(self, vector: VectorLike) -> dict[str, Tensor]:
        """Return a (d,) vector as tensors by name, shaped like the parameters, in the vector's own dtype."""
        flat = self._tensor(vector, "vector")
        return dict(zip(self.names, self._parts(flat), strict=True))

    def flatten(self, tensors: VectorLike) -> Tensor:
        """Return the (d,) vector of tensors that are shaped like the parameters.

        Parameters
        ----------
        tensors : mapping or sequence of tensors, or (d,) array or tensor
            By name, such as ``{name: parameter.grad}``, where others than these names are left aside, or in
            the order of `names`.  A vector is returned as it is.

        Raises
        ------
        KeyError, ValueError
            If a name is missing, or a shape is not its parameter's.
        """
        return self._tensor(tensors, "tensors")

    @torch.no_grad()
    def add_(self, step: VectorLike, scale: float = 1.0) -> TorchScores:
        """Add `scale` times a step to the parameters, in place; return the scores themselves.

        A step that is not finite is a ValueError that names the parameter, and changes nothing.
        """
        factor = _finite(scale)
        flat = self._finite_vector(step, "step")
        for parameter, part in zip(self.parameters, self._parts(flat), strict=True):
            parameter.add_(part.to(parameter.device), alpha=factor)
        return self

    @torch.no_grad()
    def to_grad_(self, direction: VectorLike, scale: float = -1.0) -> TorchScores:
        """Make `scale` times a direction the parameters' ``grad``, in the place of what was there.

        A `torch.optim` optimizer descends, so that the `scale` of a direction to go is negative.
        """
        factor = _finite(scale)
        flat = self._finite_vector(direction, "direction") * factor
        for parameter, part in zip(self.parameters, self._parts(flat), strict=True):
            parameter.grad = part.to(parameter, copy=True)
        return self

    def __add__(self, other: TorchScores) -> TorchScores:
        """Return the columns of both side by side, such as an actor's and a critic's.

        Names that both have are told apart by "0." and "1." before them, as in an `nn.ModuleList` of the two.
        """
        if not isinstance(other, TorchScores):
            return NotImplemented
        mine = {id(parameter): name for name, parameter in self._columns}
        for _, parameter in other._columns:
            if id(parameter) in mine:
                raise ValueError(f"scores: expected no parameter in both, got {mine[id(parameter)]}")
        if self.count != other.count:
            raise ValueError(f"count: expected that of the left side, {self.count}, got {other.count}")
        sides = [self._columns, other._columns]
        if set(self.names) & set(other.names):
            sides = [
                tuple(Column(f"{side}.{name}", parameter) for name, parameter in columns)
                for side, columns in enumerate(sides)
            ]
        order = None
        if self._order is not None or other._order is not None:
            start = self._ends[-1]
            orders = [np.arange(s._ends[-1]) if s._order is None else s._order for s in (self, other)]
            order = np.concatenate([orders[0], orders[1] + start])
        return TorchScores(
            [*sides[0], *sides[1]], [*self._blocks, *other._blocks], order=order, count=self.count
        )

    def __len__(self) -> int:
        return len(self.scores)

    def __repr__(self) -> str:
        return f"TorchScores(shape={self.shape}, names={list(self.names)})"

    # Vectors

    @cached_property
    def _ends(self) -> list[int]:
        return [0, *np.cumsum([parameter.numel() for parameter in self.parameters]).tolist()]

    def _parts(self, flat: Tensor) -> list[Tensor]:
        ends = self._ends
        return [
            flat[start:stop].view(parameter.shape)
            for parameter, start, stop in zip(self.parameters, ends, ends[1:], strict=False)
        ]

    def _tensor(self, vector: Any, name: str) -> Tensor:
        """Return a (d,) tensor of what stands for one."""
        if isinstance(vector, NaturalStep):
            raise TypeError(f"{name}: expected a vector, such as result.step, got the NaturalStep itself")
        if isinstance(vector, Mapping):
            missing = [key for key in self.names if vector.get(key) is None]
            if missing:
                raise KeyError(f"{name}: expected a tensor for each parameter, got none for {missing[0]}")
            vector = [vector[key] for key in self.names]
        if isinstance(vector, (list, tuple)) and vector and isinstance(vector[0], (Tensor, np.ndarray)):
            vector = self._joined(vector, name)
        flat = vector.detach() if isinstance(vector, Tensor) else torch.from_numpy(_contiguous(vector))
        if flat.shape != (self._ends[-1],):
            raise ValueError(
                f"{name}: expected shape ({self._ends[-1]},), one entry a column, got {tuple(flat.shape)}"
            )
        return flat

    def _finite_vector(self, vector: Any, name: str) -> Tensor:
        """Return a (d,) tensor that may go into the parameters."""
        flat = self._tensor(vector, name)
        finite = flat.isfinite()
        if not finite.all():
            place = int(finite.logical_not().nonzero()[0])
            key = self.names[int(np.searchsorted(self._ends, place, side="right")) - 1]
            raise ValueError(f"{name}: expected finite numbers, got {float(flat[place])} at {key}")
        return flat

    def _joined(self, tensors: Sequence[Any], name: str) -> Tensor:
        if len(tensors) != len(self._columns):
            raise ValueError(
                f"{name}: expected {len(self._columns)} tensors, one a parameter, got {len(tensors)}"
            )
        parts = []
        for (key, parameter), tensor in zip(self._columns, map(torch.as_tensor, tensors), strict=True):
            if tensor.shape != parameter.shape:
                raise ValueError(
                    f"{name}: expected shape {tuple(parameter.shape)} for {key}, got {tuple(tensor.shape)}"
                )
            parts.append(tensor.detach().reshape(-1))
        return torch.cat(parts)

    def _vector(self, vector: Any, name: str) -> NDArray[Any]:
        return as_numpy(self._tensor(vector, name))

    def _outward(self, vector: NDArray[Any]) -> NDArray[Any]:
        """Return a vector of the core's columns in torch's order."""
        return vector if self._order is None else vector[self._order]

    def _inward(self, vector: NDArray[Any]) -> NDArray[Any]:
        if self._order is None:
            return vector
        moved = np.empty_like(vector)
        moved[self._order] = vector
        return moved

    def _outward_step(self, step: NaturalStep) -> NaturalStep:
        if self._order is None:
            return step
        step_, direction, gradient = map(self._outward, (step.step, step.direction, step.gradient))
        return dataclasses.replace(step, step=step_, direction=direction, gradient=gradient)


def as_numpy(tensor: Tensor) -> NDArray[Any]:
    """Return a tensor's values as an array, in the same memory where NumPy can have it."""
    tensor = tensor.detach().resolve_conj().resolve_neg()
    if tensor.dtype in (torch.bfloat16, torch.float16):
        tensor = tensor.float()
    return tensor.cpu().numpy()


def _native(block: Tensor | tuple[Tensor, Tensor]) -> FloatArray | tuple[FloatArray, FloatArray]:
    return as_numpy(block) if isinstance(block, Tensor) else (as_numpy(block[0]), as_numpy(block[1]))


def _contiguous(vector: Any) -> NDArray[Any]:
    array = np.asarray(vector)
    if array.dtype.kind != "f":
        array = array.astype(np.float64)
    array = np.ascontiguousarray(array)
    return array if array.flags.writeable else array.copy()


def _finite(scale: Any) -> float:
    value = float(scale)
    if not np.isfinite(value):
        raise ValueError(f"scale: expected a finite number, got {scale!r}")
    return value
