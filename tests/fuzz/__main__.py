"""Random attacks on what fastfisher promises: ``python tests/fuzz``.

A case is a kind and a number, from which everything random in it follows.  A case that finds a promise broken
prints the command that repeats it alone, and the others go on; the exit code is 1 where any did.

    python tests/fuzz                            the slice, the same cases on every machine, in two minutes
    python tests/fuzz --seed 7 --minutes 60      slice after slice, from that of seed 7 on, for an hour
    python tests/fuzz --only step,checkpoints    some of the kinds
    python tests/fuzz --only step --case 31      one case
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import tempfile
from collections.abc import Iterator

from driver import KINDS, Case, drive

SLICE = 1_000_000
"""What a seed is multiplied by to give the number of its first case."""


def cases(kinds: list[str], seed: int, *, endless: bool) -> Iterator[Case]:
    """Yield the cases of a slice, the kinds mixed; without an end, those of the seeds after it, too."""
    for slice_seed in itertools.count(seed) if endless else [seed]:
        places = (
            (index / KINDS[kind].cases, kind, index) for kind in kinds for index in range(KINDS[kind].cases)
        )
        for _, kind, index in sorted(places):
            yield Case(kind, slice_seed * SLICE + index)


def kinds_of(words: str) -> list[str]:
    """Return the kinds that the command line names."""
    kinds = words.split(",")
    if unknown := set(kinds) - set(KINDS):
        raise argparse.ArgumentTypeError(
            f"expected some of {', '.join(KINDS)}, got {', '.join(sorted(unknown))}"
        )
    return kinds


def main() -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python tests/fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, help="go on with further slices for so long")
    parser.add_argument("--seed", type=int, default=0, help="the slice to begin with")
    parser.add_argument("--only", type=kinds_of, default=list(KINDS), help=f"some of {','.join(KINDS)}")
    parser.add_argument("--case", type=int, help="the number of one case, which --only names the kind of")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="cases at a time")
    options = parser.parse_args()
    if options.case is None:
        chosen = cases(options.only, options.seed, endless=options.minutes is not None)
    elif len(options.only) == 1:
        chosen = iter([Case(options.only[0], options.case)])
    else:
        parser.error("--case: expected together with --only and one kind")
    with tempfile.TemporaryDirectory(prefix="fuzz-", ignore_cleanup_errors=True) as folder:
        os.environ["TMPDIR"] = folder  # for the processes of the cases, which are killed
        return drive(chosen, jobs=options.jobs, seconds=options.minutes and 60.0 * options.minutes)


if __name__ == "__main__":
    sys.exit(main())
