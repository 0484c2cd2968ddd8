"""Scores as blocks and pairs are the dense scores with the same columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastfisher as ff
from fastfisher.scores import as_scores

from .helpers import DlpackOnly, batch

N = 40
X, A, _, W = batch(N, 5)
LEFT, RIGHT = batch(N, 3, seed=1).scores, batch(N, 4, seed=2).scores
# Row n of a pair is the outer product left[n] right[n]^T, flattened in C order.
OUTER = np.stack([np.outer(left, right).ravel() for left, right in zip(LEFT, RIGHT, strict=True)])


@pytest.mark.parametrize(
    ("blocks", "dense"),
    [
        ([X], X),
        ([X, LEFT], np.hstack([X, LEFT])),
        ((X, LEFT, RIGHT), np.hstack([X, LEFT, RIGHT])),
        ([(LEFT, RIGHT)], OUTER),
        ([[LEFT, RIGHT]], OUTER),
        ([(LEFT, RIGHT), X], np.hstack([OUTER, X])),
        ([X, (LEFT, RIGHT), (RIGHT, LEFT[:, :1])], np.hstack([X, OUTER, RIGHT * LEFT[:, :1]])),
        ([(LEFT.tolist(), RIGHT.tolist()), X], np.hstack([OUTER, X])),
        ([DlpackOnly(X), (DlpackOnly(LEFT), DlpackOnly(RIGHT))], np.hstack([X, OUTER])),
        ([X[::-1][::-1], (np.asfortranarray(LEFT), RIGHT[:, ::-1][:, ::-1])], np.hstack([X, OUTER])),
    ],
)
def test_blocks_stand_side_by_side(blocks: Any, dense: np.ndarray) -> None:
    np.testing.assert_array_equal(as_scores(blocks).to_dense(), dense)
    for solver in ("cholesky", "gram", "cg"):
        kwargs = {"weights": W, "damping": 0.1, "max_kl": 0.01, "solver": solver, "tol": 1e-14}
        one, other = ff.natural_step(blocks, A, **kwargs), ff.natural_step(dense, A, **kwargs)
        np.testing.assert_allclose(one.step, other.step, rtol=1e-9)
    F, G = ff.Fisher(dense.shape[1]), ff.Fisher(dense.shape[1])
    F.update(blocks, weights=W)
    G.update(dense, weights=W)
    np.testing.assert_allclose(F.matrix(), G.matrix(), rtol=1e-12)


def test_precisions_of_a_pair_meet_in_the_wider_one() -> None:
    narrow = X.astype(np.float32)
    ((left, right),) = as_scores([(narrow, LEFT)]).blocks
    assert left.dtype == right.dtype == np.float64
    assert [block.dtype for block in as_scores([narrow, LEFT]).blocks] == [np.float32, np.float64]


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ([X, X[:-1]], r"scores\[1\]: expected 40 rows"),
        ([X, np.ones(N)], r"scores\[1\]: expected a two-dimensional"),
        ([X, (LEFT, RIGHT[:-1])], r"scores\[1\]: expected a pair"),
        ([X, (LEFT, RIGHT, X)], r"scores\[1\]: expected an array or a pair"),
        ([X, (LEFT, np.ones(N))], r"scores\[1\]: expected a pair"),
        ([X, (LEFT[:-1], RIGHT[:-1])], r"scores\[1\]: expected 40 rows"),
    ],
)
def test_a_wrong_block_is_named(blocks: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ff.natural_step(blocks, A)


def test_a_block_that_is_no_number_is_named() -> None:
    with pytest.raises(TypeError, match=r"scores\[1\]"):
        ff.natural_step([X, np.full((N, 2), "a")], A)
    with pytest.raises(TypeError, match=r"scores\[1\]\[1\]"):
        ff.natural_step([X, (LEFT, 1j * RIGHT)], A)


def test_a_nonfinite_factor_is_found() -> None:
    spoiled = LEFT.copy()
    spoiled[7, 1] = np.nan
    with pytest.raises(ValueError, match=r"row 7\b"):
        ff.natural_step([X, (spoiled, RIGHT)], A)
