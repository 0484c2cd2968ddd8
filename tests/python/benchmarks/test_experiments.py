"""The experiments as they are started, and the command in their records."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from experiments.__main__ import NAMES
from versus import record

EXPERIMENTS = record.ROOT / "benchmarks" / "experiments"


def run(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, EXPERIMENTS, *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", NAMES)
def test_an_experiment_starts_as_a_word_to_the_folder(name: str) -> None:
    done = run(name, "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"usage: python benchmarks/experiments {name} ")


def test_another_name_is_one_line() -> None:
    done = run("galery")
    assert done.returncode == 2
    assert done.stderr == f"experiment: expected one of {', '.join(NAMES)}, got galery\n"


def test_a_record_has_the_command_from_the_checkouts_root(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(record.ROOT / "benchmarks")
    monkeypatch.setattr(sys, "argv", ["experiments", "climb", "a b.npz"])
    assert record.command() == "python benchmarks/experiments climb 'a b.npz'"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(record.ROOT / "benchmarks" / "cost.py"), "--draw"])
    assert record.command() == "python benchmarks/cost.py --draw"
