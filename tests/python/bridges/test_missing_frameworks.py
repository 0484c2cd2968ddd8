"""A bridge whose framework is missing says what to install, and the core does without it."""

from __future__ import annotations

import subprocess
import sys

import pytest

NEEDS = {
    "torch": ("torch", "PyTorch"),
    "sb3": ("stable_baselines3", "Stable-Baselines3"),
    "jax": ("jax", "JAX"),
}


@pytest.mark.parametrize("bridge", NEEDS)
def test_what_to_install_is_said(bridge: str) -> None:
    framework, name = NEEDS[bridge]
    code = f"""
import sys
sys.modules[{framework!r}] = None  # as if it were not installed
import fastfisher
assert fastfisher.natural_step([[1.0], [2.0]], [1.0, 2.0]).step.shape == (1,)
try:
    import fastfisher.{bridge}
except ModuleNotFoundError as error:
    assert error.name == {framework!r}, error.name
    print(error)
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said == f"fastfisher.{bridge} needs {name}: python -m pip install 'fastfisher[{bridge}]'\n"
