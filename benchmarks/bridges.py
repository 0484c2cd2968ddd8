"""Compare the bridges with what their frameworks' users have today, at equal threads, in one run.

    python -m pip install ".[bench]"
    python benchmarks/bridges.py
    python benchmarks/bridges.py --cases 'sb3 .* exact' --keep
    python benchmarks/bridges.py --missing
    python benchmarks/bridges.py --print

Ours and the peer have a process each, bound to the same processors, with as many threads and no BLAS or
OpenMP settings of the shell.  What they compute is looked at before anything is timed; then they take turns,
and only one is awake at a time.  Writes the rows as JSON after every case, and prints a table.  A run that
was stopped goes on with --missing, which measures what has no row of this commit yet.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from pathlib import Path

from versus import record
from versus.bridges import Row, all_rows
from versus.match import Setting, play_case
from versus.options import destination, pattern, positive
from versus.process import Skip, Worker
from versus.table import cells, concluded, table

RESULTS = Path(__file__).resolve().parent / "results" / "bridges.json"
CASES = "versus.bridges"


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--cases", type=pattern, default="", metavar="REGEX", help="names to search for; default all"
    )
    parser.add_argument("--pairs", type=positive, help="pairs of each comparison; default the case's own")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help=f"default {RESULTS.relative_to(record.ROOT)}")
    parser.add_argument(
        "--keep", action="store_true", help="keep the rows in --out that this run does not measure"
    )
    parser.add_argument(
        "--missing", action="store_true", help="measure what --out has no row of this commit for, and --keep"
    )
    parser.add_argument("--limit", type=float, default=300.0, help="seconds for one command to a worker")
    parser.add_argument(
        "--quick", action="store_true", help="tiny sizes: a test of this script, not a measurement"
    )
    parser.add_argument("--list", action="store_true", help="print the names of the cases")
    parser.add_argument("--print", action="store_true", help="only print what is there")
    options = parser.parse_args()
    options.keep |= options.missing
    less = {"--quick": options.quick, "--cases": bool(options.cases) and not options.keep}
    if options.list or options.print:
        less = {}
    options.out = destination(parser, options.out, RESULTS, less)
    return options


def chosen_rows(options: argparse.Namespace, earlier: list[record.Row]) -> list[Row]:
    """Return the comparisons that are to be run."""
    rows = [row for row in all_rows(options.quick) if re.search(options.cases, row.case.name)]
    if options.missing:
        commit = record.commit()
        there = {row["case"] for row in earlier if row.get("commit") == commit and row["status"] == "timed"}
        rows = [row for row in rows if row.case.name not in there]
    return rows


def configuration(row: Row, options: argparse.Namespace) -> dict[str, object]:
    """What the core says of itself, asked in a worker's environment."""
    with _worker(row, options) as worker:
        found: dict[str, object] = worker.ask("describe")
    return found


def _worker(row: Row, options: argparse.Namespace) -> Worker:
    simd = best_simd()
    return Worker(
        row.case.name, row.case.ours.name, threads=1, simd=simd, seed=options.seed, quick=options.quick,
        limit=options.limit, cases=CASES,
    )  # fmt: skip


def best_simd() -> str:
    """Return the highest instruction set that the core has here."""
    import fastfisher

    return str(fastfisher.show_config()["simd_available"][-1])  # type: ignore[index]


def main() -> int:
    """Run, keep, print; exit status 1 where an answer was wrong or a worker failed."""
    options = arguments()
    earlier = record.kept_rows(options.out) if options.keep or options.print else []
    if options.print:
        print(table(earlier))
        return 0
    rows = chosen_rows(options, earlier)
    if options.list or not rows:
        print("\n".join(f"{row.case.name}  ({row.threads} threads)" for row in rows) or "nothing to measure")
        return 0 if options.list or options.missing else 2
    try:
        config = configuration(rows[0], options)
    except Skip as reason:
        print(reason, file=sys.stderr)
        return 2
    del config["threads"]  # a row's own
    config["processors"] = len(os.sched_getaffinity(0))
    head = record.header({"seed": options.seed, "quick": options.quick}, config)
    if options.keep:
        head |= record.OF_SEVERAL_RUNS
    found: list[record.Row] = []
    kept = earlier
    for row in rows:
        if row.threads > len(os.sched_getaffinity(0)):
            print(f"{row.case.name}: {row.threads} threads, and fewer processors here")
            continue
        pairs = options.pairs or row.pairs
        setting = Setting(
            row.threads, best_simd(), pairs, options.seed, options.quick, options.limit,
            record.circumstances(head, pairs), CASES,
        )  # fmt: skip
        for one in play_case(row.case, setting):
            found.append(one)
            print("  ".join(filter(None, cells(one))), flush=True)
        measured = {record.key(one) for one in found}
        kept = [one for one in earlier if record.key(one) not in measured]
        record.write(options.out, head, kept + found)
    print("\n" + table(kept + found))
    return concluded(found, quick=options.quick)


if __name__ == "__main__":
    sys.exit(main())
