"""Blocks of rows from iterators: the matrix and the step of all rows at once, in little memory."""

from __future__ import annotations

import array
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
from fastfisher.streaming import is_stream

from .helpers import Array, DlpackOnly, batch, parts, run_python

D = 13
S, A, _, W = batch(200, D)
DOCUMENT = Path(__file__).parents[3] / "docs" / "how-to" / "streaming.md"


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
        ]
        F, expected = ff.Fisher(12), ff.Fisher(12)
        F.update(item for item in items)
        for _ in items:
            expected.update(pair)
        np.testing.assert_allclose(F.matrix(), expected.matrix(), rtol=1e-6, atol=1e-6)
        assert F.count == len(items) * len(S)
        with pytest.raises(TypeError, match=r"^item 0: scores: expected a list of blocks"):
            F.update(iter([(pair[:, :5], pair[:, 5:])]))

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


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/self/status")
def test_memory_does_not_grow_with_the_dampings() -> None:
    """A factor takes 8 MB: ten of them must not be kept beside each other."""
    result = run_python("""
import fastfisher as ff, numpy as np

def peak():
    status = open("/proc/self/status").read()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024

rng = np.random.default_rng(0)
scores, advantages = rng.standard_normal((1100, 1000)), rng.standard_normal(1100)
ff.natural_step(lambda: iter([(scores, advantages)]))
before = peak()
ff.natural_step(lambda: iter([(scores, advantages)]), damping=list(np.logspace(-4, 0, 10)))
print(peak() - before)
""")
    assert result.returncode == 0, result.stderr
    assert float(result.stdout) < 24.0


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
