"""The environment that every worker runs in, whatever the shell had set."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

# A variable left from an experiment (OPENBLAS_CORETYPE, OPENBLAS_L2_SIZE, OMP_WAIT_POLICY, a preloaded
# allocator) would decide a comparison.
DROPPED = (
    *("OPENBLAS_", "GOTO_", "OMP_", "GOMP_", "KMP_", "MKL_", "BLIS_", "NUMEXPR_"),
    *("ATEN_", "DNNL_", "ONEDNN_", "TORCH_", "XLA_", "JAX_", "NETKET_", "NPY_"),
    *("FASTFISHER_", "MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD"),
)

# The peers' own switches to AVX2 code, for comparisons with ours at x86-64-v3.  NumPy's element-wise loops
# stay as they are, on both sides.
AT_V3 = {
    "OPENBLAS_CORETYPE": "Haswell",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "XLA_FLAGS": "--xla_cpu_max_isa=AVX2",
}


def worker_environment(threads: int, simd: str, base: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of a worker with so many threads at this SIMD level."""
    environment = {
        name: text
        for name, text in (os.environ if base is None else base).items()
        if not name.startswith(DROPPED)
    }
    for name in ("OPENBLAS", "OMP", "MKL", "NUMEXPR", "FASTFISHER"):
        environment[f"{name}_NUM_THREADS"] = str(threads)
    environment["FASTFISHER_SIMD"] = simd
    environment["JAX_PLATFORMS"] = "cpu"
    if simd == "v3":
        environment.update(AT_V3)
    here = str(Path(__file__).resolve().parent.parent)
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (here, environment.get("PYTHONPATH"))))
    return environment


def processors_for(threads: int) -> list[int]:
    """Choose the processors of a worker: one a core while they last, the highest first.

    The lowest one serves most interrupts.  XLA has no other way to be told its number of threads, so all
    contenders are bound alike.
    """
    usable = sorted(os.sched_getaffinity(0), reverse=True)
    first_of_core: dict[str, int] = {}
    for processor in usable:
        siblings = Path(f"/sys/devices/system/cpu/cpu{processor}/topology/thread_siblings_list")
        core = siblings.read_text(encoding="ascii").strip() if siblings.exists() else str(processor)
        first_of_core.setdefault(core, processor)
    chosen = list(first_of_core.values())
    chosen += [processor for processor in usable if processor not in chosen]
    return chosen[:threads]
