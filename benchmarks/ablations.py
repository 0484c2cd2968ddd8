"""What matters: one factor at a time, changed from the preset of a task and a policy.

    python benchmarks/ablations.py HalfCheetah-v5 linear                every factor, seeds 0 1 2
    python benchmarks/ablations.py Hopper-v5 mlp --factors damping max_kl --seeds 3 4 --steps 1000000
    python benchmarks/ablations.py Hopper-v5 mlp --list                 the variants, and what is recorded

The factors are in benchmarks/suites/factors.py.  The task's preset is run once a seed, as `preset`, and a
variant that is the preset's own value is not run again.  Results go to benchmarks/results/ablations, a file a
task; what is recorded there is not run again, and a run that was interrupted begins anew.

Commands may run side by side, of the same task, too, with --workers 1: they take turns to write, and a
run that another works on is left to it.  `python benchmarks/documents.py` makes the tables and figures.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from suites import ablation
from suites.factors import NAMES, Planned, plan
from suites.results import RUNS, Record
from suites.rows import POLICIES
from suites.training import RefusedError

from fastfisher.training import UserError
from fastfisher.training.rollouts.cores import usable_cores


def parser() -> argparse.ArgumentParser:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("env", help="gymnasium id")
    words.add_argument("policy", choices=POLICIES)
    words.add_argument("--factors", nargs="+", default=NAMES, metavar="FACTOR", help=f"of {', '.join(NAMES)}")
    words.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    words.add_argument("--steps", type=int, default=500_000, help="environment steps of each run")
    words.add_argument("--workers", type=int, help="rollout processes and threads; default: one a core")
    words.add_argument("--list", action="store_true", help="print the variants and which seeds are recorded")
    places = words.add_argument_group("places")
    places.add_argument("--results", type=Path, default=ablation.RESULTS)
    places.add_argument("--locks", type=Path, default=RUNS / "ablations")
    return words


def sentence(planned: Planned, seed: int, record: Record) -> str:
    """Return what a run came to."""
    return (
        f"{planned.factor}, {planned.label}, seed {seed}: last tenth {record['return_last_tenth']:,.1f}, "
        f"mean policy {record['mean_policy_return']:,.1f}, {record['seconds']:,.0f} s"
    )


def main(words: Sequence[str] | None = None) -> int:
    """Run what is missing; exit status 1 where a run failed, 2 where the file is another preset's."""
    commands = parser()
    options = commands.parse_args(words)
    for name in ("workers", "steps"):
        if getattr(options, name) is not None and getattr(options, name) < 1:
            commands.error(f"--{name}: expected at least 1, got {getattr(options, name)}")
    try:
        base = ablation.base_config(options.env, options.policy, options.steps)
        variants, refused = plan(base, options.factors)
    except (UserError, ValueError) as error:
        commands.error(str(error))
    task = ablation.Task(base, options.results.resolve(), options.locks.resolve())
    for reason in refused:
        print(f"left out: {reason}", file=sys.stderr)
    try:
        if options.list:
            for planned in variants:
                seeds = [str(s) for s in options.seeds if ablation.recorded(task, planned, s) is not None]
                print(f"{planned.factor:<24}{planned.label:<32}{' '.join(seeds) or '-'}")
            return 0
        return _run_all(task, variants, options.seeds, options.workers or usable_cores())
    except RefusedError as error:
        print(error, file=sys.stderr)
        return 2


def _run_all(task: ablation.Task, variants: Sequence[Planned], seeds: Sequence[int], workers: int) -> int:
    """Run every variant of a seed before the next seed, so that a table begun is a table with every line."""
    code = 0
    for seed in seeds:
        for planned in variants:
            try:
                record = ablation.run(task, planned, seed, workers)
            except (UserError, ValueError, ArithmeticError) as error:
                print(f"{planned.factor}, {planned.label}, seed {seed}: {error}", file=sys.stderr)
                code = 1
                continue
            if record is None:
                print(f"{planned.factor}, {planned.label}, seed {seed}: another process is at it", flush=True)
            else:
                print(sentence(planned, seed, record), flush=True)
    return code


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        sys.exit(130)
