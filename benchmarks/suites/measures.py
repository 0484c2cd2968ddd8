"""From a run folder to a record: what the bars, the tables and the figures need, and no more."""

from __future__ import annotations

import csv
import itertools
import math
import os
import shlex
import statistics
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from versus.record import commit as commit_of_checkout
from versus.record import version_of, write_json

import fastfisher
from fastfisher.runs.export import export_policy
from fastfisher.runs.folder import PROGRESS, RunFolder
from fastfisher.training.whole_files import replacing

from .results import CURVE_COLUMNS, Record, Seed, read_json, write_curve

MOST_POINTS = 300
"""Rows of a kept curve: a panel of a figure has no more pixels to show."""
MOST_POLICY_BYTES = 300_000
"""An exported policy larger than this is left out, so that a clone stays small."""

_CODE = ("CMakeLists.txt", "pyproject.toml", "cpp", "python")

Row = dict[str, float]


def commit() -> str:
    """Return the commit of this checkout; dirty only where what a training depends on is changed."""
    return commit_of_checkout(*_CODE)


def circumstances() -> Record:
    """Return date, machine, its load, by which the times are to be judged, and versions."""
    return {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "machine": fastfisher.show_config(),
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "versions": {name: version_of(name) for name in ("gymnasium", "mujoco", "envpool")},
    }


def read_progress(folder: Path) -> list[Row]:
    """Return the curve's columns of every iteration, `seconds` being those since the start."""
    with (folder / PROGRESS).open(newline="", encoding="utf-8") as file:
        rows = [{name: float(row[name]) for name in CURVE_COLUMNS} for row in csv.DictReader(file)]
    seconds = 0.0
    for row in rows:
        seconds += row["seconds"]
        row["seconds"] = seconds
    return rows


def bars(rows: Sequence[Row], threshold: float | None) -> Record:
    """Return what a run came to.

    A batch without a whole episode has no return, and is in no bar but the counts.  The last tenth is of
    the batches that have one.
    """
    told = [row for row in rows if not math.isnan(row["return_mean"])]
    if not told:
        raise ValueError("the run has no whole episode: give it more --steps")
    last = rows[-1]
    returns = [row["return_mean"] for row in told]
    reached = next((row for row in told if threshold is not None and row["return_mean"] >= threshold), None)
    return {
        "iterations": len(rows),
        "steps": int(last["steps"]),
        "episodes": int(last["episodes"]),
        "seconds_iterations": round(last["seconds"], 1),
        "threshold": threshold,
        "episodes_to_threshold": None if reached is None else int(reached["episodes"]),
        "steps_to_threshold": None if reached is None else int(reached["steps"]),
        "return_last_tenth": round(statistics.fmean(returns[-max(1, len(returns) // 10) :]), 2),
        "return_best_batch": round(max(returns), 2),
    }


def thinned(rows: Sequence[Row], most: int = MOST_POINTS) -> list[Row]:
    """Return at most so many rows: each the mean of as many iterations, where its counts are the last's."""
    told = [row for row in rows if not math.isnan(row["return_mean"])]
    count = min(most, len(told))
    edges = [len(told) * index // max(count, 1) for index in range(count + 1)]
    return [_merged(told[a:b]) for a, b in itertools.pairwise(edges)]


def _merged(rows: Sequence[Row]) -> Row:
    counts = ("steps", "episodes", "seconds")
    return {
        name: rows[-1][name] if name in counts else statistics.fmean(row[name] for row in rows)
        for name in CURVE_COLUMNS
    }


def evaluate(agent: fastfisher.NPG, episodes: int) -> Record:
    """Return the returns of sampled actions and of the mean policy, in episodes that training never saw."""
    found: Record = {"episodes": episodes, "seed": agent.config.seed}
    for kind, deterministic in (("sampled", False), ("mean_policy", True)):
        returns = agent.evaluate(episodes, deterministic=deterministic, seed=agent.config.seed).returns
        spread = float(returns.std(ddof=1)) if episodes > 1 else 0.0
        found[kind] = {"mean": round(float(returns.mean()), 2), "std": round(spread, 2)}
    return found


def keep(job: Seed, *, episodes: int, command: Sequence[str], export: bool) -> Record:
    """Evaluate the final checkpoint, write the seed's results and return the record."""
    folder = RunFolder.open(job.folder)
    rows = read_progress(job.folder)
    diary: Mapping[str, Any] = read_json(job.diary)
    with folder.load_trained() as agent:
        evaluation = evaluate(agent, episodes)
        kept = export and _export(agent, job.policy)
        config = agent.config.to_dict()
    found = bars(rows, job.row.threshold)
    # A kill -9 takes the last moments from the diary, but not from progress.csv.
    seconds = max(diary["seconds"], found["seconds_iterations"])
    record = {
        "suite": job.row.suite,
        "env": job.row.env,
        "policy": job.row.policy,
        "seed": job.seed,
        "label": job.row.label,
        "command": shlex.join(["fastfisher", "train", *command]),
        **found,
        "seconds": round(seconds, 1),
        "steps_per_second": round(found["steps"] / seconds),
        "cores": diary["cores"],
        "processes": diary["processes"],
        "evaluation": evaluation,
        "exported": job.policy.name if kept else None,
        "commits": diary["commits"],
        **circumstances(),
        "config": config,
    }
    write_curve(job.curve, thinned(rows))
    write_json(job.record, record)
    write_json(job.diary, {**diary, "unrecorded": False})
    return record


def _export(agent: fastfisher.NPG, path: Path) -> bool:
    """Write the policy, unless it is too large for a repository; return whether it was written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        export_policy(agent, temporary)
        small = temporary.stat().st_size <= MOST_POLICY_BYTES
    if not small:
        path.unlink()
    return small
