"""A figure a task: a line a variant, by factors; dots are seeds, a bar their mean, dashes the preset's."""

from __future__ import annotations

from pathlib import Path

from fastfisher.runs.curves import COLORS, STYLE
from fastfisher.training.whole_files import replacing

from .ablation_tables import Measured, heading
from .factors import PRESET
from .figures import drawing_code, hash_of

_SEED, _MEAN, _REFERENCE = COLORS[0], COLORS[1], "#444444"
_LINE = 0.21
"""Inches."""


def digest(task: Measured) -> str:
    """Return a hash of what a figure shows and of the code in this file; see :func:`.figures.digest`."""
    shown = [(line.factor, line.label, line.values("return_last_tenth")) for line in task.lines]
    return hash_of([drawing_code(Path(__file__)), task.name, dict(task.config), shown])


def up_to_date(task: Measured, path: Path) -> bool:
    """Whether the image in a file is of these results."""
    return path.exists() and digest(task).encode() in path.read_bytes()


def draw(task: Measured, path: Path) -> None:
    """Draw a task into one PNG."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    ticks: list[tuple[str, bool]] = []
    heights = {}
    before = PRESET
    for index, line in enumerate(task.lines):
        if line.factor != before:
            ticks.append((heading(line.factor, task.config), True))
            before = line.factor
        heights[index] = len(ticks)
        ticks.append((line.label, line.factor == PRESET))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.4, 1.1 + _LINE * len(ticks)), layout="constrained")
        axis = figure.subplots()
        if task.preset is not None:
            axis.axvline(task.preset.mean("return_last_tenth"), color=_REFERENCE, lw=1.0, ls=(0, (5, 4)))
        for index, line in enumerate(task.lines):
            values = line.values("return_last_tenth")
            y = [heights[index]] * len(values)
            axis.plot(values, y, "o", color=_SEED, ms=5.5, mew=0, alpha=0.6, clip_on=False)
            axis.plot(line.mean("return_last_tenth"), heights[index], "|", color=_MEAN, ms=13, mew=2.2)
        axis.set_ylim(len(ticks) - 0.4, -0.6)
        axis.set_yticks(range(len(ticks)), [words for words, _ in ticks])
        for label, (_, bold) in zip(axis.get_yticklabels(), ticks, strict=True):
            label.set(fontweight="bold" if bold else "normal", color="#222222" if bold else "#555555")
        axis.tick_params(axis="y", length=0)
        axis.grid(axis="y", visible=False)
        axis.xaxis.set_major_formatter("{x:,.0f}")
        axis.set_xlabel("mean return of the last tenth of training, actions sampled")
        axis.set_title(f"{task.name}, {task.config['steps']:,} steps")
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            figure.savefig(temporary, format="png", dpi=90, metadata={"Description": f"data {digest(task)}"})
