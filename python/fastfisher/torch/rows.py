"""Rows of an exact Fisher matrix: several for each sample, put together from what each root gave.

A layer's inputs are the same for all m rows of a sample, so that they are stored once, as the left side of
a pair (N, p), (N, m, q).  The columns of such a block are those of the weight's transpose, and of the bias
below it where the inputs have a column of ones.  A parameter that does not depend on the input, such as
log_std, has the same m rows for every sample: they are kept once, with the weight sqrt(N).

What each backward pass finds is put at once where the core reads it, in room that has a place for the rows of
all roots and for those that are kept once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .certificate import Sum, sum_of_rows
from .rules import Factor, as_product, is_same, written_out

_ROUNDINGS = 16.0
_FEW = 8


class Room:
    """Where rows are put: (N + padding, m, k) for each parameter, the m of all roots one after another.

    Parameters
    ----------
    samples : int
        N.
    varying, constants : int
        The rows a sample of the roots whose rows differ from sample to sample, and of the others, which are
        kept once, in the padding.
    """

    def __init__(self, samples: int, varying: int, constants: int) -> None:
        self.samples, self.varying = samples, varying
        self.padding = -(-constants // varying) if varying else 0
        self._found: dict[str, Tensor] = {}

    def of(self, name: str, columns: int, like: Tensor) -> Tensor:
        """Return the room for a parameter's rows; roots that have as many columns for it share it."""
        shape = self.samples + self.padding, self.varying, columns
        room = self._found.get(name)
        if room is None or room.shape != shape or room.dtype != like.dtype or room.device != like.device:
            room = self._found[name] = empty(shape, like)
        return room


def empty(shape: tuple[int, ...], like: Tensor) -> Tensor:
    """Return a new tensor, on the CPU in memory of NumPy's.

    It asks for large pages where the system has them, and filling those takes a quarter of the time.
    """
    if like.device.type != "cpu":
        return like.new_empty(shape)
    return torch.from_numpy(np.empty(shape, like.new_empty(0).numpy().dtype))


class Rows(NamedTuple):
    """The m rows a sample of one parameter: (N, m, k) `dense`, or `inputs` (N, p) and `errors` (N, m, q).

    `bias_of` names the weight whose errors the rows are, `constant` tells that all samples have the same, and
    `room` is what `dense` or `errors` is a part of.
    """

    dense: Tensor | None = None
    inputs: Tensor | None = None
    errors: Tensor | None = None
    bias_of: str | None = None
    constant: bool = False
    room: Tensor | None = None

    def written_out(self) -> Tensor:
        """Return the rows as (N, m, k), in the order of the parameter's own entries."""
        if self.dense is not None:
            return self.dense
        assert self.errors is not None
        assert self.inputs is not None
        return (self.errors.unsqueeze(-1) * self.inputs[:, None, None, :]).flatten(2)

    def weighted_sum(self, weights: Tensor) -> Sum:
        """Return the sum of all rows by weights (N, m)."""
        if self.dense is not None:
            return sum_of_rows(self.dense.flatten(0, 1), weights.flatten())
        assert self.errors is not None
        assert self.inputs is not None
        total = torch.einsum("nmq,nm->nq", self.errors, weights.to(self.errors)).T @ self.inputs
        squares = (weights.to(self.errors) ** 2 * (self.errors**2).sum(2)).sum(1) @ (self.inputs**2).sum(1)
        return Sum(total, math.sqrt(float(squares)))


def rows_of(passes: Iterable[Mapping[str, Factor]], m: int, room: Room, first: int) -> dict[str, Rows]:
    """Return the rows of each parameter from the factors of one root's m backward passes.

    They are rows `first` to ``first + m`` of each sample in the room.
    """
    rest = iter(passes)
    begun = list(islice(rest, 2))
    found = _places(begun, m, room, first)
    begun.reverse()
    for k in range(m):
        factors = begun.pop() if begun else next(rest)
        for name, rows in found.items():
            _put(k, factors[name], rows, name)
        del factors  # before the next pass, which takes its memory
    return {name: rows._replace(constant=_all_same(rows)) for name, rows in found.items()}


def _places(begun: Sequence[Mapping[str, Factor]], m: int, room: Room, first: int) -> dict[str, Rows]:
    """Return where each parameter's rows go, by what the first two passes brought."""
    found: dict[str, Rows] = {}
    weights: dict[int, str] = {}
    for name in begun[0]:
        products = [product for factors in begun if (product := as_product(factors[name])) is not None]
        if len(products) == len(begun) and is_same(products[0][1], products[-1][1]):
            errors, inputs = products[0]
            whole = room.of(name, errors.shape[1], errors)
            rows = whole[: room.samples, first : first + m]
            found[name] = Rows(inputs=inputs, errors=rows, room=whole)
            weights[errors.data_ptr()] = name
    for name, factor in begun[0].items():
        if name in found:
            continue
        weight = weights.get(factor.data_ptr()) if isinstance(factor, Tensor) else None
        if weight is not None and isinstance(factor, Tensor):
            errors_of_weight = found[weight].errors
            assert errors_of_weight is not None
            if errors_of_weight[:, 0].shape == factor.shape:
                found[name] = Rows(dense=errors_of_weight, bias_of=weight)
                continue
        flat = written_out(factor)
        whole = room.of(name, flat.shape[1], flat)
        found[name] = Rows(dense=whole[: room.samples, first : first + m], room=whole)
    return found


def _all_same(rows: Rows) -> bool:
    return rows.dense is not None and rows.bias_of is None and is_constant(rows.dense)


def _put(k: int, factor: Factor, rows: Rows, name: str) -> None:
    """Put what one backward pass found into row k of each sample."""
    if rows.dense is not None:
        if rows.bias_of is None:
            rows.dense[:, k] = written_out(factor)
        return
    product = as_product(factor)
    assert rows.inputs is not None
    assert rows.errors is not None
    if product is None or not is_same(product[1], rows.inputs):
        raise RuntimeError(f"{name}: expected a rule that gives the same inputs in each backward pass")
    rows.errors[:, k] = product[0]


def joined(
    roots: Sequence[Mapping[str, Rows]], sizes: Sequence[tuple[str, int]]
) -> tuple[list[Tensor | tuple[Tensor, Tensor]], NDArray[np.intp]]:
    """Put the rows of several roots below one another, and the parameters' columns side by side.

    Parameters
    ----------
    roots : sequence of mappings
        The rows of each parameter that the root reaches, by name.
    sizes : sequence of (str, int)
        The parameters, in torch's order, and how many entries each has.

    Returns
    -------
    list of blocks, (d,) array
        The blocks, and where among their columns those of torch's order are.
    """
    layout = _Layout.of(roots)
    blocks: list[Tensor | tuple[Tensor, Tensor]] = []
    places: dict[str, NDArray[np.intp]] = {}
    biases = {
        rows.bias_of: name for found in roots for name, rows in found.items() if rows.bias_of is not None
    }
    start = 0
    for name, size in sizes:
        if name in places:
            continue
        each = [found.get(name) for found in roots]
        inputs = _shared_inputs(each)
        if inputs is None:
            blocks.append(layout.dense(each, size))
            places[name] = np.arange(start, start + size)
            start += size
            continue
        bias = biases.get(name)
        if bias is not None and not all(
            found.get(bias) is None or found[bias].bias_of == name for found in roots
        ):
            bias = None
        left, right = layout.pair(each, inputs, ones=bias is not None)
        blocks.append((left, right))
        q, p = right.shape[2], inputs.shape[1]
        places[name] = start + np.arange(p * q).reshape(p, q).T.reshape(-1)
        start += p * q
        if bias is not None:
            places[bias] = np.arange(start, start + q)
            start += q
    return blocks, np.concatenate([places[name] for name, _ in sizes])


class _Layout(NamedTuple):
    """Where the rows of each root are: `first` is its first among the m of a sample, None where constant."""

    samples: int
    repeats: int
    counts: tuple[int, ...]
    first: tuple[int | None, ...]
    constants: int
    padding: int
    """Samples of zeros, whose rows hold those of the constant roots."""

    @classmethod
    def of(cls, roots: Sequence[Mapping[str, Rows]]) -> _Layout:
        first: list[int | None] = []
        counts: list[int] = []
        repeats = constants = samples = 0
        for found in roots:
            sides = [rows.dense if rows.dense is not None else rows.errors for rows in found.values()]
            shapes = [side.shape for side in sides if side is not None]
            if not shapes:
                first.append(None)
                counts.append(0)
                continue
            samples, m = shapes[0][:2]
            counts.append(m)
            if all(rows.constant for rows in found.values()):
                first.append(None)
                constants += m
            else:
                first.append(repeats)
                repeats += m
        padding = -(-constants // repeats) if repeats else 0
        return cls(samples, repeats, tuple(counts), tuple(first), constants, padding)

    def _room(self, each: Sequence[Rows | None]) -> Tensor | None:
        """Return the room that the rows of all roots are in, its rest filled with zeros, if they are."""
        given = [rows for rows in each if rows is not None]
        if given[0].room is None:
            return None
        room: Tensor = given[0].room
        if room.shape[:2] != (self.samples + self.padding, self.repeats):
            return None
        for rows, first in zip(each, self.first, strict=True):
            if rows is None:
                continue
            side = rows.dense if rows.dense is not None else rows.errors
            if first is None or side is None or side.data_ptr() != room[:, first:].data_ptr():
                return None
            if rows.room is not room:
                return None
        for rows, first, m in zip(each, self.first, self.counts, strict=True):
            if rows is None and first is not None:
                room[: self.samples, first : first + m] = 0.0
        room[self.samples :] = 0.0
        return room

    def dense(self, each: Sequence[Rows | None], size: int) -> Tensor:
        """Return the block of a parameter with `size` entries, all rows below one another."""
        given = [rows.written_out() for rows in each if rows is not None]
        room = self._room(each)
        if room is not None:
            return room.flatten(0, 1)
        varying = self.samples * self.repeats
        rows_ = varying + (self.padding * self.repeats if self.repeats else self.constants)
        block = given[0].new_zeros(rows_, size)
        per_sample = block[:varying].view(self.samples, self.repeats, size) if varying else None
        at = varying
        for rows, first, m in zip(each, self.first, self.counts, strict=True):
            if rows is None:
                at += m if first is None else 0
                continue
            dense = rows.written_out()
            if first is None:
                block[at : at + m] = math.sqrt(self.samples) * dense[0]
                at += m
            else:
                assert per_sample is not None
                per_sample[:, first : first + dense.shape[1]] = dense
        return block

    def pair(self, each: Sequence[Rows | None], inputs: Tensor, *, ones: bool) -> tuple[Tensor, Tensor]:
        """Return the block of a weight whose inputs are the same for all roots."""
        p = inputs.shape[1]
        left = inputs
        if ones or self.padding:
            left = empty((self.samples + self.padding, p + ones), inputs)
            left[: self.samples, :p] = inputs
            left[: self.samples, p:] = 1.0
            left[self.samples :] = 0.0
        room = self._room(each)
        if room is not None:
            return left, room
        given = [rows for rows in each if rows is not None]
        assert given[0].errors is not None
        right = given[0].errors.new_zeros(self.samples + self.padding, self.repeats, given[0].errors.shape[2])
        for rows, first in zip(each, self.first, strict=True):
            if rows is not None:
                assert rows.errors is not None
                assert first is not None
                right[: self.samples, first : first + rows.errors.shape[1]] = rows.errors
        return left, right


def is_constant(values: Tensor) -> bool:
    """Tell whether all samples have the same values, but for the rounding of packets and their remainders."""
    first = values[:1]
    if torch.equal(values, first.expand_as(values)):
        return True
    bound = _ROUNDINGS * torch.finfo(values.dtype).eps * float(first.abs().amax())
    # Most that vary do so at once, and need not be read to their end.
    return all(bool(((some - first).abs() <= bound).all()) for some in (values[:_FEW], values[_FEW:]))


def _shared_inputs(each: Sequence[Rows | None]) -> Tensor | None:
    """Return the inputs that the rows of all roots are products with, None where there are none such."""
    given = [rows for rows in each if rows is not None]
    first = given[0].inputs
    if first is None or any(rows.inputs is None or not is_same(rows.inputs, first) for rows in given):
        return None
    return first
