"""Accumulate more rows than fit in memory, from a generator: peak memory and rows a second.

    python benchmarks/streaming.py [--rows 10000000] [--parameters 200] [--chunk 10000] [--dtype float64]

Writes benchmarks/results/streaming.json, after each case, and prints a table; other cases or sizes than the
default go to an --out.  Each case runs in a process of its own, whose
peak resident memory is compared with what it had after its imports.  The time that the generator takes to
draw random blocks is measured apart: `rows_per_second` is without it, `seconds` with it.  `gflops` counts
N d^2, a multiply and an add for one triangle.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from versus import record
from versus.options import destination, positive

import fastfisher as ff

RESULTS = Path(__file__).resolve().parent / "results" / "streaming.json"
CASES = ("Fisher.update", "natural_step, one pass", "natural_step, two passes")


def resident(field: str) -> float:
    """Resident memory in MB, "VmRSS" now or "VmHWM" at its peak; where there is no /proc, the peak."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith(field)) / 1024.0
    except OSError:
        unit = 1024.0**2 if sys.platform == "darwin" else 1024.0
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


class Blocks:
    """Random rows in chunks, the same ones at each pass; counts the seconds that drawing them takes."""

    def __init__(self, rows: int, parameters: int, chunk: int, dtype: str) -> None:
        self.rows, self.parameters, self.chunk, self.dtype = rows, parameters, chunk, dtype
        self.seconds = 0.0

    def scores(self) -> Iterator[Any]:
        rng = np.random.Generator(np.random.SFC64(0))
        for start in range(0, self.rows, self.chunk):
            began = time.perf_counter()
            block = rng.standard_normal(
                (min(self.chunk, self.rows - start), self.parameters), dtype=np.dtype(self.dtype)
            )
            self.seconds += time.perf_counter() - began
            yield block
            del block

    def __iter__(self) -> Iterator[Any]:
        for scores in self.scores():
            yield scores, scores[:, 0]
            del scores


def measure(case: str, blocks: Blocks) -> dict[str, Any]:
    """Run one case, here."""
    before = resident("VmRSS")
    began = time.perf_counter()
    passes = 1
    residual = None
    if case == "Fisher.update":
        F = ff.Fisher(blocks.parameters)
        F.update(blocks.scores())
        assert F.count == blocks.rows
    else:
        passes = 2 if "two" in case else 1
        result = ff.natural_step(blocks if passes == 2 else iter(blocks), max_kl=0.01)
        residual = result.residual
    seconds = time.perf_counter() - began
    own = seconds - blocks.seconds
    return {
        "case": case,
        "passes": passes,
        "seconds": round(seconds, 2),
        "seconds_generating": round(blocks.seconds, 2),
        "rows_per_second": round(blocks.rows / own),
        "gflops": round(blocks.rows * blocks.parameters**2 / own / 1e9, 1),
        "peak_memory_growth_mb": round(resident("VmHWM") - before, 1),
        "residual": residual,
    }


def main() -> None:
    """Run, keep, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=positive, default=10_000_000)
    parser.add_argument("--parameters", type=positive, default=200)
    parser.add_argument("--chunk", type=positive, default=10_000, help="rows of a block")
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float64")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=CASES)
    parser.add_argument("--out", type=Path, help=f"default {RESULTS.relative_to(record.ROOT)}")
    options = parser.parse_args()
    less = {
        f"--{name}": getattr(options, name) != parser.get_default(name)
        for name in ("rows", "parameters", "chunk", "dtype")
    }
    less["--cases"] = not set(options.cases) >= set(CASES)
    out = destination(parser, options.out, RESULTS, less)
    blocks = Blocks(options.rows, options.parameters, options.chunk, options.dtype)
    head = {
        "command": record.command(),
        "commit": record.commit(),
        **ff.show_config(),
        "load_average": os.getloadavg(),
        "rows": options.rows,
        "parameters": options.parameters,
        "chunk": options.chunk,
        "dtype": options.dtype,
        "data_gb": options.rows * options.parameters * np.dtype(options.dtype).itemsize / 1e9,
    }
    rows = []
    for case in options.cases:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            row = pool.apply(measure, (case, blocks))
        rows.append(row)
        record.write_json(out, {**head, "results": rows})
        print(
            f"{case:<26} {row['rows_per_second']:>12,} rows/s  {row['gflops']:>6} GFLOP/s  "
            f"peak memory +{row['peak_memory_growth_mb']} MB",
            flush=True,
        )


if __name__ == "__main__":
    main()
