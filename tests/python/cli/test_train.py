"""What ``fastfisher train`` writes and shows."""

from __future__ import annotations

import csv
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fastfisher.training.config import TrainConfig

from .helpers import SMALL, Run


def test_run_folder(train: Run) -> None:
    result = train("--steps", 1500, "--seed", 3, "--env-kwargs", '{"sutton_barto_reward": false}')
    assert result.code == 0, result.err
    folder = Path("runs/CartPole-v1-npg-mlp-seed3")
    names = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    events = {name for name in names if name.startswith("events.out.tfevents.")}
    assert len(events) == 1
    assert names - events == {
        "config.json",
        "progress.csv",
        "progress.jsonl",
        "checkpoint.zip",
        "checkpoint.previous.zip",
        "curve.png",
    }
    config = TrainConfig.from_dict(json.loads((folder / "config.json").read_text()))
    assert (config.seed, config.steps, config.env_kwargs) == (3, 1500, {"sutton_barto_reward": False})
    assert (folder / "curve.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_progress_files_agree_and_round_trip(train: Run) -> None:
    assert train("--steps", 1500, "--out", "a").code == 0
    text = Path("a/progress.csv").read_bytes()
    assert text.startswith(b"iteration,steps,episodes,return_mean,return_std,")
    assert b"\r" not in text
    with Path("a/progress.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    lines = [json.loads(line) for line in Path("a/progress.jsonl").read_text().splitlines()]
    assert [row["iteration"] for row in rows] == [str(n + 1) for n in range(len(rows))]
    assert int(rows[-1]["steps"]) >= 1500 > int(rows[-2]["steps"])
    for row, line in zip(rows, lines, strict=True):
        assert row.keys() == line.keys()
        for name, value in line.items():
            if isinstance(value, float):
                assert float(row[name]) == value
            elif value is None:  # JSON has no NaN
                assert row[name] == "nan"
            else:
                assert row[name] == str(value)
    wall_clock = [name for name in rows[0] if name.startswith(("seconds", "steps_per_second"))]
    assert "steps_per_second" in wall_clock


def test_plain_output_is_lines_of_ascii(train: Run) -> None:
    result = train("--steps", 3000)
    assert result.out.isascii()
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", result.out)
    header, *rows = [line for line in result.out.splitlines() if re.match(r" *(iter|\d+)  ", line)]
    assert header.split()[:3] == ["iter", "steps", "return"]
    assert {len(line) for line in (header, *rows)} == {len(header)}
    assert "CartPole-v1" in result.out
    assert "1,282 parameters" in result.out
    assert "fastfisher evaluate runs/CartPole-v1-npg-mlp-seed0" in result.out
    assert "fastfisher plot runs/CartPole-v1-npg-mlp-seed0" in result.out


def test_quiet_prints_nothing(train: Run) -> None:
    result = train("--steps", 400, "--quiet")
    assert (result.code, result.out, result.err) == (0, "", "")


@pytest.mark.parametrize("columns", [60, 120])
def test_terminal_shows_a_live_table(tmp_path: Path, columns: int) -> None:
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": str(columns), "LINES": "30"}
    words = ["train", "CartPole-v1", *SMALL, "--steps", "3000", "--target-return", "501"]
    with subprocess.Popen(
        [sys.executable, "-m", "fastfisher", *words],
        cwd=tmp_path,
        env=environment,
        stdout=theirs,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        screen = b""
        while chunk := _read(ours):
            screen += chunk
    os.close(ours)
    assert process.returncode == 0, screen.decode()
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.decode())
    assert "\N{BOX DRAWINGS HEAVY HORIZONTAL}" in text
    assert "100%" in text
    assert "target 501" in text
    assert ("residual" in text) == (columns == 120)  # a narrow terminal keeps what matters most
    assert max(map(len, re.split(r"[\r\n]+", text))) <= columns


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # Linux: the other end has closed
        return b""


def test_every_hyper_parameter_is_a_flag_with_help(run: Run) -> None:
    result = run("train", "--help")
    assert result.code == 0
    text = " ".join(re.sub(r"[^\x20-\x7e]", " ", result.out).split())
    for name in TrainConfig.__dataclass_fields__:
        assert name == "env" or f"--{name.replace('_', '-')}" in text
    assert "Discount factor" in text


def test_slow_packages_wait_until_needed() -> None:
    code = (
        "import sys, fastfisher.cli; "
        "print([m for m in ('matplotlib', 'mujoco', 'rich.live', 'tensorboardX') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
