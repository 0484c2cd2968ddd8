"""From a function of parameters and samples to one that JAX compiles, which gives the score's blocks.

The function is traced for one sample, a batch of one row, and mapped over the rows: a score is then of its
sample alone by construction.  One backward pass of each sample goes to the products that `products` found,
where it stops, and to the parameters that it did not, whose gradient it takes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from .products import Product, biases, dense_products
from .program import Program, straighten

MOST_BYTES = 2.0**30
"""What all that the samples of one chunk compute may take, where no chunk is asked for."""


@dataclass(frozen=True)
class Plan:
    """How the score with respect to each parameter is had.

    Attributes
    ----------
    pairs : dict of int to Product
        Parameters whose score is one outer product.
    sums : dict of int to list of Product
        Those whose score is a sum of several, and is written out.
    shared : dict of int to int
        Biases, and the parameter of the product that they are added to: their score is its errors.
    gradients : tuple of int
        Those whose score is a gradient.
    unused : tuple of int
        Those that the function does not read.
    """

    pairs: dict[int, Product]
    sums: dict[int, list[Product]]
    shared: dict[int, int]
    gradients: tuple[int, ...]
    unused: tuple[int, ...]

    @property
    def moved(self) -> set[int]:
        """Slots of the products whose errors are wanted."""
        everyone = [*self.pairs.values(), *(product for some in self.sums.values() for product in some)]
        return {product.outputs for product in everyone}


def plan_of(program: Program, parameters: int) -> Plan:
    """Return the plan for a program whose first inputs are the parameters."""
    readers = program.readers()
    pairs, sums = {}, {}
    for parameter, products in dense_products(program, parameters).items():
        _, inputs, outputs = products[0].sizes
        # The factors are the smaller unless one of them is a single number.
        if len(products) == 1 and products[0].sizes[0] == 1 and min(inputs, outputs) > 1:
            pairs[parameter] = products[0]
        else:
            sums[parameter] = products
    shared = {
        bias: product.parameter for bias, product in biases(program, parameters, [*pairs.values()]).items()
    }
    rest = [k for k in range(parameters) if k not in {*pairs, *sums, *shared}]
    used = [k for k in rest if readers[program.inputs[k]]]
    return Plan(pairs, sums, shared, tuple(used), tuple(k for k in rest if k not in used))


def trace(function: Callable[..., Any], leaves: Sequence[Any], samples: Any) -> tuple[Program, Any]:
    """Return the program of ``function(leaves, sample)``, and the structure of what it returns."""
    closed, structure = jax.make_jaxpr(function, return_shape=True)(list(leaves), samples)
    return straighten(closed), structure


def compiled_rows(program: Program, plan: Plan, root: Callable[[Any], Any], chunk: int | None) -> Any:
    """Return a compiled function of (leaves, batch) that gives a dict of parameter to block, a row a sample.

    Parameters
    ----------
    program, plan
        Of one sample.
    root
        From the program's outputs to the m cotangents of each that rows are pulled back from, along a new
        first axis.  A block is then an array (N, m, k), or a pair (N, p) and (N, m, q).
    chunk
        The most samples that are worked on at once.
    """
    of_sample = partial(_rows_of_sample, program, plan, root)

    def of_batch(leaves: Any, batch: Any) -> Any:
        count = len(jax.tree.leaves(batch)[0])
        if chunk is None or chunk >= count:
            return jax.vmap(of_sample, (None, 0))(leaves, batch)
        chunks = -(-count // chunk)
        # The last chunk is filled up with the first samples, whose rows are cut off again as a view.
        places = (jnp.arange(chunks * chunk) % count).reshape(chunks, chunk)

        def of_chunk(at: Any) -> Any:
            return jax.vmap(of_sample, (None, 0))(leaves, jax.tree.map(lambda rows: rows[at], batch))

        blocks = jax.lax.map(of_chunk, places)
        return jax.tree.map(lambda rows: rows.reshape(chunks * chunk, *rows.shape[2:]), blocks)

    return jax.jit(of_batch)


def chunk_for(program: Program, rows: int) -> int:
    """Return how many samples at once keep what is computed of them within `MOST_BYTES`."""
    written = [program.shapes[slot] for equation in program.equations for slot in equation.writes]
    # Half of it is kept for the backward pass, which computes as much again.
    of_sample = 2 * rows * sum(shape.size * getattr(shape.dtype, "itemsize", 8) for shape in written)
    return max(1, int(MOST_BYTES // max(1, of_sample)))


def _rows_of_sample(program: Program, plan: Plan, root: Any, leaves: Any, sample: Any) -> dict[int, Any]:
    inputs = {product.inputs for some in plan.sums.values() for product in some}
    inputs |= {product.inputs for product in plan.pairs.values()}

    def forward(added: dict[int, Any], trained: dict[int, Any]) -> tuple[Any, Any]:
        arguments = [trained.get(k, leaf) for k, leaf in enumerate(leaves)]
        held = program.run([*arguments, *jax.tree.leaves(sample)], added)
        return [held[slot] for slot in program.outputs], {slot: held[slot] for slot in inputs}

    nothing = {slot: jnp.zeros(program.shapes[slot].shape, program.shapes[slot].dtype) for slot in plan.moved}
    trained = {k: leaves[k] for k in plan.gradients}
    outputs, pull_back, held = jax.vjp(forward, nothing, trained, has_aux=True)
    errors, gradients = jax.vmap(pull_back)(root(outputs))

    def errors_of(product: Product) -> Any:
        return jax.vmap(product.error_rows)(errors[product.outputs])  # (m, T, Q)

    def outer(product: Product) -> Any:
        x, e = product.input_rows(held[product.inputs]), errors_of(product)
        x, e = _single(x), _single(e)
        matrix = jnp.einsum("tp,mtq->mpq" if product.inputs_first else "tp,mtq->mqp", x, e)
        return matrix.reshape(len(matrix), -1)

    blocks: dict[int, Any] = {k: _single(g).reshape(len(g), -1) for k, g in gradients.items()}
    for parameter, products in plan.sums.items():
        blocks[parameter] = sum(map(outer, products))
    for parameter, product in plan.pairs.items():
        x, e = product.input_rows(held[product.inputs])[0], errors_of(product)[:, 0]
        blocks[parameter] = _single(x), _single(e)
    return blocks


def _single(values: Any) -> Any:
    """Return 16-bit floats as float32, which NumPy knows."""
    return values.astype(jnp.float32) if values.dtype.itemsize < 4 else values
