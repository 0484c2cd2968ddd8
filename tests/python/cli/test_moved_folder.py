"""A run whose folder is moved, deleted or replaced stops and names it, and writes nowhere else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fastfisher.cli import main
from fastfisher.runs.folder import RunFolder
from fastfisher.runs.log import ProgressLog, last_iteration
from fastfisher.training.config import TrainConfig
from fastfisher.training.errors import UserError
from fastfisher.training.iteration import IterationInfo

from .helpers import SMALL, Run, assert_same_run

STEPS = 3600


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert main(["train", "CartPole-v1", *SMALL, "--steps", str(STEPS), "--out", str(folder), "--quiet"]) == 0
    return folder


def after_row(monkeypatch: pytest.MonkeyPatch, iteration: int, disturb: Callable[[], object]) -> None:
    """Disturb the next run once this row is logged."""
    append = ProgressLog.append

    def append_and_disturb(log: ProgressLog, info: IterationInfo) -> None:
        append(log, info)
        if info.iteration == iteration:
            disturb()

    monkeypatch.setattr(ProgressLog, "append", append_and_disturb)


# The row of iteration 5 comes before another row, that of 4 before a checkpoint.
@pytest.mark.parametrize("iteration", [4, 5])
@pytest.mark.parametrize("absolute", [False, True])
def test_a_moved_run_stops_and_goes_on_in_its_new_place(
    run: Run, train: Run, monkeypatch: pytest.MonkeyPatch, whole: Path, iteration: int, absolute: bool
) -> None:
    out = Path("a").absolute() if absolute else Path("a")
    with monkeypatch.context() as patch:
        after_row(patch, iteration, lambda: out.rename("moved"))
        result = train("--steps", STEPS, "--out", out)
    assert result.code == 2
    assert f"error: {out} is no longer the folder of this run" in result.err
    assert "give its new place as --out with --resume" in result.err
    assert "Traceback" not in result.err
    assert not out.exists()
    assert run("train", "CartPole-v1", "--out", "moved", "--resume").code == 0
    assert_same_run(Path("moved"), whole)


def test_a_deleted_run_stops_and_leaves_nothing(train: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    after_row(monkeypatch, 2, lambda: shutil.rmtree("a"))
    result = train("--steps", STEPS, "--out", "a")
    assert result.code == 2
    assert "a is no longer the folder of this run" in result.err
    assert not Path("a").exists()


def test_an_emptied_folder_is_a_deleted_run(train: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """What ``rm -r`` leaves where the run writes a file while it deletes the others."""

    def empty() -> None:
        for path in Path("a").iterdir():
            path.unlink()

    after_row(monkeypatch, 3, empty)
    result = train("--steps", STEPS, "--out", "a")
    assert result.code == 2
    assert "a is no longer the folder of this run" in result.err
    assert list(Path("a").iterdir()) == []


def test_a_run_does_not_write_into_the_folder_that_took_its_place(
    train: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def replace() -> None:
        shutil.rmtree("a")
        Path("a").mkdir()
        Path("a/thesis.tex").write_text("years of work")

    after_row(monkeypatch, 3, replace)
    result = train("--steps", STEPS, "--out", "a")
    assert result.code == 2
    assert "a is no longer the folder of this run" in result.err
    assert [path.name for path in Path("a").iterdir()] == ["thesis.tex"]


def test_a_link_to_the_folder_may_come_in_its_place(
    train: Run, monkeypatch: pytest.MonkeyPatch, whole: Path
) -> None:
    def move_and_link() -> None:
        Path("a").rename("elsewhere")
        Path("a").symlink_to("elsewhere")

    after_row(monkeypatch, 3, move_and_link)
    assert train("--steps", STEPS, "--out", "a").code == 0
    assert_same_run(Path("elsewhere"), whole)


def test_an_environment_that_changes_the_working_directory(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    with monkeypatch.context() as patch:
        after_row(patch, 3, lambda: os.chdir(other))
        result = run("train", "CartPole-v1", *SMALL, "--steps", STEPS, "--out", "a")
        os.chdir(tmp_path)
    assert result.code == 2
    assert "a is no longer the folder of this run" in result.err
    assert list(other.iterdir()) == []


def test_two_that_begin_at_once_are_one_run(run: Run, train: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = RunFolder.lock

    def locked_late(folder: RunFolder) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(RunFolder, "lock", lock)
            assert train("--steps", 400, "--out", "a").code == 0
        lock(folder)

    monkeypatch.setattr(RunFolder, "lock", locked_late)
    with pytest.raises(UserError, match="a holds a run already"):
        RunFolder.create(Path("a"), TrainConfig("Acrobot-v1"))
    assert RunFolder(Path("a")).read_config().env == "CartPole-v1"


def test_seeds_whose_parent_is_moved_stop_and_go_on(run: Run) -> None:
    command = [sys.executable, "-m", "fastfisher", "train", "CartPole-v1", "--batch-steps", "400"]
    command += ["--checkpoint-every", "2", "--seeds", "2", "--steps", "10000000", "--out", "a"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while not all(last_iteration(Path(f"a/seed{seed}")) for seed in (0, 1)):
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        Path("a").rename("moved")
        _, err = process.communicate(timeout=120)
    assert process.returncode == 2, err
    assert not Path("a").exists()
    for seed in (0, 1):
        assert f"error: a/seed{seed} is no longer the folder of this run" in err
    assert "Traceback" not in err
    result = run("train", "CartPole-v1", "--out", "moved", "--resume", "--steps", 400)
    assert result.code == 0, result.err
