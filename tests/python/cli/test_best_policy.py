"""``--evaluate-every``: the best policy of a run in its folder, whatever happens to the run."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from fastfisher.exported import NumpyPolicy
from fastfisher.runs.log import last_iteration
from fastfisher.training import NPG

from .helpers import Run, assert_same_run, repeatable_rows

EVERY = ("--evaluate-every", 2, "--evaluation-episodes", 3, "--policy", "linear")


def means(folder: Path) -> dict[int, float]:
    """Return the evaluations of a run by their iteration."""
    rows = repeatable_rows(folder)
    found = {int(row["iteration"]): float(row["evaluation_mean"]) for row in rows}
    return {iteration: mean for iteration, mean in found.items() if not math.isnan(mean)}


def test_the_best_policy_is_kept_evaluated_and_exported(run: Run, train: Run, tmp_path: Path) -> None:
    result = train(*EVERY, "--steps", 4000, "--out", "a")
    assert result.code == 0, result.err
    found = means(tmp_path / "a")
    assert list(found) == [2, 4, 6, 8, 10]
    best = max(found, key=lambda iteration: (found[iteration], -iteration))
    assert f"best    {found[best]:,.1f} in an evaluation: a/best.zip" in result.out
    with NPG.load(tmp_path / "a" / "best.zip") as agent:
        assert (agent.iteration, agent.best_iteration, agent.best_return) == (best, best, found[best])
    rows = {
        kind: run("evaluate", "a", *words, "--json")
        for kind, words in {"best": ["--best"], "last": []}.items()
    }
    steps = {kind: json.loads(row.out)["steps"] for kind, row in rows.items()}
    counted = {int(row["iteration"]): int(row["steps"]) for row in repeatable_rows(tmp_path / "a")}
    assert steps == {"best": counted[best], "last": counted[10]}
    assert run("export", "a", "--best", "--out", "best.npz").code == 0
    observation = np.array([0.01, -0.2, 0.03, 0.4])
    with NPG.load(tmp_path / "a" / "best.zip") as agent:
        expected, _ = agent.predict(observation, deterministic=True)
    assert NumpyPolicy.load(tmp_path / "best.npz").predict(observation) == expected


def test_a_run_trains_to_the_same_bits_and_shows_what_it_evaluated(train: Run, tmp_path: Path) -> None:
    assert train("--policy", "linear", "--steps", 1600, "--out", "plain").code == 0
    result = train(*EVERY, "--steps", 1600, "--out", "evaluated")
    rows = [repeatable_rows(tmp_path / name) for name in ("plain", "evaluated")]
    assert {name for a, b in zip(*rows, strict=True) for name in a if a[name] != b[name]} == {
        "evaluation_mean", "evaluation_std", "evaluation_best"
    }  # fmt: skip
    assert not (tmp_path / "plain" / "best.zip").exists()
    titles = next(line for line in result.out.splitlines() if line.startswith(" iter"))
    assert titles.split()[2:6] == ["return", "+-", "std", "best"]
    last = last_iteration(tmp_path / "evaluated")
    assert last is not None
    assert last.evaluation_mean == means(tmp_path / "evaluated")[4]
    events = next((tmp_path / "evaluated").glob("events.out.tfevents.*")).read_bytes()
    assert b"evaluation/evaluation_mean" in events


def test_a_stopped_run_goes_on_knowing_the_best(train: Run, tmp_path: Path) -> None:
    assert train(*EVERY, "--steps", 4000, "--out", "whole").code == 0
    assert train(*EVERY, "--steps", 2000, "--out", "parts").code == 0
    assert train("--steps", 4000, "--out", "parts", "--resume").code == 0
    assert_same_run(tmp_path / "parts", tmp_path / "whole")
    with NPG.load(tmp_path / "parts" / "best.zip") as one, NPG.load(tmp_path / "whole" / "best.zip") as two:
        assert (one.iteration, one.best_return) == (two.iteration, two.best_return)
        assert one.policy.parameters.tobytes() == two.policy.parameters.tobytes()


def test_evaluations_may_begin_with_a_resumed_run(train: Run, tmp_path: Path) -> None:
    assert train("--policy", "linear", "--steps", 800, "--out", "a").code == 0
    words = ("--steps", 1600, "--evaluate-every", 1, "--evaluation-episodes", 2, "--out", "a", "--resume")
    assert train(*words).code == 0
    assert list(means(tmp_path / "a")) == [3, 4]


def test_a_run_without_evaluations_has_no_best_policy(run: Run, train: Run, tmp_path: Path) -> None:
    assert train("--steps", 400, "--out", "a").code == 0
    for word in ("evaluate", "export"):
        result = run(word, "a", "--best")
        assert result.code == 2
        assert result.err.startswith(
            "error: a has no best.zip: it was deleted, or no policy was evaluated yet (-"
        )
    assert train("--evaluate-every", -1, "--out", "b").code == 2


def test_the_best_of_several_seeds_is_told_together(train: Run, tmp_path: Path) -> None:
    result = train(*EVERY, "--steps", 800, "--seeds", 2, "--out", "a")
    assert result.code == 0, result.err
    best = sorted(max(means(tmp_path / "a" / f"seed{k}").values()) for k in (0, 1))
    expected = f"{sum(best) / 2:,.1f} in evaluations, {best[0]:,.1f} to {best[1]:,.1f}"
    assert f"best    {expected}" in result.out


def test_the_last_line_of_an_older_version_is_read(train: Run, tmp_path: Path) -> None:
    folder = tmp_path / "a"
    assert train("--policy", "linear", "--steps", 800, "--out", "a").code == 0
    lines = [json.loads(line) for line in (folder / "progress.jsonl").read_text().splitlines()]
    names = list(lines[0])[: list(lines[0]).index("evaluation_mean")]
    (folder / "progress.jsonl").write_text(
        "".join(json.dumps({name: line[name] for name in names}) + "\n" for line in lines)
    )
    last = last_iteration(folder)
    assert last is not None
    assert last.iteration == 2
    assert math.isnan(last.evaluation_best)


@pytest.mark.parametrize("word", ["--evaluate-every", "--evaluation-episodes"])
def test_the_flags_are_listed(run: Run, word: str) -> None:
    assert word in run("train", "--help").out
