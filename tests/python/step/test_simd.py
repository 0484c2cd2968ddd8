"""The environment's choice of instruction set, and what the import must not change."""

from __future__ import annotations

import platform

import pytest

import fastfisher as ff
from fastfisher import _core

from .helpers import run_python

LEVELS = _core.available_simd_levels()
COMPUTE = """
import numpy as np, fastfisher as ff
S = np.random.default_rng(0).standard_normal((300, 70))
assert ff.natural_step(S, S[:, 0]).residual < 1e-12
print(ff.show_config()["simd"])
"""


def test_levels_are_the_psabis() -> None:
    expected = ["baseline", "v3", "v4"] if platform.machine().lower() in ("x86_64", "amd64") else ["generic"]
    assert expected[: len(LEVELS)] == LEVELS
    assert ff.show_config()["simd_available"] == LEVELS


@pytest.mark.parametrize("level", LEVELS)
def test_the_environment_forces_a_level(level: str) -> None:
    done = run_python(COMPUTE, FASTFISHER_SIMD=level)
    assert done.stdout == f"{level}\n", done.stderr


def test_without_a_choice_it_is_the_widest() -> None:
    assert run_python(COMPUTE, FASTFISHER_SIMD="").stdout == f"{LEVELS[-1]}\n"


@pytest.mark.parametrize("name", ["v5", "V3", "avx2", "auto", "baseline,v3"])
def test_an_unknown_level_is_an_import_error_that_lists_the_choices(name: str) -> None:
    done = run_python("import fastfisher", FASTFISHER_SIMD=name)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ImportError: FASTFISHER_SIMD")
    assert repr(name) in last
    assert all(level in last for level in LEVELS)


def test_set_simd_level_refuses_the_unknown() -> None:
    before = _core.simd_level()
    with pytest.raises(ValueError, match=r"baseline|generic"):
        _core.set_simd_level("v5")
    assert _core.simd_level() == before


def test_subnormal_numbers_survive() -> None:
    """A start-up file of -ffast-math would flush them to zero for the whole process."""
    code = """
import numpy as np, fastfisher as ff
S = np.random.default_rng(0).standard_normal((600, 200))
ff.natural_step(S, S[:, 0], num_threads=2)
tiny = 5e-324
assert tiny > 0.0 and tiny * 1.0 > 0.0 and np.float64(1e-310) / 2 > 0.0
assert (np.full(100, 1e-310) * 0.5 > 0).all()
assert (np.full(100, 1e-40, np.float32) * np.float32(0.5) > 0).all()
print("alive")
"""
    done = run_python(code)
    assert done.stdout == "alive\n", done.stderr
