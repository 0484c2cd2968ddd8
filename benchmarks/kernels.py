"""Run the C++ microbenchmarks; keep each kernel's rate and its fraction of the measured ceiling.

    cmake --preset bench && cmake --build --preset bench
    python benchmarks/kernels.py build/bench/cpp/benchmarks/fastfisher_benchmarks

Writes benchmarks/results/kernels-<level>.json and prints a table: the median of the repetitions and
the best.  The ceiling (multiply-adds between registers on one thread, times the threads; or reading memory)
is measured in the same run, right before the kernel.  FASTFISHER_SIMD chooses the level.  Other benchmarks
than the table's (--filter), or fewer repetitions, are written to an --out.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
from pathlib import Path
from typing import Any

from versus import record
from versus.options import destination, pattern, positive

import fastfisher

RESULTS = Path(__file__).resolve().parent / "results"
FILTER = (
    "SYRK_S.*(5000x1000|1000x5000)|Cholesky/(1000|2000|5000)|FisherVector|SYRK_StS/(200000x100|10000x114)"
)
REPETITIONS = 3


def kept(level: str) -> Path:
    """Return the file that is kept with the code for a SIMD level."""
    return RESULTS / f"kernels-{level}.json"


def run(binary: Path, flags: list[str]) -> dict[str, Any]:
    """Run the benchmarks; return Google Benchmark's report.

    Raises
    ------
    SystemExit
        Where there is none.
    """
    done = subprocess.run(
        [binary.resolve(), "--benchmark_format=json", *flags], capture_output=True, text=True, check=False
    )
    try:
        report: dict[str, Any] = json.loads(done.stdout)
        if done.returncode == 0 and {"context", "benchmarks"} <= report.keys():
            return report
    except (ValueError, AttributeError):
        pass
    words = (done.stderr.strip() or "no report").splitlines()[-1]
    raise SystemExit(f"{binary} ended with exit code {done.returncode}: {words}")


def figures(report: dict[str, Any]) -> list[dict[str, object]]:
    """Return one row a benchmark: name, milliseconds, rate, fraction of its ceiling."""
    repetitions: dict[str, list[dict[str, Any]]] = {}
    for entry in report["benchmarks"]:
        if entry.get("run_type") == "iteration":
            repetitions.setdefault(entry["name"].split("/process_time")[0], []).append(entry)
    rows = []
    for name, entries in repetitions.items():
        fraction = "of_peak" if "of_peak" in entries[0] else "of_bandwidth"
        row: dict[str, object] = {
            "name": name,
            "milliseconds": round(statistics.median(entry["real_time"] for entry in entries), 3),
        }
        if fraction in entries[0]:
            values = [entry[fraction] for entry in entries]
            row[fraction] = round(statistics.median(values), 3)
            row[f"{fraction}_best"] = round(max(values), 3)
        rows.append(row)
    return rows


def main() -> None:
    """Run, keep, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("binary", type=Path)
    parser.add_argument("--filter", type=pattern, default=FILTER, help="default: what the table has")
    parser.add_argument("--repetitions", type=positive, default=REPETITIONS)
    parser.add_argument("--out", type=Path, help="default benchmarks/results/kernels-<level>.json")
    options = parser.parse_args()
    if not (options.binary.is_file() and os.access(options.binary, os.X_OK)):
        parser.error(f"{options.binary} is no program: build it by `cmake --build --preset bench`")
    less = {"--filter": options.filter != FILTER, "--repetitions": options.repetitions < REPETITIONS}
    # The program says its level only in the report: refuse now, and name the file then.
    destination(parser, options.out, kept("<level>"), less)
    flags = [
        f"--benchmark_filter={options.filter}",
        f"--benchmark_repetitions={options.repetitions}",
        "--benchmark_min_time=0.1",
    ]
    report = run(options.binary, flags)
    level = report["context"]["simd"]
    rows = figures(report)
    content = {
        "command": record.command(),
        "commit": record.commit(),
        **fastfisher.show_config(),
        "simd": level,
        "load_average": report["context"].get("load_avg"),
        "results": rows,
    }
    record.write_json(options.out or kept(level), content)
    for row in rows:
        print("  ".join(f"{value}" for value in row.values()))


if __name__ == "__main__":
    main()
