"""Generic defaults: does `fastfisher train ENV`, without a flag, solve seven tasks that have no preset?

    python benchmarks/defaults.py                              # seven tasks, seeds 0 to 4
    python benchmarks/defaults.py --only Reacher-v5 --seeds 0 1 --workers 1

A run ends with the first batch whose mean return, of sampled actions, is at least the target, or after a
million steps; then the mean policy plays 20 episodes of seeds that training never sees, whether or not the
target was reached.  Rows go to benchmarks/results/defaults.json and .csv as they come, and a row that is
there with the same config is not run again, so the whole can be done in pieces.
"""

from __future__ import annotations

import argparse
import csv
import json
import shlex
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from suites.results import differences
from versus import record

from fastfisher import NPG
from fastfisher.training.presets import preset_of
from fastfisher.training.whole_files import replacing

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "defaults.json"
STEPS = 1_000_000
EPISODES = 20
TARGETS = {
    "CartPole-v1": 475.0,
    "Acrobot-v1": -100.0,
    "Pendulum-v1": -200.0,
    "MountainCarContinuous-v0": 90.0,
    "InvertedPendulum-v5": 950.0,
    "InvertedDoublePendulum-v5": 9_000.0,
    "Reacher-v5": -6.0,
}

Row = dict[str, Any]


def config_of(env: str, seed: int, target: float) -> dict[str, Any]:
    """Return what the shipped command makes of its arguments, less what does not change the result."""
    with NPG(env, seed=seed, steps=STEPS, target_return=target, preset=True) as agent:
        config = agent.config.to_dict()
    return {name: value for name, value in config.items() if name != "workers"}


def same(row: Row, config: dict[str, Any]) -> bool:
    """Whether a row is of this config; the first rows were kept with what they left open."""
    return not differences(row["config"], config)


def run(env: str, seed: int, target: float, workers: int | None) -> Row:
    """Run the shipped command once, evaluate what it made, and return the row.

    Raises
    ------
    SystemExit
        Where the command fails; its own message is on the terminal.
    """
    words = ["train", env, "--seed", str(seed), "--steps", str(STEPS), "--target-return", f"{target:g}"]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "run"
        extra = [] if workers is None else ["--workers", str(workers)]
        command = [sys.executable, "-m", "fastfisher", *words, *extra, "--out", str(folder), "--quiet"]
        start = time.perf_counter()
        code = subprocess.run(command, check=False).returncode
        seconds = time.perf_counter() - start
        if code:
            raise SystemExit(f"{shlex.join(['fastfisher', *words])} ended with exit code {code}")
        with (folder / "progress.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        with NPG.load(folder / "checkpoint.zip") as agent:
            evaluation = agent.evaluate(EPISODES)
    returns = [float(row["return_mean"]) for row in rows]
    reached = [int(row["steps"]) for row, value in zip(rows, returns, strict=True) if value >= target]
    return {
        "env": env,
        "seed": seed,
        "target": target,
        "steps_to_target": reached[0] if reached else None,
        "steps": int(rows[-1]["steps"]),
        "last_return": round(returns[-1], 2),
        "best_return": round(max(value for value in returns if value == value), 2),
        "mean_policy_return": round(evaluation.mean, 2),
        "seconds": round(seconds, 1),
        "command": shlex.join(["fastfisher", *words]),
    }


def circumstances() -> dict[str, str]:
    """Return commit and versions; a row keeps those it was made with."""
    packages = ("fastfisher", "numpy", "gymnasium", "mujoco")
    return {"commit": record.commit(), **{name: version(name) for name in packages}}


def kept() -> list[Row]:
    """Return the rows so far."""
    return json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else []


def keep(row: Row) -> None:
    """Put the row where an older one of its task and seed was."""
    order = list(TARGETS)
    rows = [other for other in kept() if (other["env"], other["seed"]) != (row["env"], row["seed"])] + [row]
    rows.sort(key=lambda row: (order.index(row["env"]), row["seed"]))
    record.write_json(RESULTS, rows)
    with (
        replacing(RESULTS.with_suffix(".csv")) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        names = [name for name in rows[0] if name != "config"]
        writer = csv.DictWriter(file, names, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def main() -> int:
    """Run what is missing; exit status 1 where a task is not solved by four fifths of its seeds."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=list(TARGETS), default=list(TARGETS), metavar="ENV")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--workers", type=int, help="rollout processes; the returns are the same for any")
    options = parser.parse_args()

    failed = []
    for env in options.only:
        if preset_of(env):
            raise SystemExit(f"{env} has a preset: its run would say nothing about the defaults")
        solved = 0
        for seed in options.seeds:
            config = config_of(env, seed, TARGETS[env])
            row = next((r for r in kept() if (r["env"], r["seed"]) == (env, seed) and same(r, config)), None)
            if row is None:
                made = run(env, seed, TARGETS[env], options.workers)
                row = {**made, **circumstances(), "config": config}
                keep(row)
                print({name: value for name, value in made.items() if name != "command"}, flush=True)
            solved += row["steps_to_target"] is not None
        print(f"{env}: {solved} of {len(options.seeds)} seeds", flush=True)
        failed += [env] if solved < 0.8 * len(options.seeds) else []
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
