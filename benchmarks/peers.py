"""Compare with SciPy, NumPy, PyTorch, Stable-Baselines3, ASDL and NetKet, at equal threads, in one run.

    python -m pip install ".[bench]"
    python benchmarks/peers.py
    python benchmarks/peers.py --cases 'natural step .* mixed' --threads 2 --simd v4 --keep
    python benchmarks/peers.py --draw

Each contender has a process with the same inputs and as many threads, bound to the same processors, in an
environment without any BLAS or OpenMP settings of the shell.  Its answer is judged against NumPy in float64
before anything is timed.  Then ours and the peer take turns; only one is awake at a time.  At --simd v3 the
peers run their AVX2 code as well (OPENBLAS_CORETYPE=Haswell and the like).

Writes the rows as JSON and the ratios as PNG beside it, after every case, and prints a table.  Peers that are
not installed have rows that say so.  A run of less than everything does not replace the recorded rows: it
adds to them (--keep), or goes elsewhere (--out).  The interval of a ratio is of order statistics: from least
to most of three pairs it covers the median with a probability of 75%, of seven 98%.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import sys
from pathlib import Path

from versus import record
from versus.cases import all_cases
from versus.figure import draw
from versus.match import Setting, play_case
from versus.options import destination, pattern, positive
from versus.pairs import restated
from versus.process import Skip, Worker
from versus.table import cells, concluded, table

RESULTS = Path(__file__).resolve().parent / "results" / "peers.json"
THREADS = (1, 2)
LEVELS = ("v4", "v3")
REPETITIONS = 7


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--cases", type=pattern, default="", metavar="REGEX", help="names to search for; default all"
    )
    parser.add_argument("--threads", type=positive, nargs="+", default=THREADS)
    parser.add_argument("--simd", nargs="+", default=LEVELS, choices=LEVELS)
    parser.add_argument("--repetitions", type=positive, default=REPETITIONS, help="pairs of each comparison")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help=f"default {RESULTS.relative_to(record.ROOT)}")
    parser.add_argument(
        "--keep", action="store_true", help="keep the rows in --out that this run does not measure"
    )
    parser.add_argument("--limit", type=float, default=600.0, help="seconds for one command to a worker")
    parser.add_argument(
        "--quick", action="store_true", help="tiny sizes: a test of this script, not a measurement"
    )
    parser.add_argument("--list", action="store_true", help="print the names of the cases")
    parser.add_argument("--draw", action="store_true", help="only draw and print what is there")
    options = parser.parse_args()
    if max(options.threads) > len(os.sched_getaffinity(0)):
        parser.error(f"--threads: at most {len(os.sched_getaffinity(0))} here")
    less = {
        "--cases": bool(options.cases),
        "--threads": not set(options.threads) >= set(THREADS),
        "--simd": not set(options.simd) >= set(LEVELS),
        "--repetitions": options.repetitions < REPETITIONS,
    }
    less = {
        "--quick": options.quick,
        **{name: is_less and not options.keep for name, is_less in less.items()},
    }
    if options.list or options.draw:
        less = {}
    options.out = destination(parser, options.out, RESULTS, less)
    return options


def configuration(case: str, options: argparse.Namespace) -> dict[str, object]:
    """What the core says of itself, asked in a worker's environment."""
    with Worker(
        case, "fastfisher", threads=1, simd="baseline", seed=0, quick=options.quick, limit=options.limit
    ) as worker:
        return worker.ask("describe")


def main() -> int:
    """Run, keep, print; exit status 1 where an answer was wrong or a worker failed."""
    options = arguments()
    if options.draw:
        recorded = record.kept_rows(options.out)
        draw(recorded, options.out.with_suffix(".png"))
        print(table(recorded))
        return 0
    cases = [case for case in all_cases(options.quick) if re.search(options.cases, case.name)]
    if options.list or not cases:
        print("\n".join(case.name for case in (cases or all_cases(options.quick))))
        return 0 if options.list else 2
    try:
        config = configuration(cases[0].name, options)
    except Skip as reason:
        print(reason, file=sys.stderr)
        return 2
    chosen = {name: getattr(options, name) for name in ("seed", "repetitions", "quick")}
    del config["simd"], config["threads"]  # a row's own
    config["processors"] = len(os.sched_getaffinity(0))
    head = record.header(chosen, config)
    if options.keep:
        head |= record.OF_SEVERAL_RUNS
    earlier = [restated(row) for row in record.kept_rows(options.out)] if options.keep else []
    circumstances = record.circumstances(head, options.repetitions)
    rows: list[record.Row] = []
    picture = importlib.util.find_spec("matplotlib") is not None
    if not picture:
        print("matplotlib is not installed: no figure")
    for simd in options.simd:
        for threads in options.threads:
            setting = Setting(
                threads, simd, options.repetitions, options.seed, options.quick, options.limit, circumstances
            )
            for case in cases:
                for row in play_case(case, setting):
                    rows.append(row)
                    print("  ".join(filter(None, cells(row))), flush=True)
                measured = {record.key(row) for row in rows}
                kept = [row for row in earlier if record.key(row) not in measured]
                record.write(options.out, head, kept + rows)
                if picture:
                    draw(kept + rows, options.out.with_suffix(".png"))
    print("\n" + table(kept + rows))
    return concluded(rows, quick=options.quick)


if __name__ == "__main__":
    sys.exit(main())
