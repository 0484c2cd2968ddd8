"""The compiled core: what it runs on, its versions, and where CMake finds the library in the wheel."""

from __future__ import annotations

import platform
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from . import threadpool_limits
from ._core import __version__, available_simd_levels, build_type, compiler, eigen_version, simd_level
from ._core import get_num_threads as _get_num_threads
from ._core import set_num_threads as _set_num_threads
from ._core import usable_processors as _usable_processors
from .arguments import thread_count

threadpool_limits.obey()


def get_num_threads() -> int:
    """Return the number of threads that a call uses when it does not say.

    `set_num_threads` decides it, or threadpoolctl's ``threadpool_limits``, whichever was called last; else
    the environment's FASTFISHER_NUM_THREADS; else its OMP_NUM_THREADS, of a list like ``4,2`` the first
    number; else what the process may use, by its affinity mask and its cgroup's quota.  A variable that
    holds no such number is passed over.  The environment is read once, when it is first needed.
    """
    return _get_num_threads()


def set_num_threads(threads: int | None) -> None:
    """Set `get_num_threads` for the process, 1 to 1024; None returns to the environment's choice.

    Raises
    ------
    TypeError, ValueError
        If `threads` is neither such a whole number nor None.
    """
    _set_num_threads(thread_count(threads, "threads"))


def show_config() -> dict[str, object]:
    """Return versions and choices of the compiled core, for bug reports and benchmark records."""
    return {
        "fastfisher": __version__,
        "simd": simd_level(),
        "simd_available": available_simd_levels(),
        "threads": _get_num_threads(),
        "processors": _usable_processors(),
        "eigen": eigen_version,
        "compiler": compiler,
        "build_type": build_type,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpu_name(),
    }


def _cpu_name() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.partition(":")[2].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):  # Only Linux has the file, and not every processor has the line.
        return platform.processor() or platform.machine()


def get_cmake_dir() -> str:
    """Return the folder of fastfisherConfig.cmake: fastfisher_DIR of CMake's `find_package(fastfisher)`.

    Raises
    ------
    FileNotFoundError
        If the extension module was built in place, without installing the C++ library beside it.
    """
    # It lies beside the extension module: an editable installation has the Python files elsewhere.
    spec = find_spec("fastfisher._core")
    assert spec is not None
    assert spec.origin is not None
    folder = Path(spec.origin).parent / "lib" / "cmake" / "fastfisher"
    if not (folder / "fastfisherConfig.cmake").is_file():
        raise FileNotFoundError(f"no fastfisherConfig.cmake in {folder}: install fastfisher with pip")
    return str(folder)
