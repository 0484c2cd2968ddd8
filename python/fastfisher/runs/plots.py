"""Learning curves of run folders as images: one panel an environment; see :mod:`.curves` for the numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..training.errors import UserError
from ..training.whole_files import replacing
from .curves import CONFIDENCE, Axis, Curve, Run, curves, read_run, run_folders

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito 2008: told apart by readers with any colour vision; black and yellow left out.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")

STYLE: Any = {
    "font.size": 10.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#888888",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.titlesize": 11.5,
    "axes.labelcolor": "#444444",
    "grid.color": "#e6e6e6",
    "xtick.color": "#666666",
    "ytick.color": "#666666",
    "legend.frameon": False,
    "svg.fonttype": "none",
}

_GREY = "#666666"


def plot_runs(
    folders: Sequence[Path],
    out: Path,
    *,
    x: Axis = "steps",
    references: Mapping[str, float] | None = None,
) -> None:
    """Draw the learning curves of run folders into one file.

    Parameters
    ----------
    folders
        Run folders, or folders of several seeds; those of the same environment share a panel.
    out
        The image; its suffix chooses the format (png, pdf, svg).
    x
        Environment steps, or wall time.
    references
        Returns to compare with, by name, drawn as horizontal lines.

    Raises
    ------
    UserError
        Where a folder is not a run's, has no data, the format is unknown, or there are references for
        several environments.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    panels: dict[str, list[Run]] = {}
    for path in run_folders(folders):
        run = read_run(path)
        panels.setdefault(run.config.env, []).append(run)
    if references and len(panels) > 1:
        raise UserError(f"references are for one environment, and the runs are of {', '.join(panels)}")
    with mpl.rc_context(STYLE):
        columns = min(3, len(panels))
        rows = -(-len(panels) // columns)
        width = 7.2 if columns == 1 else 4.8 * columns
        # A Figure without pyplot: no window, no global state, safe beside any user's own plots.
        figure = Figure(figsize=(width, 4.2 * rows), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for axis, (env, runs) in zip(axes, panels.items(), strict=False):
            draw_curves(axis, env, curves(runs, x), x)
            _draw_references(axis, references or {})
        for axis in axes[len(panels) :]:
            axis.set_visible(False)
        _save(figure, out)


def draw_curves(
    axis: Axes, env: str, lines: Sequence[Curve], x: Axis, colors: Sequence[str] = COLORS
) -> None:
    """Draw curves into a panel, with its title, its labels and, for several, a legend."""
    unit, name = _unit(x, max(line.x[-1] for line in lines))
    for index, line in enumerate(lines):
        color = colors[index % len(colors)]
        style = ("-", "--", ":", "-.")[index // len(colors) % 4]
        axis.fill_between(line.x / unit, line.low, line.high, color=color, alpha=0.16, lw=0)
        marker = "o" if len(line.x) == 1 else None
        axis.plot(line.x / unit, line.center, style, color=color, lw=1.8, label=line.label, marker=marker)
    if len(lines) == 1:
        axis.set_title(f"{env}  ")
        axis.set_title(lines[0].label, loc="right", fontsize=9.5, fontweight="normal", color=_GREY)
    else:
        axis.set_title(env)
        axis.legend(loc="best", fontsize=9.5)
    axis.set_xlabel(name)
    axis.set_ylabel(_meaning(lines))
    axis.margins(x=0)
    axis.set_xlim(left=0)
    if x == "steps":
        from matplotlib.ticker import EngFormatter

        axis.xaxis.set_major_formatter(EngFormatter(sep=""))


def _unit(x: Axis, most: float) -> tuple[float, str]:
    """Return what to divide an axis by, and its name."""
    if x == "steps":
        return 1.0, "environment steps"
    unit, name = next(
        (unit, name)
        for unit, name, until in ((1.0, "s", 180.0), (60.0, "min", 180 * 60.0), (3600.0, "h", math.inf))
        if most < until
    )
    return unit, f"wall time of the iterations [{name}]"


def _meaning(lines: Sequence[Curve]) -> str:
    single = {line.runs == 1 for line in lines}
    if single == {True}:
        return "return, mean \N{PLUS-MINUS SIGN} std of episodes"
    interval = f"interquartile mean of seeds, {CONFIDENCE:.0%} interval"
    if single == {False}:
        return f"return, {interval}"
    return f"return, {interval}\n(one seed: mean \N{PLUS-MINUS SIGN} std of episodes)"


def _draw_references(axis: Axes, references: Mapping[str, float]) -> None:
    for name, value in references.items():
        axis.axhline(value, color=_GREY, lw=1.0, ls=(0, (5, 4)), zorder=1.5)
        axis.annotate(
            name,
            (1.0, value),
            xycoords=("axes fraction", "data"),
            xytext=(-2, 2),
            textcoords="offset points",
            ha="right",
            va="bottom",
            fontsize=9,
            color=_GREY,
            bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.5},
        )


def _save(figure: Figure, out: Path) -> None:
    try:
        with replacing(out) as temporary:
            figure.savefig(temporary, dpi=160)
    except ValueError as error:
        raise UserError(f"cannot write {out}: use a name that ends in .png, .pdf or .svg") from error
    except OSError as error:
        raise UserError(f"cannot write {out}: {error.strerror}; choose another --out") from error
