"""Scores of a JAX function: a score matrix whose columns are a pytree's, and steps as such pytrees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arguments import Bounds, number
from ..natural import NaturalStep, natural_step
from ..scores import NativeBlock, Scores, as_vector
from .arguments import Parameters
from .rows import Plan


class JaxScores:
    """Scores with respect to a pytree of parameters, as `scores` and `fisher_scores` return them.

    Columns are in the order of `jax.flatten_util.ravel_pytree`: the leaves in JAX's own order, each flattened
    in C order.  A dense layer's kernel is a pair of factors, which is never multiplied out.

    Attributes
    ----------
    scores : Scores
        The matrix, (N, d): one block for each leaf.
    count : int
        N, the samples; the rows are N m where they are those of an exact Fisher matrix.
    """

    def __init__(
        self, scores: Scores, parts: Sequence[Parameters], count: int, *, sampled: bool = True
    ) -> None:
        self.scores = scores
        self.count = count
        self._parts = tuple(parts)
        self._sampled = sampled

    @classmethod
    def of_rows(
        cls, rows: Mapping[int, Any], plan: Plan, parameters: Parameters, count: int, *, sampled: bool
    ) -> JaxScores:
        """Take the blocks that the compiled function gave: views of its memory where that is the CPU's."""
        # Rows beyond the count fill up the last chunk.
        arrays = {
            k: jax.tree.map(lambda block: np.asarray(block)[:count], block) for k, block in rows.items()
        }
        blocks = []
        for k, size in enumerate(parameters.sizes):
            if k in plan.shared:
                _, errors = arrays[plan.shared[k]]
                blocks.append(_flat(errors))
            elif k in plan.pairs:
                blocks.append(_pair(*arrays[k], inputs_first=plan.pairs[k].inputs_first))
            elif k in arrays:
                blocks.append(_flat(arrays[k]))
            else:  # zeros that take no memory
                some = next(iter(arrays.values()))
                m = (some[1] if isinstance(some, tuple) else some).shape[1]
                blocks.append(np.broadcast_to(np.zeros((), np.float32), (count * m, size)))
        return cls(Scores(blocks), [parameters], count, sampled=sampled)

    @property
    def shape(self) -> tuple[int, int]:
        """The shape (N, d), or (N m, d) of the rows of an exact Fisher matrix."""
        return self.scores.shape

    @property
    def blocks(self) -> tuple[NativeBlock, ...]:
        """The blocks of `scores`, one for each name."""
        return self.scores.blocks

    @property
    def names(self) -> tuple[str, ...]:
        """The leaves' places, in the order of the columns: ``params['dense']['kernel']``."""
        return tuple(name for part in self._parts for name in part.names)

    def natural_step(
        self, advantages: ArrayLike | None = None, *, gradient: Any = None, **options: Any
    ) -> NaturalStep:
        """Return `fastfisher.natural_step` of these scores.

        Parameters
        ----------
        advantages : (N,) array
            A, for g = S^T A / N; not for rows of an exact Fisher matrix.
        gradient : (d,) array or pytree like the parameters
            g itself, where it comes from elsewhere.
        **options
            As of `fastfisher.natural_step`; its ``count`` is these scores' own.

        Returns
        -------
        NaturalStep
            `add` and `unflatten` take its step and its direction.
        """
        if not self._sampled:
            if advantages is not None:
                raise TypeError(
                    "advantages: expected a gradient instead for rows of an exact Fisher matrix, as "
                    "gradient=scores.mean_gradient(advantages) of the sampled actions' scores"
                )
            options.setdefault("count", self.count)
        if gradient is not None:
            gradient = self.flatten(gradient)
        try:
            result: NaturalStep = natural_step(self.scores, advantages, gradient=gradient, **options)
        except ValueError:
            self._refuse_non_finite()
            raise
        return result

    def mean_gradient(self, advantages: ArrayLike) -> NDArray[np.float64]:
        """Return S^T A / N, the policy gradient, (d,)."""
        if not self._sampled:
            raise TypeError("scores: expected those of sampled actions, got rows of an exact Fisher matrix")
        gradient: NDArray[np.float64] = self.scores.T @ np.asarray(advantages)
        return gradient / self.count

    def flatten(self, pytree: Any) -> NDArray[np.float64]:
        """Return a pytree like the parameters, such as `jax.grad` gives, as a vector (d,).

        A vector (d,) comes back as it is.
        """
        size = self.shape[1]
        if getattr(pytree, "shape", None) == (size,):
            return as_vector(pytree, size, "pytree", "parameter")
        trees = self._trees(pytree, "pytree")
        leaves = [
            leaf
            for part, tree in zip(self._parts, trees, strict=True)
            for leaf in _leaves(part, tree, "pytree")
        ]
        return np.concatenate([np.asarray(leaf, dtype=np.float64).ravel() for leaf in leaves])

    def unflatten(self, vector: ArrayLike) -> Any:
        """Return a vector (d,) as a pytree like the parameters, of their dtypes, or a tuple of them."""
        flat = as_vector(vector, self.shape[1], "vector", "parameter")
        trees, start = [], 0
        for part in self._parts:
            leaves = []
            for leaf, size in zip(part.leaves, part.sizes, strict=True):
                leaves.append(jnp.asarray(flat[start : start + size].reshape(leaf.shape), leaf.dtype))
                start += size
            trees.append(jax.tree.unflatten(part.structure, leaves))
        return trees[0] if len(trees) == 1 else tuple(trees)

    def add(self, params: Any, step: ArrayLike, scale: float = 1.0) -> Any:
        """Return the parameters plus `scale` times a vector (d,) of the columns' order.

        Parameters
        ----------
        params : pytree
            As the scores were taken of; a tuple of them after ``+``.
        step : (d,) array
        scale : float

        Returns
        -------
        pytree
            Of the structure, shapes and dtypes of `params`.
        """
        factor = number(scale, "scale", Bounds())
        trees = self._trees(params, "params")
        for part, tree in zip(self._parts, trees, strict=True):
            _leaves(part, tree, "params")
        moved = self.unflatten(factor * as_vector(step, self.shape[1], "step", "parameter"))
        return jax.tree.map(lambda value, change: value + change, params, moved)

    def __add__(self, other: JaxScores) -> JaxScores:
        """Return the columns of both side by side, such as those of a policy and of a value function."""
        if not isinstance(other, JaxScores):
            return NotImplemented
        if self._sampled != other._sampled or self.count != other.count:
            kinds = {True: "sampled scores", False: "rows of an exact Fisher matrix"}
            wanted, got = (f"{kinds[each._sampled]} of {each.count} samples" for each in (self, other))
            raise ValueError(f"scores: expected {wanted} side by side with their like, got {got}")
        both = Scores([*self.scores.blocks, *other.scores.blocks])
        return JaxScores(both, self._parts + other._parts, self.count, sampled=self._sampled)

    def __len__(self) -> int:
        return len(self.scores)

    def __repr__(self) -> str:
        kinds = ", ".join(
            f"{name}: {' x '.join(str(side.shape[-1]) for side in block)}"
            if isinstance(block, tuple)
            else f"{name}: {block.shape[1]}"
            for name, block in zip(self.names, self.scores.blocks, strict=True)
        )
        return f"JaxScores(shape={self.shape}, {kinds})"

    def _trees(self, trees: Any, name: str) -> Sequence[Any]:
        if len(self._parts) == 1:
            return (trees,)
        if not isinstance(trees, tuple) or len(trees) != len(self._parts):
            raise TypeError(
                f"{name}: expected a tuple of {len(self._parts)} pytrees, got {type(trees).__name__}"
            )
        return trees

    def _refuse_non_finite(self) -> None:
        for name, block in zip(self.names, self.scores.blocks, strict=True):
            sides = block if isinstance(block, tuple) else (block,)
            if not all(np.isfinite(side).all() for side in sides):
                raise ValueError(f"scores: expected finite values, got NaN or Inf for {name}") from None


def _flat(rows: Any) -> Any:
    """Return (N, m, k) as (N m, k)."""
    return rows.reshape(-1, rows.shape[-1])


def _pair(inputs: Any, errors: Any, *, inputs_first: bool) -> tuple[Any, Any]:
    """Return inputs (N, p) and errors (N, m, q) in the order of the parameter's axes."""
    m = errors.shape[1]
    if inputs_first:
        return inputs, errors if m > 1 else errors[:, 0]
    # Rows share the left side alone.
    return _flat(errors), inputs if m == 1 else np.repeat(inputs, m, axis=0)


def _leaves(part: Parameters, tree: Any, name: str) -> list[Any]:
    """Return the leaves of a pytree that is like the parameters; an error says where it is not."""
    leaves, structure = jax.tree.flatten(tree)
    if structure != part.structure:
        raise ValueError(f"{name}: expected the structure {part.structure}, got {structure}")
    for place, leaf, like in zip(part.names, leaves, part.leaves, strict=True):
        if np.shape(leaf) != like.shape:
            raise ValueError(f"{name}: expected shape {like.shape} for {place}, got {np.shape(leaf)}")
    return leaves
