"""The example's two branches run, and the natural one learns in the few seconds that a reader gives it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("gymnasium")

EXAMPLE = Path(__file__).parents[4] / "examples" / "policy_gradient_pytorch.py"


@pytest.fixture(scope="module")
def example() -> Any:
    spec = importlib.util.spec_from_file_location(EXAMPLE.stem, EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_natural_gradient_learns(example: Any, capsys: pytest.CaptureFixture[str]) -> None:
    history = example.train(iterations=10, steps=600)
    assert sum(history[-2:]) > 2.0 * sum(history[:2])
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == f"iteration  1  mean return {history[0]:5.1f}"
    assert len(printed) == len(history)


def test_the_branch_as_it_was_before_runs(example: Any) -> None:
    history = example.train(plain=True, iterations=2, steps=200)
    assert len(history) == 2
    assert history == example.train(plain=True, iterations=2, steps=200)
