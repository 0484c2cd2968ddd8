"""Which parameters are read by dense products alone: their scores are outer products of inputs and errors.

For z = x W the score of one sample with respect to W is the outer product of x and the error d log pi / dz,
and that with respect to a bias added to z is the error.  A parameter is handled so where every equation that
reads it is such a product, be it once, or at every position of a sequence, or under several transposes; one
equation of another kind leaves it to automatic differentiation.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp

from .program import Equation, Program


@dataclass(frozen=True)
class Product:
    """A dense product of one sample that reads a parameter: T positions, P inputs and Q outputs.

    Attributes
    ----------
    parameter : int
        Index of the leaf.
    inputs, outputs : int
        Slots of the other operand and of the product.
    input_axes, output_axes : tuple of int
        Their axes, those of the positions first, the others in the order of the parameter's axes.
    sizes : (T, P, Q)
    inputs_first : bool
        Whether the parameter's leading axes are the inputs': its score is then inputs x errors, flattened, as
        of a flax kernel (P, Q); else errors x inputs, as of an equinox weight (Q, P).
    """

    parameter: int
    inputs: int
    outputs: int
    input_axes: tuple[int, ...]
    output_axes: tuple[int, ...]
    sizes: tuple[int, int, int]
    inputs_first: bool

    def input_rows(self, values: Any) -> Any:
        """Return the inputs as (T, P)."""
        positions, inputs, _ = self.sizes
        return jnp.transpose(values, self.input_axes).reshape(positions, inputs)

    def error_rows(self, errors: Any) -> Any:
        """Return errors with respect to the product as (T, Q)."""
        positions, _, outputs = self.sizes
        return jnp.transpose(errors, self.output_axes).reshape(positions, outputs)


def dense_products(program: Program, parameters: int) -> dict[int, list[Product]]:
    """Return the products that read each of the first inputs of a program, where nothing else reads it."""
    views = {slot: (k, tuple(range(program.shapes[slot].ndim))) for k, slot in enumerate(program.inputs)}
    views = {slot: view for slot, view in views.items() if view[0] < parameters}
    found: dict[int, list[Product]] = defaultdict(list)
    others: set[int] = set()
    for equation in program.equations:
        read = [slot for slot in equation.reads if slot in views]
        if not read:
            continue
        parameter, axes = views[read[0]]
        if equation.name in ("convert_element_type", "copy") and _is_float(program, equation.writes[0]):
            views[equation.writes[0]] = parameter, axes
        elif equation.name == "transpose":
            moved = tuple(axes[axis] for axis in equation.options["permutation"])
            views[equation.writes[0]] = parameter, moved
        else:
            product = None
            if equation.name == "dot_general" and len(read) == 1:
                product = _product(program, equation, read[0], parameter, axes)
            if product is None:
                others.update(views[slot][0] for slot in read)
            else:
                found[parameter].append(product)
    others.update(views[slot][0] for slot in program.outputs if slot in views)
    return {parameter: products for parameter, products in found.items() if parameter not in others}


def _is_float(program: Program, slot: int) -> bool:
    return bool(jnp.issubdtype(program.shapes[slot].dtype, jnp.floating))


def _product(
    program: Program, equation: Equation, view: int, parameter: int, axes: Sequence[int]
) -> Product | None:
    """Return a product with a parameter, seen with its axes in another order, where it is a dense one."""
    contracted, batched = equation.options["dimension_numbers"]
    if len(batched[0]):
        return None
    side = equation.reads.index(view)
    other = equation.reads[1 - side]
    shape, other_shape = (program.shapes[slot].shape for slot in (view, other))
    # Summed axes, as pairs of one of the parameter and one of the other operand, in the parameter's order.
    summed = sorted(
        (axes[int(mine)], int(its)) for mine, its in zip(contracted[side], contracted[1 - side], strict=True)
    )
    summed_of_parameter = [mine for mine, _ in summed]
    kept = [axis for axis in range(len(axes)) if axes[axis] not in summed_of_parameter]
    inputs_first = summed_of_parameter == list(range(len(summed)))
    if not inputs_first and summed_of_parameter != list(range(len(kept), len(axes))):
        return None
    positions = [axis for axis in range(len(other_shape)) if axis not in [its for _, its in summed]]
    # Axes of the product: those that are left of its first operand, then those of its second.
    mine_at, positions_at = (0, len(kept)) if side == 0 else (len(positions), 0)
    kept_in_order = sorted(range(len(kept)), key=lambda k: axes[kept[k]])
    return Product(
        parameter,
        other,
        equation.writes[0],
        (*positions, *(its for _, its in summed)),
        (*(positions_at + k for k in range(len(positions))), *(mine_at + k for k in kept_in_order)),
        (
            math.prod(other_shape[axis] for axis in positions),
            math.prod(other_shape[its] for _, its in summed),
            math.prod(shape[axis] for axis in kept),
        ),
        inputs_first,
    )


def biases(program: Program, parameters: int, products: Sequence[Product]) -> dict[int, Product]:
    """Return which parameters are a bias of one of the products: their scores are its errors.

    The products have one position each.  One whose result goes somewhere else as well has other errors than
    its bias, and is left out; so is a parameter that is read twice.
    """
    readers = program.readers()
    flat = {}
    for parameter, slot in enumerate(program.inputs[:parameters]):
        for place in _unmoved(program, readers, slot):
            flat[place] = parameter
    found = {}
    for product in products:
        if not _keeps_order(product.output_axes, program.shapes[product.outputs].shape):
            continue
        last = _unmoved(program, readers, product.outputs)[-1]
        adders = readers[last]
        if len(adders) != 1 or adders[0] is None or adders[0].name not in ("add", "add_any"):
            continue
        terms = [slot for slot in adders[0].reads if slot != last]
        sizes = {program.shapes[slot].size for slot in (*adders[0].reads, *adders[0].writes)}
        if len(terms) == 1 and terms[0] in flat and len(sizes) == 1 and len(readers[terms[0]]) == 1:
            found[flat[terms[0]]] = product
    return found


def _unmoved(program: Program, readers: Mapping[int, Sequence[Equation | None]], slot: int) -> list[int]:
    """Return a slot and those that hold its numbers in its order, as far as one reads the other alone."""
    found = [slot]
    while len(readers[slot]) == 1 and (equation := readers[slot][0]) is not None:
        before, after = program.shapes[slot], program.shapes[equation.writes[0]]
        same = equation.name in ("reshape", "squeeze", "broadcast_in_dim") or (
            equation.name == "transpose" and _keeps_order(equation.options["permutation"], before.shape)
        )
        if not same or before.size != after.size:
            break
        slot = equation.writes[0]
        found.append(slot)
    return found


def _keeps_order(axes: Sequence[int], shape: Sequence[int]) -> bool:
    """Tell whether a transpose moves no axis but those of one entry."""
    moved = [axis for axis in axes if shape[axis] != 1]
    return moved == sorted(moved)
