"""A run that was stopped, killed or damaged goes on to the bits of one that was not."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from fastfisher.cli import main
from fastfisher.runs.folder import RunFolder
from fastfisher.training import NPG
from fastfisher.training.checkpoint import read_checkpoint, write_checkpoint
from fastfisher.training.defaults import OPEN
from fastfisher.training.whole_files import replacing

from .helpers import (
    SMALL,
    Result,
    Run,
    assert_same_run,
    descendants,
    needs_descendants,
    repeatable_rows,
)

STEPS = 3600


def start(*words: str) -> subprocess.Popen[str]:
    """Train in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "fastfisher", "train", "CartPole-v1", *SMALL, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_rows(process: subprocess.Popen[str], folder: Path, count: int) -> None:
    """Return once progress.csv has ``count`` iterations."""
    progress = folder / "progress.csv"
    while not progress.exists() or progress.read_bytes().count(b"\n") <= count:
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert main(["train", "CartPole-v1", *SMALL, "--steps", str(STEPS), "--out", str(folder), "--quiet"]) == 0
    return folder


@pytest.fixture
def part(run: Run, train: Run) -> Path:
    """The first third of that run."""
    assert train("--steps", STEPS // 3, "--out", "part").code == 0
    return Path("part")


@pytest.fixture
def copy(run: Run, whole: Path) -> Path:
    """A copy of that run, to be damaged."""
    return Path(shutil.copytree(whole, "copy"))


def resume(run: Run, folder: Path, *words: object) -> Result:
    """Continue to the end of the undisturbed run; nothing but the folder and the steps is said."""
    return run("train", "CartPole-v1", "--out", folder, "--resume", "--steps", STEPS, *words)


def forget(folder: Path) -> None:
    """Leave what a run has before its first checkpoint."""
    for path in (*folder.glob("checkpoint*"), *folder.glob("progress*")):
        path.unlink()


def test_resumed_equals_uninterrupted(run: Run, part: Path, whole: Path) -> None:
    result = resume(run, part)
    assert result.code == 0, result.err
    assert "resuming" in result.out
    assert_same_run(part, whole)
    # The config that is not said comes from the folder, and the new steps go there.
    assert RunFolder(part).read_config() == RunFolder(whole).read_config()
    assert len(list(part.glob("events.out.tfevents.*"))) == 2


@pytest.mark.parametrize("rows", [1, 4, 7])
def test_killed_and_resumed_equals_uninterrupted(run: Run, whole: Path, rows: int) -> None:
    folder = Path("killed")
    with start("--steps", str(STEPS), "--out", str(folder)) as process:
        wait_for_rows(process, folder, rows)
        os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    result = resume(run, folder)
    assert result.code == 0, result.err
    assert_same_run(folder, whole)


def test_rows_beyond_the_checkpoint_are_cut(run: Run, part: Path, whole: Path) -> None:
    for name, junk in (
        ("progress.csv", "77,9999,1,1.0,1.0\n78,99"),
        ("progress.jsonl", '{"iteration": 77}\n{"ite'),
    ):
        with (part / name).open("a") as file:
            file.write(junk)
    assert resume(run, part).code == 0
    assert_same_run(part, whole)


def test_half_written_files_go_and_hidden_ones_stay(run: Run, part: Path, whole: Path) -> None:
    (part / ".checkpoint.new-01234567.zip").write_bytes(b"half")
    (part / ".ipynb_checkpoints").mkdir()
    (part / ".gitignore").write_text("*.zip")
    assert resume(run, part).code == 0
    assert_same_run(part, whole)
    assert {path.name for path in part.glob(".*")} == {".lock", ".ipynb_checkpoints", ".gitignore"}


def test_a_curve_that_cannot_be_drawn_ends_no_run(run: Run, part: Path, whole: Path) -> None:
    (part / "curve.png").unlink(missing_ok=True)
    (part / "curve.png").mkdir()
    result = resume(run, part)
    assert result.code == 0
    assert "not drawn: cannot write part/curve.png" in result.out
    assert_same_run(part, whole)


def test_two_may_replace_a_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "curve.png"
    with replacing(path) as first:
        first.write_text("first")
        with replacing(path) as second:
            second.write_text("second")
        assert path.read_text() == "second"
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_saves_and_prints_the_command_to_go_on(run: Run, number: int, code: int) -> None:
    folder = Path("my run")
    with start("--steps", "10000000", "--out", str(folder)) as process:
        wait_for_rows(process, folder, 3)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert "Traceback" not in err
    (command,) = [line.split(maxsplit=1)[1] for line in out.splitlines() if line.startswith("  continue")]
    words = shlex.split(command)
    assert words == ["fastfisher", "train", "CartPole-v1", "--out", "my run", "--resume"]
    # Whether or not it was time for a checkpoint, what was done is saved.
    agent = RunFolder(folder).load_agent()
    assert agent is not None
    assert agent.iteration == len(repeatable_rows(folder))
    result = run(*words[1:], "--steps", 1)
    assert result.code == 0
    assert "is done" in result.out


@needs_descendants
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_every_process_of_a_run_saves_it(run: Run, number: int) -> None:
    folder = Path("run")
    # No checkpoint of its own accord: it needs its workers to finish the iteration.
    words = ("--workers", "2", "--batch-steps", "4000", "--checkpoint-every", "1000")
    with start("--steps", "10000000", "--out", str(folder), *words) as process:
        wait_for_rows(process, folder, 2)
        time.sleep(0.02)  # into the next iteration
        workers = descendants(process.pid)
        for one in (*workers, process.pid):
            os.kill(one, number)
        _, err = process.communicate(timeout=60)
    assert len(workers) >= 2
    assert process.returncode == 128 + number, err
    assert "Traceback" not in err
    agent = RunFolder(folder).load_agent()
    assert agent is not None
    assert agent.iteration == len(repeatable_rows(folder)) >= 2


@pytest.mark.parametrize("damage", ["truncated", "empty", "garbled", "missing", "not finite"])
def test_damaged_checkpoint_offers_the_one_before(run: Run, copy: Path, whole: Path, damage: str) -> None:
    checkpoint = copy / "checkpoint.zip"
    content = checkpoint.read_bytes()
    if damage == "missing":
        checkpoint.unlink()
    elif damage == "not finite":
        header, arrays = read_checkpoint(checkpoint)
        arrays["policy/parameters"][3] = float("nan")
        write_checkpoint(checkpoint, header, arrays)
    else:
        middle = len(content) // 2
        garbled = (
            content[:middle] + bytes(b ^ 255 for b in content[middle : middle + 99]) + content[middle + 99 :]
        )
        checkpoint.write_bytes({"truncated": content[:-99], "empty": b"", "garbled": garbled}[damage])
    for result in (resume(run, copy), run("evaluate", copy)):
        assert result.code == 2
        assert result.err.count("\n") == 1
        assert "`mv copy/checkpoint.previous.zip copy/checkpoint.zip`" in result.err
    subprocess.run(["mv", "copy/checkpoint.previous.zip", "copy/checkpoint.zip"], check=True)
    assert resume(run, copy).code == 0
    assert_same_run(copy, whole)


def test_a_folder_in_the_place_of_the_checkpoint(run: Run, copy: Path, whole: Path) -> None:
    (copy / "checkpoint.zip").unlink()
    (copy / "checkpoint.zip").mkdir()
    for result in (resume(run, copy), run("evaluate", copy)):
        assert result.code == 2
        assert result.err.startswith("error: copy/checkpoint.zip is a folder, not a checkpoint: move it away")
        assert result.err.count("\n") == 1


def test_no_good_checkpoint_left(run: Run, copy: Path) -> None:
    for name in ("checkpoint.zip", "checkpoint.previous.zip"):
        (copy / name).write_bytes(b"PK")
    result = resume(run, copy)
    assert result.code == 2
    assert result.err.startswith("error: copy/checkpoint.zip")
    assert "another --out" in result.err


def test_a_hung_run_may_be_given_more_time(run: Run, part: Path, whole: Path) -> None:
    result = resume(run, part, "--worker-timeout", 3600)
    assert result.code == 0, result.err
    assert_same_run(part, whole)
    assert RunFolder(part).read_config().worker_timeout == 3600.0


def test_a_longer_run_says_that_its_kl_rises_first(run: Run, train: Run) -> None:
    assert train("--steps", 800, "--final-max-kl", 0.001, "--out", "a").code == 0
    words = ("train", "CartPole-v1", "--out", "a", "--resume")
    assert "is done" in run(*words).out
    result = run(*words, "--steps", 1600)
    assert result.code == 0
    assert "final_max_kl stood at 800 steps: what falls to it rises first" in result.out


def test_killed_before_the_first_checkpoint_begins_again(run: Run, copy: Path, whole: Path) -> None:
    forget(copy)
    assert resume(run, copy).code == 0
    assert_same_run(copy, whole)


def test_a_run_has_a_checkpoint_before_its_first_iteration(run: Run, part: Path, whole: Path) -> None:
    with NPG.from_config(RunFolder(part).read_config()) as agent:
        forget(part)
        RunFolder(part).save_checkpoint(agent)
    assert resume(run, part).code == 0
    assert_same_run(part, whole)


@pytest.mark.parametrize("log", ["progress.csv", "progress.jsonl"])
def test_a_run_without_its_checkpoints_is_not_wiped(run: Run, copy: Path, log: str) -> None:
    before = (copy / log).read_bytes()
    forget(copy)
    (copy / log).write_bytes(before)
    result = resume(run, copy)
    assert result.code == 2
    assert result.err.count("\n") == 1
    assert f"copy has iterations in {log} and no checkpoint.zip: put that back to continue" in result.err
    assert (copy / log).read_bytes() == before


def test_killed_before_the_config_leaves_a_free_folder(train: Run) -> None:
    Path("a").mkdir()
    Path("a/.config.new-01234567.json").write_text("{")
    assert train("--steps", 400, "--out", "a").code == 0


@pytest.mark.parametrize(
    ("words", "name"),
    [(["--gamma", "0.9"], "gamma"), (["--policy", "linear"], "policy"), (["--hidden", "8"], "hidden")],
)
def test_other_hyper_parameters_are_refused_by_name(
    run: Run, copy: Path, words: list[str], name: str
) -> None:
    before = (copy / "config.json").read_bytes()
    result = resume(run, copy, *words)
    assert result.code == 2
    assert result.err.count("\n") == 1
    assert f"{name} = {json.loads(before)[name]}, not" in result.err
    assert f"leave --{name} as it was" in result.err
    assert (copy / "config.json").read_bytes() == before


# Open fields.

DEFAULTS = ("train", "CartPole-v1", "--checkpoint-every", "1", "--workers", "1")
"""A run whose batches are left to the defaults, of 5,000 steps then."""


@pytest.fixture(scope="module")
def two_batches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("defaults") / "run"
    assert main([*DEFAULTS, "--steps", "10000", "--out", str(folder), "--quiet"]) == 0
    return folder


def open_again(folder: Path, fields: Mapping[str, Any]) -> None:
    """Write fields into config.json and the checkpoint as an older version left them."""
    config, checkpoint = folder / "config.json", folder / "checkpoint.zip"
    config.write_text(json.dumps(json.loads(config.read_text()) | fields))
    header, arrays = read_checkpoint(checkpoint)
    write_checkpoint(checkpoint, header | {"config": header["config"] | fields}, arrays)


def test_a_runs_files_hold_what_its_config_left_open(two_batches: Path) -> None:
    config = json.loads((two_batches / "config.json").read_text())
    assert read_checkpoint(two_batches / "checkpoint.zip")[0]["config"] == config
    decided = {"batch_steps": 5_000, "baseline": "mlp", "gamma": 0.995, "max_kl": 0.025}
    decided |= {
        "fisher": "empirical",
        "cg_iterations": 10,
        "normalize_observations": True,
        "initial_log_std": 0.25,
    }
    assert {name: config[name] for name in decided} == decided
    assert OPEN.keys() - {"num_envs"} == decided.keys()


@pytest.mark.parametrize("fields", [{"batch_steps": None, "baseline": "auto"}, dict(OPEN)], ids=len)
def test_a_folder_of_open_fields_is_the_run_that_they_are_resolved_to(
    run: Run, two_batches: Path, fields: dict[str, Any]
) -> None:
    words = (*DEFAULTS, "--out", "old")
    assert run(*words, "--steps", 5_000).code == 0
    open_again(Path("old"), fields)
    refused = run(*words, "--steps", 10_000, "--resume", "--batch-steps", 4_000)
    assert "started with batch_steps = 5000, not 4000: leave --batch-steps as it was" in refused.err
    with NPG.load("old/checkpoint.zip") as agent:
        assert agent.config == RunFolder(two_batches).read_config().replace(steps=5_000)
    result = run(*words, "--steps", 10_000, "--resume")
    assert result.code == 0, result.err
    assert_same_run(Path("old"), two_batches)
    assert (Path("old") / "config.json").read_bytes() == (two_batches / "config.json").read_bytes()


def test_an_old_run_without_a_checkpoint_and_old_seeds_begin_again(run: Run, two_batches: Path) -> None:
    folder = Path(shutil.copytree(two_batches, "old/seed0"))
    open_again(folder, dict(OPEN))
    forget(folder)
    result = run(*DEFAULTS, "--seeds", 1, "--out", "old", "--resume", "--batch-steps", 5_000)
    assert result.code == 0, result.err
    assert_same_run(folder, two_batches)
    assert RunFolder(folder).read_config() == RunFolder(two_batches).read_config()


def test_a_field_that_is_said_to_be_open_is_what_it_is_resolved_to(run: Run, two_batches: Path) -> None:
    shutil.copytree(two_batches, "new")
    words = (*DEFAULTS, "--out", "new", "--steps", 10_000, "--resume")
    result = run(*words, "--batch-steps", "None", "--baseline", "auto", "--gamma", "None", "--max-kl", 0.025)
    assert result.code == 0, result.err
    assert "is done" in result.out
    open_again(Path("new"), {"gamma": 0.9})
    assert "started with gamma = 0.9, not 0.995" in run(*words, "--gamma", "None").err


def test_another_environment_is_refused(run: Run, copy: Path) -> None:
    result = run("train", "Acrobot-v1", "--out", copy, "--resume")
    assert result.code == 2
    assert "env = CartPole-v1, not Acrobot-v1" in result.err


def test_workers_may_change(run: Run, part: Path, whole: Path) -> None:
    assert resume(run, part, "--workers", 2, "--checkpoint-every", 1).code == 0
    assert_same_run(part, whole)


def test_one_process_a_folder(run: Run) -> None:
    with start("--steps", "10000000", "--out", "a") as process:
        wait_for_rows(process, Path("a"), 3)
        result = resume(run, Path("a"))
        process.kill()
    assert result.code == 2
    assert "in use by another process" in result.err
