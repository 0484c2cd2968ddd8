"""The ratios as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from fastfisher.training.whole_files import replacing

from .pairs import coverages, ratio_of
from .record import Row

MARKERS = {1: "o", 2: "D"}
COLOURS = ("#2a6f97", "#c8553d", "#6a994e")
TICKS = (0.1, 0.2, 0.5, 1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000)

Label = tuple[str, str]


def draw(rows: Sequence[Row], path: Path) -> None:
    """One line a case and peer, in two columns; a mark with its interval for each SIMD level and threads."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    timed = [row for row in rows if row["status"] == "timed"]
    if not timed:
        return
    labels = list(dict.fromkeys(_label(row) for row in timed))
    columns = _columns(labels)
    figure, panels = plt.subplots(
        ncols=len(columns),
        sharex=True,
        squeeze=False,
        figsize=(8 * len(columns), 1.8 + 0.27 * max(map(len, columns))),
        layout="constrained",
    )
    for axes, column in zip(panels[0], columns, strict=True):
        _panel(axes, column, timed)
    axes.set_xscale("log")
    ratios = [ratio_of(row) for row in timed]
    edges = [edge for ratio in ratios for edge in (ratio.low, ratio.high)]
    edges += [1.0, *(row["bar"] for row in timed if row["bar"] is not None)]
    ticks = [tick for tick in TICKS if min(edges) / 1.5 <= tick <= max(edges) * 1.5]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    handles, names = axes.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=len(names), frameon=False)
    figure.supxlabel(
        "the peer's time / fastfisher's, median over pairs with an interval "
        f"that covers it with a probability of {coverages(timed)}\n"
        "right of 1 fastfisher is faster; black: what it aims at",
        fontsize=10,
    )
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)
    plt.close(figure)


def _panel(axes: Any, labels: list[Label], timed: list[Row]) -> None:
    settings = list(dict.fromkeys((row["simd"], row["threads"]) for row in timed))
    levels = list(dict.fromkeys(simd for simd, _ in settings))
    for index, (simd, threads) in enumerate(settings):
        shift = 0.6 * ((index + 0.5) / len(settings) - 0.5)
        chosen = [
            row for row in timed if (row["simd"], row["threads"]) == (simd, threads) and _label(row) in labels
        ]
        ratios = [ratio_of(row) for row in chosen]
        axes.errorbar(
            [ratio.median for ratio in ratios],
            [labels.index(_label(row)) + shift for row in chosen],
            xerr=[
                [ratio.median - ratio.low for ratio in ratios],
                [ratio.high - ratio.median for ratio in ratios],
            ],
            fmt=MARKERS.get(threads, "s"),
            color=COLOURS[levels.index(simd) % len(COLOURS)],
            markersize=3.5,
            linewidth=1,
            label=f"{simd}, {threads} thread{'s' * (threads != 1)}",
        )
    bars = {_label(row): row["bar"] for row in timed if row["bar"] is not None}
    for height, label in enumerate(labels):
        if label in bars:
            axes.plot([bars[label]] * 2, [height - 0.45, height + 0.45], color="black", linewidth=2)
    for height, (label, following) in enumerate(pairwise(labels)):
        if label[0] != following[0]:
            axes.axhline(height + 0.5, color="0.85", linewidth=0.6, zorder=0)
    axes.axvline(1.0, color="0.4", linewidth=1)
    axes.set_yticks(range(len(labels)), _texts(labels), fontsize=8)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.grid(axis="x", color="0.9")
    axes.set_axisbelow(True)


def _label(row: Row) -> Label:
    return row["case"], row["peer"]


def _columns(labels: list[Label]) -> list[list[Label]]:
    """Two halves, cut between cases; one column where there are few."""
    if len(labels) < 12:
        return [labels]
    middle = len(labels) // 2
    cuts = [index for index in range(1, len(labels)) if labels[index - 1][0] != labels[index][0]]
    cut = min(cuts, key=lambda index: abs(index - middle), default=len(labels))
    return [half for half in (labels[:cut], labels[cut:]) if half]


def _texts(labels: list[Label]) -> list[str]:
    """Name the case at its first peer only."""
    first = [index == 0 or labels[index - 1][0] != label[0] for index, label in enumerate(labels)]
    return [f"{case}   {peer}" if new else peer for new, (case, peer) in zip(first, labels, strict=True)]
