"""Does the default solver get where the best one gets?  Systems that break a solver, drawn at random.

    python benchmarks/ladder.py [--shapes 200] [--seed 0]

Every shape is tried with scores of eight kinds (duplicate and dependent rows and columns, graded columns),
dampings from 0 to 1e-8, each precision, and memory limits that forbid one matrix or another, or double
precision.  The default holds where its residual is within ten times the best explicit solver's under the
same limit, or of what was asked for (1e-8; 1e-4 in single precision, whose factor is not refined), or where
it says that its direction is "not to be trusted".
Writes benchmarks/results/ladder.json and prints a table; other shapes than the default go to an --out.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from versus import record
from versus.options import destination, positive

import fastfisher as ff

RESULTS = Path(__file__).resolve().parent / "results" / "ladder.json"
SHAPES = 200
DAMPINGS = (0.0, 1e-20, 1e-14, 1e-12, 1e-10, 1e-8)
PRECISIONS = ("auto", "single", "double", "mixed")
EXPLICIT = ("cholesky", "gram", "cg", "lsmr")
FACTOR = 10.0

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Case:
    """A system, and how it is to be solved."""

    kind: str
    scores: Array
    options: dict[str, Any]

    @property
    def asked(self) -> float:
        """The residual that is good enough whatever other solvers reach."""
        return 1e-4 if self.options["precision"] == "single" else 1e-8

    def __str__(self) -> str:
        words = {k: v for k, v in self.options.items() if np.ndim(v) == 0}
        given = "gradient" if "gradient" in self.options else "advantages"
        return f"{self.kind}, {self.scores.shape[0]} x {self.scores.shape[1]}, {given}, {words}"


def of_every_kind(rng: np.random.Generator, n: int, d: int) -> Iterator[tuple[str, Array]]:
    """Yield scores, (n, d), of each kind with its name."""
    base = rng.standard_normal((n, d))
    half_rows, half_columns, rank = (n + 1) // 2, (d + 1) // 2, max(1, min(n, d) // 3)
    yield "plain", base
    yield "rows twice", np.vstack([base[:half_rows]] * 2)[:n]
    yield "columns twice", np.hstack([base[:, :half_columns]] * 2)[:, :d]
    yield "graded", base * np.logspace(0, -4, d)
    yield "steeply graded", base * np.logspace(0, -8, d)
    yield "rows twice, graded", np.vstack([base[:half_rows] * np.logspace(0, -4, d)] * 2)[:n]
    yield "low rank", rng.standard_normal((n, rank)) @ rng.standard_normal((rank, d))
    graded = rng.standard_normal((n, rank)) * np.logspace(0, -5, rank)
    yield "low rank, graded", graded @ rng.standard_normal((rank, d))


def cases(seed: int, shape: int, largest: int) -> Iterator[Case]:
    """Yield the cases of one shape, up to `largest` rows and columns."""
    rng = np.random.default_rng([seed, shape])
    n, d = (int(size) for size in np.exp(rng.uniform(np.log(3), np.log(largest), 2)))
    smaller = min(n, d) ** 2
    limits = (None, None, 8.0 * n * n - 1, 8.0 * d * d - 1, 6.0 * smaller, 3.0 * smaller)
    for kind, scores in of_every_kind(rng, n, d):
        given = (
            {"gradient": rng.standard_normal(d)}
            if rng.random() < 0.3
            else {"advantages": rng.standard_normal(n)}
        )
        options = {
            "damping": float(rng.choice(DAMPINGS)),
            "precision": str(rng.choice(PRECISIONS)),
            "memory_limit": limits[rng.integers(len(limits))],
        }
        yield Case(kind, scores, {**given, **options})


def residual_of(case: Case, solver: str) -> float:
    """Return what an explicit solver reaches; infinity where it refuses."""
    try:
        return ff.natural_step(case.scores, solver=solver, **case.options).residual
    except (np.linalg.LinAlgError, MemoryError, ValueError):  # no factor; no room; no damping to divide g by
        return float("inf")


@dataclass(frozen=True)
class Judgement:
    """How the default did on a case."""

    residual: float
    best: float
    said: bool
    holds: bool
    solver: str
    seconds: float


def judge(case: Case) -> Judgement:
    """Solve by the default and by every explicit solver."""
    began = time.perf_counter()
    result = ff.natural_step(case.scores, **case.options)
    seconds = time.perf_counter() - began
    best = min(residual_of(case, solver) for solver in EXPLICIT)
    said = any(event.code == "untrusted" for event in result.events)
    holds = said or result.residual <= FACTOR * max(best, case.asked)
    return Judgement(result.residual, best, said, holds, result.solver, seconds)


def main() -> None:
    """Judge all cases, keep, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shapes", type=positive, default=SHAPES)
    parser.add_argument(
        "--largest", type=positive, default=700, help="rows and columns at most (default: 700)"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="default benchmarks/results/ladder.json")
    options = parser.parse_args()
    less = {
        "--shapes": options.shapes != SHAPES,
        "--largest": options.largest != 700,
        "--seed": options.seed != 0,
    }
    out = destination(parser, options.out, RESULTS, less)
    counts: dict[str, collections.Counter[str]] = {}
    broken = []
    slowest = 0.0
    for shape in range(options.shapes):
        for case in cases(options.seed, shape, options.largest):
            judgement = judge(case)
            slowest = max(slowest, judgement.seconds)
            better_known = judgement.said and judgement.residual > FACTOR * max(judgement.best, case.asked)
            outcome = (
                "broken" if not judgement.holds
                else "said, and another solver did better" if better_known
                else "said, and no solver did better" if judgement.said
                else "held"
            )  # fmt: skip
            counts.setdefault(case.kind, collections.Counter())[outcome] += 1
            if not judgement.holds:
                broken.append({"case": str(case), **dataclasses.asdict(judgement)})
    content = {
        "command": record.command(),
        "commit": record.commit(),
        **ff.show_config(),
        "shapes": options.shapes,
        "slowest_seconds": round(slowest, 2),
        "broken": broken,
        "results": [{"kind": kind, **dict(sorted(counts[kind].items()))} for kind in counts],
    }
    record.write_json(out, content)
    for kind, found in counts.items():
        print(f"{kind:<20}", ", ".join(f"{number} {outcome}" for outcome, number in sorted(found.items())))
    print(
        *(f"broken: {one['case']}: {one['residual']:.1e}, best {one['best']:.1e}" for one in broken), sep="\n"
    )


if __name__ == "__main__":
    main()
