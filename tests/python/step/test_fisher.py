"""The streaming Fisher matrix: F = sum w s s^T / sum w over everything it was shown."""

from __future__ import annotations

import copy
import pickle
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastfisher as ff
from fastfisher import _core, reference

from .helpers import Array, batch, layouts

D = 13
S, _, G, W = batch(200, D)


def shown(scores: Array, weights: Array | None = None) -> ff.Fisher:
    F = ff.Fisher(scores.shape[1])
    F.update(scores, weights)
    return F


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 70), st.lists(st.integers(1, 50), min_size=1, max_size=5), st.booleans(), st.integers(0, 3)
)
def test_matrix_is_the_mean_over_all_blocks(d: int, sizes: list[int], weighted: bool, seed: int) -> None:
    S, _, g, w = batch(sum(sizes), d, seed)
    w[::7] = 1.0
    F = ff.Fisher(d)
    for block, weights in zip(
        np.split(S, np.cumsum(sizes)[:-1]), np.split(w, np.cumsum(sizes)[:-1]), strict=True
    ):
        if not weighted or weights.any():
            F.update(block, weights if weighted else None)
        else:
            F.update(block, np.full(len(block), 1e-300))  # all zeros are refused
    weights = w if weighted else np.ones(len(S))
    expected = reference.syrk_columns(S, weights) / weights.sum()
    matrix = F.matrix()
    np.testing.assert_allclose(matrix, expected, rtol=0, atol=1e-13 * np.abs(expected).max())
    assert (matrix == matrix.T).all()
    assert np.linalg.eigvalsh(matrix).min() > -1e-14 * d * np.trace(matrix)
    assert F.count == len(S)
    assert F.total_weight == pytest.approx(weights.sum(), rel=1e-12)
    assert F.trace() == pytest.approx(np.trace(expected), rel=1e-12)
    np.testing.assert_allclose(F @ g, expected @ g, rtol=0, atol=1e-12 * F.trace() * np.linalg.norm(g))


def test_it_works_at_every_level_and_layout(simd: str) -> None:
    expected = reference.syrk_columns(S, W) / W.sum()
    for _, scores in layouts(S):
        np.testing.assert_allclose(shown(scores, W).matrix(), expected, rtol=1e-12, atol=1e-14)
    expected = reference.syrk_columns(S.astype(np.float32)) / len(S)
    np.testing.assert_allclose(shown(S.astype(np.float32)).matrix(), expected, rtol=1e-12, atol=1e-14)


def test_solve_shapes() -> None:
    F = shown(S)
    M = F.matrix() + 0.1 * np.eye(D)
    np.testing.assert_allclose(M @ F.solve(G, damping=0.1), G, rtol=1e-10)
    several = np.random.default_rng(0).standard_normal((D, 5))
    for right in (several, np.asfortranarray(several), several[:, ::-1], several[:, :1], several[:, :0]):
        x = F.solve(right, damping=0.1)
        assert x.shape == right.shape
        np.testing.assert_allclose(M @ x, right, rtol=1e-10, atol=1e-12)
        assert (F @ right).shape == right.shape
        np.testing.assert_allclose(F @ right, F.matrix() @ right, rtol=1e-10, atol=1e-12)


def test_solve_is_the_direction_of_natural_step() -> None:
    expected = ff.natural_step(S, gradient=G, weights=W, damping=0.02)
    np.testing.assert_allclose(shown(S, W).solve(G, damping=0.02), expected.direction, rtol=1e-10)
    relative = ff.natural_step(S, gradient=G, damping=0.02, relative_damping=True)
    np.testing.assert_allclose(
        shown(S).solve(G, damping=0.02, relative_damping=True), relative.direction, rtol=1e-10
    )


@pytest.mark.parametrize("rows", [1, 5, D, D + 1])
def test_a_relative_damping_goes_by_the_fewer_of_rows_and_parameters(rows: int) -> None:
    absolute = 0.02 * (S[:rows] ** 2).sum() / rows / min(rows, D)
    expected = np.linalg.solve(S[:rows].T @ S[:rows] / rows + absolute * np.eye(D), G)
    x = shown(S[:rows]).solve(G, damping=0.02, relative_damping=True)
    np.testing.assert_allclose(x, expected, rtol=1e-9)
    step = ff.natural_step(S[:rows], gradient=G, damping=0.02, relative_damping=True)
    np.testing.assert_allclose(x, step.direction, rtol=1e-9)


def test_merge_is_having_seen_both() -> None:
    whole = ff.Fisher(D)
    whole.update(S[:70])
    whole.update(S[70:], W[70:])
    F, H = shown(S[:70]), shown(S[70:], W[70:])
    kept = H.matrix()
    assert F.merge(H) is None
    assert (F.count, F.total_weight) == (whole.count, pytest.approx(whole.total_weight))
    np.testing.assert_allclose(F.matrix(), whole.matrix(), rtol=1e-12, atol=1e-15)
    np.testing.assert_array_equal(H.matrix(), kept)
    empty = ff.Fisher(D)
    empty.merge(ff.Fisher(D))
    assert empty.count == 0
    H.merge(H)
    np.testing.assert_array_equal(H.matrix(), kept)
    assert H.count == 260


@pytest.mark.parametrize(
    "twin",
    [
        copy.copy,
        copy.deepcopy,
        *(lambda F, p=p: pickle.loads(pickle.dumps(F, p)) for p in range(pickle.HIGHEST_PROTOCOL + 1)),
    ],
)
def test_copies_are_the_same_bits_and_apart(twin) -> None:
    F = shown(S, W)
    other = twin(F)
    expected = F.matrix()
    F.update(S)
    np.testing.assert_array_equal(other.matrix(), expected)
    assert (other.d, other.count, other.total_weight) == (D, 200, pytest.approx(W.sum()))
    other.update(S)
    np.testing.assert_array_equal(other.matrix(), F.matrix())
    assert twin(ff.Fisher(3)).count == 0


def test_matrix_is_a_new_array() -> None:
    F = shown(S)
    first = F.matrix()
    first[:] = 0.0
    assert F.matrix().any()


def test_the_same_blocks_are_the_same_bits() -> None:
    one, other = (shown(S, W) for _ in range(2))
    assert one.matrix().tobytes() == other.matrix().tobytes()


def test_attributes_and_repr() -> None:
    F = shown(S, W)
    assert (F.d, F.shape, F.count) == (D, (D, D), 200)
    assert repr(F) == f"Fisher(d=13, count=200, total_weight={F.total_weight:g})"
    with pytest.raises(AttributeError):
        F.count = 3  # type: ignore[misc]


@pytest.mark.parametrize("use", ["matrix", "trace", "multiply", "solve"])
def test_before_an_update_it_is_undefined(use: str) -> None:
    F = ff.Fisher(D)
    uses = {"matrix": F.matrix, "trace": F.trace, "multiply": lambda: F @ G, "solve": lambda: F.solve(G)}
    with pytest.raises(RuntimeError, match=r"before an update"):
        uses[use]()


def test_wrong_arguments_are_named_and_change_nothing() -> None:
    F = shown(S)
    before = F.matrix()
    spoiled = S.copy()
    spoiled[123, 4] = np.nan
    wrong = [
        (ValueError, r"scores: .*row 123\b", lambda: F.update(spoiled)),
        (ValueError, "scores: expected 13 columns", lambda: F.update(S[:, :-1])),
        (ValueError, "scores: expected a two-dim", lambda: F.update(S[0])),
        (ValueError, "scores: expected at least", lambda: F.update(S[:0])),
        (TypeError, "scores", lambda: F.update(1j * S)),
        (ValueError, "weights: expected shape", lambda: F.update(S, W[1:])),
        (ValueError, "weights: expected values >= 0", lambda: F.update(S, W - 1.0)),
        (ValueError, "weights: .*row 3$", lambda: F.update(S, np.where(np.arange(200) == 3, np.inf, 1.0))),
        (ValueError, "weights", lambda: F.update(S, np.zeros(200))),
        (OverflowError, "scores", lambda: F.update(1e160 * S)),
        (TypeError, "other: expected a Fisher, got ndarray", lambda: F.merge(before)),
        (ValueError, "other: expected a Fisher of 13", lambda: F.merge(ff.Fisher(D + 1))),
        (ValueError, "damping", lambda: F.solve(G, damping=-1.0)),
        (ValueError, "damping", lambda: F.solve(G, damping=np.nan)),
        (TypeError, "damping", lambda: F.solve(G, damping="1")),
        (ValueError, "g: expected shape", lambda: F.solve(G[1:])),
        (ValueError, "g: expected finite", lambda: F.solve(np.full(D, np.nan))),
        (TypeError, "g: ", lambda: F.solve(1j * G)),
        (ValueError, "v: expected shape", lambda: F @ G[1:]),
        (ValueError, "v: expected", lambda: F @ np.ones((D + 1, 2))),
        (ValueError, "v: expected", lambda: F @ np.ones((D, 2, 2))),
        (ValueError, "v: expected finite", lambda: F @ np.full(D, np.inf)),
        (TypeError, "d: expected a whole number", lambda: ff.Fisher(2.0)),
        (TypeError, "d: expected a whole number", lambda: ff.Fisher(True)),
        (ValueError, "d: expected a whole number", lambda: ff.Fisher(0)),
    ]
    for error, message, call in wrong:
        with pytest.raises(error, match=rf"^{message}"):
            call()
    np.testing.assert_array_equal(F.matrix(), before)
    assert F.count == 200


@pytest.mark.parametrize("d", [2**31, 2**40, 2**62])
def test_a_matrix_beyond_all_memory_is_refused(d: int) -> None:
    with pytest.raises((MemoryError, ValueError)):
        ff.Fisher(d)


def test_no_infinity_gets_in() -> None:
    """By weights, by the sum of weights, by accumulation: OverflowError, and the matrix is what it was."""
    F = shown(S)
    before = F.matrix()
    with pytest.raises(OverflowError):
        F.update(1e153 * S, weights=np.full(200, 1e10))
    with pytest.raises((OverflowError, ValueError)):
        F.update(S, weights=np.full(200, 1e308))
    np.testing.assert_array_equal(F.matrix(), before)
    large = np.full((1, D), 1e153)
    with pytest.raises(OverflowError):  # noqa: PT012
        for _ in range(1000):
            F.update(large)
    assert np.isfinite(F.matrix()).all()


def test_too_little_damping_is_a_linalg_error() -> None:
    """Of a singular matrix, where no x solves for g; where one does, it is found as natural_step finds it."""
    F = shown(np.outer(np.ones(20), G))
    with pytest.raises(np.linalg.LinAlgError, match=r"damping"):
        F.solve(np.eye(len(G))[0], damping=0.0)
    with pytest.raises(np.linalg.LinAlgError, match=r"damping"):
        shown(np.zeros((20, len(G)))).solve(G, damping=0.0)
    np.testing.assert_allclose(F @ F.solve(G, damping=0.0), G, rtol=1e-8)


def test_a_solution_that_overflows_is_refused() -> None:
    F = shown(1e-150 * np.eye(2))
    with pytest.raises(OverflowError, match="range of float64; increase damping"):
        F.solve([1e20, 1.0], damping=0.0)


def test_a_state_that_no_rows_have_is_refused() -> None:
    make, _, state = copy.copy(shown(S))._accumulator.__reduce_ex__(2)[:3]
    d, total, count, weight = state
    for wrong in [(d, np.where(total == total[0], -1.0, total), count, weight), (d, total, count, -1.0)]:
        with pytest.raises(ValueError, match=r"^(sum|total_weight): expected"):
            make(_core.Fisher).__setstate__(wrong)


def test_updates_from_several_threads_all_count() -> None:
    F = ff.Fisher(D)
    failures = []

    def show(scores: Array) -> None:
        try:
            for _ in range(50):
                F.update(scores)
                F.matrix()
                F.trace()
        except BaseException as error:
            failures.append(error)

    workers = [threading.Thread(target=show, args=(block,)) for block in np.split(S, 4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not failures
    assert F.count == 50 * 200
    np.testing.assert_allclose(F.matrix(), shown(S).matrix(), rtol=1e-10, atol=1e-14)
