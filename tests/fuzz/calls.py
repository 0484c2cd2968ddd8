"""Random calls of the step: scores of all kinds with every option, and what they mean in long double."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, get_args

import numpy as np
from numpy.random import Generator

import fastfisher as ff
from fastfisher.natural import Precision, Solver

Array = np.ndarray
Long = np.longdouble

LARGEST = np.finfo(np.float64).max
SIZES = (1, 1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 31, 33, 64)


@dataclass
class Call:
    """Arguments of `natural_step`, with the arrays that they stand for."""

    scores: Any
    """As the function takes them: an array, blocks, `Scores`, or a stream."""
    S: Array
    """The scores as one matrix, (N, d), in long double."""
    advantages: Array | None
    weights: Array | None
    """Those of the rows, which a stream has in its items."""
    options: dict[str, Any] = field(default_factory=dict)
    exponent: float = 0.0
    """The largest power of ten, up or down, that anything was scaled by."""
    stream: bool = False
    given: list[Array] = field(default_factory=list)
    """Every array of the caller's, none of which may change."""

    def arguments(self) -> dict[str, Any]:
        """Return the arguments by name."""
        rows = {} if self.stream else {"advantages": self.advantages, "weights": self.weights}
        return {"scores": self.scores, **rows, **self.options}

    @property
    def mean(self) -> Array:
        """The mean that is taken from each row, (d,)."""
        w = self.w
        return self.S.T @ w / w.sum() if self.options.get("center") else np.zeros(self.S.shape[1], Long)

    @property
    def w(self) -> Array:
        """The weights of the rows, in long double."""
        return np.ones(len(self.S), Long) if self.weights is None else self.weights.astype(Long)

    @property
    def count(self) -> Any:
        """The divisor of F."""
        return self.w.sum() if self.options.get("count") is None else Long(self.options["count"])


def chance(rng: Generator, share: float) -> bool:
    """Return True in this share of cases."""
    return bool(rng.random() < share)


def one_of(rng: Generator, values: Any) -> Any:
    """Return one of some values as it is."""
    return values[int(rng.integers(len(values)))]


def as_it_may_lie(rng: Generator, array: Array) -> Array:
    """Return the same numbers in another order, with other strides, unaligned or read-only."""
    match rng.integers(7):
        case 0:
            return np.asfortranarray(array)
        case 1:
            return np.ascontiguousarray(array[::-1])[::-1]
        case 2:
            spread = np.full((*(2 * size for size in array.shape),), np.nan, array.dtype)
            view = spread[(slice(None, None, 2),) * array.ndim]
            view[...] = array
            return view
        case 3:
            raw = np.empty(array.nbytes + 1, np.uint8)[1:]
            unaligned = raw.view(array.dtype).reshape(array.shape)
            unaligned[...] = array
            return unaligned
        case 4:
            array = array.copy()
            array.flags.writeable = False
    return array


class _Drawing:
    """What a call is made of, with the largest power of ten that was used."""

    def __init__(self, rng: Generator) -> None:
        self.rng, self.exponent = rng, 0.0
        self.wild = chance(rng, 0.25)

    def scale(self) -> float:
        """Return a factor: 1 for the most part."""
        if chance(self.rng, 0.6):
            return 1.0
        exponent = float(self.rng.uniform(-300.0, 300.0) if self.wild else self.rng.uniform(-12.0, 12.0))
        self.exponent = max(self.exponent, abs(exponent))
        return float(10.0**exponent)

    def numbers(self, *shape: int) -> Array:
        """Return numbers of one scale, some of them zero, or all equal."""
        values = self.rng.standard_normal(shape)
        if chance(self.rng, 0.1):
            values[...] = values.flat[0]
        if chance(self.rng, 0.1):
            values *= self.rng.random(shape) < 0.5
        with np.errstate(over="ignore"):
            return np.clip(values * self.scale(), -LARGEST, LARGEST)

    def matrix(self, rows: int, columns: int) -> Array:
        """Return rows that may be equal, zero, dependent, badly scaled or far from their mean."""
        rng = self.rng
        values = self.numbers(rows, columns)
        if chance(rng, 0.15):  # of a rank below both
            rank = int(rng.integers(1, max(2, min(rows, columns))))
            values = rng.standard_normal((rows, rank)) @ rng.standard_normal((rank, columns))
        if chance(rng, 0.1):
            values = values[rng.integers(rows, size=rows)]
        if chance(rng, 0.1):
            values[rng.random(rows) < 0.3] = 0.0
        if chance(rng, 0.1):
            values[:, rng.integers(columns)] = 0.0
        if chance(rng, 0.15):
            values = values + one_of(rng, (1.0, 1e3, 1e9))
        if chance(rng, 0.15):
            with np.errstate(over="ignore"):
                values = np.clip(values * 10.0 ** rng.uniform(-8.0, 8.0, columns), -LARGEST, LARGEST)
            self.exponent += 8.0
        return values

    def given(self, values: Array) -> Array:
        """Return an array as callers have it: of some dtype, somewhere in memory."""
        kind = one_of(self.rng, ("<f8", "<f8", "<f8", ">f8", "<f4", "<f2", "<i4"))
        most = 2.0**31 - 1.0 if kind == "<i4" else float(np.finfo(kind).max)
        with np.errstate(over="ignore", under="ignore"):
            return as_it_may_lie(self.rng, np.clip(values, -most, most).astype(kind))

    def block(self, rows: int) -> Any:
        """Return a dense block, a pair, or a pair whose rows share their left side."""
        rng = self.rng
        if chance(rng, 0.5):
            return self.given(self.matrix(rows, int(one_of(rng, SIZES))))
        p, q = (int(rng.integers(1, 7)) for _ in range(2))
        shared = int(one_of(rng, [m for m in (1, 2, 3) if rows % m == 0]))
        right = (rows, q) if shared == 1 else (rows // shared, shared, q)
        sides = self.matrix(rows // shared, p), self.numbers(*right)
        return tuple(map(self.given, sides))


def expanded(block: Any) -> Any:
    """Return what a block stands for, (N, k), in long double."""
    if not isinstance(block, tuple):
        return block.astype(Long)
    left, right = (side.astype(Long) for side in block)
    right = right.reshape(len(left), -1, right.shape[-1])
    return (left[:, None, :, None] * right[:, :, None, :]).reshape(-1, left.shape[1] * right.shape[2])


def random_call(rng: Generator) -> Call:
    """Return a call that `natural_step` should take, or refuse by its documented errors."""
    draw = _Drawing(rng)
    rows = int(one_of(rng, SIZES)) if chance(rng, 0.97) else 600
    blocks = [draw.block(rows) for _ in range(rng.integers(1, 4))] if chance(rng, 0.4) else None
    if blocks is None:
        columns = int(one_of(rng, SIZES)) if rows < 600 or chance(rng, 0.5) else 560
        dense = draw.given(draw.matrix(rows, columns))
        call = Call(dense, dense.astype(Long), None, None, given=[dense])
    else:
        S = np.concatenate([expanded(block) for block in blocks], axis=1)
        call = Call(ff.Scores(blocks) if chance(rng, 0.3) else blocks, S, None, None)
        call.given = [side for block in blocks for side in (block if isinstance(block, tuple) else [block])]
    _add_options(call, draw)
    if chance(rng, 0.15):
        _make_stream(call, draw)
    call.exponent = draw.exponent
    call.given += [value for value in call.options.values() if isinstance(value, np.ndarray)]
    return call


def _add_options(call: Call, draw: _Drawing) -> None:
    rng, options, (rows, columns) = draw.rng, call.options, call.S.shape
    if chance(rng, 0.7):
        call.advantages = np.ones(rows) if chance(rng, 0.05) else draw.numbers(rows)
    else:
        options["gradient"] = draw.numbers(columns)
    if chance(rng, 0.3):
        call.weights = np.abs(draw.numbers(rows))
        if not call.weights.any():
            call.weights[0] = 1.0
    size = float(np.abs(call.S).max()) if call.exponent < 100 else 1.0
    dampings = (0.0, 1e-12, 1e-4, 1e-4, 1e-2, 1.0, min(1e-6 * size * size, 1e300), draw.scale())
    several = chance(rng, 0.15)
    options["damping"] = (
        [one_of(rng, dampings) for _ in range(rng.integers(1, 5))] if several else one_of(rng, dampings)
    )
    choices: dict[str, tuple[float, Callable[[], Any]]] = {
        "count": (0.15, lambda: one_of(rng, (1.0, 7.5, 1e-3, 1e6, draw.scale()))),
        "center": (0.2, lambda: True),
        "relative_damping": (0.3, lambda: True),
        "max_kl": (0.5, lambda: one_of(rng, (0.01, 0.05, 1e-12, 10.0))),
        "solver": (0.7, lambda: one_of(rng, get_args(Solver))),
        "precision": (0.4, lambda: one_of(rng, get_args(Precision))),
        "tol": (0.2, lambda: one_of(rng, (0.0, 1e-12, 1e-4, 0.1))),
        "max_iterations": (0.2, lambda: one_of(rng, (0, 1, 3, 10, 1000))),
        "initial": (0.15, lambda: draw.numbers(columns)),
        "momentum": (0.15, lambda: one_of(rng, (0.3, 0.9, 0.999))),
        "precondition": (0.1, lambda: False),
        "memory_limit": (0.1, lambda: one_of(rng, (1.0, 8.0 * columns**2, 8.0 * rows**2))),
    }
    options |= {name: value() for name, (share, value) in choices.items() if chance(rng, share)}
    if options.get("momentum"):
        options["previous"] = draw.numbers(columns)


def _make_stream(call: Call, draw: _Drawing) -> None:
    """Let the rows come in parts: by a function, so that they can be read again, or by a generator."""
    rng = draw.rng
    options = ("center", "solver", "precision", "initial")
    call.options = {
        name: value for name, value in call.options.items() if name not in options or chance(rng, 0.1)
    }
    scores, advantages, weights = ff.Scores(call.scores), call.advantages, call.weights
    ends = sorted({0, len(scores), *map(int, rng.integers(len(scores), size=3))})
    parts = [slice(*pair) for pair in itertools.pairwise(ends)]

    def items() -> Any:
        for part in parts:
            item = scores[part], None if advantages is None else advantages[part]
            yield item if weights is None else (*item, weights[part])

    call.stream = True
    call.scores = items if chance(rng, 0.7) else OneWay(items)


class OneWay:
    """A function that stands for a generator, of which each call of the step needs a fresh one."""

    def __init__(self, items: Callable[[], Any]) -> None:
        self.items = items
