"""Run the C++ microbenchmarks; keep each kernel's rate and its fraction of the measured ceiling.

    cmake --preset bench && cmake --build --preset bench
    python benchmarks/kernels.py build/bench/cpp/benchmarks/fastfisher_benchmarks

Writes benchmarks/results/kernels-<level>.json and prints a table: the median of the repetitions and
the best.  The ceiling (multiply-adds between registers, or reading memory) is measured in the same run,
right before the kernel.  FASTFISHER_SIMD chooses the level.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
from pathlib import Path
from typing import Any

import fastfisher

RESULTS = Path(__file__).resolve().parent / "results"


def run(binary: str, flags: list[str]) -> dict[str, Any]:
    """Run the benchmarks; return Google Benchmark's report."""
    command = [binary, "--benchmark_format=json", *flags]
    report: dict[str, Any] = json.loads(
        subprocess.run(command, check=True, capture_output=True, text=True).stdout
    )
    report["command"] = " ".join([Path(binary).name, *flags])
    return report


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
    parser.add_argument("binary")
    parser.add_argument("--filter", default="SYRK|Cholesky|FisherVector|NaturalStep")
    parser.add_argument("--repetitions", type=int, default=5)
    options = parser.parse_args()
    flags = [
        f"--benchmark_filter={options.filter}",
        f"--benchmark_repetitions={options.repetitions}",
        "--benchmark_min_time=0.1",
    ]
    report = run(options.binary, flags)
    level = report["context"]["simd"]
    rows = figures(report)
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=RESULTS, capture_output=True, text=True, check=False
    )
    record = {
        "command": report["command"],
        "commit": commit.stdout.strip(),
        **fastfisher.show_config(),
        "simd": level,
        "load_average": report["context"].get("load_avg"),
        "results": rows,
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"kernels-{level}.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    for row in rows:
        print("  ".join(f"{value}" for value in row.values()))


if __name__ == "__main__":
    main()
