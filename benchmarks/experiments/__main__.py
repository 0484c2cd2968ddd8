"""Experiments with trained policies.

    python benchmarks/experiments NAME ...         NAME --help has the rest

gallery         what do the policies look like?  A filmstrip of each, and docs/results/gallery.md
climb           how much better can a trained policy's weights be?
perturbation    does a policy recover from a push?
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

# The modules import `suites` and `versus` from there, and Python searches only the folder that it runs.
BENCHMARKS = Path(__file__).resolve().parents[1]
NAMES = ("gallery", "climb", "perturbation")


def main(words: list[str]) -> int:
    """Run an experiment; exit status 2 where there is none of that name."""
    if words[:1] in (["-h"], ["--help"]):
        print(__doc__)
        return 0
    if not words or words[0] not in NAMES:
        got = words[0] if words else "nothing"
        print(f"experiment: expected one of {', '.join(NAMES)}, got {got}", file=sys.stderr)
        return 2
    sys.path.insert(0, str(BENCHMARKS))
    code: int = import_module(f"experiments.{words[0]}").main(words[1:])
    return code


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
