"""A certificate for scores: their weighted sum is the gradient that JAX has of all samples at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from .arguments import Parameters
from .program import Program

if TYPE_CHECKING:
    from .scores import JaxScores


class ScoresMismatchError(RuntimeError):
    """The scores' weighted sum is not the gradient that JAX has of the same sum."""


class Certificate:
    """Holds scores against a gradient of the whole batch, for weights drawn at random.

    Samples that depend on each other show, since a score is taken from its sample alone and the gradient is
    not; so would any rule of this package that is wrong.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        parameters: Parameters,
        factors: Callable[[list[Any]], list[Any]],
        tolerance: float,
    ) -> None:
        self._parameters = parameters
        self._tolerance = tolerance

        def weighted(leaves: Any, batch: Any, weights: Any) -> Any:
            outputs = jax.tree.leaves(function(jax.tree.unflatten(parameters.structure, leaves), *batch))
            rows = jax.vmap(factors)(jax.lax.stop_gradient(outputs))
            sums = (
                jnp.einsum("nm,nm...,n...->", weights.astype(z.dtype), r, z)
                for r, z in zip(rows, outputs, strict=True)
            )
            return sum(sums)

        self._gradient = jax.jit(jax.grad(weighted))

    def hold(self, scores: JaxScores, leaves: Sequence[Any], batch: Sequence[Any]) -> None:
        """Raise a ScoresMismatchError where the two differ by more than rounding.

        Differences are relative to the norm that a sum of as many rows with random signs has.
        """
        rows, _ = scores.shape
        weights = (1.0 + np.random.default_rng(0).standard_normal(rows)).astype(np.float32)
        wanted = self._gradient(list(leaves), tuple(batch), weights.reshape(scores.count, -1))
        found = np.split(scores.scores.T @ weights, np.cumsum(self._parameters.sizes)[:-1])
        scales = [_norm_of_sum(block, weights) for block in scores.scores.blocks]
        floor = (
            1e3 * self._tolerance**2 * max((scale for scale in scales if math.isfinite(scale)), default=0.0)
        )
        for name, mine, its, scale in zip(self._parameters.names, found, wanted, scales, strict=True):
            gradient = np.asarray(its, dtype=np.float64).ravel()
            if not np.isfinite(mine).all() and not np.isfinite(gradient).all():
                raise ValueError(f"scores: expected finite values, got NaN or Inf for {name}")
            difference = float(np.linalg.norm(mine - gradient))
            if not difference <= self._tolerance * scale + floor:  # so that NaN is a mismatch
                share = difference / (scale or 1.0)
                explained = f"where rounding explains {self._tolerance:.1g}"
                raise ScoresMismatchError(
                    f"{name}: the scores' weighted sum differs from jax.grad's by {share:.2g} of its scale, "
                    f"{explained}: is each sample's output a function of that sample alone? A batch norm, a "
                    "mean over the batch, or one random key for all samples make them depend on each other"
                )


def tolerance(program: Program) -> float:
    """Return the relative difference that rounding explains: sqrt(eps) of a program's narrowest float."""
    dtypes = {shape.dtype for shape in program.shapes.values() if jnp.issubdtype(shape.dtype, jnp.floating)}
    widest = max(float(jnp.finfo(dtype).eps) for dtype in dtypes)
    if jax.default_backend() != "cpu":
        widest = max(widest, 2.0**-10)  # TF32, which accelerators take for products of float32
    return math.sqrt(widest)


def _norm_of_sum(block: Any, weights: Any) -> float:
    """Return sqrt(sum_n w_n^2 ||s_n||^2) of a block."""
    if not isinstance(block, tuple):
        squares = np.einsum("nk,nk->n", block, block, dtype=np.float64)
    else:
        left, right = (np.einsum("...k,...k->...", side, side, dtype=np.float64) for side in block)
        squares = (left.reshape(len(left), -1) * right.reshape(len(right), -1)).ravel()
    return float(np.sqrt(np.square(weights, dtype=np.float64) @ squares))
