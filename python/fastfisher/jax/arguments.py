"""Checks of what is given to `scores`: parameters, batch, and what the function returns."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Parameters(NamedTuple):
    """A pytree of parameters, taken apart."""

    leaves: list[Any]
    structure: Any
    names: tuple[str, ...]

    @property
    def sizes(self) -> list[int]:
        """The numbers in each leaf."""
        return [math.prod(np.shape(leaf)) for leaf in self.leaves]


def parameters_of(params: Any, name: str = "params") -> Parameters:
    """Return the leaves of a pytree of arrays of real floats; a TypeError names the leaf that is none."""
    placed, structure = jax.tree_util.tree_flatten_with_path(params)
    names = tuple(name + jax.tree_util.keystr(path) for path, _ in placed)
    leaves = [leaf for _, leaf in placed]
    if not leaves:
        raise ValueError(f"{name}: expected a pytree with at least one array, got {params!r}")
    for k, (place, leaf) in enumerate(zip(names, leaves, strict=True)):
        if isinstance(leaf, float):
            leaves[k] = jnp.asarray(leaf)
            continue
        refuse_tracer(leaf, place)
        dtype = getattr(leaf, "dtype", None)
        if dtype is None or not jnp.issubdtype(dtype, jnp.floating):
            got = type(leaf).__name__ if dtype is None else f"shape {leaf.shape} of {dtype}"
            raise TypeError(
                f"{place}: expected an array of real floats, got {got}; what is not to be trained "
                f"stays out of {name}: of an equinox module, params, static = equinox.partition(model, "
                "equinox.is_inexact_array)"
            )
    return Parameters(leaves, structure, names)


def rows_of(batch: Sequence[Any]) -> int:
    """Return the rows that all arrays of a batch have; an error names the leaf that has others."""
    placed = jax.tree_util.tree_flatten_with_path(tuple(batch))[0]
    if not placed:
        raise ValueError("batch: expected at least one array with a row a sample after params, got none")
    first, rows = "", -1
    for path, leaf in placed:
        place = f"batch{jax.tree_util.keystr(path)}"
        refuse_tracer(leaf, place)
        shape = getattr(leaf, "shape", None)
        if not shape:  # a number, or an array without axes
            hint = "close over what all samples share"
            if shape == () and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
                hint = "a key a sample is jax.random.split(key, N)"
            got = repr(leaf) if shape is None else f"shape () of {leaf.dtype}"
            raise TypeError(f"{place}: expected an array with a row a sample, got {got}; {hint}")
        if rows < 0:
            first, rows = place, shape[0]
        if shape[0] != rows:
            raise ValueError(f"{place}: expected {rows} rows as in {first}, got shape {tuple(shape)}")
    if rows == 0:
        raise ValueError(f"{first}: expected at least one row, got none")
    return int(rows)


def refuse_tracer(leaf: Any, place: str) -> None:
    """Refuse what jit and grad call a function with, which has no values to hand over."""
    if isinstance(leaf, jax.core.Tracer):
        raise TypeError(
            f"{place}: expected an array, got {type(leaf).__name__}: call this outside of jit, grad "
            "and vmap, it compiles what it does itself"
        )


def _shapes(function: Callable[..., Any], params: Any, batch: Sequence[Any]) -> Any:
    """Return what a function returns, as shapes."""
    # A new function each time: JAX would take one that calls itself equal for one that it has traced.
    return jax.eval_shape(lambda *given: function(*given), params, *batch)


def check_log_prob(function: Callable[..., Any], params: Any, batch: Sequence[Any], rows: int) -> Any:
    """Return what a function returns, as shapes; refuse it where that is not one real number a sample."""
    returned = _shapes(function, params, batch)
    expected = f"log_prob: expected a function that returns shape ({rows},), a real number a sample"
    if not hasattr(returned, "shape"):
        raise TypeError(f"{expected}, got {type(returned).__name__}")
    if returned.shape != (rows,) or not jnp.issubdtype(returned.dtype, jnp.floating):
        raise ValueError(f"{expected}, got shape {returned.shape} of {returned.dtype}")
    return returned


def check_outputs(function: Callable[..., Any], params: Any, batch: Sequence[Any], rows: int) -> Any:
    """Return what a function returns, as shapes; refuse what is no pytree of real floats, a row a sample."""
    returned = _shapes(function, params, batch)
    placed = jax.tree_util.tree_flatten_with_path(returned)[0]
    if not placed:
        raise ValueError("outputs: expected a function that returns at least one array, got none")
    for path, leaf in placed:
        if leaf.shape[:1] != (rows,) or not jnp.issubdtype(leaf.dtype, jnp.floating):
            raise ValueError(
                f"outputs: expected a function that returns real floats with {rows} rows, one a sample, got "
                f"shape {leaf.shape} of {leaf.dtype} at {jax.tree_util.keystr(path) or 'the root'}"
            )
    return returned


def one_row(returned: Any, of_batch: Any, name: str) -> Any:
    """Return the result for a batch of one sample without its first axis; refuse one that has not one row."""

    def without_rows(leaf: Any, whole: Any) -> Any:
        # A squeeze has taken the axis where the shape is that of a row.
        if leaf.shape not in ((1, *whole.shape[1:]), whole.shape[1:]):
            raise ValueError(
                f"{name}: expected shape {(1, *whole.shape[1:])} for a batch of one sample, got "
                f"{leaf.shape}: the function closes over an array of all samples, or has their number "
                "written in it; pass such arrays after params"
            )
        return leaf.reshape(whole.shape[1:])

    return jax.tree.map(without_rows, returned, of_batch)
