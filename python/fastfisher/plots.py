"""Learning curves of run folders: return over environment steps, one panel an environment.

Runs that differ in nothing but the seed are one curve, their mean, with a band of one standard
deviation over the seeds.  A single run's band is the standard deviation over its episodes.
"""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .config import TrainConfig
from .training.errors import UserError
from .training.run_folder import PROGRESS, RunFolder, replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]


class NothingToPlotError(UserError):
    """A run whose first whole episode has not ended yet."""


# Okabe and Ito 2008: told apart by readers with any colour vision; black and yellow left out.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")

_STYLE: Any = {
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

# Fields that do not make two runs different curves.
_NOT_A_LABEL = frozenset({"env", "seed", "steps", "workers", "checkpoint_every"})


@dataclass(frozen=True)
class Run:
    """What a run folder holds, as far as a plot needs it."""

    config: TrainConfig
    steps: Array
    return_mean: Array
    return_std: Array


@dataclass(frozen=True)
class Curve:
    """One line of a plot, and the band from ``mean - spread`` to ``mean + spread``."""

    label: str
    steps: Array
    mean: Array
    spread: Array


def read_run(path: Path) -> Run:
    """Read a run folder's config and returns.

    Parameters
    ----------
    path
        The run folder.

    Raises
    ------
    UserError
        Where it is not a run folder.
    NothingToPlotError
        Where no iteration with a whole episode has been logged yet.
    """
    folder = RunFolder.open(path)
    config = folder.read_config()
    rows: list[tuple[float, float, float]] = []
    progress = path / PROGRESS
    if progress.exists():
        with progress.open(encoding="utf-8", newline="") as file:
            rows = [
                (float(row["steps"]), float(row["return_mean"]), float(row["return_std"]))
                for row in csv.DictReader(file)
                if row.get("return_std")  # a killed run's last line may be cut short
            ]
    table = np.array(rows, dtype=np.float64).reshape(-1, 3)
    table = table[np.isfinite(table[:, 1])]
    if not len(table):
        raise NothingToPlotError(f"{path} has no return to plot yet: wait for its first whole episode")
    return Run(config, *np.ascontiguousarray(table.T))


def curves(runs: Sequence[Run]) -> list[Curve]:
    """Group the runs of one environment by everything but the seed and label the groups.

    Parameters
    ----------
    runs
        Runs of the same environment.

    Returns
    -------
    list of Curve
        One a group, in the order in which the groups first appear.  A label names the policy, the
        hyper-parameters in which the groups differ, and the number of seeds.
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
    return [_curve(group, _label(settings[key], differing, group)) for key, group in groups.items()]


def _label(setting: Mapping[str, Any], differing: Sequence[str], group: Sequence[Run]) -> str:
    parts = [str(setting["policy"]), *(f"{name} {setting[name]}" for name in differing)]
    seeds = f"{len(group)} seeds" if len(group) > 1 else f"seed {group[0].config.seed}"
    return ", ".join([*parts, seeds])


def _curve(group: Sequence[Run], label: str) -> Curve:
    if len(group) == 1:
        return Curve(label, group[0].steps, group[0].return_mean, group[0].return_std)
    # Iterations end at different steps: interpolate where any run has a point, over the stretch that
    # every seed covers, so that the mean is always over all of them.
    low, high = max(run.steps[0] for run in group), min(run.steps[-1] for run in group)
    points = np.unique(np.concatenate([run.steps for run in group]))
    grid = points[(points >= low) & (points <= high)]
    if not len(grid):
        raise UserError(f"the runs of '{label}' have no environment steps in common: plot them one by one")
    values = np.stack([np.interp(grid, run.steps, run.return_mean) for run in group])
    return Curve(label, grid, values.mean(axis=0), values.std(axis=0, ddof=1))


def plot_runs(folders: Sequence[Path], out: Path) -> None:
    """Draw the learning curves of run folders into one file.

    Parameters
    ----------
    folders
        Run folders; those of the same environment share a panel.
    out
        The image; its suffix chooses the format (png, pdf, svg).

    Raises
    ------
    UserError
        Where a folder is not a run's, has no data, or the format is unknown.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    panels: dict[str, list[Run]] = {}
    for path in folders:
        run = read_run(path)
        panels.setdefault(run.config.env, []).append(run)
    with mpl.rc_context(_STYLE):
        columns = min(3, len(panels))
        rows = -(-len(panels) // columns)
        width = 7.2 if columns == 1 else 4.8 * columns
        # A Figure without pyplot: no window, no global state, safe beside any user's own plots.
        figure = Figure(figsize=(width, 4.2 * rows), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for axis, (env, runs) in zip(axes, panels.items(), strict=False):
            _draw(axis, env, curves(runs))
        for axis in axes[len(panels) :]:
            axis.set_visible(False)
        _save(figure, out)


def _draw(axis: Axes, env: str, lines: Sequence[Curve]) -> None:
    from matplotlib.ticker import EngFormatter

    for index, line in enumerate(lines):
        color = COLORS[index % len(COLORS)]
        style = ("-", "--", ":", "-.")[index // len(COLORS) % 4]
        axis.fill_between(
            line.steps, line.mean - line.spread, line.mean + line.spread, color=color, alpha=0.16, lw=0
        )
        marker = "o" if len(line.steps) == 1 else None
        axis.plot(line.steps, line.mean, style, color=color, lw=1.8, label=line.label, marker=marker)
    if len(lines) == 1:
        axis.set_title(f"{env}  ")
        axis.set_title(lines[0].label, loc="right", fontsize=9.5, fontweight="normal", color="#666666")
    else:
        axis.set_title(env)
        axis.legend(loc="best", fontsize=9.5)
    axis.set_xlabel("environment steps")
    axis.set_ylabel("return, mean \N{PLUS-MINUS SIGN} std")
    axis.margins(x=0)
    axis.set_xlim(left=0)
    axis.xaxis.set_major_formatter(EngFormatter(sep=""))


def _save(figure: Figure, out: Path) -> None:
    try:
        with replacing(out) as temporary:
            figure.savefig(temporary, dpi=160)
    except ValueError as error:
        raise UserError(f"cannot write {out}: use a name that ends in .png, .pdf or .svg") from error
    except OSError as error:
        raise UserError(f"cannot write {out}: {error.strerror}; choose another --out") from error
