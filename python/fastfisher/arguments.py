"""Checks of single arguments; each message names the argument, what was expected and what came.

The arguments of functions, the fields of configs and the flags of the command line all come here.  A
dataclass states the bounds of a field beside it, as ``Annotated[float | None, Bounds(above=0.0)]``, and
`check_fields` applies them.  Every check raises a TypeError for a wrong type and a ValueError for a value out
of range, except that `choice` always raises a ValueError.
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


@dataclass(frozen=True)
class Bounds:
    """The interval that a number has to lie in; a side that is not given is open to infinity."""

    at_least: float = -math.inf
    above: float = -math.inf
    at_most: float = math.inf
    below: float = math.inf

    def __contains__(self, value: float) -> bool:
        """Tell whether a finite number lies in the interval."""
        return self.at_least <= value <= self.at_most and self.above < value < self.below

    def __str__(self) -> str:
        """Return what follows "a number" in a message: " from 0 to 1", " > 0 and < 1", or nothing."""
        if math.isfinite(self.at_least) and math.isfinite(self.at_most):
            return f" from {_plain(self.at_least)} to {_plain(self.at_most)}"
        sides = {">=": self.at_least, ">": self.above, "<=": self.at_most, "<": self.below}
        given = [f"{sign} {_plain(side)}" for sign, side in sides.items() if math.isfinite(side)]
        return f" {' and '.join(given)}" if given else ""


NOT_NEGATIVE, POSITIVE = Bounds(at_least=0), Bounds(above=0)
COUNT = Bounds(at_least=0, at_most=2**31 - 1)


def number(value: object, name: str, bounds: Bounds = NOT_NEGATIVE, *, ending: str = "") -> float:
    """Return a finite real number within bounds, as a float.

    `ending` closes the description in the message with what else may be given; every check has it.
    """
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    expected = "a finite number", bounds, ending
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Real):
        raise TypeError(_message(name, value, *expected))
    try:
        real = float(value)
    except OverflowError:  # an integer beyond float64
        real = math.inf
    if not math.isfinite(real) or real not in bounds:
        raise ValueError(_message(name, value, *expected))
    return real


def whole(value: object, name: str, bounds: Bounds = COUNT, *, ending: str = "") -> int:
    """Return an integer within bounds."""
    expected = "a whole number", bounds, ending
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise TypeError(_message(name, value, *expected))
    if int(value) not in bounds:
        raise ValueError(_message(name, value, *expected))
    return int(value)


def refuse_masked(values: object, name: str) -> None:
    """Refuse an array with masked entries, whose data may be anything, or a list or dict that holds one."""
    if _has_mask(values):
        raise ValueError(
            f"{name}: expected an array without masked entries, got some: fill them, or leave their rows out"
        )


def _has_mask(values: object) -> bool:
    if isinstance(values, dict):
        return any(map(_has_mask, values.values()))
    if isinstance(values, (list, tuple)):
        return any(_has_mask(v) for v in values if isinstance(v, (np.ma.MaskedArray, list, tuple)))
    return isinstance(values, np.ma.MaskedArray) and bool(np.ma.is_masked(values))


def thread_count(value: object, name: str) -> int:
    """Return a number of threads as the core takes it, where 0 stands for the process's own setting."""
    return 0 if value is None else whole(value, name, Bounds(at_least=1, at_most=1024))


def flag(value: object, name: str, *, ending: str = "") -> bool:
    """Return True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(_message(name, value, "True or False", ending))
    return bool(value)


def choice(value: object, name: str, choices: tuple[str, ...], *, ending: str = "") -> str:
    """Return the value where it is one of the words in `choices`."""
    if not isinstance(value, str) or value not in choices:
        words = ", ".join(map(repr, choices))
        raise ValueError(_message(name, value, f"one of {words}", ending))
    return str(value)


def json_value(value: object, name: str, *, ending: str = "") -> Any:
    """Return a copy of a value that JSON gives back as it was: its types, too, at every depth.

    NumPy's numbers and strings become Python's, which mean the same.  A tuple would come back as a list,
    and a key that is no string as one: they are refused, by the name of the place where they are.
    """
    if isinstance(value, np.generic) and type(value.item()) in (bool, int, float, str):
        value = value.item()
    if type(value) is dict:
        copies = {}
        for key, entry in value.items():
            if not isinstance(key, str):
                raise TypeError(
                    _message(f"{name}, key {key!r}", key, "a string, as keys are in JSON", ending)
                )
            copies[str(key)] = json_value(entry, f"{name}[{str(key)!r}]", ending=ending)
        return copies
    if type(value) is list:
        return [json_value(entry, f"{name}[{place}]", ending=ending) for place, entry in enumerate(value)]
    if value is not None and type(value) not in (bool, int, float, str):
        kinds = "a number, a string, a list, a dict or None, which JSON keeps as they are"
        raise TypeError(_message(name, value, kinds, ending))
    return value


def check_fields(instance: object, kind: type, spelled: Callable[[str], str] = str) -> None:
    """Hold the fields of a dataclass, a frozen one too, to the annotations of `kind`, its class or a base.

    An annotation is ``float``, ``int``, ``bool``, ``tuple[int, ...]``, a Literal of words, a mapping or
    another class, any of these ``| None``, and any of all these ``Annotated`` with `Bounds`.  A field becomes
    what its annotation says: integers may stand for reals, reals such as 1e6 for integers, NumPy's numbers
    for Python's, lists and arrays for tuples.
    `spelled` turns a field's name into what the message calls it.
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
        if isinstance(value, (float, np.floating)) and float(value).is_integer():
            value = int(value)
        return whole(value, name, bounds, ending=ending)
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


def _wholes(values: object, name: str, bounds: Bounds, ending: str) -> tuple[int, ...]:
    try:
        if not isinstance(values, (tuple, list, np.ndarray)):
            raise TypeError
        return tuple(whole(value, name, bounds) for value in values)
    except (TypeError, ValueError) as error:
        message = _message(name, values, "a tuple of whole numbers", bounds, ending)
        raise type(error)(message) from None


def _message(name: str, value: object, *expected: object) -> str:
    return f"{name}: expected {''.join(map(str, expected))}, got {value!r}"


def _plain(bound: float) -> str:
    """Return a bound as a reader writes it: 1, not 1.0."""
    return str(int(bound) if bound == int(bound) else bound)
