"""A function as a straight line of equations, so that what reads a parameter can be seen, and outputs moved.

JAX traces a function to a jaxpr, in which functions under `jit`, `checkpoint` and the like stand as calls.
`straighten` writes such calls out.  What has a derivative of its own (`custom_jvp`, `custom_vjp`), loops and
branches stay one equation each, and mean what they meant.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import count
from typing import Any

from jax.extend.core import Literal

CALLS = frozenset({"jit", "pjit", "closed_call", "core_call", "remat", "remat2", "checkpoint"})
"""Primitives that mean what the jaxpr inside of them means."""


@dataclass(frozen=True)
class Equation:
    """One primitive: the slots that it reads and those that it writes."""

    traced: Any
    reads: tuple[int, ...]
    writes: tuple[int, ...]

    @property
    def name(self) -> str:
        """The primitive's name."""
        return str(self.traced.primitive.name)

    @property
    def options(self) -> Mapping[str, Any]:
        """The primitive's parameters."""
        options: Mapping[str, Any] = self.traced.params
        return options

    def evaluate(self, values: Sequence[Any]) -> Sequence[Any]:
        """Return what it writes, given what it reads."""
        primitive = self.traced.primitive
        bound = primitive.get_bind_params(self.options)
        # A dict since JAX 0.10; a list of functions and a dict before.
        functions, options = bound if isinstance(bound, tuple) else ((), bound)
        context = getattr(self.traced, "ctx", None)
        with nullcontext() if context is None else context.manager:
            results = primitive.bind(*functions, *values, **options)
        return results if primitive.multiple_results else [results]


@dataclass(frozen=True)
class Program:
    """Equations in order, on numbered slots.

    Attributes
    ----------
    inputs, outputs : tuple of int
        Slots of the function's arguments and results.
    constants : dict of int to array
        What slots hold from the start: literals, and arrays that the function closes over.
    equations : tuple of Equation
        Those that an output depends on.
    shapes : dict of int to ShapedArray
        Shape and dtype of what each slot holds.
    """

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    constants: Mapping[int, Any]
    equations: tuple[Equation, ...]
    shapes: Mapping[int, Any]

    def run(self, arguments: Sequence[Any], added: Mapping[int, Any]) -> dict[int, Any]:
        """Return what all slots hold, where `added` is added to some as they are written."""
        held = {**self.constants, **dict(zip(self.inputs, arguments, strict=True))}
        for equation in self.equations:
            results = equation.evaluate([held[slot] for slot in equation.reads])
            for slot, result in zip(equation.writes, results, strict=True):
                held[slot] = result + added[slot] if slot in added else result
        return held

    def readers(self) -> dict[int, list[Equation | None]]:
        """Return the equations that read each slot, an entry a use; None stands for the function's caller."""
        found: dict[int, list[Equation | None]] = {slot: [] for slot in self.shapes}
        for equation in self.equations:
            for slot in equation.reads:
                found[slot].append(equation)
        for slot in self.outputs:
            found[slot].append(None)
        return found


def straighten(closed: Any) -> Program:
    """Return the program of a closed jaxpr."""
    line = _Line()
    inputs = tuple(map(line.slot_of, closed.jaxpr.invars))
    outputs = line.write(closed.jaxpr, closed.consts, inputs)
    return Program(inputs, outputs, line.constants, _needed(line.equations, outputs), line.shapes)


class _Line:
    """The program as far as it is written."""

    def __init__(self) -> None:
        self.constants: dict[int, Any] = {}
        self.equations: list[Equation] = []
        self.shapes: dict[int, Any] = {}
        self._slots: Iterator[int] = count()

    def slot_of(self, variable: Any) -> int:
        """Return a new slot for a variable."""
        slot = next(self._slots)
        self.shapes[slot] = variable.aval
        return slot

    def write(self, jaxpr: Any, constants: Sequence[Any], arguments: Sequence[int]) -> tuple[int, ...]:
        """Write the equations of a jaxpr whose arguments are in slots; return the slots of its results."""
        place = dict(zip(jaxpr.invars, arguments, strict=True))
        for variable, constant in zip(jaxpr.constvars, constants, strict=True):
            place[variable] = self.slot_of(variable)
            self.constants[place[variable]] = constant

        def read(atom: Any) -> int:
            if not isinstance(atom, Literal):
                found: int = place[atom]
                return found
            slot = self.slot_of(atom)
            self.constants[slot] = atom.val
            return slot

        for traced in jaxpr.eqns:
            reads = tuple(map(read, traced.invars))
            inner = traced.params.get("jaxpr") or traced.params.get("call_jaxpr")
            if traced.primitive.name in CALLS and inner is not None:
                is_closed = hasattr(inner, "consts")
                writes = self.write(
                    inner.jaxpr if is_closed else inner, inner.consts if is_closed else (), reads
                )
            else:
                writes = tuple(map(self.slot_of, traced.outvars))
                self.equations.append(Equation(traced, reads, writes))
            place.update(zip(traced.outvars, writes, strict=True))
        return tuple(map(read, jaxpr.outvars))


def _needed(equations: Sequence[Equation], outputs: Sequence[int]) -> tuple[Equation, ...]:
    """Return the equations that an output depends on."""
    wanted, kept = set(outputs), []
    for equation in reversed(equations):
        if wanted.intersection(equation.writes):
            wanted.update(equation.reads)
            kept.append(equation)
    return tuple(reversed(kept))
