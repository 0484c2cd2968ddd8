"""Time of a natural step against N and d for each solver, beside what the model of solver="auto" predicts.

    python benchmarks/cost.py [--points mlp:1e4x1e4 ...] [--budget 60] [--again] [--draw]

Writes benchmarks/results/cost.json and cost.png and prints each point's time by `auto` over the best
solver's.  What is there already is kept, so that a run may be stopped and taken up again; --budget ends one
after so many seconds.  Each row has the commit, date, processor and repetitions of its own run.

Scores are in float32: dense, with columns of variance 1/k; and the factors of a Gaussian policy with two
hidden layers of tanh, 17 observations of variance 1/k and 6 actions, its width chosen to give d.  Points
whose scores take more than 1 GB are left out.  The damping is 1e-2 and 1e-4 of the mean eigenvalue.

Solvers take turns, and the best time of each counts.  One that is predicted to take more than 10 s is not
run, and one that takes more is stopped.  A prediction is operations over a rate, which is that of a
factorisation in double precision, N = d = 2,000, timed at the start of the run; CG's is for the iterations
that it took, since only its progress tells their number (`predicted_iterations` is what `auto` went by).
"""

from __future__ import annotations

import argparse
import math
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from versus import record
from versus.gaussian_mlp import GaussianMLP
from versus.options import positive

import fastfisher as ff
from fastfisher import _core
from fastfisher.training.whole_files import replacing

RESULTS = Path(__file__).resolve().parent / "results" / "cost.json"
SIZES = (100, 1_000, 10_000, 100_000, 1_000_000)
DAMPINGS = (1e-2, 1e-4)
KINDS = ("dense", "mlp")
SOLVERS = ("cholesky", "gram", "cg", "auto")
BAR = 1.25
MOST_BYTES = 1e9
MOST_SECONDS = 10.0
OBSERVATIONS, ACTIONS = 17, 6
COLOURS = {"cholesky": "#2a6f97", "gram": "#c8553d", "cg": "#6a994e", "auto": "black"}

Point = tuple[str, int, int]
Matrix = NDArray[np.float32]


class TooLongError(Exception):
    """A run beyond the limit."""


def hidden_width(d: int) -> int:
    """Units of either hidden layer, for about d parameters."""
    a = OBSERVATIONS + 2 + ACTIONS
    b = 2 * ACTIONS - d
    return max(1, round(0.5 * (-a + math.sqrt(a * a - 4 * b))))


def score_values(kind: str, d: int) -> int:
    """Numbers that hold a row of the scores."""
    return d if kind == "dense" else OBSERVATIONS + 3 + 4 * hidden_width(d) + 2 * ACTIONS


def points() -> list[Point]:
    """All that fit, the smallest first."""
    grid = [(kind, N, d) for kind in KINDS for N in SIZES for d in SIZES]
    fitting = [point for point in grid if 4 * point[1] * score_values(point[0], point[2]) <= MOST_BYTES]
    return sorted(fitting, key=lambda point: (point[1] * point[2], point))


def make_scores(kind: str, N: int, d: int) -> Any:
    """Return the scores, an array or blocks."""
    rng = np.random.default_rng((N, d))
    if kind == "dense":
        dense = rng.standard_normal((N, d), dtype=np.float32)
        dense /= np.sqrt(np.arange(1, d + 1, dtype=np.float32))
        return dense
    width = hidden_width(d)
    policy = GaussianMLP.random((OBSERVATIONS, width, width, ACTIONS), rng)
    blocks: list[list[Matrix]] = []
    for first in range(0, N, 8192):
        rows = min(8192, N - first)
        obs = rng.standard_normal((rows, OBSERVATIONS)) / np.sqrt(np.arange(1, OBSERVATIONS + 1))
        noise = np.exp(policy.log_std) * rng.standard_normal((rows, ACTIONS))
        pairs, own = policy.scores(obs, policy.forward(obs)[1] + noise)
        parts = [*pairs, (own,)]
        if not blocks:
            blocks = [[np.empty((N, part.shape[1]), np.float32) for part in block] for block in parts]
        for block, of_these_rows in zip(blocks, parts, strict=True):
            for whole, part in zip(block, of_these_rows, strict=True):
                whole[first : first + rows] = part
    return [tuple(block) if len(block) == 2 else block[0] for block in blocks]


@contextmanager
def limit(seconds: float) -> Iterator[None]:
    """Raise TooLongError inside after so many seconds."""

    def stop(*_: object) -> None:
        raise TooLongError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


def calibrate() -> float:
    """Operations a second of a factorisation in double precision."""
    n = 2000
    S, A = make_scores("dense", n, n), np.ones(n)
    best = math.inf
    for _ in range(4):
        began = time.perf_counter()
        ff.natural_step(S, A, damping=1e-2, solver="cholesky", precision="double")
        best = min(best, time.perf_counter() - began)
    return (n**3 + n**3 / 3) / best


def measure(scores: Any, point: Point, damping: float, rate: float, repetitions: int) -> record.Row:
    """Time all solvers at one point."""
    kind, N, d = point
    matrix = ff.Scores(scores)
    advantages = np.random.default_rng(1).standard_normal(N)
    costs = _core.predicted_costs(matrix.native, damping, relative_damping=True)
    predicted = {"cholesky": costs["cholesky"], "gram": costs["gram"], "cg": costs["cg_setup"]}
    row: record.Row = {
        "kind": kind,
        "N": N,
        "d": d,
        "columns": matrix.shape[1],
        "damping": damping,
        "rate": rate,
    }
    row["first_choice"], row["predicted_iterations"] = costs["choice"], costs["cg_iterations"]
    times: dict[str, float] = {}
    row["skipped"], row["ran"] = skipped, ran = {}, {}
    for solver in SOLVERS:
        expected = predicted.get(solver, 0.0) / rate
        if math.isinf(expected):
            skipped[solver] = "its matrix does not fit in memory"
        elif expected > MOST_SECONDS:
            skipped[solver] = f"predicted to take {expected:.0f} s"
    began = time.perf_counter()
    for repetition in range(repetitions):
        for solver in SOLVERS:
            spent = time.perf_counter() - began
            # The first turn warms up; those that are far from the best need no second.
            if solver in skipped or (repetition > 0 and times[solver] > 4.0 * min(times.values())):
                continue
            if repetition > 1 and spent > 2.0 and not (repetition == 2 and spent < 6.0):
                continue
            try:
                with limit(MOST_SECONDS):
                    start = time.perf_counter()
                    step = ff.natural_step(
                        matrix, advantages, damping=damping, relative_damping=True, solver=solver
                    )
                    seconds = time.perf_counter() - start
            except TooLongError:
                skipped[solver] = f"stopped after {MOST_SECONDS:.0f} s"
                times.pop(solver, None)
                continue
            times[solver] = min(seconds, times.get(solver, math.inf))
            ran[solver] = {
                "solver": step.solver,
                "precision": step.precision,
                "iterations": step.iterations,
                "residual": step.residual,
                "notes": step.notes,
            }
    if "cg" in ran:
        predicted["cg"] += ran["cg"]["iterations"] * costs["cg_iteration"]
    else:
        predicted["cg"] += costs["cg_iterations"] * costs["cg_iteration"]
    row["seconds"] = times
    row["predicted_seconds"] = {
        solver: cost / rate for solver, cost in predicted.items() if math.isfinite(cost)
    }
    others = [seconds for solver, seconds in times.items() if solver != "auto"]
    row["ratio"] = times["auto"] / min(others) if others and "auto" in times else None
    return row


def line(row: record.Row) -> str:
    """One point in words."""
    cells = [
        f"{solver} {1e3 * row['seconds'][solver]:9.3f} ms" for solver in SOLVERS if solver in row["seconds"]
    ]
    ratio = "-" if row["ratio"] is None else f"{row['ratio']:.2f}"
    return (
        f"{row['kind']:5} N={row['N']:<8,} d={row['d']:<10,} damping {row['damping']:g}: {ratio} of the best"
        f"{'  ABOVE' if row['ratio'] is not None and row['ratio'] > BAR else ''}  | {', '.join(cells)}"
    )


def draw(rows: list[record.Row], path: Path) -> None:
    """Time against N, a column for each d; a row of panels for each kind and damping."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    groups = [(kind, damping) for kind in KINDS for damping in DAMPINGS]
    figure, panels = plt.subplots(
        len(groups), len(SIZES), figsize=(15, 11.5), sharex=True, sharey=True, layout="constrained"
    )
    for (kind, damping), line_of_panels in zip(groups, panels, strict=True):
        for d, axes in zip(SIZES, line_of_panels, strict=True):
            here = [row for row in rows if (row["kind"], row["damping"], row["d"]) == (kind, damping, d)]
            _panel(axes, sorted(here, key=lambda row: row["N"]))
            if not any(point[0] == kind and point[2] == d for point in points()):
                axes.text(0.5, 0.5, "more than 1 GB", transform=axes.transAxes, ha="center", color="0.5")
            axes.set_title(
                f"$d \\approx 10^{round(math.log10(d))}$" if axes in panels[0] else "", fontsize=12
            )
        name = "dense scores" if kind == "dense" else "factors of a network"
        line_of_panels[0].set_ylabel(f"{name}, damping {damping:g}\nseconds")
    for axes in panels[-1]:
        axes.set_xlabel("samples N")
    handles: dict[str, Any] = {}
    for axes in panels.flat:
        handles.update({text: handle for handle, text in zip(*axes.get_legend_handles_labels(), strict=True)})
    handles["the model's prediction"] = plt.Line2D([], [], color="0.3", linestyle="--", linewidth=1)
    figure.legend(handles.values(), handles, loc="outside upper center", ncols=len(handles), frameon=False)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=100)
    plt.close(figure)


def _panel(axes: Any, rows: list[record.Row]) -> None:
    axes.set(xscale="log", yscale="log", xlim=(60, 1.7e6), ylim=(3e-5, 40))
    axes.grid(color="0.92")
    axes.set_axisbelow(True)
    for solver in SOLVERS[:-1]:
        for field, style in (
            ("predicted_seconds", {"linestyle": "--", "linewidth": 1, "marker": "_"}),
            ("seconds", {"marker": "."}),
        ):
            chosen = [row for row in rows if solver in row[field]]
            axes.plot(
                [row["N"] for row in chosen],
                [row[field][solver] for row in chosen],
                color=COLOURS[solver],
                label=solver if field == "seconds" and chosen else None,
                **style,
            )
    for name, marker, holds in (("auto", "o", True), (f"auto, more than {BAR} x the best", "X", False)):
        chosen = [row for row in rows if "auto" in row["seconds"] and ((row["ratio"] or 1.0) <= BAR) == holds]
        if not chosen:
            continue
        axes.plot(
            [row["N"] for row in chosen],
            [row["seconds"]["auto"] for row in chosen],
            linestyle="none",
            marker=marker,
            markersize=9,
            markerfacecolor="none",
            color=COLOURS["auto"] if holds else "red",
            label=name,
        )


def parse_point(text: str) -> Point:
    """Read "mlp:1e4x1e3", N before d."""
    kind, _, sizes = text.partition(":")
    N, _, d = sizes.partition("x")
    point = kind, int(float(N)), int(float(d))
    if point not in points():
        raise argparse.ArgumentTypeError(f"expected a point of the grid like mlp:1e4x1e3, got {text!r}")
    return point


def main() -> None:
    """Measure what is missing, then draw all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", nargs="*", type=parse_point, help="for instance mlp:1e4x1e3; default all")
    parser.add_argument(
        "--budget", type=float, default=math.inf, help="seconds after which no point is begun"
    )
    parser.add_argument("--repetitions", type=positive, default=7)
    parser.add_argument("--again", action="store_true", help="measure points anew that are there already")
    parser.add_argument("--draw", action="store_true", help="only draw and print what is there")
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()

    rows = record.kept_rows(arguments.output)
    done = {(row["kind"], row["N"], row["d"], row["damping"]) for row in rows}
    began = time.perf_counter()
    if not arguments.draw:
        head = record.header({"processors": len(os.sched_getaffinity(0))}, ff.show_config())
        head |= record.OF_SEVERAL_RUNS
        circumstances = record.circumstances(head, arguments.repetitions)
        rate = calibrate()
        for point in arguments.points or points():
            missing = [damping for damping in DAMPINGS if arguments.again or (*point, damping) not in done]
            if not missing or time.perf_counter() - began > arguments.budget:
                continue
            scores = make_scores(*point)
            for damping in missing:
                rows = [
                    row
                    for row in rows
                    if (row["kind"], row["N"], row["d"], row["damping"]) != (*point, damping)
                ]
                measured = measure(scores, point, damping, rate, arguments.repetitions)
                rows.append({**measured, **circumstances})
                record.write(arguments.output, head, rows)
                print(line(rows[-1]), flush=True)
    else:
        order = {point: index for index, point in enumerate(points())}
        for row in sorted(rows, key=lambda row: (order[row["kind"], row["N"], row["d"]], row["damping"])):
            print(line(row))
    left = len(points()) * len(DAMPINGS) - len(rows)
    ratios = [row["ratio"] for row in rows if row["ratio"] is not None]
    if ratios:
        print(f"{len(ratios)} points, auto at most {max(ratios):.2f} x the best; {left} points missing")
    draw(rows, arguments.output.with_suffix(".png"))


if __name__ == "__main__":
    main()
