"""What kernels.py, streaming.py, kill_resume.py, defaults.py and cost.py leave, and what they refuse."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import defaults
import kernels
import kill_resume
import pytest
import streaming
from versus import record

from fastfisher.training import UserError

SCRIPTS = record.ROOT / "benchmarks"
REPORT = {
    "context": {"simd": "v3", "load_avg": [1.0]},
    "benchmarks": [
        {"name": "SYRK/f32/threads:1/process_time", "run_type": "iteration", "real_time": t, "of_peak": p}
        for t, p in ((1.0, 0.5), (3.0, 0.7), (2.0, 0.6))
    ],
}  # fmt: skip


def program(path: Path, lines: str) -> Path:
    path.write_text(f"#!/bin/sh\n{lines}\n")
    path.chmod(0o755)
    return path


def call(monkeypatch: pytest.MonkeyPatch, script: Any, *words: object) -> Any:
    monkeypatch.setattr(sys, "argv", [script.__file__, *map(str, words)])
    return script.main()


def test_kernels_keep_the_scripts_own_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    binary = program(tmp_path / "bench", f"cat <<'END'\n{json.dumps(REPORT)}\nEND")
    monkeypatch.setattr(kernels, "RESULTS", tmp_path)
    call(monkeypatch, kernels, binary)
    kept = json.loads((tmp_path / "kernels-v3.json").read_text())
    assert kept["command"] == f"python benchmarks/kernels.py {binary}"
    assert kept["commit"] == record.commit()
    (row,) = kept["results"]
    assert row == {"name": "SYRK/f32/threads:1", "milliseconds": 2.0, "of_peak": 0.6, "of_peak_best": 0.7}
    call(monkeypatch, kernels, binary, "--filter", "A|B", "--out", tmp_path / "other.json")
    kept = json.loads((tmp_path / "other.json").read_text())
    assert shlex.split(kept["command"])[4] == "A|B"


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("echo a bad flag >&2; exit 3", "ended with exit code 3: a bad flag"),
        ("echo hello", "ended with exit code 0: no report"),
        ("echo '[]'", "ended with exit code 0: no report"),
    ],
)
def test_another_program_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: str, words: str
) -> None:
    with pytest.raises(SystemExit, match=words):
        call(monkeypatch, kernels, program(tmp_path / "bench", lines))


@pytest.mark.parametrize(
    ("script", "words", "message"),
    [
        (kernels, ["/none/such"], "/none/such is no program"),
        (kernels, ["/bin/sh", "--filter", "A"], "--filter: a run of less than everything does not replace"),
        (kernels, ["/bin/sh", "--repetitions", "1"], "--repetitions: a run of less than everything"),
        (streaming, ["--rows", "1000"], "--rows: a run of less than everything"),
        (streaming, ["--cases", "Fisher.update"], "--cases: a run of less than everything"),
        (streaming, ["--chunk", "0"], "--chunk: expected an integer of at least 1"),
        (kill_resume, ["--kills", "0"], "--kills: expected an integer of at least 1"),
    ],
)
def test_bad_words_are_one_line(
    script: Any,
    words: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as end:
        call(monkeypatch, script, *words)
    assert end.value.code == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("script", "words", "message"),
    [
        ("peers.py", ["--quick"], "--quick: a run of less than everything does not replace peers.json"),
        ("peers.py", ["--quick", "--keep"], "--quick: a run of less than everything"),
        ("peers.py", ["--cases", "("], "--cases: expected a regular expression"),
        ("rollouts.py", ["--contenders", "mlp"], "--contenders: a run of less than everything"),
        ("cost.py", ["--repetitions", "0"], "--repetitions: expected an integer of at least 1"),
    ],
)
def test_the_recorded_files_stay(script: str, words: list[str], message: str) -> None:
    command = [sys.executable, SCRIPTS / script, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert message in done.stderr.splitlines()[-1]


def test_streaming_writes_after_each_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[list[str]] = []
    write = record.write_json

    def look(path: Path, content: Any) -> None:
        written.append([row["case"] for row in content["results"]])
        write(path, content)

    monkeypatch.setattr(record, "write_json", look)
    out = tmp_path / "streaming.json"
    words = (
        "--rows",
        2_000,
        "--parameters",
        5,
        "--chunk",
        1_000,
        "--out",
        out,
        "--cases",
        *streaming.CASES[:2],
    )
    call(monkeypatch, streaming, *words)
    assert written == [list(streaming.CASES[:1]), list(streaming.CASES[:2])]
    kept = json.loads(out.read_text())
    assert shlex.split(kept["command"])[-2:] == list(streaming.CASES[:2])
    assert kept["rows"] == 2_000


def test_kills_of_other_code_are_not_added_to(tmp_path: Path) -> None:
    path, head = tmp_path / "kills.json", kill_resume.header(("train", "A", "--env-kwargs", '{"a": 1}'))
    assert shlex.split(head["command"])[-1] == '{"a": 1}'
    kill = {"index": 0, "seconds": 1.0, "logged": 1, "checkpoint": 1}
    kill |= {"parameters_equal": True, "progress_equal": True}
    assert kill_resume.earlier_kills(path, head) == []
    record.write_json(path, {**head, "kills": [kill]})
    assert kill_resume.earlier_kills(path, head) == [kill_resume.Kill(**kill)]
    other = {**head, "commit": "0", "command": "fastfisher train B"}
    with pytest.raises(
        UserError, match=r"another commit \(.* there, 0 now\), another command \(.* now\): begin"
    ):
        kill_resume.earlier_kills(path, other)


def test_a_training_that_fails_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match=r"^fastfisher train NoSuch-v0 .* ended with exit code 2$"):
        defaults.run("NoSuch-v0", 0, 1.0, 1)
    assert "NoSuch" in capfd.readouterr().err


def test_a_file_is_written_whole(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "x.json"
    record.write(path, {"commit": "a"}, [{"case": "b"}])
    with pytest.raises(TypeError, match="not JSON serializable"):
        record.write(path, {"commit": {1, 2}}, [])
    assert record.kept_rows(path) == [{"case": "b"}]
    assert [file.name for file in path.parent.iterdir()] == ["x.json"]


def test_a_row_keeps_the_circumstances_of_its_run() -> None:
    head = record.header({}, {"cpu": "a processor"})
    row = record.circumstances(head, 3)
    assert row == {"commit": head["commit"], "date": head["date"], "cpu": "a processor", "repetitions": 3}
