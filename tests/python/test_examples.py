"""Every example is a program that runs to its end, here with small sizes."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

import fastfisher

EXAMPLES = Path(__file__).parents[2] / "examples"
SIZES = {
    "one_step": ("500", "40"),
    "train_cartpole": ("12_000",),
    "custom_policy": ("8_400",),
    "streaming": ("20_000",),
    "trpo_sb3": ("4_096",),
    "pinn_jax": ("--steps", "10"),
    "jax_policy": ("4",),
}
"""Words of the command line; a program that is not here has none."""

NEEDS = {"pytorch": "torch", "jax": "jax", "sb3": "stable_baselines3"}
"""Packages of programs by words of their names."""

PROGRAMS = sorted(EXAMPLES.glob("*.py"))


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.stem)
def test_an_example_runs(program: Path, tmp_path: Path) -> None:
    for word, package in NEEDS.items():
        if word in program.stem and importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    done = subprocess.run(
        [sys.executable, str(program), *SIZES.get(program.stem, ())],
        env={**os.environ, "PYTHONPATH": str(Path(fastfisher.__file__).parents[1])},
        cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_the_readme_of_the_examples_has_all_of_them() -> None:
    text = (EXAMPLES / "README.md").read_text("utf-8")
    assert [path.name for path in PROGRAMS if f"({path.name})" not in text] == []
