"""Every wrong argument raises an exception that names it; every array that can be understood is taken."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

import fastfisher as ff

from .helpers import Array, DlpackOnly, batch, layouts, same_bits

N, D = 30, 4
S, A, G, W = batch(N, D)
NOT_NUMBERS = {
    "complex": lambda size: np.ones(size, complex),
    "strings": lambda size: np.full(size, "a"),
    "objects": lambda size: np.full(size, None),
    "dates": lambda size: np.zeros(size, "datetime64[s]"),
}


def step(**changed: Any) -> ff.NaturalStep:
    arguments: dict[str, Any] = {"scores": S, "advantages": A, **changed}
    if "gradient" in changed:
        arguments.setdefault("gradient", None)
        arguments["advantages"] = changed.get("advantages")
    return ff.natural_step(**arguments)


def with_entry(array: Array, index: Any, value: float) -> Array:
    copy = array.copy()
    copy[index] = value
    return copy


# --- arrays ---


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("scores", np.ones(5), "two-dimensional"),
        ("scores", np.ones((2, 3, 4)), "two-dimensional"),
        ("scores", 1.0, "two-dimensional"),
        ("scores", [], "two-dimensional"),
        ("scores", np.ones((0, 4)), "at least one row"),
        ("scores", np.ones((N, 0)), "at least one row"),
        ("advantages", np.ones(N + 1), r"\(30,\)"),
        ("advantages", np.ones((N, 1)), r"\(30,\)"),
        ("advantages", 1.0, r"\(30,\)"),
        ("advantages", [], r"\(30,\)"),
        ("gradient", np.ones(N), r"\(4,\)"),
        ("gradient", np.ones((1, D)), r"\(4,\)"),
        ("weights", np.ones(N - 1), r"\(30,\)"),
        ("weights", np.ones((N, N)), r"\(30,\)"),
        ("initial", np.ones(D + 1), r"\(4,\)"),
    ],
)
def test_a_wrong_shape_names_the_argument_what_was_expected_and_what_came(
    name: str, values: Any, expected: str
) -> None:
    with pytest.raises(ValueError, match=rf"^{name}: expected .*{expected}.*, got shape") as error:
        step(**{name: values})
    assert str(np.shape(values)) in str(error.value)


@pytest.mark.parametrize("kind", NOT_NUMBERS)
@pytest.mark.parametrize(
    ("name", "size"),
    [("scores", (N, D)), ("advantages", N), ("gradient", D), ("weights", N), ("initial", D)],
)
def test_what_is_not_a_real_number_is_a_type_error(name: str, size: Any, kind: str) -> None:
    with pytest.raises(TypeError, match=rf"^{name}: expected an array of real numbers, got"):
        step(**{name: NOT_NUMBERS[kind](size)})


def test_ragged_lists_are_a_type_error() -> None:
    with pytest.raises(TypeError, match=r"^scores"):
        step(scores=[[1.0, 2.0, 3.0], [1.0]])
    with pytest.raises(TypeError, match=r"^advantages"):
        step(advantages=[[1.0], [1.0, 2.0]])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("row", [0, N // 2, N - 1])
def test_a_nonfinite_entry_is_named_with_its_row(row: int, bad: float) -> None:
    for column in (0, D // 2, D - 1):
        for dtype in (np.float32, np.float64):
            for _, scores in layouts(with_entry(S, (row, column), bad).astype(dtype)):
                with pytest.raises(ValueError, match=rf"^scores: expected finite values.* row {row}\b"):
                    step(scores=scores)
    for name, array in (("advantages", A), ("weights", W)):
        with pytest.raises(ValueError, match=rf"^{name}: expected finite values, got .* at row {row}$"):
            step(**{name: with_entry(array, row, bad)})


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("parameter", [0, D // 2, D - 1])
def test_a_nonfinite_parameter_is_named(parameter: int, bad: float) -> None:
    for name in ("gradient", "initial"):
        with pytest.raises(
            ValueError, match=rf"^{name}: expected finite values, got .* at parameter {parameter}$"
        ):
            step(**{name: with_entry(G, parameter, bad)})


def test_weights_are_not_negative_and_not_all_zero() -> None:
    with pytest.raises(ValueError, match=r"^weights: expected values >= 0, got -0\.5 at row 17"):
        step(weights=with_entry(W, 17, -0.5))
    with pytest.raises(ValueError, match=r"^weights: expected a positive"):
        step(weights=np.zeros(N))
    with pytest.raises(ValueError, match=r"^weights: expected a positive finite sum"):
        step(weights=np.full(N, 1e308))


def test_squares_that_overflow_are_an_overflow_error() -> None:
    with pytest.raises(OverflowError, match=r"scores"):
        step(scores=S * 1e200)


def test_exactly_one_of_advantages_and_gradient() -> None:
    with pytest.raises(TypeError, match=r"advantages, gradient: .* neither"):
        ff.natural_step(S)
    with pytest.raises(TypeError, match=r"advantages, gradient: .* both"):
        ff.natural_step(S, A, gradient=G)
    with pytest.raises(TypeError):
        ff.natural_step(S, None, G)  # type: ignore[misc]  # keyword-only


# --- numbers, choices ---


@pytest.mark.parametrize("name", ["damping", "max_kl", "count", "tol"])
def test_numbers(name: str) -> None:
    for bad in (-1.0, np.nan, np.inf, -np.inf, 10**400):
        with pytest.raises(ValueError, match=rf"^{name}: expected a finite number"):
            step(**{name: bad})
    sequences = () if name == "damping" else ([1.0], np.ones(1), np.ones(2))  # a step for each damping
    for bad in ("0.1", "x", True, 1j, object(), *sequences):
        with pytest.raises(TypeError, match=rf"^{name}: expected a finite number"):
            step(**{name: bad})
    for good in (1, np.float32(1.0), np.float64(1.0), np.int64(1), np.array(1.0)):
        assert same_bits(step(**{name: good}).step, step(**{name: 1.0}).step)


@pytest.mark.parametrize("name", ["max_kl", "count"])
def test_numbers_that_must_be_positive(name: str) -> None:
    with pytest.raises(ValueError, match=rf"^{name}: expected a finite number > 0, got 0"):
        step(**{name: 0.0})


def test_damping_has_no_none() -> None:
    with pytest.raises(TypeError, match=r"^damping"):
        step(damping=None)


@pytest.mark.parametrize(("name", "least"), [("max_iterations", 0), ("num_threads", 1)])
def test_whole_numbers(name: str, least: int) -> None:
    for bad in (least - 1, -5, 2**40, 2**70):
        with pytest.raises(ValueError, match=rf"^{name}: expected a whole number"):
            step(**{name: bad})
    for bad in (2.0, "2", True, np.float64(2.0), [2], Decimal(2)):
        with pytest.raises(TypeError, match=rf"^{name}: expected a whole number"):
            step(**{name: bad})
    for good in (2, np.int32(2), np.uint8(2)):
        step(**{name: good})


@pytest.mark.parametrize("bad", ["no", 1, 0.5, None, np.ones(2)])
def test_flags(bad: object) -> None:
    with pytest.raises(TypeError, match=r"^relative_damping"):
        step(relative_damping=bad)


@pytest.mark.parametrize("name", ["solver", "precision"])
@pytest.mark.parametrize("bad", ["", "lu", "Cholesky", None, 3, ["cg"], b"cg"])
def test_choices_are_listed(name: str, bad: object) -> None:
    choices = {
        "solver": "'auto', 'cholesky', 'gram', 'cg', 'lsmr'",
        "precision": "'auto', 'single', 'double', 'mixed'",
    }[name]
    with pytest.raises(ValueError, match=rf"^{name}: expected one of {choices}, got"):
        step(**{name: bad})


def test_a_sequence_of_dampings_names_the_one_that_is_wrong() -> None:
    for bad, got in (
        ([[1.0], [1.0, 2.0]], r"\[1\.0\]"),
        ([[1.0]], r"\[1\.0\]"),
        (["1"], "'1'"),
        ([None], "None"),
    ):
        with pytest.raises(TypeError, match=rf"^damping\[0\]: expected a finite number >= 0, got {got}$"):
            step(damping=bad)
    with pytest.raises(ValueError, match=r"^damping\[1\]: expected a finite number >= 0, got -1\.0$"):
        step(damping=(1.0, -1.0))
    with pytest.raises(TypeError, match=r"^damping: expected a finite number >= 0, got array"):
        step(damping=np.ones((2, 2)))
    for none in ([], np.ones(0)):
        with pytest.raises(ValueError, match=r"^damping: expected at least one value, got none$"):
            step(damping=none)


def test_momentum_and_previous() -> None:
    for bad in (np.zeros(3), np.zeros(D), "0", None, True, [0.5]):
        with pytest.raises(TypeError, match=r"^momentum: expected a finite number >= 0 and < 1, got "):
            step(momentum=bad, previous=np.zeros(D))
    for bad in (1.0, 2, -0.5, np.nan):
        with pytest.raises(ValueError, match=r"^momentum: expected a finite number >= 0 and < 1, got "):
            step(momentum=bad, previous=np.zeros(D))
    for zero in (0, 0.0, np.array(0.0)):
        with pytest.raises(TypeError, match=r"^previous: expected together with momentum > 0"):
            step(momentum=zero, previous=np.zeros(D))


# --- methods of Scores ---


def test_count_of_a_fisher_matrix() -> None:
    scores = ff.Scores(S)
    for bad in ("7", True, [7.0], 7j):
        with pytest.raises(TypeError, match=r"^count: expected a finite number > 0, got "):
            scores.fisher(count=bad)  # type: ignore[arg-type]
    for bad in (0, -1.0, np.inf, np.nan, 10**400):
        with pytest.raises(ValueError, match=r"^count: expected a finite number > 0, got "):
            scores.fisher(count=bad)
    for good in (7, np.float32(7.0), np.array(7.0)):
        assert same_bits(scores.fisher(count=good), scores.fisher(count=7.0))  # type: ignore[arg-type]


@pytest.mark.filterwarnings("error")
def test_weights_whose_sum_overflows_are_to_blame_where_they_divide() -> None:
    scores, weights = ff.Scores(S), np.full(N, 1e308)
    with pytest.raises(ValueError, match=r"^weights: expected a positive finite sum, got inf$"):
        scores.fisher(weights)
    scores.fisher(weights * 1e-10)


@pytest.mark.parametrize("bad", ["", "mixed", "auto", None, 3, ["single"], b"single"])
@pytest.mark.parametrize("method", ["gram", "fisher", "to_dense"])
def test_precision_of_the_methods(method: str, bad: object) -> None:
    with pytest.raises(ValueError, match=r"^precision: expected one of 'single', 'double', got"):
        getattr(ff.Scores(S), method)(precision=bad)


def test_nan_goes_through_products_of_scores_and_not_into_a_step() -> None:
    scores = ff.Scores(with_entry(S, (3, 1), np.nan))
    assert np.isnan(scores.fisher()).any()
    assert np.isnan(scores.gram()).any()
    assert np.isnan(scores @ np.ones(D)).sum() == 1
    for refuses in (lambda: ff.natural_step(scores, A), lambda: ff.Fisher(D).update(scores)):
        with pytest.raises(ValueError, match=r"^scores: .*row 3\b"):
            refuses()


# --- what is taken ---


@pytest.mark.parametrize("layout", [name for name, _ in layouts(S)])
@pytest.mark.parametrize("solver", ["cholesky", "gram", "cg"])
def test_layouts(layout: str, solver: str) -> None:
    expected = step(solver=solver, tol=1e-14).direction
    for dtype in (np.float32, np.float64):
        scores = dict(layouts(S.astype(dtype)))[layout]
        reference = step(scores=S.astype(dtype).astype(float), solver=solver, tol=1e-14).direction
        np.testing.assert_allclose(
            step(scores=scores, solver=solver, tol=1e-14).direction, reference, rtol=1e-9
        )
    vectors = {"advantages": np.repeat(A, 3)[::3], "weights": np.ones(2 * N)[::-2]}
    np.testing.assert_allclose(step(**vectors, solver=solver, tol=1e-14).direction, expected, rtol=1e-9)


WHOLE = np.rint(3 * S)  # exact in every type
CONVERSIONS: dict[str, Callable[[Array], Any]] = {
    "float16": lambda a: a.astype(np.float16),
    "float32": lambda a: a.astype(np.float32),
    "longdouble": lambda a: a.astype(np.longdouble),
    "int8": lambda a: a.astype(np.int8),
    "int64": lambda a: a.astype(np.int64),
    "big-endian float64": lambda a: a.astype(">f8"),
    "big-endian float32": lambda a: a.astype(">f4"),
    "big-endian int": lambda a: a.astype(">i2"),
    "list": lambda a: a.tolist(),
    "tuple": lambda a: tuple(map(tuple, a.tolist())) if a.ndim == 2 else tuple(a.tolist()),
    "DLPack": DlpackOnly,
    "buffer": lambda a: memoryview(a),
    "unaligned": lambda a: np.frombuffer(b"x" + a.tobytes(), np.uint8)[1:].view(a.dtype).reshape(a.shape),
}


@pytest.mark.parametrize("kind", CONVERSIONS)
def test_conversions(kind: str) -> None:
    """The same numbers in another container or type are the same step."""
    whole = np.rint(3 * A)
    expected = ff.natural_step(WHOLE, whole, weights=np.abs(whole) + 1)
    convert = CONVERSIONS[kind]
    result = ff.natural_step(convert(WHOLE), convert(whole), weights=convert(np.abs(whole) + 1))
    np.testing.assert_allclose(result.direction, expected.direction, rtol=1e-12)


def test_booleans_count_as_zero_and_one() -> None:
    np.testing.assert_array_equal(step(scores=S > 0).direction, step(scores=(S > 0).astype(float)).direction)


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_fields_of_structured_arrays(rows: int) -> None:
    """Strides that are no multiple of the entry's size, and for one row no stride that matters."""
    record = np.zeros(5, dtype=[("score", "f8", (D,)), ("flag", "i1"), ("advantage", "f8")])
    record["score"], record["advantage"] = S[:5], A[:5]
    result = ff.natural_step(record["score"][:rows], record["advantage"][:rows])
    np.testing.assert_allclose(result.direction, ff.natural_step(S[:rows], A[:rows]).direction, rtol=1e-12)


def test_scores_are_not_copied() -> None:
    """A view of another array's memory is read where it lies."""
    np.testing.assert_array_equal(
        ff.natural_step(np.broadcast_to(S[0], (N, D)), A).gradient,
        ff.natural_step(np.tile(S[0], (N, 1)), A).gradient,
    )


# --- threads ---


@pytest.mark.parametrize("bad", [0, -1, 2**40, 1.5, "2", True])
def test_set_num_threads(bad: object) -> None:
    with pytest.raises((TypeError, ValueError), match=r"^threads: expected a whole number"):
        ff.set_num_threads(bad)  # type: ignore[arg-type]
