"""Learning runs: any row of the suites, any seed, or a row of one's own, by the shipped trainer.

    python benchmarks/learning.py paper Hopper-v5 rbf --seeds 0 1 2    one row of tables 1 and 2
    python benchmarks/learning.py paper Hopper-v5                      its three policies, the suite's seeds
    python benchmarks/learning.py million                              a whole suite
    python benchmarks/learning.py paper --list                         what there is, and what has been run
    python benchmarks/learning.py CartPole-v1 --policy linear --target 475 --steps 100000 --seeds 0 1 2 3 4

The rows are in benchmarks/suites/rows.py; for a row of one's own, what follows `--` is passed to `fastfisher
train`.  Each seed is one `fastfisher train` process, one after the other, in benchmarks/runs: interrupted, by
Ctrl-C or kill -9, it is resumed to the same bits by the same command.  Then the final checkpoint plays
episodes that training never saw, and benchmarks/results/learning has the outcome.  A seed whose results are
there is not run again, and one of another config is refused; --again trains it anew, and the old results
stay until the new ones are there.  Interrupted, that goes on by the same command without --again.

Two of these commands may run side by side, with --workers 1: a seed that the other works on is left to it.
`python benchmarks/documents.py` makes the tables and figures.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from suites import training
from suites.results import RESULTS, RUNS, Record, Seed
from suites.rows import OWN, POLICIES, SUITES, Row, rows_of

from fastfisher.training.rollouts.cores import usable_cores


def parser() -> argparse.ArgumentParser:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("what", help=f"a suite ({', '.join(SUITES)}), or the environment of a row of your own")
    words.add_argument("env", nargs="?", help="of a suite: rows of this environment alone")
    words.add_argument("suite_policy", nargs="?", metavar="policy", help="of a suite: rows of this policy")
    words.add_argument("--seeds", type=int, nargs="+", help="default: the suite's; 0 for a row of your own")
    words.add_argument("--workers", type=int, help="rollout processes and threads; default: one a core")
    words.add_argument("--episodes", type=int, default=50, help="of the evaluation, of each kind")
    words.add_argument("--again", action="store_true", help="train the seeds anew")
    words.add_argument("--list", action="store_true", help="print the rows and how far they are")
    own = words.add_argument_group("a row of your own")
    own.add_argument("--steps", type=int, help="environment steps")
    own.add_argument("--policy", choices=POLICIES, help="default: linear")
    own.add_argument(
        "--target", type=float, help="mean return of a batch, sampled actions, to count steps to"
    )
    own.add_argument("--label", help="tells rows of one environment and policy apart")
    places = words.add_argument_group("places")
    places.add_argument("--runs", type=Path, default=RUNS)
    places.add_argument("--results", type=Path, default=RESULTS)
    return words


def chosen_rows(options: argparse.Namespace, flags: Sequence[str]) -> list[Row]:
    """Return what the command line asks for.

    Raises
    ------
    ValueError
        Where there is no such row.
    """
    if options.what in SUITES:
        if flags:
            raise ValueError(f"flags: expected none for a row of a suite, got {shlex.join(flags)}")
        for name in ("steps", "policy", "target", "label"):
            if (value := getattr(options, name)) is not None:
                raise ValueError(f"--{name}: expected for a row of your own alone, got {value} for a suite's")
        return rows_of(options.what, options.env, options.suite_policy)
    if options.env is not None:
        raise ValueError(f"suite: expected one of {', '.join(SUITES)}, got {options.what}")
    if options.steps is None:
        raise ValueError("--steps: expected for a row of your own")
    policy, label = options.policy or "linear", options.label or ""
    return [Row(OWN, options.what, policy, options.steps, (0,), shlex.join(flags), options.target, label)]


def sentence(job: Seed, record: Record) -> str:
    """Return what a seed came to."""
    evaluation = record["evaluation"]
    parts = [
        f"{job}: sampled {evaluation['sampled']['mean']:,.1f}",
        f"mean policy {evaluation['mean_policy']['mean']:,.1f}",
        f"{record['steps']:,} steps in {record['seconds']:,.0f} s",
    ]
    if record["threshold"] is not None:
        episodes = record["episodes_to_threshold"]
        reached = "not reached" if episodes is None else f"after {episodes:,} episodes"
        parts.append(f"{record['threshold']:g} {reached}")
    return ", ".join(parts)


def main(words: Sequence[str] | None = None) -> int:
    """Run the seeds; exit status 1 where one failed, 2 where one was refused."""
    given = list(sys.argv[1:] if words is None else words)
    cut = given.index("--") if "--" in given else len(given)
    commands = parser()
    options = commands.parse_args(given[:cut])
    for name in ("workers", "episodes", "steps"):
        if getattr(options, name) is not None and getattr(options, name) < 1:
            commands.error(f"--{name}: expected at least 1, got {getattr(options, name)}")
    try:
        rows = chosen_rows(options, given[cut + 1 :])
    except ValueError as error:
        commands.error(str(error))
    jobs = [
        Seed(row, seed, options.runs.resolve(), options.results.resolve())
        for row in rows
        for seed in options.seeds or row.seeds
    ]
    if options.list:
        for job in jobs:
            print(f"{job!s:<40} {job.row.steps:>11,} steps  {training.state(job)}")
        return 0
    code = 0
    for job in jobs:
        settings = training.Settings(
            cores=options.workers or usable_cores(),
            episodes=options.episodes,
            again=options.again,
            export=job.seed == job.row.seeds[0],
        )
        try:
            record = training.run(job, settings)
        except training.RefusedError as error:
            print(error, file=sys.stderr)
            code = code or 2
        except training.FailedError as error:
            print(error, file=sys.stderr)
            code = 1
        except ValueError as error:
            print(f"{job}: {error}", file=sys.stderr)
            code = 1
        else:
            print(f"{job}: another process is at it" if record is None else sentence(job, record), flush=True)
    return code


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("stopped; the same command, without --again, goes on from here", file=sys.stderr)
        sys.exit(130)
