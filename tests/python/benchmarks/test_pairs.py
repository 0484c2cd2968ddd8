"""The interval of a ratio's median, and where a run may write."""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from versus.figure import draw
from versus.options import destination, pattern, positive
from versus.pairs import median_interval, ratio_of_pairs, restated
from versus.table import table


def timed(ours: list[float], peer: list[float], **more: Any) -> dict[str, Any]:
    def times(turns: list[float]) -> dict[str, Any]:
        return {"median": float(np.median(turns)), "min": min(turns), "turns": turns}

    return {
        "case": "a case", "peer": "a peer", "simd": "v4", "threads": 1, "status": "timed", "note": "",
        "bar": None, "gives": "", "case_notes": [],
        "ratio": float(np.median(np.array(peer) / np.array(ours))),
        "ours": times(ours), "peer_time": times(peer), **more,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("pairs", "k", "coverage"),
    [
        (1, 1, 0.0),
        (2, 1, 0.5),
        (3, 1, 0.75),
        (5, 1, 0.9375),
        (6, 1, 0.96875),
        (7, 1, 0.984375),
        (9, 2, 0.9609375),
    ],
)
def test_the_interval_is_between_order_statistics(pairs: int, k: int, coverage: float) -> None:
    values = np.random.default_rng(0).permutation(np.arange(1.0, pairs + 1)).tolist()
    assert median_interval(values) == (k, pairs + 1 - k, coverage)


@pytest.mark.parametrize("pairs", [3, 4, 7, 9, 12])
def test_the_coverage_is_exact(pairs: int) -> None:
    """Of all ways in which values can lie below (-1) and above (1) a median of 0."""
    signs = list(itertools.product((-1.0, 1.0), repeat=pairs))
    covered = sum(low < 0.0 < high for low, high, _ in map(median_interval, signs))
    assert covered / len(signs) == median_interval([0.0] * pairs)[2]


def test_a_wider_interval_would_not_be_needed() -> None:
    # The tables of Conover, Practical Nonparametric Statistics: the 6th and the 15th of 20 values.
    low, high, coverage = median_interval(list(range(1, 21)))
    assert (low, high) == (6, 15)
    assert coverage == pytest.approx(0.9586, abs=1e-4)


def test_a_ratio_is_of_pairs() -> None:
    ratio = ratio_of_pairs([1.0, 2.0, 4.0], [3.0, 2.0, 8.0])
    assert (ratio.median, ratio.low, ratio.high, ratio.coverage) == (2.0, 1.0, 3.0, 0.75)


def test_rows_of_before_are_shown_with_the_interval_of_their_turns(tmp_path: Path) -> None:
    row = timed([1.0, 1.0, 1.0], [1.5, 2.0, 2.5], interval=[1.9, 2.1])
    assert restated(row)["interval"] == [1.5, 2.5]
    assert restated(row)["coverage"] == 0.75
    text = table([row, timed([1.0] * 7, [2.0] * 7)])
    assert "1.50-2.50" in text
    assert "1.90" not in text
    assert "covers the median with a probability of 75% (3 pairs), 98% (7 pairs)" in text
    pytest.importorskip("matplotlib")
    draw([row, timed([1.0], [1.7])], tmp_path / "x.png")
    assert [path.name for path in tmp_path.iterdir()] == ["x.png"]


def test_a_row_without_a_time_stays() -> None:
    row = {"status": "skipped", "note": "not installed"}
    assert restated(row) == row


def test_a_run_of_less_than_everything_says_where_it_goes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parser, usual = argparse.ArgumentParser(prog="x"), tmp_path / "usual.json"
    assert destination(parser, None, usual, {"--cases": False}) == usual
    assert destination(parser, tmp_path, usual, {"--cases": True}) == tmp_path
    with pytest.raises(SystemExit):
        destination(parser, None, usual, {"--cases": True, "--quick": True, "--rows": False})
    assert (
        "--cases, --quick: a run of less than everything does not replace usual.json"
        in capsys.readouterr().err
    )


def test_words_are_checked() -> None:
    assert positive("3") == 3
    assert pattern("a|b") == "a|b"
    for read, word in ((positive, "0"), (positive, "x"), (pattern, "(")):
        with pytest.raises(argparse.ArgumentTypeError, match="expected"):
            read(word)
