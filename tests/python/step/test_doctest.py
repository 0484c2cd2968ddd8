"""The examples in docstrings do what they show."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

import fastfisher

ROOT = Path(fastfisher.__file__).parent
MODULES = sorted(
    ".".join(("fastfisher", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")
    for path in ROOT.rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8")
)

NEEDS = {
    "training": "gymnasium",
    "torch": "torch",
    "sb3": "stable_baselines3",
    "jax": "jax",
    "netket": "netket",
}
"""What the parts of the package that have examples import beyond NumPy."""


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    for part, package in NEEDS.items():
        if part in name.split("."):
            pytest.importorskip(package)
    failures, tried = doctest.testmod(importlib.import_module(name))
    assert failures == 0
    assert tried > 0


def test_there_are_examples() -> None:
    expected = ("natural", "fisher", "diagnosis.diagnose", "scores", "training.agent")
    assert {f"fastfisher.{name}" for name in expected} <= set(MODULES)
