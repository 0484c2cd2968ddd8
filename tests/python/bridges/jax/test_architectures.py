"""Scores of policies of many kinds are those of vmap(grad), and so are the steps."""

from __future__ import annotations

from typing import Any

import pytest

jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
from hypothesis import Phase, given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from jax.flatten_util import ravel_pytree  # noqa: E402

import fastfisher as ff  # noqa: E402
import fastfisher.jax as ffj  # noqa: E402

from .architectures import ARCHITECTURES, Sizes  # noqa: E402
from .helpers import by_vmap, enable_x64, relative_error  # noqa: E402


@pytest.mark.parametrize("kind", ARCHITECTURES)
@settings(max_examples=2, deadline=None, phases=[Phase.generate])
@given(
    samples=st.integers(1, 12),
    width=st.integers(2, 7),
    outputs=st.integers(2, 4),
    double=st.booleans(),
    chunk=st.sampled_from([None, None, 1, 5]),
    seed=st.integers(0, 2**16),
)
def test_scores_are_those_of_vmap(
    kind: str, samples: int, width: int, outputs: int, double: bool, chunk: int | None, seed: int
) -> None:
    with enable_x64(double):
        sizes = Sizes(samples, width, outputs, jnp.float64 if double else jnp.float32, seed)
        model = ARCHITECTURES[kind](sizes)
        S = ffj.scores(model.log_prob, model.params, *model.batch, chunk=chunk, check=True)
        wanted = by_vmap(model.log_prob, model.params, *model.batch)
        assert relative_error(S.scores.to_dense(), wanted) < (1e-13 if double else 1e-6)
        assert sum(isinstance(block, tuple) for block in S.blocks) == model.pairs
        assert all(block.base is not None for block in S.blocks if not isinstance(block, tuple))

        A = np.random.default_rng(seed).standard_normal(samples)
        options: dict[str, Any] = {"damping": 1e-2, "precision": "double"}
        step = ff.natural_step(np.asarray(wanted, dtype=np.float64), A, **options).step
        assert relative_error(S.natural_step(A, **options).step, step) < (1e-10 if double else 1e-5)
        ravelled, _ = ravel_pytree(S.unflatten(step))
        assert relative_error(np.asarray(ravelled), step) < (1e-15 if double else 1e-6)


def test_there_are_twenty_architectures() -> None:
    assert len(ARCHITECTURES) == 20
