"""One variant of a task and one seed: trained, measured, and put into the task's file.

    results/ablations/<environment>-<policy>.json    every variant and seed of a task

A file is of one preset and one number of steps: what differs in two things says nothing of either.
Processes that run side by side take turns to write it.
"""

from __future__ import annotations

import re
import shlex
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

from versus.record import write_json

import fastfisher
from fastfisher import NPG
from fastfisher.runs.folder import file_name
from fastfisher.training.config import TrainConfig
from fastfisher.training.iteration import IterationInfo
from fastfisher.training.presets import completed

from . import measures
from .factors import PRESET, Planned
from .results import BENCHMARKS, RUNS, Record, claimed, describe, differences, held, read_json
from .rules import agent_of
from .training import RefusedError

RESULTS = BENCHMARKS / "results" / "ablations"
EPISODES = 20
"""Episodes that the mean policy plays after training."""


@dataclass(frozen=True)
class Task:
    """A preset, and where the results of its variants are."""

    base: TrainConfig
    """The preset with everything filled in; see :func:`base_config`."""
    results: Path = RESULTS
    locks: Path = RUNS / "ablations"

    def __str__(self) -> str:
        return f"{self.base.env} {self.base.policy}"

    @property
    def name(self) -> str:
        """What its files are called; ids like `ALE/Pong-v5` are one folder, too."""
        return f"{file_name(self.base.env)}-{self.base.policy}"

    @property
    def file(self) -> Path:
        """The results."""
        return self.results / f"{self.name}.json"

    def command(self, planned: Planned, seed: int) -> str:
        """Return what runs this variant and seed, with the rest of its factor."""
        factors = [] if planned.factor == PRESET else ["--factors", planned.factor]
        words = [self.base.env, self.base.policy, *factors, "--seeds", str(seed)]
        return shlex.join(["python", "benchmarks/ablations.py", *words, "--steps", str(self.base.steps)])

    def lock(self, planned: Planned, seed: int) -> Path:
        """Held by the process that works on a variant and seed."""
        return self.locks / self.name / f"{re.sub('[^a-zA-Z0-9=.-]+', '_', planned.key)}-seed{seed}.lock"


def base_config(env: str, policy: str, steps: int) -> TrainConfig:
    """Return the preset, resolved: what it leaves to environment and policy is filled in.

    Raises
    ------
    UserError
        Where there is no such environment.
    """
    fields = completed(env, {"policy": policy, "preset": True})
    with NPG.from_config(TrainConfig(env=env, steps=steps, **fields)) as agent:
        return agent.config


def run(task: Task, planned: Planned, seed: int, workers: int) -> Record | None:
    """Train and measure what is not recorded yet; return its record, or None where another process is at it.

    Raises
    ------
    RefusedError
        Where the file is of another preset, or another number of steps.
    UserError, ValueError, FloatingPointError
        Where the environment does not take the variant, no episode ended, or training came to no number.
    """
    with claimed(task.lock(planned, seed)) as mine:
        if not mine:
            return None
        if (record := recorded(task, planned, seed)) is not None:
            return record
        found = measured(planned, seed, workers)
        return _keep(task, planned, seed, workers, found)


def recorded(task: Task, planned: Planned, seed: int) -> Record | None:
    """Return the record of a variant and seed, if there is one.

    Raises
    ------
    RefusedError
        As :func:`run`.
    """
    wanted = (planned.changes, planned.rule, seed)
    runs: list[Record] = _content(task)["runs"]
    for record in runs:
        if (record["changes"], record["rule"], record["seed"]) == wanted:
            return record
    return None


def measured(planned: Planned, seed: int, workers: int) -> Record:
    """Train in this process, and return what came of it."""
    rows: list[measures.Row] = []
    begin = time.monotonic()

    def on_iteration(info: IterationInfo) -> None:
        seconds = time.monotonic() - begin
        rows.append(
            {
                "steps": info.steps,
                "episodes": info.episodes,
                "seconds": seconds,
                "return_mean": info.return_mean,
            }
        )

    fastfisher.set_num_threads(workers)
    with agent_of(planned.config.replace(seed=seed, workers=workers), planned.rule) as agent:
        agent.learn(callback=on_iteration)
        mean, std = _mean_policy(agent)
    found = measures.bars(rows, None)
    told = [row["return_mean"] for row in rows if row["return_mean"] == row["return_mean"]]
    return {
        **{name: found[name] for name in ("iterations", "steps", "episodes")},
        "return_last_tenth": found["return_last_tenth"],
        "return_best_batch": found["return_best_batch"],
        "mean_policy_return": mean,
        "mean_policy_std": std,
        "area_under_curve": round(statistics.fmean(told), 2),
        "seconds": found["seconds_iterations"],
    }


def _mean_policy(agent: NPG) -> tuple[float, float]:
    """Return mean and deviation of the mean policy's returns, from the environment's own initial states."""
    evaluation = agent.evaluate(EPISODES, seed=agent.config.seed, init_noise=0.0)
    return round(evaluation.mean, 2), round(evaluation.std, 2)


def _keep(task: Task, planned: Planned, seed: int, workers: int, found: Record) -> Record:
    """Put a record into the task's file, and those of other processes' with it."""
    around = measures.circumstances()
    here = {
        "commit": measures.commit(),
        "workers": workers,
        **{k: around[k] for k in ("machine", "versions")},
    }
    with held(task.locks / f"{task.name}.lock"):
        content = _content(task)
        if here not in content["circumstances"]:
            content["circumstances"].append(here)
        record = {
            "factor": planned.factor,
            "label": planned.label,
            "changes": planned.changes,
            "rule": planned.rule,
            "seed": seed,
            "command": task.command(planned, seed),
            "circumstances": content["circumstances"].index(here),
            "date": around["date"],
            "load_average": around["load_average"],
            **found,
        }
        content["runs"].append(record)
        write_json(task.file, content)
    return record


def _content(task: Task) -> Record:
    """Return the task's file, or what it begins as."""
    base = task.base.to_dict()
    content: Record | None = read_json(task.file)
    if content is None:
        return {
            "env": task.base.env,
            "policy": task.base.policy,
            "config": base,
            "circumstances": [],
            "runs": [],
        }
    if differing := differences(content["config"], base):
        raise RefusedError(
            f"{task}: {task.file} is of another preset: {describe(differing)}; remove it to measure anew"
        )
    return content
