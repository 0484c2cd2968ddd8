"""``fastfisher train ... | head``: who has read enough ends the run, which saves first."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fastfisher.training.checkpoint import read_checkpoint

from .helpers import SMALL, assert_same_run


def train(folder: Path, *words: str, **streams: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "fastfisher", "train", "CartPole-v1", *SMALL, "--policy", "linear"]
    return subprocess.Popen([*command, *words], cwd=folder, stderr=subprocess.PIPE, **streams)


@pytest.mark.parametrize(("lines", "unbuffered"), [(0, ""), (3, ""), (9, "1")])
def test_a_run_whose_reader_left_saves_and_can_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: int, unbuffered: str
) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    run = train(tmp_path, "--steps", "100000000", "--out", "a", stdout=subprocess.PIPE)
    assert run.stdout is not None
    assert run.stderr is not None
    for _ in range(lines):
        assert run.stdout.readline()
    run.stdout.close()
    assert run.wait(60) == 128 + signal.SIGPIPE
    assert run.stderr.read().decode() == "finishing this iteration and saving; Ctrl-C again stops at once\n"
    header, _ = read_checkpoint(tmp_path / "a" / "checkpoint.zip")
    iterations = header["counters"]["iteration"]
    assert iterations >= 1
    assert len((tmp_path / "a" / "progress.csv").read_text().splitlines()) == 1 + iterations
    if lines != 3:
        return
    # It goes on as if nothing had happened.
    steps = str(header["counters"]["steps"] + 1)
    assert train(tmp_path, "--steps", steps, "--out", "a", "--resume", "--quiet").wait(60) == 0
    assert train(tmp_path, "--steps", steps, "--out", "b", "--quiet").wait(60) == 0
    assert_same_run(tmp_path / "a", tmp_path / "b")


def test_a_run_that_is_done_when_its_reader_leaves_is_whole(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "wb") as pipe:
        run = train(tmp_path, "--steps", "400", "--out", "a", stdout=pipe.fileno())
        assert run.wait(60) in (0, 128 + signal.SIGPIPE)
    header, _ = read_checkpoint(tmp_path / "a" / "checkpoint.zip")
    assert header["counters"]["steps"] >= 400


def test_seeds_whose_reader_left_save_as_well(tmp_path: Path) -> None:
    words = ("--steps", "100000000", "--out", "a", "--seeds", "2")
    run = train(tmp_path, *words, stdout=subprocess.PIPE)
    assert run.stdout is not None
    while not run.stdout.readline().lstrip()[:1].isdigit():
        pass  # no iteration has ended yet
    run.stdout.close()
    assert run.wait(60) == 128 + signal.SIGPIPE
    for seed in (0, 1):
        header, _ = read_checkpoint(tmp_path / "a" / f"seed{seed}" / "checkpoint.zip")
        assert header["counters"]["iteration"] >= 1
