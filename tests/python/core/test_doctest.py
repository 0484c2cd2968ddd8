"""The examples in docstrings do what they show."""

from __future__ import annotations

import doctest
import importlib

import pytest


@pytest.mark.parametrize("name", ["natural", "fisher", "diagnose", "runtime", "scores", "reference"])
def test_examples(name: str) -> None:
    failures, _ = doctest.testmod(importlib.import_module(f"fastfisher.{name}"))
    assert failures == 0


def test_there_are_examples() -> None:
    finder = doctest.DocTestFinder()
    for name in ("natural", "fisher", "diagnose"):
        module = importlib.import_module(f"fastfisher.{name}")
        assert any(test.examples for test in finder.find(module))
