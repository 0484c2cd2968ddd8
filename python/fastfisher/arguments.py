"""Checks of single arguments: what is wrong is named, with what was expected and what came.

Every argument comes here, a function's, a config's field or a flag of the command line.  A dataclass has the
bounds of a field beside it, as ``Annotated[float | None, Bounds(above=0.0)]``, and `check_fields` holds it to
them.

Each check raises a TypeError for another type and a ValueError for a value out of range; `choice` always the
latter.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Real
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np

MOST_THREADS = 1024


@dataclass(frozen=True)
class Bounds:
    """The interval that a number has to lie in, open to infinity where nothing is said."""

    at_least: float = -math.inf
    above: float = -math.inf
    at_most: float = math.inf
    below: float = math.inf

    def __contains__(self, value: float) -> bool:
        """Whether a finite number lies in the interval."""
        return self.at_least <= value <= self.at_most and self.above < value < self.below

    def __str__(self) -> str:
        """What follows "a number" in a message: " from 0 to 1", " > 0 and < 1", or nothing."""
        if math.isfinite(self.at_least) and math.isfinite(self.at_most):
            return f" from {_plain(self.at_least)} to {_plain(self.at_most)}"
        sides = {">=": self.at_least, ">": self.above, "<=": self.at_most, "<": self.below}
        given = [f"{sign} {_plain(side)}" for sign, side in sides.items() if math.isfinite(side)]
        return f" {' and '.join(given)}" if given else ""


_NOT_NEGATIVE, _POSITIVE, _FRACTION = Bounds(at_least=0), Bounds(above=0), Bounds(at_least=0, below=1)


def number(
    value: object, name: str, bounds: Bounds = _NOT_NEGATIVE, *, positive: bool = False, ending: str = ""
) -> float:
    """Return a finite real number within bounds: not negative, where none are given; `positive`: nor zero.

    `ending` ends the message's description, with what else may be; so it does below.
    """
    bounds = _POSITIVE if positive else bounds
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    expected = "a finite number", bounds, ending
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Real):
        raise TypeError(_message(name, value, *expected))
    try:
        real = float(value)
    except OverflowError:  # an integer beyond float64
        raise ValueError(_message(name, value, *expected)) from None
    if not math.isfinite(real) or real not in bounds:
        raise ValueError(_message(name, value, *expected))
    return real


def fraction(value: object, name: str) -> float:
    """Return a number in [0, 1)."""
    return number(value, name, _FRACTION)


def whole(value: object, name: str, *, least: float = 0, most: float = 2**31 - 1) -> int:
    """Return an integer between two bounds, both among them."""
    return _whole(value, name, Bounds(at_least=least, at_most=most))


def flag(value: object, name: str, *, ending: str = "") -> bool:
    """Return True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(_message(name, value, "True or False", ending))
    return bool(value)


def choice(value: object, name: str, choices: tuple[str, ...], *, ending: str = "") -> str:
    """Return one of some words."""
    if not isinstance(value, str) or value not in choices:
        words = ", ".join(map(repr, choices))
        raise ValueError(_message(name, value, f"one of {words}", ending))
    return str(value)


def check_fields(instance: object, kind: type, spelled: Callable[[str], str] = str) -> None:
    """Hold the fields of a dataclass, a frozen one too, to the annotations of its class or of a base.

    An annotation is ``float``, ``int``, ``bool``, ``tuple[int, ...]``, a Literal of words, a mapping or
    another class, any of these ``| None``, and any of all these ``Annotated`` with `Bounds`.  A field becomes
    what its annotation says: integers may stand for reals, NumPy's numbers for Python's, lists for tuples.

    Parameters
    ----------
    instance, kind
        The dataclass, and the class whose annotations count.
    spelled
        From a field's name to what the message calls it.
    """
    for name, expectation in _expectations(kind).items():
        value = _check(getattr(instance, name), spelled(name), *expectation)
        object.__setattr__(instance, name, value)


@functools.cache
def _expectations(kind: type) -> Mapping[str, tuple[Any, Bounds, str]]:
    return {name: _read(hint) for name, hint in get_type_hints(kind, include_extras=True).items()}


def _read(hint: Any) -> tuple[Any, Bounds, str]:
    """Return an annotation's type, its bounds, and " or None" where it may be None."""
    bounds, ending = Bounds(), ""
    if get_origin(hint) is Annotated:
        hint, *extras = get_args(hint)
        bounds = next((extra for extra in extras if isinstance(extra, Bounds)), bounds)
    if get_origin(hint) in (Union, UnionType):
        kinds = [kind for kind in get_args(hint) if kind is not NoneType]
        ending = " or None" if len(kinds) < len(get_args(hint)) else ""
        (hint,) = kinds
    return hint, bounds, ending


def _check(value: object, name: str, kind: Any, bounds: Bounds, ending: str) -> Any:
    if value is None and ending:
        return None
    if kind is bool:
        return flag(value, name, ending=ending)
    if kind is int:
        return _whole(value, name, bounds, ending)
    if kind is float:
        return number(value, name, bounds, ending=ending)
    origin = get_origin(kind) or kind
    if origin is Literal:
        return choice(value, name, get_args(kind), ending=ending)
    if origin is tuple:
        return _wholes(value, name, bounds, ending)
    words = {str: "a string", dict: "a mapping"}.get(origin, f"a {origin.__name__}")
    if not isinstance(value, Mapping if origin is dict else origin):
        raise TypeError(_message(name, value, words, ending))
    return dict(value) if isinstance(value, Mapping) else value


def _whole(value: object, name: str, bounds: Bounds, ending: str = "") -> int:
    expected = "a whole number", bounds, ending
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise TypeError(_message(name, value, *expected))
    if int(value) not in bounds:
        raise ValueError(_message(name, value, *expected))
    return int(value)


def _wholes(values: object, name: str, bounds: Bounds, ending: str) -> tuple[int, ...]:
    try:
        if not isinstance(values, (tuple, list)):
            raise TypeError
        return tuple(_whole(value, name, bounds) for value in values)
    except (TypeError, ValueError) as error:
        message = _message(name, values, "a tuple of whole numbers", bounds, ending)
        raise type(error)(message) from None


def _message(name: str, value: object, *expected: object) -> str:
    return f"{name}: expected {''.join(map(str, expected))}, got {value!r}"


def _plain(bound: float) -> str:
    """Return a bound as a reader writes it: 1, not 1.0."""
    return str(int(bound) if bound == int(bound) else bound)
