"""Running the command line in this process."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastfisher.cli import main

from .helpers import SMALL, Result, Run


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run the command line in this process, in an empty working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TERM", "dumb")

    def run_words(*words: object) -> Result:
        capfd.readouterr()
        try:
            code = main([str(word) for word in words])
        except SystemExit as end:
            code = int(end.code or 0)
        out, err = capfd.readouterr()
        return Result(code, out, err)

    return run_words


@pytest.fixture
def train(run: Run) -> Run:
    """Train on CartPole in small batches."""

    def train_words(*words: object) -> Result:
        return run("train", "CartPole-v1", *SMALL, *words)

    return train_words
