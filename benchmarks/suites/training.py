"""One seed of a row, from nothing or from where it was interrupted, to its results."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from versus.record import write_json

from fastfisher import NPG
from fastfisher.cli.train import config_of
from fastfisher.runs.folder import RunFolder
from fastfisher.runs.seed_process import SeedProcess
from fastfisher.training.config import TrainConfig

from . import measures
from .results import Differences, Record, Seed, claimed, describe, differences, read_json

_LOOK_EVERY = 0.2
_NOTE_EVERY = 2.0
"""Seconds between the notes of a run's time: what a kill -9 takes from it at most."""
_SAY_EVERY = 60.0


class RefusedError(Exception):
    """What is there was made by another config: it is neither overwritten nor taken for this row's."""


class FailedError(Exception):
    """Training ended with an error."""


@dataclass(frozen=True)
class Settings:
    """How to run, whatever the row."""

    cores: int
    episodes: int = 50
    """Episodes of sampled actions, and as many of the mean policy."""
    again: bool = False
    """Train anew; what is recorded stays until there is another record."""
    export: bool = False
    """Keep the policy, if it is small."""


def run(job: Seed, settings: Settings) -> Record | None:
    """Train what is missing, evaluate, write the results; None where another process is at it.

    Raises
    ------
    RefusedError
        Where a run folder or a record is of another config.
    ValueError
        Where no episode ended, so that there is nothing to record.
    FailedError
        Where training failed; the message has its last lines.
    """
    with claimed(job.lock) as mine:
        if not mine:
            return None
        words = job.row.words(job.seed)
        config = full_config(words)
        if settings.again:
            _forget(job)
        elif (record := _done(job, config, settings.episodes)) is not None:
            return record
        _prepare(job, config, settings.cores)
        _train(job, settings.cores)
        return measures.keep(job, episodes=settings.episodes, command=words, export=settings.export)


def full_config(words: list[str]) -> TrainConfig:
    """Return the config of `fastfisher train` with these words, the environment's part filled in."""
    with NPG.from_config(config_of(words)) as agent:
        return agent.config


def state(job: Seed) -> str:
    """Say in a word or two how far a seed is."""
    record = read_json(job.record)
    if record is None:
        return "begun" if job.folder.exists() else "not run"
    words = f"done at {record['steps']:,} steps"
    if differing := differences(record["config"], full_config(job.row.words(job.seed)).to_dict()):
        words += f", of another config: {describe(differing)}"
    return f"{words}; begun again" if _unrecorded(job) else words


def _forget(job: Seed) -> None:
    """Remove a seed's run; its results stay until others replace them."""
    if job.folder.exists():
        shutil.rmtree(job.folder)
    job.diary.unlink(missing_ok=True)


def _unrecorded(job: Seed) -> bool:
    """Whether there is a run whose end is not in the record yet."""
    return bool((read_json(job.diary) or {}).get("unrecorded"))


def _done(job: Seed, config: TrainConfig, episodes: int) -> Record | None:
    """Return the record where it is of this config and these measures."""
    record: Record | None = read_json(job.record)
    if record is None or _unrecorded(job):
        return None
    differing = differences(record["config"], config.to_dict())
    if differing:
        if job.folder.exists() and _goes_on(record["config"], config, differing):
            return None  # the run goes on from where it ended
        raise _refusal(job, job.record, differing, config)
    measured = {"target": record["threshold"], "episodes": record["evaluation"]["episodes"]}
    asked = {"target": job.row.threshold, "episodes": episodes}
    if measured == asked:
        return record
    if job.folder.exists():
        return None  # measured anew, of the run that is there
    other = {name: (measured[name], asked[name]) for name in asked if measured[name] != asked[name]}
    raise _refusal(job, job.record, other, config)


def _goes_on(stored: Mapping[str, Any], config: TrainConfig, differing: Differences) -> bool:
    """Whether a run of this config is the stored one's, with more steps."""
    return set(differing) == {"steps"} and config.steps > stored["steps"] and not _falls(config)


def _refusal(job: Seed, path: Path, differing: Differences, config: TrainConfig) -> RefusedError:
    """Return what says that a record or a folder is of another config, and what to do."""
    words = describe(differing)
    if set(differing) == {"steps"} and _falls(config):
        words += ", and what falls over the steps had another course"
    return RefusedError(f"{job}: {path} is of another config: {words}; --again trains anew")


def _falls(config: TrainConfig) -> bool:
    """Whether the KL or the floor of the deviation goes by the share of the steps: more make another run."""
    return config.final_max_kl is not None or config.final_min_log_std is not None


def _prepare(job: Seed, config: TrainConfig, cores: int) -> None:
    """Make the run folder, or find that the one that is there can be continued."""
    if not (job.folder / "config.json").exists():
        # The diary first: a folder that can be resumed has one, whenever this process was killed.
        write_json(job.diary, {"commits": [], "seconds": 0.0, "processes": 0, "cores": cores})
        RunFolder.create(job.folder, config).unlock()
        return
    stored = read_json(job.folder / "config.json")
    differing = differences(stored, config.to_dict())
    if differing:
        if not _goes_on(stored, config, differing):
            raise _refusal(job, job.folder, differing, config)
        folder = RunFolder(job.folder)
        folder.lock()
        folder.write_config(folder.read_config().replace(steps=config.steps))
        folder.unlock()


def _train(job: Seed, cores: int) -> None:
    """Run `fastfisher train --resume` in the folder until it ends; a Ctrl-C here saves and stops it."""
    diary = read_json(job.diary)
    if (commit := measures.commit()) not in diary["commits"]:
        diary["commits"].append(commit)
    diary |= {"processes": diary["processes"] + 1, "cores": cores, "unrecorded": True}
    before, begin = diary["seconds"], time.monotonic()

    def note() -> None:
        write_json(job.diary, {**diary, "seconds": before + time.monotonic() - begin})

    note()
    noted = said = begin
    with SeedProcess(job.seed, job.folder, cores) as process:
        try:
            while process.state == "training":
                time.sleep(_LOOK_EVERY)
                now = time.monotonic()
                if now - noted > _NOTE_EVERY:
                    note()
                    noted = now
                if now - said > _SAY_EVERY and (last := process.last()) is not None:
                    print(f"  {job}: {last.steps:,} steps, return {last.return_mean:,.1f}", flush=True)
                    said = now
        finally:
            note()
        if process.state != "done":
            raise FailedError(f"{job}: training {process.state}\n{process.errors()}")
