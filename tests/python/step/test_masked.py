"""An array with masked entries is refused by name wherever numbers go in; an empty mask is none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastfisher as ff

from .helpers import batch, same_bits

N, D = 30, 4
S, A, G, W = batch(N, D)
LEFT, RIGHT = batch(N, 3, seed=1).scores, batch(N, 2, seed=2).scores


def masked(array: np.ndarray) -> np.ma.MaskedArray:
    """Return an array with one entry masked, under which is 1e6."""
    result = np.ma.array(array.copy(), mask=np.zeros(array.shape, bool))
    result[(1,) * array.ndim] = np.ma.masked
    result.data[(1,) * array.ndim] = 1e6
    return result


def updated(scores: Any, weights: Any = None) -> None:
    ff.Fisher(D).update(scores, weights)


FISHER = ff.Fisher(D)
FISHER.update(S)
CALLS: dict[str, tuple[str, Callable[[], object]]] = {
    "scores": ("scores", lambda: ff.natural_step(masked(S), A)),
    "float32 scores": ("scores", lambda: ff.natural_step(masked(S.astype(np.float32)), A)),
    "a block": ("scores[1]", lambda: ff.natural_step([S, masked(S)], A)),
    "a pair's side": ("scores[0][1]", lambda: ff.natural_step([(LEFT, masked(RIGHT))], A)),
    "a dict's block": ("scores['w']", lambda: ff.natural_step({"w": masked(S)}, A)),
    "rows in a list": ("scores", lambda: ff.natural_step(list(masked(S)), A)),
    "an entry in a list": ("advantages", lambda: ff.natural_step(S, [*A[:-1], np.ma.masked])),
    "advantages": ("advantages", lambda: ff.natural_step(S, masked(A))),
    "gradient": ("gradient", lambda: ff.natural_step(S, gradient=masked(G))),
    "weights": ("weights", lambda: ff.natural_step(S, A, weights=masked(W))),
    "initial": ("initial", lambda: ff.natural_step(S, A, initial=masked(G), solver="cg")),
    "previous": ("previous", lambda: ff.natural_step(S, A, momentum=0.5, previous=masked(G))),
    "a stream's scores": ("item 0: scores", lambda: ff.natural_step(iter([(masked(S), A)]))),
    "a stream's advantages": ("item 0: advantages", lambda: ff.natural_step(iter([(S, masked(A))]))),
    "a stream's weights": ("item 0: weights", lambda: ff.natural_step(iter([(S, A, masked(W))]))),
    "Scores": ("scores", lambda: ff.Scores(masked(S))),
    "S v": ("v", lambda: ff.Scores(S) @ masked(G)),
    "S^T u": ("u", lambda: ff.Scores(S).T @ masked(A)),
    "rows of Scores": ("rows", lambda: ff.Scores(S)[np.ma.array(A > 0, mask=A > 1)]),
    "Scores.gram": ("weights", lambda: ff.Scores(S).gram(masked(W))),
    "Scores.fisher": ("weights", lambda: ff.Scores(S).fisher(masked(W))),
    "Fisher.update": ("scores", lambda: updated(masked(S))),
    "Fisher.update, weights": ("weights", lambda: updated(S, masked(W))),
    "F v": ("v", lambda: FISHER @ masked(G)),
    "F V": ("v", lambda: FISHER @ masked(S[:D])),
    "Fisher.solve": ("g", lambda: FISHER.solve(masked(G))),
    "diagnose, a matrix": ("F", lambda: ff.diagnose(masked(S.T @ S))),
    "diagnose, a complex matrix": ("F", lambda: ff.diagnose(masked((S.T @ S).astype(complex)))),
    "diagnose, scores": ("F", lambda: ff.diagnose(masked(S))),
    "diagnose, blocks": ("scores[0]", lambda: ff.diagnose([masked(S)])),
    "diagnose, scores beside a matrix": ("scores", lambda: ff.diagnose(S.T @ S, scores=masked(S))),
    "diagnose, gradient": ("gradient", lambda: ff.diagnose(S, gradient=masked(G))),
    "diagnose, advantages": ("advantages", lambda: ff.diagnose(S, advantages=masked(A), gradient=G)),
    "diagnose, weights": ("weights", lambda: ff.diagnose(S, weights=masked(W), kind="scores")),
}


@pytest.mark.parametrize("call", CALLS)
def test_it_is_refused_by_name(call: str) -> None:
    name, refused = CALLS[call]
    with pytest.raises(ValueError, match=r": expected an array without masked entries, got some") as error:
        refused()
    assert str(error.value).startswith(f"{name}: ")


@pytest.mark.parametrize("mask", [np.ma.nomask, False])
def test_an_empty_mask_is_none(mask: Any) -> None:
    expected = ff.natural_step(S, A, weights=W)
    result = ff.natural_step(*(np.ma.array(a, mask=mask) for a in (S, A)), weights=np.ma.array(W, mask=mask))
    assert same_bits(result.step, expected.step)
    rows = [np.ma.array(row, mask=mask) for row in S]
    assert same_bits(ff.natural_step(rows, A, weights=W).step, expected.step)
