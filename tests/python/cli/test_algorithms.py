"""The learner's choices from the command line: TRPO, its state across a resume, the target return."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from fastfisher.training import NPG, TRPO

from .helpers import SMALL, Run, assert_same_run

FLAGS = (
    "--algorithm", "trpo", "--momentum", "0.8", "--damping-rule", "adaptive", "--fisher-fraction", "0.5",
    "--normalize-rewards",
)  # fmt: skip


def rows(folder: str) -> list[dict[str, str]]:
    with (Path(folder) / "progress.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_algorithms_share_no_default_folder(run: Run) -> None:
    for algorithm in ("npg", "trpo"):
        words = ("train", "CartPole-v1", *SMALL, "--steps", 1, "--algorithm", algorithm, "--quiet")
        assert run(*words).code == 0
        assert Path(f"runs/CartPole-v1-{algorithm}-mlp-seed0/checkpoint.zip").exists()


def test_trpo_is_trained_resumed_and_shown(run: Run) -> None:
    train = ("train", "CartPole-v1", *SMALL, *FLAGS)
    whole = run(*train, "--steps", 2400, "--out", "whole")
    assert whole.code == 0, whole.err
    assert "TRPO" in whole.out
    assert "exact Fisher" in whole.out
    assert run(*train, "--steps", 800, "--out", "part", "--quiet").code == 0
    resumed = run("train", "CartPole-v1", "--out", "part", "--resume", "--steps", 2400)
    assert resumed.code == 0, resumed.err
    assert_same_run(Path("part"), Path("whole"))
    assert json.loads((Path("whole") / "config.json").read_text())["fisher"] == "exact"
    assert type(NPG.load("part/checkpoint.zip")) is TRPO
    assert {row["algorithm"] for row in rows("whole")} == {"trpo"}
    assert list(rows("whole")[0])[:5] == ["iteration", "steps", "episodes", "return_mean", "return_std"]
    # The algorithm of a run is the run's.
    changed = run("train", "CartPole-v1", "--out", "part", "--resume", "--algorithm", "npg")
    assert changed.code == 2
    assert "started with algorithm = trpo, not npg" in changed.err


def test_training_ends_at_the_target_and_stays_there(run: Run) -> None:
    train = ("train", "CartPole-v1", *SMALL)
    result = run(*train, "--steps", 20000, "--target-return", 40, "--out", "run")
    assert result.code == 0, result.err
    assert "the target return of 40 is reached" in result.out
    assert "done" in result.out
    ended = rows("run")
    assert [float(row["return_mean"]) >= 40.0 for row in ended] == [False] * (len(ended) - 1) + [True]
    again = run("train", "CartPole-v1", "--out", "run", "--resume")
    assert again.code == 0
    assert "its last batch reached the target return, 40.0" in again.out
    assert rows("run") == ended
    # With a higher target it goes on.
    higher = run("train", "CartPole-v1", "--out", "run", "--resume", "--target-return", 150)
    assert higher.code == 0
    assert len(rows("run")) > len(ended)
    assert float(rows("run")[-1]["return_mean"]) >= 150.0
