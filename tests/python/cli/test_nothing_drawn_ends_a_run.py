"""What a run draws, shows or logs beside its training may fail: the training goes on, or stops whole."""

from __future__ import annotations

import errno
import json
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fastfisher.cli import main
from fastfisher.runs import log as logs
from fastfisher.runs.folder import RunFolder
from fastfisher.runs.views.plain import PlainView
from fastfisher.training import whole_files

from .helpers import SMALL, Run, assert_same_run

STEPS = 2400
PROGRAM = [sys.executable, "-m", "fastfisher"]
TRAIN = [*PROGRAM, "train", "CartPole-v1", *SMALL, "--steps", str(STEPS)]
ENDLESS = [*PROGRAM, "train", "CartPole-v1", *SMALL, "--steps", "10000000", "--out", "a"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert main(["train", "CartPole-v1", *SMALL, "--steps", str(STEPS), "--out", str(folder), "--quiet"]) == 0
    return folder


def fails(error: Exception) -> Callable[..., Any]:
    """Return a function that does nothing but fail."""

    def failing(*_: object, **__: object) -> None:
        raise error

    return failing


FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


# What is drawn.


@pytest.mark.parametrize("backend", ["module://matplotlib_inline.backend_inline", "no such thing", "tkagg"])
def test_any_backend_that_the_environment_names(tmp_path: Path, backend: str) -> None:
    environment = os.environ | {"MPLBACKEND": backend}
    command = [*TRAIN[:-1], "400", "--out", "a"]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "a/curve.png").read_bytes().startswith(b"\x89PNG")
    assert "not drawn" not in result.stdout


def test_fonts_that_are_missing(train: Run, monkeypatch: pytest.MonkeyPatch, whole: Path) -> None:
    import matplotlib.font_manager

    monkeypatch.setattr(matplotlib.font_manager.fontManager, "findfont", fails(ValueError("no fonts here")))
    result = train("--steps", STEPS, "--out", "a")
    assert result.code == 0, result.err
    assert "not drawn: no fonts here" in " ".join(result.out.split())
    assert_same_run(Path("a"), whole)


def test_a_log_that_another_program_saved_anew(
    run: Run, train: Run, monkeypatch: pytest.MonkeyPatch, whole: Path
) -> None:
    append = logs.ProgressLog.append

    def append_and_save_anew(log: logs.ProgressLog, info: Any) -> None:
        append(log, info)
        if info.iteration == 3:
            Path("a/progress.csv").write_text(Path("a/progress.csv").read_text().replace(",", ";"))

    monkeypatch.setattr(logs.ProgressLog, "append", append_and_save_anew)
    monkeypatch.setattr("fastfisher.runs.run._Curve.draw_if_due", lambda curve: curve.draw())
    result = train("--steps", STEPS, "--out", "a")
    assert result.code == 0, result.err
    assert "not drawn: a/progress.csv, line 1: expected columns steps" in " ".join(result.out.split())
    # The training is the same, and progress.jsonl has every row.
    Path("a/progress.csv").write_bytes((whole / "progress.csv").read_bytes())
    assert_same_run(Path("a"), whole)


# What is shown.


def test_a_view_that_fails(train: Run, monkeypatch: pytest.MonkeyPatch, whole: Path) -> None:
    monkeypatch.setattr(PlainView, "update", fails(ZeroDivisionError("a width of 0")))
    result = train("--steps", STEPS, "--out", "a")
    assert result.code == 0
    assert result.err == "the training goes on, but nothing more is shown: a width of 0\n"
    assert_same_run(Path("a"), whole)


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_a_path_that_the_encoding_does_not_have(tmp_path: Path, encoding: str) -> None:
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    folder = os.fsencode("学習 ") + (b"\xff" if encoding == "utf-8" else b"")
    command = [*map(os.fsencode, TRAIN[:-1]), b"400", b"--out", folder]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True)
    assert result.returncode == 0, result.stderr
    assert (b"\\u5b66\\u7fd2" if encoding == "ascii" else b"\\udcff") in result.stdout
    assert b"done" in result.stdout


@pytest.mark.parametrize(
    ("variables", "seeds"),
    [
        ({"COLUMNS": "1"}, 1),
        ({"COLUMNS": "1", "LINES": "1"}, 2),
        ({"COLUMNS": "0", "LINES": "0"}, 1),
        ({"NO_COLOR": "1"}, 1),
        ({"TERM": "dumb"}, 1),
        ({"TERM": ""}, 1),
    ],
)
def test_any_terminal(tmp_path: Path, variables: dict[str, str], seeds: int) -> None:
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm"} | variables
    command = [*TRAIN[:-1], "800", "--out", "a", "--seeds", str(seeds)]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdin=theirs, stdout=theirs, stderr=subprocess.PIPE
    ) as process:
        os.close(theirs)
        shown = b""
        try:
            while part := os.read(ours, 65536):
                shown += part
        except OSError:  # how Linux says that the other side is closed
            pass
        _, err = process.communicate()
    os.close(ours)
    assert (process.returncode, err) == (0, b"")
    assert shown
    assert ("NO_COLOR" in variables) <= (b"\x1b[3" not in shown)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's full device")
def test_an_output_that_is_full(tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        options: Any = {"cwd": tmp_path, "stdout": full, "stderr": subprocess.PIPE, "text": True}
        trained = subprocess.run([*TRAIN[:-1], "800", "--out", "a"], **options)
        assert (trained.returncode, trained.stderr) == (0, "")
        assert RunFolder(tmp_path / "a").saved_iteration() == 2
        info = subprocess.run([*PROGRAM, "info"], **options)
        assert info.returncode == 2
        assert info.stderr == "error: cannot write the output: No space left on device\n"


def test_a_reader_that_leaves_stops_the_run_and_saves_it(tmp_path: Path) -> None:
    with subprocess.Popen(
        [*ENDLESS, "--checkpoint-every", "100000"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(timeout=60) == 141
        assert process.stderr.read() == b""
    rows = (tmp_path / "a/progress.jsonl").read_bytes().count(b"\n")
    assert RunFolder(tmp_path / "a").saved_iteration() == rows >= 1


@pytest.mark.parametrize("outlives", [False, True])
def test_a_terminal_that_goes_away(tmp_path: Path, outlives: bool) -> None:
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()

    def ignore() -> None:
        if outlives:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)

    steps = ["--steps", "20000", "--batch-steps", "400"] if outlives else []
    with subprocess.Popen(
        [*ENDLESS, *steps, "--checkpoint-every", "100000"], cwd=tmp_path, start_new_session=True,
        stdin=theirs, stdout=theirs, stderr=theirs, preexec_fn=ignore,
        env=os.environ | {"TERM": "xterm"},
    ) as process:  # fmt: skip
        os.close(theirs)
        while (
            not (tmp_path / "a/progress.jsonl").exists() or not (tmp_path / "a/progress.jsonl").stat().st_size
        ):
            assert process.poll() is None
            time.sleep(0.01)
        os.close(ours)
        if not outlives:  # as the kernel does for who has this for its controlling terminal
            process.send_signal(signal.SIGHUP)
        assert process.wait(timeout=120) == (0 if outlives else 128 + signal.SIGHUP)
    rows = (tmp_path / "a/progress.jsonl").read_bytes().count(b"\n")
    assert RunFolder(tmp_path / "a").saved_iteration() == rows >= 1


# What is logged.


def test_events_that_cannot_be_written(train: Run, monkeypatch: pytest.MonkeyPatch, whole: Path) -> None:
    import tensorboardX.record_writer

    monkeypatch.setattr(tensorboardX.record_writer, "masked_crc32c", fails(FULL))
    result = train("--steps", STEPS, "--out", "a")
    assert result.code == 0
    assert result.err == "TensorBoard's events are not whole: [Errno 28] No space left on device\n"
    assert_same_run(Path("a"), whole)


def records(path: Path) -> Iterator[Any]:
    """Yield the events of a file, whose lengths and contents have checksums."""
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.record_writer import masked_crc32c

    content = path.read_bytes()
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        event = content[12 : 12 + length]
        assert struct.unpack("<I", content[8:12]) == (masked_crc32c(content[:8]),)
        assert struct.unpack("<I", content[12 + length : 16 + length]) == (masked_crc32c(event),)
        yield Event.FromString(event)
        content = content[16 + length :]


def test_events_need_no_shared_memory(train: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    import multiprocessing.synchronize

    monkeypatch.setattr(
        multiprocessing.synchronize.SemLock, "__init__", fails(OSError(errno.EROFS, "read-only"))
    )
    result = train("--steps", 800, "--out", "a")
    assert (result.code, result.err) == (0, "")
    assert train("--steps", 1600, "--out", "a", "--resume").code == 0
    first, second = ([*records(path)] for path in sorted(Path("a").glob("events.out.tfevents.*")))
    rows = [json.loads(line) for line in Path("a/progress.jsonl").read_text().splitlines()]
    assert [event.step for event in first] == [0, *(row["steps"] for row in rows[:2])]
    # TensorBoard hides what comes after the step at which a session starts.
    assert [event.step for event in second] == [0, rows[1]["steps"] + 1, *(row["steps"] for row in rows[2:])]
    assert second[1].session_log.status == second[1].session_log.START
    assert first[0].file_version == "brain.Event:2"
    values = {value.tag: value.simple_value for value in second[-1].summary.value}
    assert values["return/return_mean"] == pytest.approx(rows[-1]["return_mean"])
    assert values["step/kl_achieved"] == pytest.approx(rows[-1]["kl_achieved"])


@pytest.mark.parametrize("where", ["row", "rows on the disk", "checkpoint", "checkpoint on the disk"])
def test_a_disk_that_is_full_stops_the_run_in_one_line(
    run: Run, train: Run, monkeypatch: pytest.MonkeyPatch, whole: Path, where: str
) -> None:
    append, begun = logs.ProgressLog.append, []

    def full_from_the_fourth(log: logs.ProgressLog, info: Any) -> None:
        if info.iteration == 4 and not begun:
            begun.append(True)
            if where == "row":
                patch.setattr(logs, "_append", fails(FULL))
            elif where == "rows on the disk":
                patch.setattr(os, "fsync", fails(FULL))
            elif where == "checkpoint":
                patch.setattr(Path, "write_bytes", fails(FULL))
            else:
                patch.setattr(whole_files, "_sync_file", fails(FULL))
        append(log, info)

    with monkeypatch.context() as patch:
        patch.setattr(logs.ProgressLog, "append", full_from_the_fourth)
        result = train("--steps", STEPS, "--out", "a")
    assert result.code == 2
    lines = result.err.splitlines()
    assert lines[0] == "to continue from iteration 2: fastfisher train CartPole-v1 --out a --resume"
    assert lines[1].startswith(
        "error: cannot use a: No space left on device; what was saved before is whole: "
    )
    assert len(lines) == 2
    assert [path.name for path in Path("a").glob(".*")] == [".lock"]
    assert RunFolder(Path("a")).saved_iteration() == 2
    assert run("train", "CartPole-v1", "--out", "a", "--resume").code == 0
    assert_same_run(Path("a"), whole)


def test_a_disk_that_is_full_from_the_start(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))

    result = subprocess.run([*TRAIN, "--out", "a"], cwd=tmp_path, preexec_fn=small_files, capture_output=True)
    assert result.returncode == 2
    assert result.stderr.startswith(b"error: cannot use a: File too large; what was saved before is whole: ")
    assert result.stderr.count(b"\n") == 1
