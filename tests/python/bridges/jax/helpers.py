"""The reference that scores are held to, and JAX's double precision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

Array = np.ndarray

enable_x64 = getattr(jax, "enable_x64", None)
if not callable(enable_x64):  # before JAX 0.8
    from jax.experimental import enable_x64


def by_vmap(function: Callable[..., Any], params: Any, *batch: Any) -> Array:
    """Return the scores of a function, (N, d), as JAX alone gives them."""

    def of_one(params: Any, *sample: Any) -> Any:
        return function(params, *jax.tree.map(lambda leaf: leaf[None], sample))[0]

    # Under one jit: JAX would compile each operation of its own.
    gradients = jax.jit(jax.vmap(jax.grad(of_one), (None,) + (0,) * len(batch)))(params, *batch)
    return np.concatenate([np.asarray(leaf).reshape(len(leaf), -1) for leaf in jax.tree.leaves(gradients)], 1)


def relative_error(found: Array, wanted: Array) -> float:
    """||found - wanted|| / ||wanted||."""
    assert found.shape == wanted.shape
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))
