"""Every kernel against its definition in fastfisher.reference, at every SIMD level."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastfisher import _core, reference

from .helpers import Array, batch, layouts

pytestmark = pytest.mark.usefixtures("simd")

REAL = {"single": np.float32, "double": np.float64}
examples = settings(max_examples=60, deadline=None)


class Case(NamedTuple):
    scores: Array
    v: Array
    u: Array
    weights: Array | None
    precision: str

    @property
    def eps(self) -> float:
        return float(np.finfo(REAL[self.precision]).eps)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Scores of any shape, precision and layout; arithmetic in either precision; weights or none."""
    rows, columns = draw(st.integers(1, 140)), draw(st.integers(1, 140))
    data = batch(rows, columns, seed=draw(st.integers(0, 5)))
    scores = data.scores.astype(draw(st.sampled_from([np.float32, np.float64])))
    _, scores = draw(st.sampled_from(list(layouts(scores))))
    weights = data.weights if draw(st.booleans()) else None
    # Vectors that are exact in single precision, so that only the arithmetic is compared.
    v, u = (x.astype(np.float32).astype(np.float64) for x in (data.gradient, data.advantages))
    if weights is not None:
        weights = weights.astype(np.float32).astype(np.float64)
    return Case(scores, v, u, weights, draw(st.sampled_from(["single", "double"])))


def assert_sums(
    computed: Array, formula: Callable[..., Array], *arguments: object, terms: int, eps: float
) -> None:
    """Hold sums to |computed - exact| <= (terms + slack) eps formula(|arguments|), entry by entry."""
    expected = formula(*arguments)
    magnitude = formula(*(None if a is None else np.abs(a) for a in arguments))
    assert computed.shape == expected.shape
    np.testing.assert_array_less(np.abs(computed - expected), (terms + 20) * eps * magnitude + 1e-300)


@examples
@given(cases())
def test_fisher_product(case: Case) -> None:
    computed = _core.fisher_product(case.scores, case.weights, case.precision)
    assert computed.dtype == REAL[case.precision]
    assert (computed == computed.T).all()
    assert_sums(
        computed, reference.syrk_columns, case.scores, case.weights, terms=len(case.scores), eps=case.eps
    )


@examples
@given(cases())
def test_gram_product(case: Case) -> None:
    computed = _core.gram_product(case.scores, case.weights, case.precision)
    assert computed.dtype == REAL[case.precision]
    assert (computed == computed.T).all()
    assert_sums(
        computed, reference.syrk_rows, case.scores, case.weights, terms=case.scores.shape[1], eps=case.eps
    )


@examples
@given(cases())
def test_products_with_vectors(case: Case) -> None:
    S, v, u = case.scores, case.v, case.u
    rows, columns = S.shape
    matvec = _core.matvec(S, v, case.precision)
    assert_sums(matvec, reference.matvec, S, v, terms=columns, eps=case.eps)
    rmatvec = _core.rmatvec(S, u, case.precision)
    assert_sums(rmatvec, reference.rmatvec, S, u, terms=rows, eps=case.eps)
    fused = _core.fisher_matvec(S, v, case.weights, case.precision)
    assert_sums(fused, reference.fisher_matvec, S, v, case.weights, terms=rows + columns, eps=case.eps)
    assert {matvec.dtype, rmatvec.dtype, fused.dtype} == {np.dtype(REAL[case.precision])}


@examples
@given(cases())
def test_the_two_products_have_one_trace(case: Case) -> None:
    """tr(S^T W S) = tr(W^1/2 S S^T W^1/2) = sum w ||s||^2."""
    norms = _core.square_norms(case.scores)
    eps = float(np.finfo(np.float64).eps)
    assert_sums(norms, reference.row_square_norms, case.scores, terms=case.scores.shape[1], eps=eps)
    trace = norms.sum() if case.weights is None else case.weights @ norms
    tolerance = (sum(case.scores.shape) + 20) * case.eps * trace
    for product in (_core.fisher_product, _core.gram_product):
        matrix = product(case.scores, case.weights, case.precision)
        assert abs(np.trace(matrix.astype(np.float64)) - trace) <= tolerance


@examples
@given(cases(), st.data())
def test_first_nonfinite_row(case: Case, data: st.DataObject) -> None:
    assert _core.first_nonfinite_row(case.scores) == -1
    scores = np.array(case.scores)
    row = data.draw(st.integers(0, len(scores) - 1))
    column = data.draw(st.integers(0, scores.shape[1] - 1))
    scores[row, column] = data.draw(st.sampled_from([np.nan, np.inf, -np.inf]))
    for _, spoiled in layouts(scores):
        assert _core.first_nonfinite_row(spoiled) == row


@examples
@given(st.integers(1, 160), st.sampled_from([np.float32, np.float64]), st.integers(0, 5))
def test_cholesky(n: int, dtype: type, seed: int) -> None:
    root = batch(n, n, seed).scores
    matrix = (root @ root.T + n * np.eye(n)).astype(dtype)
    factor = _core.cholesky(matrix)
    assert factor.dtype == dtype
    assert (np.triu(factor, 1) == 0).all()
    wide, exact = factor.astype(np.float64), matrix.astype(np.float64)
    scale = n * np.linalg.norm(exact, 1) * np.finfo(dtype).eps
    assert np.linalg.norm(wide @ wide.T - np.tril(exact) - np.tril(exact, -1).T, 1) < 30 * scale
    np.testing.assert_allclose(factor, reference.cholesky(matrix), atol=100 * scale)


def test_cholesky_names_the_pivot() -> None:
    matrix = np.eye(200)
    matrix[150, 150] = -1.0
    with pytest.raises(np.linalg.LinAlgError, match=r"150"):
        _core.cholesky(matrix)


@pytest.mark.parametrize("shape", [(9000, 7), (8200, 130), (7, 9000), (1000, 3), (513, 257)])
@pytest.mark.parametrize("precision", ["single", "double"])
def test_deep_and_narrow(shape: tuple[int, int], precision: str) -> None:
    """Shapes that are cut into several panels or chunks, with weights."""
    data = batch(*shape)
    scores, weights = data.scores.astype(REAL[precision]), data.weights
    eps = float(np.finfo(REAL[precision]).eps)
    if shape[1] < 1000:
        computed = _core.fisher_product(scores, weights, precision)
        assert_sums(computed, reference.syrk_columns, scores, weights, terms=shape[0], eps=eps)
    if shape[0] < 1000:
        computed = _core.gram_product(scores, weights, precision)
        assert_sums(computed, reference.syrk_rows, scores, weights, terms=shape[1], eps=eps)
    v = data.gradient.astype(np.float32).astype(np.float64)
    computed = _core.fisher_matvec(scores, v, None, precision)
    assert_sums(computed, reference.fisher_matvec, scores, v, None, terms=sum(shape), eps=eps)


def test_a_broadcast_row_is_seen_where_it_lies() -> None:
    """np.broadcast_to has strides of zero; n copies of a row s give n s s^T."""
    row = np.arange(1.0, 6.0)
    scores = np.broadcast_to(row, (40, 5))
    np.testing.assert_array_equal(_core.fisher_product(scores), 40 * np.outer(row, row))
    np.testing.assert_array_equal(_core.gram_product(scores), np.full((40, 40), row @ row))
