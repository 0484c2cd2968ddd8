"""Learning curves: from run folders to lines with bands, and to images with a panel an environment.

Runs that differ in nothing but the seed are one curve: their interquartile mean, with a 95%
confidence interval from the bootstrap stratified by environment, as Agarwal et al. 2021 ("Deep
reinforcement learning at the edge of the statistical precipice", arXiv 2108.13264) recommend for
few runs, and as their package rliable computes it.  A single run's band is the standard deviation
over its episodes.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..training.config import TrainConfig
from ..training.errors import UserError
from ..training.whole_files import replacing
from .folder import PROGRESS, RESUMABLE, RunFolder, runs_in
from .log import read_progress

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]
Axis = Literal["steps", "seconds"]

CONFIDENCE = 0.95
_RESAMPLES = 2_000
_POINTS = 400
"""A line has at most so many points: more than a panel has pixels for are drawn for nothing."""

# Fields that do not make two runs different curves.
_NOT_A_LABEL = RESUMABLE | {"env", "seed", "preset"}

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


class NothingToPlotError(UserError):
    """The first whole episode of a run has not ended yet."""


@dataclass(frozen=True)
class Run:
    """What a run folder holds, as far as a plot needs it; arrays (iterations,)."""

    config: TrainConfig
    steps: Array
    seconds: Array
    """The wall time of the iterations so far."""
    return_mean: Array
    return_std: Array

    def at(self, axis: Axis) -> Array:
        """Return where the iterations are on this axis."""
        return self.steps if axis == "steps" else self.seconds


@dataclass(frozen=True)
class Curve:
    """One line of a plot and its band; arrays (points,)."""

    label: str
    x: Array
    center: Array
    low: Array
    high: Array
    runs: int
    """How many runs the curve is made of."""


def read_run(path: Path) -> Run:
    """Read a run folder's config and returns; raise NothingToPlotError where no return is logged yet."""
    folder = RunFolder.open(path)
    folder.check_unedited()
    config = folder.read_config()
    rows = read_progress(path / PROGRESS, ("steps", "seconds", "return_mean", "return_std"))
    numbers = np.array([row.numbers for row in rows], dtype=np.float64)
    steps, seconds, mean, std = numbers.reshape(-1, 4).T
    told = np.isfinite(mean)
    if not told.any():
        raise NothingToPlotError(f"{path} has no return to plot yet: wait for its first whole episode")
    return Run(config, steps[told], np.cumsum(seconds)[told], mean[told], std[told])


def curves(runs: Sequence[Run], axis: Axis = "steps") -> list[Curve]:
    """Group runs of one environment by all but their seed; label each group by what sets it apart.

    The curves keep the order of the runs.  A UserError says so where the seeds of a group have no stretch of
    the axis in common.
    """
    groups: dict[str, list[Run]] = {}
    settings: dict[str, dict[str, Any]] = {}
    for run in runs:
        kept = {k: v for k, v in run.config.to_dict().items() if k not in _NOT_A_LABEL}
        key = json.dumps(kept, sort_keys=True)
        groups.setdefault(key, []).append(run)
        settings[key] = kept
    differing = [
        name
        for name in (field.name for field in dataclasses.fields(TrainConfig))
        if name not in _NOT_A_LABEL | {"policy"} and len({repr(s[name]) for s in settings.values()}) > 1
    ]
    return [_curve(group, _label(settings[key], differing, group), axis) for key, group in groups.items()]


def _label(setting: Mapping[str, Any], differing: Sequence[str], group: Sequence[Run]) -> str:
    parts = [str(setting["policy"]), *(f"{name} {setting[name]}" for name in differing)]
    seeds = f"{len(group)} seeds" if len(group) > 1 else f"seed {group[0].config.seed}"
    return ", ".join([*parts, seeds])


def _curve(group: Sequence[Run], label: str, axis: Axis) -> Curve:
    if len(group) == 1:
        (run,) = group
        low, high = run.return_mean - run.return_std, run.return_mean + run.return_std
        return Curve(label, run.at(axis), run.return_mean, low, high, 1)
    # Iterations end at different places: interpolate where any run has a point, over the stretch that
    # every seed covers, so that the mean is always over all of them.
    places = [run.at(axis) for run in group]
    start, end = max(place[0] for place in places), min(place[-1] for place in places)
    points = np.unique(np.concatenate(places))
    grid = points[(points >= start) & (points <= end)]
    if not len(grid):
        raise UserError(f"the runs of '{label}' have no {axis} in common: plot them one by one")
    grid = grid[np.unique(np.linspace(0, len(grid) - 1, _POINTS).round().astype(int))]
    values = np.stack(
        [np.interp(grid, place, run.return_mean) for place, run in zip(places, group, strict=True)]
    )
    return Curve(label, grid, interquartile_mean(values), *bootstrap_interval(values), len(group))


def interquartile_mean(values: Array, axis: int = 0) -> Array:
    """Return the mean of the middle half along ``axis``: of n values, floor(n / 4) are cut at each end."""
    count = values.shape[axis]
    cut = count // 4
    middle: Array = np.sort(values, axis=axis).take(range(cut, count - cut), axis=axis)
    mean: Array = middle.mean(axis=axis)
    return mean


def bootstrap_interval(values: Array, resamples: int = _RESAMPLES) -> tuple[Array, Array]:
    """Return percentile-bootstrap bounds of the interquartile mean over runs.

    Whole runs are drawn with replacement, the same for every point.  The stratum is the environment,
    and a curve has one.

    Parameters
    ----------
    values : (runs, points) array
        The return of each run at each point.
    resamples : int
        How many times the runs are drawn.

    Returns
    -------
    tuple of (points,) array
        The lower and the upper bounds, which are a function of the arguments alone.
    """
    runs, points = values.shape
    drawn = np.random.default_rng(0).integers(runs, size=(resamples, runs))
    tails = [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]
    bounds = np.empty((2, points))
    width = max(1, 1_000_000 // drawn.size)  # columns at a time, for at most 8 MB of resampled values
    for start in range(0, points, width):
        columns = slice(start, start + width)
        means = interquartile_mean(values[:, columns][drawn], axis=1)
        bounds[:, columns] = np.quantile(means, tails, axis=0)
    return bounds[0], bounds[1]


def plot_runs(
    folders: Sequence[Path],
    out: Path,
    *,
    x: Axis = "steps",
    references: Mapping[str, float] | None = None,
) -> None:
    """Draw the learning curves of run folders, or of folders of several seeds, into one image.

    Runs of the same environment share a panel.  The suffix of ``out`` chooses the format (png, pdf, svg);
    ``references`` are returns to compare with, by name, drawn as horizontal lines.

    Raises
    ------
    UserError
        Where a folder is not a run's, has no data, the format is unknown, or there are references for
        several environments.
    """
    panels: dict[str, list[Run]] = {}
    # The runs of several seeds are in the place of the folder that holds them.
    for path in [run for folder in folders for run in runs_in(folder) or [folder]]:
        run = read_run(path)
        panels.setdefault(run.config.env, []).append(run)
    if references and len(panels) > 1:
        raise UserError(f"references are for one environment, and the runs are of {', '.join(panels)}")
    # Matplotlib is imported no earlier: it takes a second, and a new run has nothing to plot.
    with _no_backend():
        import matplotlib as mpl
        from matplotlib.figure import Figure

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


@contextmanager
def _no_backend() -> Iterator[None]:
    """Hide MPLBACKEND, whose value may not be there to import: Jupyter leaves its own to shell commands.

    A figure without pyplot needs none.
    """
    backend = os.environ.pop("MPLBACKEND", None)
    try:
        yield
    finally:
        if backend is not None:
            os.environ["MPLBACKEND"] = backend


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
    """Return what the numbers of an axis are divided by, and its name."""
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
    if out.suffix.lower().removeprefix(".") not in figure.canvas.get_supported_filetypes():
        raise UserError(f"cannot write {out}: use a name that ends in .png, .pdf or .svg")
    try:
        with replacing(out) as temporary:
            figure.savefig(temporary, dpi=160)
    except OSError as error:
        raise UserError(f"cannot write {out}: {error.strerror}; choose another --out") from error
