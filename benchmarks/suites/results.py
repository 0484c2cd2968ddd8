"""Where results are, and how they are written and read: for each seed a record, a curve, perhaps a policy.

    results/learning/<suite>/<environment>-<policy>/seed<k>.json   what the tables need
    results/learning/<suite>/<environment>-<policy>/seed<k>.csv    the learning curve, thinned
    results/learning/<suite>/<environment>-<policy>/seed0.npz      `fastfisher export` of the first seed
    results/learning/peers/<peer>-<environment>-seed<k>.json       another library, on this machine

No file is of two seeds, so processes that run side by side never write the same one; and each holds a lock on
what it works on, so that the others leave it alone.
"""

from __future__ import annotations

import contextlib
import csv
import fcntl
import functools
import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
from gymnasium.spaces import Box

from fastfisher.runs import folder
from fastfisher.training.config import TrainConfig
from fastfisher.training.whole_files import replacing

from .rows import Row

BENCHMARKS = Path(__file__).resolve().parents[1]
RESULTS = BENCHMARKS / "results" / "learning"
RUNS = BENCHMARKS / "runs"
PEERS = "peers"

CURVE_COLUMNS = ("steps", "episodes", "seconds", "return_mean", "return_std", "kl_achieved", "std")

Record = dict[str, Any]
Differences = Mapping[str, tuple[Any, Any]]
"""The fields in which two configs differ, with both values."""

# What may differ between the seeds of a row, and between the runs that a row's results stand for.
# No environment here has action masks, which older records know nothing of.
_NOT_THE_METHOD = frozenset(
    {"seed", "workers", "worker_timeout", "checkpoint_every", "preset", "action_masks"}
)


@dataclass(frozen=True)
class Seed:
    """One seed of a row: where it is trained, and where its results go."""

    row: Row
    seed: int
    runs: Path = RUNS
    results: Path = RESULTS

    def __str__(self) -> str:
        return f"{self.row.suite} {self.row.name} seed {self.seed}"

    @property
    def folder(self) -> Path:
        """The run folder; it lasts until `--again`, so that an interrupted run is resumed."""
        return self.runs / self.row.suite / self.row.name / f"seed{self.seed}"

    @property
    def diary(self) -> Path:
        """What the run folder does not know: commits and the time of whole processes."""
        return self.folder.with_suffix(".json")

    @property
    def lock(self) -> Path:
        """Held by the process that works on this seed."""
        return self.folder.with_suffix(".lock")

    @property
    def record(self) -> Path:
        """The record."""
        return self.results / self.row.suite / self.row.name / f"seed{self.seed}.json"

    @property
    def curve(self) -> Path:
        """The learning curve."""
        return self.record.with_suffix(".csv")

    @property
    def policy(self) -> Path:
        """The exported policy."""
        return self.record.with_suffix(".npz")


@contextlib.contextmanager
def claimed(path: Path) -> Iterator[bool]:
    """Hold a lock in the block, and say whether it was to be had: False where another process has it.

    The lock is given up however its holder ends.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold a lock in the block, after waiting for whoever has it; it is given up however its holder ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def read_json(path: Path) -> Any:
    """Return the content of a JSON file; None where there is none."""
    return json.loads(path.read_text("utf-8")) if path.exists() else None


def write_curve(path: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """Write a thinned curve with six significant digits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(CURVE_COLUMNS)
        for row in rows:
            writer.writerow(
                [f"{row[name]:.0f}" if name in ("steps", "episodes") else f"{row[name]:.6g}" for name in row]
            )


def read_curve(path: Path) -> dict[str, list[float]]:
    """Return the columns of a curve."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {name: [float(row[name]) for row in rows] for name in CURVE_COLUMNS}


def read_rows(results: Path, suite: str) -> dict[str, list[Record]]:
    """Return a suite's records, by the row's name and in the order of the seeds.

    Raises
    ------
    ValueError
        Where the seeds of a row were not trained alike: their mean would be of nothing in particular.
    """
    records: dict[str, list[Record]] = {}
    for path in sorted((results / suite).glob("*/seed*.json")):
        records.setdefault(path.parent.name, []).append({**read_json(path), "path": path})
    for name, of_row in records.items():
        of_row.sort(key=lambda record: record["seed"])
        first = of_row[0]
        for other in of_row[1:]:
            if differing := differences(first["config"], other["config"]):
                raise ValueError(
                    f"{suite} {name}: seeds {first['seed']} and {other['seed']} differ in "
                    f"{describe(differing)}: rerun one of them with --again"
                )
    return records


def quoted(command: str) -> str:
    """Return a record's command as a shell takes it: the first ones were kept without their quotes."""
    if "'" in command:
        return command
    return re.sub(r"\{.*?\}(?= |$)", lambda found: shlex.quote(found.group()), command)


def read_peers(results: Path) -> list[Record]:
    """Return the records of other libraries."""
    return [read_json(path) for path in sorted((results / PEERS).glob("*.json"))]


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> Differences:
    """Return the fields in which two configs are two methods, with both values.

    A field that one of them does not know was added or removed between them: as where a run folder of an
    older version is read, what is missing is what that version did.  One that is no more does not count, and
    what one leaves open, as older records do, is compared by what it is resolved to.  Units of actions are
    one where the bounds are -1 and 1.
    """
    known = TrainConfig("").to_dict()

    def config(values: Mapping[str, Any]) -> TrainConfig:
        return TrainConfig.from_dict({"env": "", **{k: v for k, v in values.items() if k in known}})

    differing = folder.differences(config(before), config(after), besides=_NOT_THE_METHOD)
    if "action_units" in differing and _has_unit_bounds(after["env"]):
        del differing["action_units"]
    return differing


@functools.cache
def _has_unit_bounds(env: str) -> bool:
    space = gymnasium.make(env).action_space
    return not isinstance(space, Box) or bool((space.low == -1.0).all() and (space.high == 1.0).all())


def describe(differing: Differences) -> str:
    """Return differences as words."""
    return ", ".join(f"{name} ({before} and {after})" for name, (before, after) in differing.items())
