"""Checks of single arguments: what is wrong is named, with what was expected and what came.

Each raises a TypeError for another type, a ValueError for a value out of range; `choice` always the latter.
"""

from __future__ import annotations

import math
from numbers import Real

import numpy as np


def fraction(value: object, name: str) -> float:
    """A number in [0, 1)."""
    share = number(value, name)
    if not share < 1.0:
        raise ValueError(f"{name}: expected a number in [0, 1), got {value!r}")
    return share


def number(value: object, name: str, *, positive: bool = False) -> float:
    """A finite real number, not negative; `positive`: nor zero."""
    expected = f"{name}: expected a finite number {'> 0' if positive else '>= 0'}, got {value!r}"
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Real):
        raise TypeError(expected)
    try:
        real = float(value)
    except OverflowError:  # an integer beyond float64
        raise ValueError(expected) from None
    if not math.isfinite(real) or real < 0.0 or (positive and real == 0.0):
        raise ValueError(expected)
    return real


def whole(value: object, name: str, *, least: int = 0, most: int = 2**31 - 1) -> int:
    """An integer between two bounds, both among them."""
    expected = f"{name}: expected a whole number from {least} to {most}, got {value!r}"
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise TypeError(expected)
    if not least <= value <= most:
        raise ValueError(expected)
    return int(value)


def flag(value: object, name: str) -> bool:
    """True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name}: expected True or False, got {value!r}")
    return bool(value)


def choice(value: object, name: str, choices: tuple[str, ...]) -> str:
    """One of some words."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name}: expected one of {', '.join(map(repr, choices))}, got {value!r}")
    return value
