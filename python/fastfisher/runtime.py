"""What the compiled core runs on: instruction set, threads, versions."""

from __future__ import annotations

import platform
import sys

import numpy as np

from . import _core
from .arguments import MOST_THREADS, whole


def get_num_threads() -> int:
    """Threads that a call uses when it does not say.

    In order of precedence: `set_num_threads`, the environment's FASTFISHER_NUM_THREADS, and what the
    process may use (its affinity mask and its cgroup's quota).
    """
    return _core.get_num_threads()


def set_num_threads(threads: int | None) -> None:
    """Set `get_num_threads` for the process; None returns to the environment's choice."""
    _core.set_num_threads(0 if threads is None else whole(threads, "threads", least=1, most=MOST_THREADS))


def show_config() -> dict[str, object]:
    """Versions and choices of the compiled core, for bug reports and benchmark records."""
    return {
        "fastfisher": _core.__version__,
        "simd": _core.simd_level(),
        "simd_available": _core.available_simd_levels(),
        "threads": _core.get_num_threads(),
        "processors": _core.usable_processors(),
        "eigen": _core.eigen_version,
        "compiler": _core.compiler,
        "build_type": _core.build_type,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpu_name(),
    }


def _cpu_name() -> str:
    if sys.platform.startswith("linux"):
        try:
            with open("/proc/cpuinfo", encoding="utf-8") as file:
                for line in file:
                    if line.startswith("model name"):
                        return line.partition(":")[2].strip()
        except OSError:
            pass
    return platform.processor() or platform.machine()
