"""The example of a physics-informed network learns, in a few steps of a small one."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

pytest.importorskip("jax")

from .helpers import enable_x64

EXAMPLE = Path(__file__).resolve().parents[4] / "examples" / "pinn_jax.py"


def test_a_few_steps_of_a_small_network() -> None:
    if not EXAMPLE.is_file():
        pytest.skip("no examples beside these tests")
    spec = importlib.util.spec_from_file_location("pinn_jax", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    with enable_x64(True):
        errors = example.train(steps=12, width=10, inside=8, edge=6)
    assert len(errors) == 13
    assert errors[0] > 0.5
    assert errors[-1] < 0.1
