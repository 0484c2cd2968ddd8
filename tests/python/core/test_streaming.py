"""Blocks of rows from iterators: the matrix and the step of all rows at once, in little memory."""

from __future__ import annotations

import array
import itertools
import os
import re
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastfisher as ff
from fastfisher.streams import is_stream

from .helpers import Array, DlpackOnly, batch, run_python, same_bits

D = 13
S, A, G, W = batch(200, D)
P = np.random.default_rng(5).standard_normal(D)
FIELDS = (
    "step",
    "direction",
    "gradient",
    "step_size",
    "predicted_kl",
    "predicted_improvement",
    "damping",
)
DOCUMENT = Path(__file__).parents[3] / "docs" / "streaming.md"


def parts(*arrays: Array | None, sizes: tuple[int, ...] = (70, 1, 40)) -> Iterator[tuple[Any, ...]]:
    """Yield the arrays' rows in blocks; None stays None."""
    ends = np.cumsum([0, *sizes, 10**9])
    for first, last in itertools.pairwise(ends):
        yield tuple(None if a is None else a[first:last] for a in arrays)


class Fresh:
    """Each `iter` is a pass of its own; `passes` counts them."""

    def __init__(self, *arrays: Array | None) -> None:
        self.arrays, self.passes = arrays, 0

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        self.passes += 1
        return parts(*self.arrays)


class TestUpdate:
    @settings(max_examples=30, deadline=None)
    @given(st.lists(st.integers(1, 60), min_size=1, max_size=6), st.booleans(), st.integers(1, 40))
    def test_an_iterator_is_its_blocks_one_after_another(
        self, sizes: list[int], weighted: bool, d: int
    ) -> None:
        scores, _, _, w = batch(sum(sizes), d)
        cuts = np.cumsum(sizes)[:-1]
        blocks, weights = np.split(scores, cuts), np.split(w + 0.1, cuts)
        one, other = ff.Fisher(d), ff.Fisher(d)
        for block, part in zip(blocks, weights, strict=True):
            one.update(block, part if weighted else None)
        if weighted:
            other.update(zip(blocks, weights, strict=True), weighted=True)
        else:
            other.update(iter(blocks))
        assert one.matrix().tobytes() == other.matrix().tobytes()
        assert (one.count, one.total_weight) == (other.count, other.total_weight)

    def test_what_an_item_may_be(self) -> None:
        left, right = S[:, :3], S[:, 3:7]
        pair = np.einsum("np,nq->npq", left, right).reshape(len(S), -1)
        items = [
            pair,
            pair.astype(np.float32),
            np.asfortranarray(pair),
            pair.tolist(),
            ff.Scores([(left, right)]),
            [(left, right)],
            [pair[:, :5], pair[:, 5:]],
            (pair[:, :5], pair[:, 5:]),  # two blocks of columns: never scores and weights
        ]
        F, expected = ff.Fisher(12), ff.Fisher(12)
        F.update(item for item in items)
        for _ in items:
            expected.update(pair)
        np.testing.assert_allclose(F.matrix(), expected.matrix(), rtol=1e-6, atol=1e-6)
        assert F.count == len(items) * len(S)

    def test_weights_of_items(self) -> None:
        F, expected = ff.Fisher(D), ff.Fisher(D)
        F.update(iter([(S, W), [S, None], (S, np.zeros(200))]), weighted=True)
        expected.update(S, W)
        expected.update(S)
        np.testing.assert_allclose(F.trace(), expected.trace(), rtol=1e-13)
        np.testing.assert_allclose(F.matrix(), expected.matrix(), rtol=1e-13, atol=1e-15)
        assert F.count == 600

    @pytest.mark.parametrize(
        "stream",
        [
            lambda: (s for (s,) in parts(S)),
            lambda: map(np.array, np.split(S, 4)),
            lambda: iter([S[:50], S[50:]]),
            lambda: type("Dataset", (), {"__iter__": lambda self: iter([S[:50], S[50:]])})(),
            lambda: lambda: iter([S[:50], S[50:]]),
            lambda: lambda: [S[:50], S[50:]],
        ],
    )
    def test_iterators_of_every_kind(self, stream: Callable[[], Any]) -> None:
        F, whole = ff.Fisher(D), ff.Fisher(D)
        assert F.update(stream()) is None
        whole.update(S)
        np.testing.assert_allclose(F.matrix(), whole.matrix(), rtol=1e-13, atol=1e-15)

    @pytest.mark.parametrize(
        "value",
        [
            S,
            S.tolist(),
            (S, S),
            [S],
            ff.Scores(S),
            DlpackOnly(S),
            memoryview(S),
            array.array("d", [1.0]),
            deque([S]),
            "text",
            b"bytes",
            range(3),
            {"a": S},
            {1, 2},
            ff.Fisher,
            3.0,
            None,
            np.float64(1.0),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_arrays_sequences_and_the_like_are_not_iterators(self, value: object) -> None:
        assert not is_stream(value)

    def test_a_refused_item_is_named_and_the_ones_before_it_stay(self) -> None:
        bad = S.copy()
        bad[17, 2] = np.nan
        wrong = [
            (ValueError, r"item 2: scores: .*row 17\b", bad, False),
            (ValueError, "item 2: scores: expected 13 columns", S[:, 1:], False),
            (ValueError, "item 2: scores: expected a two-dim", S[0], False),
            (TypeError, "item 2: scores: expected an array", S * 1j, False),
            (OverflowError, "item 2: scores: ", S * 1e160, False),
            (ValueError, "item 2: weights: expected shape", (S, W[1:]), True),
            (ValueError, "item 2: weights: expected values >= 0", (S, W - 1.0), True),
            (TypeError, r"item 2: expected a pair \(scores, weights\), got ndarray", S, True),
            (TypeError, r"item 2: expected a pair .*, got 3 of them", (S, W, W), True),
        ]
        good = ff.Fisher(D)
        good.update(S)
        good.update(S)
        for error, message, item, weighted in wrong:
            F = ff.Fisher(D)
            first: Any = (S, None) if weighted else S
            with pytest.raises(error, match=rf"^{message}"):
                F.update(iter([first, first, item, first]), weighted=weighted)
            assert F.count == 400
            np.testing.assert_array_equal(F.matrix(), good.matrix())

    def test_an_error_of_the_iterator_comes_through(self) -> None:
        def failing() -> Iterator[Array]:
            yield S
            raise ValueError("the disk is gone")

        F = ff.Fisher(D)
        with pytest.raises(ValueError, match=r"^the disk is gone$"):
            F.update(failing())
        assert F.count == 200

    def test_wrong_calls(self) -> None:
        F = ff.Fisher(D)
        used = iter([S])
        F.update(used)
        wrong: list[tuple[type[Exception], str, Callable[[], None]]] = [
            (ValueError, "scores: expected at least one block", lambda: F.update(used)),
            (TypeError, "weights: expected none beside an iterator", lambda: F.update(iter([S]), W)),
            (TypeError, "weighted: expected True only with an iterator", lambda: F.update(S, weighted=True)),
            (TypeError, "weighted: expected True or False", lambda: F.update(iter([S]), weighted=1)),  # type: ignore[arg-type]
            (TypeError, "scores: expected a function that returns an iterator", lambda: F.update(lambda: 3)),  # type: ignore[arg-type,return-value]
        ]
        for error, message, call in wrong:
            with pytest.raises(error, match=rf"^{message}"):
                call()
        assert F.count == 200


class TestStep:
    @pytest.mark.parametrize("weights", [None, W], ids=["plain", "weighted"])
    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"max_kl": 0.01},
            {"damping": 3.0, "max_kl": 0.5},
            {"damping": 0.0, "max_kl": 0.01},
            {"damping": 0.1, "relative_damping": True, "max_kl": 0.01},
            {"count": 37.0, "max_kl": 0.01},
            {"count": 1e6, "relative_damping": True},
            {"momentum": 0.9, "previous": P},
            {"momentum": 0.9, "previous": P, "max_kl": 0.01},
            {"momentum": 0.5, "previous": P, "max_kl": 0.01, "damping": 0.0},
            {"momentum": 0.5},
            {"solver": "cholesky", "precision": "double", "num_threads": 2},
        ],
        ids=str,
    )
    def test_it_is_the_step_of_all_rows_at_once(self, options: dict[str, Any], weights: Array | None) -> None:
        expected = ff.natural_step(S, A, weights=weights, **{**options, "solver": "cholesky"})
        fresh = Fresh(S, A, weights)
        for stream in (parts(S, A, weights), fresh, lambda: parts(S, A, weights)):
            result = ff.natural_step(stream, **options)
            for field in FIELDS:
                np.testing.assert_allclose(getattr(result, field), getattr(expected, field), rtol=1e-10)
            assert (result.solver, result.precision, result.sample_weights) == ("cholesky", "double", None)
            assert result.residual < 1e-14
        assert fresh.passes == 2

    @pytest.mark.parametrize("weights", [None, W], ids=["plain", "weighted"])
    def test_of_a_given_gradient(self, weights: Array | None) -> None:
        expected = ff.natural_step(S, gradient=G, weights=weights, max_kl=0.01, solver="cholesky")
        for stream in (parts(S, None, weights), Fresh(S, None, weights)):
            result = ff.natural_step(stream, gradient=G, max_kl=0.01)
            for field in FIELDS:
                np.testing.assert_allclose(getattr(result, field), getattr(expected, field), rtol=1e-10)

    def test_momentum_with_a_count(self) -> None:
        """(F + lambda I) x = g + lambda mu previous, whatever F was divided by."""
        options: dict[str, Any] = {"momentum": 0.5, "previous": P, "count": 50.0, "damping": 0.1}
        F, g = S.T @ (W[:, None] * S) / 50.0, S.T @ (W * A) / W.sum()
        x = np.linalg.solve(F + 0.1 * np.eye(D), g + 0.1 * 0.5 * P)
        result = ff.natural_step(Fresh(S, A, W), max_kl=0.01, **options)
        np.testing.assert_allclose(result.direction, x, rtol=1e-10)
        assert result.step @ F @ result.step / 2 == pytest.approx(0.01, rel=1e-10)
        expected = ff.natural_step(S, gradient=g, weights=W, max_kl=0.01, **options)
        for field in FIELDS:
            np.testing.assert_allclose(getattr(result, field), getattr(expected, field), rtol=1e-10)

    @settings(max_examples=30, deadline=None)
    @given(
        st.integers(1, 30), st.integers(1, 80), st.integers(1, 30), st.floats(-8, 2), st.integers(-120, 120)
    )
    def test_any_shape_and_scale(self, d: int, rows: int, size: int, damping: float, exponent: int) -> None:
        scores, advantages, _, _ = batch(rows, d)
        unit = 2.0**exponent
        absolute = 10.0**damping * unit * unit
        expected = ff.natural_step(scores * unit, advantages, damping=absolute, max_kl=0.01, solver="gram")
        sizes = (size,) * (rows // size) if rows % size else (size,) * (rows // size - 1)
        result = ff.natural_step(
            lambda: parts(scores * unit, advantages, sizes=sizes), damping=absolute, max_kl=0.01
        )
        length = np.linalg.norm(expected.direction / np.abs(expected.direction).max())
        error = (result.direction - expected.direction) / np.abs(expected.direction).max()
        condition = 1.0 + (scores**2).sum() / rows / 10.0**damping
        assert np.linalg.norm(error) <= 1e-14 * d * condition * length
        assert result.predicted_kl == pytest.approx(expected.predicted_kl, rel=1e-13 * condition)
        assert result.step_size == pytest.approx(expected.step_size, rel=1e-13 * condition)

    def test_factored_blocks(self) -> None:
        left, right = S[:, :5], S[:, 5:]
        expected = ff.natural_step([(left, right), S], A, max_kl=0.01, solver="cholesky")
        stream = (([(a, b), s], c) for a, b, s, c in parts(left, right, S, A))
        result = ff.natural_step(stream, max_kl=0.01)
        np.testing.assert_allclose(result.step, expected.step, rtol=1e-8)

    def test_a_sequence_of_dampings_is_two_passes_in_all(self) -> None:
        dampings = [1e-6, 1e-2, 10.0]
        fresh = Fresh(S, A)
        steps = ff.natural_step(fresh, damping=dampings, max_kl=0.01)
        assert fresh.passes == 2
        for step, damping in zip(steps, dampings, strict=True):
            alone = ff.natural_step(Fresh(S, A), damping=damping, max_kl=0.01)
            assert same_bits([getattr(step, f) for f in ("damping", "residual")], [damping, alone.residual])
            assert same_bits(step.step, alone.step)

    def test_one_pass_or_two_is_the_same_step_and_the_notes_say_which(self) -> None:
        once, twice = ff.natural_step(parts(S, A), max_kl=0.01), ff.natural_step(Fresh(S, A), max_kl=0.01)
        assert same_bits(once.direction, twice.direction)
        np.testing.assert_allclose(once.step, twice.step, rtol=1e-13)
        assert any("only once" in note for note in once.notes)
        assert not any("residual" in note for note in twice.notes)
        assert all(result.notes[0].startswith("auto chose cholesky") for result in (once, twice))
        assert not ff.natural_step(Fresh(S, A), solver="cholesky").notes

    def test_a_second_pass_measures_the_scores_themselves(self) -> None:
        """Scores whose squares round differently from the accumulated ones: only the second pass sees it."""
        scores = S @ np.diag(np.logspace(0, -7, D))
        result = ff.natural_step(Fresh(scores, A), damping=1e-16)
        x = result.direction.astype(np.longdouble)
        wide = scores.astype(np.longdouble)
        remainder = result.gradient - wide.T @ (wide @ x) / len(S) - result.damping * x
        expected = float(np.sqrt((remainder**2).sum()) / np.linalg.norm(result.gradient))
        assert expected / 3 < result.residual + 1e-16 < 3 * expected + 1e-15

    def test_a_second_pass_that_is_another(self) -> None:
        stream = parts(S, A)
        result = ff.natural_step(lambda: stream)
        assert any("a second pass gave 0 rows, the first 200" in note for note in result.notes)
        rng = np.random.default_rng(0)
        other = ff.natural_step(lambda: iter([(rng.standard_normal((50, D)), rng.standard_normal(50))]))
        assert other.residual > 1e-3
        assert any("not to be trusted" in note for note in other.notes)

    def test_dead_parameters_without_damping(self) -> None:
        scores = S.copy()
        scores[:, 4] = 0.0
        result = ff.natural_step(Fresh(scores, A), damping=0.0, max_kl=0.01)
        expected = ff.natural_step(scores, A, damping=0.0, max_kl=0.01, solver="cholesky")
        np.testing.assert_allclose(result.step, expected.step, rtol=1e-9, atol=1e-14)
        assert any("jitter" in note for note in result.notes)
        with pytest.raises(np.linalg.LinAlgError, match="increase damping"):
            ff.natural_step(iter([(np.zeros((5, D)), None)]), gradient=G, damping=0.0)

    @pytest.mark.parametrize("momentum", [{}, {"momentum": 0.9, "previous": np.zeros(D)}])
    def test_a_zero_gradient(self, momentum: dict[str, Any]) -> None:
        result = ff.natural_step(Fresh(S, np.zeros(200)), max_kl=0.01, **momentum)
        assert not result.step.any()
        assert result.residual == result.predicted_kl == result.predicted_improvement == 0.0
        assert any("gradient is zero" in note for note in result.notes)

    def test_blocks_without_weight(self) -> None:
        w = W.copy()
        w[:100] = 0.0
        expected = ff.natural_step(S, A, weights=w, solver="cholesky")
        result = ff.natural_step(parts(S, A, w, sizes=(50, 50)))
        np.testing.assert_allclose(result.direction, expected.direction, rtol=1e-10)
        with pytest.raises(ValueError, match=r"^weights: expected a positive sum"):
            ff.natural_step(parts(S, A, np.zeros(200)))

    def test_the_same_bits_for_any_number_of_threads(self) -> None:
        one, eight = (ff.natural_step(Fresh(S, A), max_kl=0.01, num_threads=n) for n in (1, 8))
        assert same_bits(one.step, eight.step)

    def test_wrong_calls(self) -> None:
        momentum = {"previous": P[1:], "momentum": 0.5}
        wrong: list[tuple[type[Exception], str, Any, dict[str, Any]]] = [
            (TypeError, "advantages: expected none beside", parts(S, A), {"advantages": A}),
            (TypeError, "weights: expected none beside", parts(S, A), {"weights": W}),
            (ValueError, "solver: .*'gram', which needs all", parts(S, A), {"solver": "gram"}),
            (ValueError, "solver: .*'cg', which needs all", parts(S, A), {"solver": "cg"}),
            (ValueError, "solver: expected one of", parts(S, A), {"solver": "lu"}),
            (ValueError, "precision: .*float64, got 'mixed'", parts(S, A), {"precision": "mixed"}),
            (ValueError, "precision: .*float64, got 'single'", parts(S, A), {"precision": "single"}),
            (ValueError, "scores: expected at least one block", iter([]), {}),
            (ValueError, "scores: expected at least one block", iter([]), {"gradient": G}),
            (TypeError, "item 0: expected .scores, advantages. or .*got ndarray", iter([S]), {}),
            (TypeError, "item 0: expected .*got 1 of them", iter([(S,)]), {}),
            (TypeError, "item 0: advantages: expected an array, got NoneType", iter([(S, None)]), {}),
            (TypeError, "item 0: advantages: expected None beside", iter([(S, A)]), {"gradient": G}),
            (ValueError, "item 1: scores: expected 13 columns", iter([(S, A), (S[:, 1:], A)]), {}),
            (ValueError, "item 0: scores: expected 14 columns", iter([(S, None)]), {"gradient": np.ones(14)}),
            (ValueError, "item 0: advantages: expected shape", iter([(S, A[1:])]), {}),
            (ValueError, "item 0: weights: expected values >= 0", iter([(S, A, W - 1.0)]), {}),
            (ValueError, "item 0: scores: .*row 0", iter([(S * np.nan, A)]), {}),
            (OverflowError, "item 0: advantages: ", iter([(S * 1e10, A * 1e300)]), {}),
            (ValueError, "gradient: expected shape", iter([(S, None)]), {"gradient": np.ones((2, 2))}),
            (ValueError, "gradient: expected finite", iter([(S, None)]), {"gradient": G * np.inf}),
            (ValueError, "previous: expected shape", parts(S, None), {"gradient": G, **momentum}),
            (ValueError, "initial: expected shape", parts(S, None), {"gradient": G, "initial": P[1:]}),
            (ValueError, "damping: ", parts(S, A), {"damping": -1.0}),
            (MemoryError, "memory_limit: .* 1352 bytes", parts(S, A), {"memory_limit": 1000.0}),
            (ValueError, "center: ", parts(S, A), {"center": True}),
        ]  # fmt: skip
        for error, message, stream, options in wrong:
            with pytest.raises(error, match=rf"^(item 0: )?{message}"):
                ff.natural_step(stream, **options)

    def test_refusals_come_before_the_first_block_is_asked_for(self) -> None:
        stream = parts(S, A)
        for options in ({"solver": "cg"}, {"precision": "mixed"}, {"damping": -1.0}, {"weights": W}):
            with pytest.raises((TypeError, ValueError)):
                ff.natural_step(stream, **options)
        assert len(list(stream)) == 4

    def test_out_of_range_is_an_error_not_an_infinity(self) -> None:
        for scores, advantages, damping in [
            (1e-120, 1e250, 1e-240),
            (1.0, 1e-300, 1e300),
            (1e100, 1e-300, 0.0),
        ]:
            with pytest.raises(OverflowError, match="step"):
                ff.natural_step(iter([(S * scores, A * advantages)]), damping=damping)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/self/status")
@pytest.mark.parametrize("use", ["F.update(s for s, _ in blocks())", "ff.natural_step(blocks, max_kl=0.01)"])
def test_memory_does_not_grow_with_the_rows(use: str) -> None:
    """80 MB of scores, 0.8 MB at a time.

    VmHWM rather than getrusage, whose peak a child process takes over from its parent.
    """
    result = run_python(f"""
import fastfisher as ff, numpy as np

def resident(field):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(field)) / 1024

def blocks(number=100):
    rng = np.random.default_rng(0)
    for _ in range(number):
        scores = rng.standard_normal((2000, 50))
        yield scores, scores[:, 0]
        del scores

F = ff.Fisher(50)
ff.natural_step(lambda: blocks(1))  # threads, buffers
before = resident("VmRSS:")
{use}
print(resident("VmHWM:") - before)
""")
    assert result.returncode == 0, result.stderr
    assert float(result.stdout) < 12.0


def test_one_block_at_a_time_is_alive() -> None:
    """What the iterator made before is gone when it is asked for the next."""

    class Block(np.ndarray):
        alive = 0

        def __del__(self) -> None:
            Block.alive -= 1

    most = 0

    def blocks(advantages: bool) -> Iterator[Any]:
        nonlocal most
        for _ in range(5):
            most = max(most, Block.alive)
            block = S.copy().view(Block)
            Block.alive += 1
            yield (block, A) if advantages else block
            del block

    ff.Fisher(D).update(blocks(False))
    ff.natural_step(lambda: blocks(True))
    assert (most, Block.alive) == (0, 0)


@pytest.mark.parametrize("block", range(3), ids=["update", "step", "processes"])
def test_the_examples_of_the_documentation(block: int, tmp_path: Path) -> None:
    """Run as a script; the last one starts four processes and compares their sum with one process's."""
    if not DOCUMENT.exists():
        pytest.skip("no docs beside the tests")
    programs = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    assert len(programs) == 3
    script = tmp_path / "example.py"
    imports = "import fastfisher as ff\nimport numpy as np\n"
    script.write_text((imports if block == 1 else "") + programs[block], encoding="utf-8")
    package = str(Path(ff.__file__).parents[1])
    result = subprocess.run(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": package},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout == ("merged 80000 rows\n" if block == 2 else "")


def test_the_order_of_merging_matters_to_rounding_only() -> None:
    parts_of = [ff.Fisher(D) for _ in range(4)]
    for F, (scores, w) in zip(parts_of, parts(S, W), strict=True):
        F.update(scores, w)

    def merged(order: list[int]) -> Array:
        total = ff.Fisher(D)
        for k in order:
            total.merge(parts_of[k])
        return total.matrix()

    assert merged([0, 1, 2, 3]).tobytes() == merged([0, 1, 2, 3]).tobytes()
    np.testing.assert_allclose(merged([3, 1, 0, 2]), merged([0, 1, 2, 3]), rtol=1e-13, atol=1e-15)
