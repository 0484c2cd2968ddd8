"""A figure a suite: a panel a task, our curves, and the published returns as dashed lines."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fastfisher.runs.curves import COLORS, STYLE, Curve, Run, curves, draw_curves
from fastfisher.training.config import TrainConfig
from fastfisher.training.whole_files import replacing

from .results import Record, read_curve
from .rows import PAPER, POLICIES, PUBLISHED, rows_of
from .tables import TITLES, Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FIGURES = ("paper", "million")
_POLICY_COLORS = dict(zip(POLICIES, COLORS, strict=False))
_GREY = "#666666"
_LEAST_GAP = 0.07
"""Between labels, as a share of a panel's height."""


@dataclass(frozen=True)
class Reference:
    """A published return."""

    label: str
    value: float
    color: str


@dataclass(frozen=True)
class Panel:
    """What a panel shows: for each row its label, its color and the records of its seeds."""

    env: str
    rows: Sequence[tuple[str, str, Sequence[Record]]]
    references: Sequence[Reference]

    def digest(self) -> list[object]:
        """Return all that the panel depends on, as JSON."""
        shown = [
            (label, color, [record["path"].with_suffix(".csv").read_text("utf-8") for record in records])
            for label, color, records in self.rows
        ]
        return [self.env, shown, [(r.label, r.value, r.color) for r in self.references]]


def panels(suite: str, results: Results) -> list[Panel]:
    """Return the panels of a suite's tasks that have results."""
    found = []
    for env in dict.fromkeys(row.env for row in rows_of(suite)):
        rows = [
            (_label(TITLES[row.policy], records), _POLICY_COLORS[row.policy], records)
            for row in rows_of(suite, env)
            if (records := results.of(row))
        ]
        if rows:
            found.append(Panel(env, rows, references(suite, env)))
    return found


def references(suite: str, env: str) -> list[Reference]:
    """Return a task's published returns: the paper's in the policies' colors, the libraries' in grey."""
    if suite == "paper":
        return [
            Reference(f"paper, {'TRPO' if policy == 'mlp' else TITLES[policy]}", cell.stochastic, color)
            for (policy, cell), color in zip(PAPER[env].cells.items(), COLORS, strict=False)
        ]
    return [Reference(peer, value, _GREY) for peer, value in PUBLISHED[env].items()]


def digest(shown: Sequence[Panel]) -> str:
    """Return a hash of what a figure shows and of the code in this file that draws it.

    Images differ between versions of matplotlib and say nothing; this tells whether one is out of date.
    """
    return hash_of([drawing_code(Path(__file__)), *(panel.digest() for panel in shown)])


def drawing_code(file: Path) -> str:
    """Return a module's text without its imports: a module that moves does not make an image out of date."""
    lines = file.read_text("utf-8").splitlines()
    return "\n".join(line for line in lines if not line.startswith(("from ", "import ")))


def hash_of(content: object) -> str:
    """Return a hash of what JSON can say."""
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def up_to_date(shown: Sequence[Panel], path: Path) -> bool:
    """Whether the image in a file is of these panels; without panels there is to be none."""
    if not shown:
        return not path.exists()
    return path.exists() and digest(shown).encode() in path.read_bytes()


def draw(shown: Sequence[Panel], path: Path) -> None:
    """Draw a suite's panels into one PNG."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    if not shown:
        path.unlink(missing_ok=True)
        return
    with mpl.rc_context(STYLE):
        columns = min(2, len(shown))
        rows = -(-len(shown) // columns)
        figure = Figure(figsize=(7.2 * columns, 4.2 * rows), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for axis, panel in zip(axes, shown, strict=False):
            lines = [_curve(label, records) for label, _, records in panel.rows]
            draw_curves(axis, panel.env, lines, "steps", [color for _, color, _ in panel.rows])
            _draw_references(axis, panel.references)
        for axis in axes[len(shown) :]:
            axis.set_visible(False)
        with replacing(path) as temporary:
            figure.savefig(temporary, dpi=90, metadata={"Description": f"data {digest(shown)}"})


def _label(title: str, records: Sequence[Record]) -> str:
    return f"{title}, {len(records)} seeds" if len(records) > 1 else f"{title}, seed {records[0]['seed']}"


def _curve(label: str, records: Sequence[Record]) -> Curve:
    runs = []
    for record in records:
        columns = {k: np.array(v) for k, v in read_curve(record["path"].with_suffix(".csv")).items()}
        # The records of a row were trained alike: what groups them is no more than this.
        config = TrainConfig(record["env"], policy=record["policy"], seed=record["seed"])
        names = ("steps", "seconds", "return_mean", "return_std")
        runs.append(Run(config, *(columns[name] for name in names)))
    (curve,) = curves(runs)
    return replace(curve, label=label)


def _draw_references(axis: Axes, lines: Sequence[Reference]) -> None:
    for line in lines:
        axis.axhline(line.value, color=line.color, lw=1.0, ls=(0, (5, 4)), zorder=1.5)
    low, high = axis.get_ylim()
    heights = [(line.value - low) / (high - low) for line in lines]
    for line, height in zip(lines, apart(heights, _LEAST_GAP), strict=True):
        axis.annotate(
            f"{line.label} {line.value:,.0f}",
            (1.01, height),
            xycoords="axes fraction",
            va="center",
            fontsize=9,
            color=line.color,
            annotation_clip=False,
        )


def apart(heights: Sequence[float], gap: float) -> list[float]:
    """Return heights moved up, and from 1 on down, until neighbors are a gap apart; the order stays."""
    order = sorted(range(len(heights)), key=lambda index: heights[index])
    moved = list(heights)
    for below, above in itertools.pairwise(order):
        moved[above] = max(moved[above], moved[below] + gap)
    ceiling = 1.0
    for index in reversed(order):
        moved[index] = min(moved[index], ceiling)
        ceiling = moved[index] - gap
    return moved
