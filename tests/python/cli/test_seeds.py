"""Several seeds side by side: each is the run that it would be alone, and none takes the others down."""

from __future__ import annotations

import dataclasses
import io
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from fastfisher.runs.folder import RunFolder
from fastfisher.runs.log import last_iteration
from fastfisher.runs.seed_process import THREADS, SeedProcess
from fastfisher.runs.train import core_shares
from fastfisher.runs.views import SeedRow, State
from fastfisher.runs.views.base import Pace
from fastfisher.runs.views.live import LiveView
from fastfisher.runs.views.plain import PlainView
from fastfisher.training.errors import UserError
from fastfisher.training.rollouts.cores import CORES, usable_cores

from .helpers import Run, assert_same_run, descendants, needs_descendants

QUICK = ("--batch-steps", "400", "--checkpoint-every", "2")
TRAIN = ("train", "CartPole-v1", *QUICK)


def start(*words: str, **options: object) -> subprocess.Popen[bytes]:
    """Train seeds 0 and 1 in processes of their own."""
    command = [sys.executable, "-m", "fastfisher", *TRAIN, "--seeds", "2", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)  # type: ignore[call-overload, no-any-return]


def wait_for_rows(process: subprocess.Popen[bytes], parent: Path, seeds: tuple[int, ...]) -> None:
    """Return once the seeds have logged an iteration."""
    while not all(last_iteration(parent / f"seed{seed}") for seed in seeds):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


def assert_unlocked(path: Path, within: float = 30.0) -> None:
    """Its process lets go of the folder soon."""
    folder, end = RunFolder(path), time.monotonic() + within
    while True:
        try:
            folder.lock()
        except UserError:
            assert time.monotonic() < end
            time.sleep(0.02)
        else:
            folder.unlock()
            return


def steps_of(folder: Path) -> int:
    """Return how many the log has."""
    last = last_iteration(folder)
    assert last is not None
    return last.steps


def test_stopped_resumed_and_alone_are_the_same(run: Run) -> None:
    with start("--steps", "10000000", "--seed", "3", "--out", "a b", "--gamma", "0.9") as process:
        wait_for_rows(process, Path("a b"), (3, 4))
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert b"Traceback" not in err
    assert b"2 seeds: 2 stopped" in out
    (command,) = [line.split(maxsplit=1)[1] for line in out.decode().splitlines() if "continue" in line]
    words = shlex.split(command)
    assert words == ["fastfisher", "train", "CartPole-v1", "--out", "a b", "--resume"]
    # The process that begins first is a few iterations ahead of the other's first one.
    stopped = max(steps_of(Path(f"a b/seed{seed}")) for seed in (3, 4))
    steps = ("--steps", str(stopped + 1_200))
    result = run(*words[1:], *steps)
    assert result.code == 0, result.err
    assert "seeds 3 to 4" in result.out
    assert "2 seeds: 2 done" in result.out
    assert Path("a b/curve.png").exists()
    assert steps_of(Path("a b/seed4")) >= stopped + 1_200
    alone = run(*TRAIN, *steps, "--seed", 4, "--gamma", 0.9, "--out", "alone")
    assert alone.code == 0
    assert_same_run(Path("a b/seed4"), Path("alone"))
    configs = [RunFolder(path).read_config() for path in (Path("a b/seed4"), Path("alone"))]
    assert configs[0] == configs[1]


def test_a_seed_that_fails_and_one_that_joins(run: Run) -> None:
    for seed in (0, 1):
        words = ("--steps", 400, "--gamma", 0.9, "--seed", seed, "--out", f"a/seed{seed}")
        assert run(*TRAIN, *words).code == 0
    Path("a/seed0/checkpoint.zip").write_bytes(b"PK")
    result = run("train", "CartPole-v1", "--seeds", 3, "--out", "a", "--resume", "--steps", 800)
    assert result.code == 1
    assert result.err.startswith("seed 0 failed with exit code 2:\nerror: a/seed0/checkpoint.zip is damaged")
    assert "3 seeds: 2 done, 1 failed" in result.out
    assert "train CartPole-v1 --out a --resume" in result.out
    for seed in (1, 2):
        last = Path(f"a/seed{seed}/progress.csv").read_text().splitlines()[-1]
        assert int(last.split(",")[1]) >= 800
    one, joined = (RunFolder(Path(f"a/seed{seed}")).read_config() for seed in (1, 2))
    assert joined == one.replace(seed=2)


def test_seeds_end_with_the_process_that_started_them(tmp_path: Path) -> None:
    with start("--steps", "10000000", cwd=tmp_path) as process:
        parent = tmp_path / "runs/CartPole-v1-npg-mlp"
        wait_for_rows(process, parent, (0, 1))
        process.kill()
    for seed in (0, 1):
        assert_unlocked(parent / f"seed{seed}")
        assert (parent / f"seed{seed}/checkpoint.zip").exists()  # saved, although nobody asked


@needs_descendants
def test_sigterm_to_every_process_of_the_runs_saves_them(tmp_path: Path) -> None:
    with start("--steps", "10000000", "--checkpoint-every", "100000", cwd=tmp_path) as process:
        parent = tmp_path / "runs/CartPole-v1-npg-mlp"
        wait_for_rows(process, parent, (0, 1))
        for one in (*descendants(process.pid), process.pid):
            os.kill(one, signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM, err
    assert b"2 seeds: 2 stopped" in out
    for seed in (0, 1):
        agent = RunFolder(parent / f"seed{seed}").load_agent()
        assert agent is not None
        assert agent.steps == steps_of(parent / f"seed{seed}")


def catches(process: int, number: int) -> bool:
    """Whether a process has a handler for a signal; Linux alone tells."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    (mask,) = [line.split()[1] for line in lines if line.startswith("SigCgt:")]
    return bool(int(mask, 16) >> (number - 1) & 1)


@needs_descendants
def test_a_second_ctrl_c_ends_seeds_at_once(tmp_path: Path) -> None:
    # An iteration takes minutes at least: who waits for its end is not interrupted.
    words = ("--batch-steps", "20000000", "--workers", "1")
    with start(*words, cwd=tmp_path) as process:
        while len(seeds := descendants(process.pid)) < 2 or not all(
            catches(one, signal.SIGTERM) for one in seeds
        ):
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        try:
            out, err = process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            for one in (process.pid, *seeds):  # which nobody else would end
                os.kill(one, signal.SIGKILL)
            raise
    assert process.returncode == 128 + signal.SIGINT, err
    assert b"2 seeds: 2 stopped" in out


def test_refusals_come_before_any_process(run: Run) -> None:
    assert run(*TRAIN, "--steps", 400, "--seed", 1, "--out", "a/seed1").code == 0
    cases = {
        ("--seeds", 2, "--out", "a"): "a/seed1 holds a run already",
        ("--seeds", 2, "--out", "a/seed1"): "holds a single run",
        ("--seeds", 0): "--seeds: expected a whole number >= 1, got 0",
        ("--seeds", 2, "--resume"): "no runs of several seeds to resume in runs/CartPole-v1-npg-mlp",
        ("--out", "a", "--resume", "--gamma", 0.9): "a/seed1 was started with gamma = 0.995, not 0.9",
    }
    for words, message in cases.items():
        result = run(*TRAIN, *words)
        assert (result.code, result.err.count("\n")) == (2, 1), result
        assert message in result.err
    assert run("train", "CartPol-v1", "--seeds", 2).code == 2
    assert not Path("runs").exists()


@pytest.mark.parametrize("width", [40, 60, 120])
def test_terminal_has_a_row_a_seed(width: int, tmp_path: Path, run: Run) -> None:
    assert run(*TRAIN, "--steps", 400, "--out", "a").code == 0
    last = last_iteration(Path("a"))
    assert last is not None
    rows = [SeedRow(8, "training", None), SeedRow(9, "done", last), SeedRow(10, "failed", last)]
    console = Console(width=width, height=30, file=io.StringIO(), force_terminal=True, color_system=None)
    view = LiveView(console, Pace(1200), 3, "target 475")
    view.update(rows)
    with console.capture() as capture:
        console.print(view._render())
    lines = [line.rstrip() for line in capture.get().splitlines()]
    assert max(map(len, lines)) <= width
    assert [line.split()[0] for line in lines[:4]] == ["seed", "8", "9", "10"]
    assert [line.split()[-1] for line in lines[1:4]] == ["training", "done", "failed"]
    assert f"{last.steps:,}" in lines[2]
    assert "failed: seed 10" in lines[4]
    assert ("residual" in lines[0]) == (width == 120)
    assert "left" in lines[-1]
    assert ("target 475" in lines[-1]) == (width > 40)


STATES: dict[int, tuple[State, State]] = {1: ("training", "training"), 3: ("training", "done")}
"""What seeds do when a view is told and when it ends, by how many they are."""


@pytest.mark.parametrize("seeds", STATES)
def test_plain_lines_show_one_seed_and_several_alike(seeds: int, run: Run) -> None:
    assert run(*TRAIN, "--steps", 400, "--out", "a").code == 0
    last = last_iteration(Path("a"))
    assert last is not None
    last = dataclasses.replace(last, notes=("a note",))
    file = io.StringIO()
    with PlainView(file, Pace(400 * seeds), seeds) as view:
        for state in STATES[seeds]:
            view.update([SeedRow(seed, state, last) for seed in range(seeds)])
    lines = file.getvalue().splitlines()
    head, *rows = [line for line in lines if "note" not in line]
    # One seed goes without its number and its state; where nothing is new, there is no second line.
    assert lines.count("       note: a note") == seeds
    if seeds == 1:
        assert head.split()[0] == "iter"
        assert len(rows) == 1
        assert len(rows[0]) == len(head)
    else:
        assert head.split()[:2] == ["seed", "iter"]
        assert [row.split()[0] for row in rows] == ["0", "1", "2"] * 2
        assert [row.split()[-1] for row in rows] == ["training"] * 3 + ["done"] * 3


def test_cores_are_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    assert core_shares(8, 3) == [3, 3, 2]
    assert core_shares(2, 5) == [1] * 5
    monkeypatch.setenv(CORES, "1")
    assert usable_cores() == 1
    monkeypatch.setenv(CORES, "many")
    with pytest.raises(UserError, match="FASTFISHER_CORES: expected a positive integer, got 'many'"):
        usable_cores()


@pytest.mark.parametrize(("told", "expected"), [(None, "3"), (1, "1"), (8, "3")])
def test_a_seed_has_its_share_of_threads_or_fewer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, told: int | None, expected: str
) -> None:
    """What limits this process, threadpoolctl or a variable of OpenMP, limits the seeds that it starts."""
    monkeypatch.delenv(THREADS, raising=False)
    code = f"import os; open({str(tmp_path / 'seen')!r}, 'w').write(os.environ[{THREADS!r}])"
    popen = subprocess.Popen

    def run(command: list[str], **options: object) -> subprocess.Popen[bytes]:
        return popen([command[0], "-c", code], **options)  # type: ignore[call-overload, no-any-return]

    monkeypatch.setattr(subprocess, "Popen", run)
    monkeypatch.setattr("fastfisher.runs.seed_process.get_num_threads", lambda: told or 64)
    with SeedProcess(0, tmp_path, cores=3):
        pass
    assert (tmp_path / "seen").read_text() == expected
