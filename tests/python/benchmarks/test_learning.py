"""From a row to its results: interrupted, resumed, lengthened, refused, left to another process."""

from __future__ import annotations

import contextlib
import fcntl
import math
import shutil
from pathlib import Path
from typing import Any

import learning
import pytest
from suites import measures, training
from suites.results import Record, Seed, differences, read_curve, read_json
from suites.rows import Row

from fastfisher.exported import NumpyPolicy

FLAGS = ("--batch-steps", "400", "--checkpoint-every", "3")
STEPS = 16_000


def learn(folder: Path, *words: object, steps: int = STEPS, flags: tuple[str, ...] = FLAGS) -> int:
    """Run the command on CartPole, with its files in a folder."""
    own = ["CartPole-v1", "--steps", steps, "--target", 60, "--workers", 1, "--episodes", 2]
    places = ["--runs", folder / "runs", "--results", folder / "results"]
    return learning.main([str(word) for word in (*own, *places, *words, "--", *flags)])


def job(folder: Path, steps: int = STEPS) -> Seed:
    row = Row("own", "CartPole-v1", "linear", steps, flags=" ".join(FLAGS), threshold=60.0)
    return Seed(row, 0, folder / "runs", folder / "results")


class Interrupted(training.SeedProcess):
    """A Ctrl-C at its first iteration."""

    @property
    def state(self) -> Any:
        if self.last() is not None:
            raise KeyboardInterrupt
        return super().state


def test_interrupted_and_lengthened_runs_have_the_same_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    with monkeypatch.context() as patch:
        patch.setattr(training, "SeedProcess", Interrupted)
        with pytest.raises(KeyboardInterrupt):
            learn(a)
    assert training.state(job(a)) == "begun"
    assert not job(a).record.exists()
    assert learn(a) == 0
    assert learn(b, steps=800) == 0
    assert read_json(job(b).record)["steps"] < 1_600
    assert learn(b) == 0

    records: list[Record] = [read_json(job(folder).record) for folder in (a, b)]
    clock = {"seconds", "seconds_iterations", "steps_per_second", "load_average", "date"}
    first, second = ({k: v for k, v in record.items() if k not in clock} for record in records)
    assert first == second
    assert first["processes"] == 2
    assert first["steps"] >= STEPS > first["steps"] - (399 + 500)  # the last batch and its last episode
    assert first["config"]["steps"] == STEPS
    assert first["episodes_to_threshold"] > 0
    curves = [read_curve(job(folder).curve) for folder in (a, b)]
    assert curves[0]["return_mean"] == curves[1]["return_mean"]
    assert len(curves[0]["steps"]) == first["iterations"]
    assert 0 < curves[0]["seconds"][-1] < records[0]["seconds"]
    NumpyPolicy.load(job(a).policy).predict([0.0] * 4)

    # There now, it is not run again; of another config, it is refused.
    monkeypatch.setattr(training, "SeedProcess", None)
    before = job(a).record.read_bytes()
    capsys.readouterr()
    assert learn(a) == 0
    assert "own CartPole-v1-linear seed 0: sampled" in capsys.readouterr().out
    assert learn(a, flags=(*FLAGS, "--gamma", "0.9")) == 2
    assert "gamma (0.995 and 0.9); --again" in capsys.readouterr().err
    assert learn(a, steps=400) == 2
    assert "steps (16000 and 400)" in capsys.readouterr().err
    assert job(a).record.read_bytes() == before
    assert learn(a, "--list") == 0
    assert "done at 16," in capsys.readouterr().out


def test_again_keeps_the_record_until_there_is_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed = job(tmp_path, 800)
    assert learn(tmp_path, steps=800) == 0
    files = (seed.record, seed.curve, seed.policy)
    before = [file.read_bytes() for file in files]
    longer = job(tmp_path, 1_600)
    with monkeypatch.context() as patch:
        patch.setattr(training, "SeedProcess", Interrupted)
        with pytest.raises(KeyboardInterrupt):
            learn(tmp_path, "--again", steps=1_600)
    assert [file.read_bytes() for file in files] == before
    assert training.state(longer).endswith("of another config: steps (800 and 1600); begun again")
    assert learn(tmp_path, steps=1_600) == 0
    record = read_json(seed.record)
    assert (record["config"]["steps"], record["processes"]) == (1_600, 2)
    assert seed.policy.read_bytes() != before[-1]


def test_a_run_whose_kl_falls_over_the_steps_is_not_lengthened(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = (*FLAGS, "--final-max-kl", "0.01")
    assert learn(tmp_path, steps=800, flags=flags) == 0
    assert learn(tmp_path, steps=1_600, flags=flags) == 2
    assert "steps (800 and 1600), and what falls over the steps had another" in capsys.readouterr().err
    assert learn(tmp_path, "--again", steps=1_600, flags=flags) == 0
    assert read_json(job(tmp_path).record)["config"]["steps"] == 1_600


def test_another_target_or_evaluation_is_measured_of_the_run_that_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert learn(tmp_path, steps=1_600) == 0
    first = read_json(job(tmp_path).record)
    assert learn(tmp_path, "--target", 10, "--episodes", 3, steps=1_600) == 0
    second = read_json(job(tmp_path).record)
    assert (second["threshold"], second["evaluation"]["episodes"]) == (10, 3)
    assert second["episodes_to_threshold"] < first["episodes"]
    assert second["return_last_tenth"] == first["return_last_tenth"]
    shutil.rmtree(tmp_path / "runs")
    assert learn(tmp_path, steps=1_600) == 2
    assert "target (10.0 and 60.0), episodes (3 and 2); --again" in capsys.readouterr().err


def test_a_label_is_a_row_of_its_own(tmp_path: Path) -> None:
    assert learn(tmp_path, "--label", "a/b", steps=800) == 0
    (path,) = (tmp_path / "results").rglob("*.json")
    assert path.parent.name == "CartPole-v1-linear-a-b"
    assert read_json(path)["label"] == "a/b"


def test_what_cannot_be_trained_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    places = ["--runs", str(tmp_path / "runs"), "--results", str(tmp_path / "results")]
    assert learning.main(["NoSuch-v0", "--steps", "100", *places]) == 1
    assert "own NoSuch-v0-linear seed 0: " in capsys.readouterr().err


def test_a_failure_is_told_and_leaves_no_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Failed(contextlib.nullcontext["Failed"]):
        state = "failed"

        def __init__(self, *_: object) -> None:
            super().__init__(self)

        def errors(self) -> str:
            return "error: no such thing"

    monkeypatch.setattr(training, "SeedProcess", Failed)
    assert learn(tmp_path) == 1
    assert "seed 0: training failed\nerror: no such thing" in capsys.readouterr().err
    assert training.state(job(tmp_path)) == "begun"


def test_a_seed_that_another_process_is_at_is_left_to_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    held = job(tmp_path)
    held.lock.parent.mkdir(parents=True)
    with held.lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert learn(tmp_path) == 0
    assert "another process is at it" in capsys.readouterr().out
    assert not held.folder.exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["paper", "Hopper-v4"], "env: expected one of"),
        (["paper", "Hopper-v5", "--", "--gamma", "1"], "flags: expected none"),
        (["Hopper-v5", "rbf", "--steps", "9"], "suite: expected one of paper, million, got Hopper-v5"),
        (["Hopper-v5"], "--steps: expected"),
        (["paper", "--steps", "9"], "--steps: expected for a row of your own alone, got 9"),
        (["paper", "--policy", "rbf"], "--policy: expected for a row of your own alone, got rbf"),
        (["paper", "--workers", "0"], "--workers: expected at least 1, got 0"),
    ],
)
def test_wrong_words(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        learning.main(words)
    assert message in capsys.readouterr().err


def iterations(returns: list[float]) -> list[dict[str, float]]:
    return [
        {"steps": 10.0 * k, "episodes": float(k), "seconds": 0.5 * k, "return_mean": value, "return_std": 1.0}
        | {"kl_achieved": 0.01, "std": math.nan}
        for k, value in enumerate(returns, start=1)
    ]


def test_bars() -> None:
    rows = iterations([math.nan, 1.0, 5.0, 3.0])
    found = measures.bars(rows, 4.0)
    assert (found["steps"], found["episodes"], found["seconds_iterations"]) == (40, 4, 2.0)
    assert (found["episodes_to_threshold"], found["steps_to_threshold"]) == (3, 30)
    assert (found["return_best_batch"], found["return_last_tenth"]) == (5.0, 3.0)
    missed = measures.bars(rows, 6.0)
    assert (missed["episodes_to_threshold"], missed["steps_to_threshold"]) == (None, None)
    with pytest.raises(ValueError, match="no whole episode"):
        measures.bars(rows[:1], None)


def test_a_thinned_curve_averages_returns_and_keeps_counts() -> None:
    rows = iterations([math.nan, *range(1, 8)])
    thin = measures.thinned(rows, most=3)
    assert [row["return_mean"] for row in thin] == [1.5, 3.5, 6.0]
    assert [row["steps"] for row in thin] == [30, 50, 80]
    assert [row["return_mean"] for row in measures.thinned(rows, most=300)] == [*range(1, 8)]


def test_what_makes_two_configs_two_methods() -> None:
    before = {"gamma": 0.9, "workers": 1, "seed": 0, "removed": 1}
    assert differences(before, {"gamma": 0.9, "workers": 2, "seed": 1, "added": 2}) == {}
    assert differences(before, {"gamma": 0.8}) == {"gamma": (0.9, 0.8)}
    assert differences(before, {"gamma": 0.9, "momentum": 0.5}) == {"momentum": (0.0, 0.5)}, "one added since"
