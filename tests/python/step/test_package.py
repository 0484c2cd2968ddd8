"""The package as it is imported and installed."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import shutil
import subprocess

import pytest

import fastfisher as ff
from fastfisher import _core

from .helpers import run_python

CORE_ONLY = """
import sys
for name in (
    "gymnasium", "matplotlib", "rich", "tyro", "tensorboardX", "scipy", "mujoco", "threadpoolctl",
    "torch", "stable_baselines3", "sb3_contrib", "jax", "flax", "haiku", "equinox", "netket",
):
    sys.modules[name] = None  # an import of it fails
import numpy as np, fastfisher as ff
S = np.random.default_rng(0).standard_normal((50, 5))
F = ff.Fisher(5)
F.update(S)
ff.natural_step(S, S[:, 0])
ff.show_config()
dir(ff)
print("imported")
"""


def test_the_core_needs_numpy_alone() -> None:
    done = run_python(CORE_ONLY)
    assert done.stdout == "imported\n", done.stderr


def test_the_import_is_quiet_and_starts_no_thread() -> None:
    code = "import fastfisher, os; print(len(os.listdir('/proc/self/task')))"
    environment = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = run_python(code, **environment)
    assert (done.stdout, done.stderr) == ("1\n", "")


def test_versions_agree() -> None:
    assert ff.__version__ == _core.__version__ == ff.show_config()["fastfisher"]
    try:
        installed = importlib.metadata.version("fastfisher")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("not installed, only on the path")
    assert ff.__version__ == installed


@pytest.mark.skipif(
    importlib.util.find_spec("gymnasium") is None, reason="the trainer's names need gymnasium"
)
def test_public_names_exist_and_are_listed() -> None:
    assert len(set(ff.__all__)) == len(ff.__all__)
    for name in ff.__all__:
        assert getattr(ff, name) is not None
        assert name in dir(ff)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'natural_gradient'"):
        _ = ff.natural_gradient  # type: ignore[attr-defined]


def test_show_config_says_what_a_bug_report_needs() -> None:
    config = ff.show_config()
    assert {
        "fastfisher",
        "simd",
        "threads",
        "eigen",
        "compiler",
        "numpy",
        "python",
        "platform",
        "cpu",
    } <= set(config)
    assert str(config["eigen"]).startswith("5.")


@pytest.mark.skipif(shutil.which("readelf") is None, reason="needs binutils")
def test_the_extension_links_no_openmp_and_no_blas_and_exports_little() -> None:
    def readelf(option: str) -> list[str]:
        done = subprocess.run(
            ["readelf", "-W", option, _core.__file__], capture_output=True, text=True, check=True
        )
        return done.stdout.splitlines()

    needed = [line.rpartition("[")[2].rstrip("]") for line in readelf("-d") if "(NEEDED)" in line]
    allowed = ("libstdc++.so", "libm.so", "libgcc_s.so", "libc.so", "libpthread.so", "ld-linux")
    assert [name for name in needed if not name.startswith(allowed)] == []
    exported = [line.split() for line in readelf("--dyn-syms")]
    ours = [words[7] for words in exported if len(words) >= 8 and words[6].isdigit() and words[4] == "GLOBAL"]
    threads = ["fastfisher_get_num_threads", "fastfisher_set_num_threads", "fastfisher_version"]
    assert sorted(ours) == ["PyInit__core", *threads]
