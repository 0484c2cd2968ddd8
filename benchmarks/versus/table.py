"""The rows as text."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import takewhile
from typing import Any

from .pairs import coverages, ratio_of
from .record import Row

HEADINGS = ("case", "peer", "simd", "threads", "ours ms (min)", "peer ms (min)", "ratio", "interval")
HEADINGS += ("GFLOP/s", "of ceiling", "bar", "")
LONGEST_NOTE = 90


def verdict(row: Row) -> str:
    """met, short, or why there is no time."""
    if row["status"] != "timed":
        return row["status"]
    if row["bar"] is None:
        return ""
    return "met" if row["ratio"] >= row["bar"] else "short"


def cells(row: Row) -> tuple[str, ...]:
    """One line of the table."""
    first = (row["case"], row["peer"], row["simd"], str(row["threads"]))
    bar = "" if row["bar"] is None else f"{row['bar']:g}"
    if row["status"] != "timed":
        return (*first, *[""] * 6, bar, f"{row['status']}: {_short(row['note'])}")
    ratio = ratio_of(row)
    return (
        *first,
        _milliseconds(row["ours"]),
        _milliseconds(row["peer_time"]),
        f"{row['ratio']:.2f}",
        f"{ratio.low:.2f}-{ratio.high:.2f}",
        _both(row, "gflops", "{:.0f}"),
        _both(row, "of_copy_bandwidth", "{:.2f}", " bytes") or _both(row, "of_peak", "{:.2f}"),
        bar,
        verdict(row),
    )


def table(rows: Iterable[Row]) -> str:
    """The rows, then each peer's difference from ours, once."""
    rows = list(rows)
    lines = [HEADINGS, *map(cells, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS) - 1)]
    text = [
        "  ".join(
            [*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[-1]]
        ).rstrip()
        for line in lines
    ]
    gives = {f"{row['peer']}: {row['gives']}" for row in rows if row["gives"]}
    notes = _notes(rows)
    counts = [verdict(row) or "no bar" for row in rows]
    text += ["", *sorted(gives), *notes, ""]
    text += ["ratio = the peer's time / ours, median over pairs; > 1: ours is faster"]
    if timed := [row for row in rows if row["status"] == "timed"]:
        text += [f"interval = order statistics; covers the median with a probability of {coverages(timed)}"]
    text += ["of ceiling = ours / peer of the multiply-add peak; bytes: S read once, of the copy bandwidth"]
    text += [", ".join(f"{counts.count(kind)} {kind}" for kind in sorted(set(counts)))]
    return "\n".join(text)


def _notes(rows: list[Row]) -> list[str]:
    """Each note once, after what its cases' names have in common."""
    cases: dict[str, list[str]] = {}
    for row in rows:
        for note in row["case_notes"]:
            cases.setdefault(note, []).append(row["case"])
    return [f"{_common_words(names)}: {note}" for note, names in cases.items()]


def _common_words(names: list[str]) -> str:
    words = takewhile(lambda column: len(set(column)) == 1, zip(*map(str.split, names), strict=False))
    return " ".join(column[0] for column in words)


def _milliseconds(times: dict[str, Any]) -> str:
    return f"{1e3 * times['median']:.2f} ({1e3 * times['min']:.2f})"


def _both(row: Row, name: str, style: str, unit: str = "") -> str:
    if name not in row["ours"]:
        return ""
    return " / ".join(style.format(row[side][name]) for side in ("ours", "peer_time")) + unit


def _short(note: str) -> str:
    return note if len(note) <= LONGEST_NOTE else note[: LONGEST_NOTE - 3] + "..."


def concluded(measured: list[Row], *, quick: bool) -> int:
    """Print what is to be known of a run's rows; return its exit status, 1 where one was wrong or failed."""
    if quick:
        print("--quick: sizes too small to be a measurement")
    busy = [row for row in measured if (row.get("cores_busy_with_others") or 0.0) > 0.05]
    if busy:
        print(f"{len(busy)} rows were timed while others used more than 5% of a processor: repeat them")
    return 1 if any(row["status"] in ("wrong", "failed") for row in measured) else 0
