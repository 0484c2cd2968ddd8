"""The C++ library inside the installed package, found and used by CMake."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import fastfisher as ff

ROOT = Path(__file__).parents[3]
CONSUMER = ROOT / "examples" / "cpp"
MAJOR, MINOR = map(int, ff.__version__.split(".")[:2])
COMPILER = os.environ.get("CXX") or next(filter(shutil.which, ("c++", "g++", "clang++")), None)


@pytest.fixture(scope="module")
def cmake_dir() -> Path:
    try:
        return Path(ff.get_cmake_dir())
    except FileNotFoundError as error:
        pytest.skip(str(error))


needs_cmake = pytest.mark.skipif(shutil.which("cmake") is None, reason="cmake is not on PATH")
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="no C++ compiler is on PATH")


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=240)


def configure(source: Path, build: Path, cmake_dir: Path) -> subprocess.CompletedProcess[str]:
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    return run("cmake", "-S", source, "-B", build, f"-Dfastfisher_DIR={cmake_dir}", *generator)


@needs_cmake
@needs_compiler
def test_a_project_finds_links_and_runs_it(cmake_dir: Path, tmp_path: Path) -> None:
    def succeeds(done: subprocess.CompletedProcess[str]) -> None:
        assert done.returncode == 0, f"{done.args}\n{done.stdout}\n{done.stderr}"

    succeeds(configure(CONSUMER, tmp_path, cmake_dir))
    cache = (tmp_path / "CMakeCache.txt").read_text()
    assert re.search(rf"^fastfisher_DIR:\w+={re.escape(str(cmake_dir))}$", cache, re.MULTILINE)
    succeeds(run("cmake", "--build", tmp_path))
    succeeds(run(tmp_path / "consumer"))


@needs_cmake
@needs_compiler
@pytest.mark.parametrize(
    ("wanted", "found"), [(f"{MAJOR}.{MINOR}", True), (f"{MAJOR}.{MINOR + 1}", False), (MAJOR + 1, False)]
)
def test_the_version_is_checked(cmake_dir: Path, tmp_path: Path, wanted: object, found: bool) -> None:
    (tmp_path / "CMakeLists.txt").write_text(
        f"cmake_minimum_required(VERSION 3.25)\nproject(version LANGUAGES CXX)\n"
        f"find_package(fastfisher {wanted} CONFIG REQUIRED)\n"
    )
    done = configure(tmp_path, tmp_path / "build", cmake_dir)
    assert (done.returncode == 0) == found, done.stderr


def test_nothing_in_it_names_the_machine_that_built_it(cmake_dir: Path) -> None:
    for file in cmake_dir.glob("*.cmake"):
        assert not re.search(r'["\s;](/usr|/tmp|/home|/work|/opt|/root)/', file.read_text()), file


def test_public_headers_need_no_other_library(cmake_dir: Path) -> None:
    include = cmake_dir.parents[2] / "include"
    headers = sorted(include.rglob("*.hpp"))
    assert include / "fastfisher" / "natural_step.hpp" in headers
    for header in headers:
        text = header.read_text()
        for name in ("Eigen", "pybind11", "immintrin.h", "Python.h"):
            assert name not in text, f"{name} in {header}"
