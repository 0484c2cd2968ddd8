"""The natural-gradient step of a stream: what does not fit in memory is read once and summed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from . import _core
from .accumulated import System, Vector, check_range, norm
from .scores import Scores, as_float_array, as_scores, as_vector, as_weights
from .streams import Stream, for_each, refuse_empty, start


def steps_of_stream(
    stream: Stream,
    *,
    advantages: object,
    gradient: object,
    weights: object,
    initial: object,
    previous: object,
    **options: Any,
) -> list[dict[str, Any]]:
    """What `_core.natural_steps` does, for blocks (scores, advantages) or (scores, advantages, weights).

    One pass sums S^T diag(w) S and S^T (w A).  The d x d system is factored in float64, and refined.  Where
    the stream gives a second pass, that measures the residual from the scores.
    """
    _refuse_what_needs_rows(advantages, weights, options)
    g = _vector(gradient, None, "gradient")
    prior = _vector(previous, None if g is None else g.size, "previous")
    known = g if g is not None else prior
    _vector(initial, None if known is None else known.size, "initial")

    blocks = start(stream)
    sums = _Sums(g, None if known is None else known.size, options)
    refuse_empty(for_each(blocks, sums.add))
    system = System(sums.fisher, options["count"], sums.threads)
    g = sums.mean_gradient() if g is None else g
    mu_previous = np.zeros(system.d) if prior is None else options["momentum"] * prior
    # x = mu previous + y, as in the core, whose residual is that of y.
    b = g if prior is None else g - system.apply(mu_previous)
    unit = system.mean_eigenvalue if options["relative_damping"] else 1.0
    dampings = [damping * unit for damping in options["dampings"]]
    found = [system.solve(b, damping) for damping in dampings]
    directions = [mu_previous + y for y, _, _ in found]
    products, shared = _measure(stream, blocks, sums, system, directions)
    if options["solver"] == "auto":
        shared.insert(0, "auto chose cholesky: of an iterator's rows only sums are kept.")

    steps = []
    for damping, x, (_, refinements, own), product in zip(dampings, directions, found, products, strict=True):
        residual = norm(g - product - damping * (x - mu_previous)) / (norm(b) or 1.0)
        notes = [*shared, *own]
        if residual > 1e-3:
            notes.append(
                f"The residual is {residual:.1e}: the system is singular to rounding, or a second pass gave "
                "other rows than the first; the direction is not to be trusted."
            )
        line = _along(x, g, product, prior, {**options, "dampings": [damping]})
        with np.errstate(over="ignore", invalid="ignore"):
            step = line["step_size"] * x
        if line["step_size"] > 0.0 and x.any():
            check_range(step)
        line.update(step=step, direction=x, gradient=g.copy(), iterations=refinements, residual=residual)
        line.update(damping=damping, notes=(*notes, *line["notes"]))
        steps.append(line)
    return steps


def _along(
    x: Vector, g: Vector, product: Vector, prior: Vector | None, options: dict[str, Any]
) -> dict[str, Any]:
    """The core's step for the same problem, with the parameters confined to the line along x.

    With u = x / ||x|| that is one parameter, F' = u^T F u, g' = u^T g, and its solution is ||x||; `product`
    is F x.  The step rule, which is the core's, sees x only through g^T x and x^T F x, which are the same.
    A root R of all of F, R^T R = F, in place of S would give the same step, but at d^3 operations more, and
    by an eigendecomposition, as F may be singular.  The root of one number loses nothing.
    """
    length = norm(x) or 1.0
    u = x / length
    curvature = max(float(u @ (product / length)), 0.0)
    (line,) = _core.natural_steps(
        np.array([[math.sqrt(curvature)]]),
        advantages=None,
        gradient=np.array([u @ g]),
        weights=None,
        initial=None,
        previous=None if prior is None else np.array([u @ prior]),
        **{
            **options,
            "count": 1.0,
            "relative_damping": False,
            "solver": "cholesky",
            "precision": "double",
            "memory_limit": None,
        },
    )
    return line


def _refuse_what_needs_rows(advantages: object, weights: object, options: dict[str, Any]) -> None:
    for name, value in (("advantages", advantages), ("weights", weights)):
        if value is not None:
            raise TypeError(
                f"{name}: expected none beside an iterator, whose items are (scores, advantages) or "
                f"(scores, advantages, weights), got {type(value).__name__}"
            )
    solver, precision = options["solver"], options["precision"]
    if solver not in ("auto", "cholesky"):
        needed = "all of them at once" if solver == "gram" else "all of them at every iteration"
        raise ValueError(
            "solver: expected 'auto' or 'cholesky' for an iterator of blocks, whose rows are not kept, "
            f"got {solver!r}, which needs {needed}"
        )
    if precision not in ("auto", "double"):
        raise ValueError(
            "precision: expected 'auto' or 'double' for an iterator of blocks, which is summed in float64, "
            f"got {precision!r}"
        )
    if options.get("center"):
        raise ValueError("center: expected False for an iterator of blocks, got True")


def _vector(values: object, size: int | None, name: str) -> Vector | None:
    if values is None:
        return None
    array = as_float_array(values, name)
    return as_vector(array, array.size if size is None else size, name, "parameter")


class _Sums:
    """What a pass leaves of the blocks: sum w s s^T, sum w A s, and the numbers of rows."""

    def __init__(self, gradient: Vector | None, d: int | None, options: dict[str, Any]) -> None:
        self.expects_advantages = gradient is None
        self.threads: int = options["threads"]
        self._memory_limit: float | None = options["memory_limit"]
        self._fisher: _core.Fisher | None = None if d is None else self._begin(d)
        self._gradient: Vector | float = 0.0

    def _begin(self, d: int) -> _core.Fisher:
        if self._memory_limit is not None and 8.0 * d * d > self._memory_limit:
            raise MemoryError(
                f"memory_limit: expected at least {8 * d * d} bytes, a float64 matrix of {d} x {d}, "
                f"got {self._memory_limit:g}"
            )
        return _core.Fisher(d)

    @property
    def fisher(self) -> _core.Fisher:
        assert self._fisher is not None
        return self._fisher

    @property
    def rows(self) -> int:
        return self.fisher.count

    def read(self, item: object) -> tuple[Scores, Vector | None, Vector | None]:
        """The scores, advantages and weights of an item, checked."""
        if not isinstance(item, (tuple, list)) or len(item) not in (2, 3):
            got = f"{len(item)} of them" if isinstance(item, (tuple, list)) else type(item).__name__
            raise TypeError(f"expected (scores, advantages) or (scores, advantages, weights), got {got}")
        matrix = as_scores(item[0])
        expected = matrix.shape[1] if self._fisher is None else self._fisher.d
        if matrix.shape[1] != expected:
            raise ValueError(f"scores: expected {expected} columns, got shape {matrix.shape}")
        if (item[1] is not None) != self.expects_advantages:
            expected_advantages = "an array" if self.expects_advantages else "None beside a gradient"
            raise TypeError(f"advantages: expected {expected_advantages}, got {type(item[1]).__name__}")
        rows = len(matrix)
        advantages = as_vector(item[1], rows, "advantages", "row") if self.expects_advantages else None
        weights = item[2] if len(item) == 3 else None
        return matrix, advantages, None if weights is None else as_weights(weights, rows, zeros=True)

    def add(self, item: object) -> None:
        matrix, advantages, weights = self.read(item)
        if self._fisher is None:
            self._fisher = self._begin(matrix.shape[1])
        self._fisher.update(matrix.native, weights, self.threads)
        if advantages is None:
            return
        with np.errstate(over="ignore", invalid="ignore"):
            weighted = advantages if weights is None else weights * advantages
            self._gradient = self._gradient + _core.rmatvec(matrix.native, weighted, threads=self.threads)
        if not np.isfinite(self._gradient).all():
            raise OverflowError("advantages: their product with the scores leaves the range of float64")

    def mean_gradient(self) -> Vector:
        return np.asarray(self._gradient) / self.fisher.total_weight


def _measure(
    stream: Stream, blocks: Iterator[Any], sums: _Sums, system: System, directions: list[Vector]
) -> tuple[list[Vector], list[str]]:
    """F x for each direction, from the scores where they can be read again, and a note where they cannot."""
    from_matrix = "The residual was measured in float64 against the accumulated matrix: "
    if blocks is stream:
        return [system.apply(x) for x in directions], [from_matrix + "an iterator gives its rows only once."]
    products = [np.zeros(system.d) for _ in directions]
    rows = 0

    def add(item: object) -> None:
        nonlocal rows
        matrix, _, weights = sums.read(item)
        rows += len(matrix)
        for x, product in zip(directions, products, strict=True):
            product += _core.fisher_matvec(matrix.native, x, weights, threads=sums.threads)

    for_each(start(stream), add)
    if rows != sums.rows:
        why = f"a second pass gave {rows} rows, the first {sums.rows}."
        return [system.apply(x) for x in directions], [from_matrix + why]
    divisor = sums.fisher.total_weight / system.scale
    return [product / divisor for product in products], []
