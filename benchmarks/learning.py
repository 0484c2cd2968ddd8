"""Learning bars: does the shipped command reach a return, in how many steps, and where does the time go?

    python benchmarks/learning.py HalfCheetah-v5 --target 3810 --steps 2500000 --seeds 0 1 2
    python benchmarks/learning.py CartPole-v1 --target 475 --steps 100000 --seeds 0 1 2 3 4

Each seed is one `fastfisher train` process, one after the other, timed from start to end.  The learning
curves and a summary go to benchmarks/results/<env>-<policy>/ with the command, commit, versions and machine.
What follows `--` is passed to `fastfisher train`.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import fastfisher

ROOT = Path(__file__).resolve().parent.parent
KEPT_COLUMNS = (
    "iteration",
    "steps",
    "episodes",
    "return_mean",
    "return_std",
    "kl_achieved",
    "residual",
    "std",
)


def train(env: str, steps: int, seed: int, flags: list[str], folder: Path) -> tuple[list[str], float]:
    """Run one training process; return its command and its wall time in seconds."""
    arguments = ["train", env, "--steps", str(steps), "--seed", str(seed), *flags]
    command = [sys.executable, "-m", "fastfisher", *arguments, "--out", str(folder), "--quiet"]
    start = time.perf_counter()
    subprocess.run(command, check=True)
    return ["fastfisher", *arguments], time.perf_counter() - start


def summarise(rows: list[dict[str, str]], target: float, seconds: float) -> dict[str, object]:
    """Work out the bars of one run from its progress.csv."""
    reached = next((int(row["steps"]) for row in rows if float(row["return_mean"]) >= target), None)
    tail = rows[-max(1, len(rows) // 10) :]
    in_step = sum(float(row["seconds_env_step"]) for row in rows)
    in_loop = sum(float(row["seconds"]) for row in rows)
    return {
        "steps": int(rows[-1]["steps"]),
        "first_batch_at_target_steps": reached,
        "mean_return_of_last_tenth": round(sum(float(row["return_mean"]) for row in tail) / len(tail), 1),
        "seconds_whole_process": round(seconds, 1),
        "seconds_iterations": round(in_loop, 1),
        "seconds_env_step": round(in_step, 1),
        "share_outside_env_step": round(1.0 - in_step / in_loop, 4),
    }


def environment_record() -> dict[str, object]:
    """Return what a reader needs to judge or repeat the numbers."""
    import gymnasium

    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    record = {"commit": commit.stdout.strip(), **fastfisher.show_config(), "gymnasium": gymnasium.__version__}
    try:
        import mujoco

        record["mujoco"] = mujoco.__version__
    except ImportError:
        pass
    return record


def keep_curve(rows: list[dict[str, str]], path: Path) -> None:
    """Write the columns that a plot needs, nothing that depends on the clock."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, KEPT_COLUMNS, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def main() -> int:
    """Run the seeds and write the results; exit status 1 where a seed missed the target."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("env")
    parser.add_argument("--target", type=float, required=True, help="mean stochastic return of a batch")
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--policy", default="linear")
    parser.add_argument("flags", nargs="*", help="after --: further flags of fastfisher train")
    options = parser.parse_args()

    results = ROOT / "benchmarks" / "results" / f"{options.env}-{options.policy}"
    results.mkdir(parents=True, exist_ok=True)
    record: dict[str, object] = {"target": options.target, **environment_record(), "seeds": {}}
    runs: dict[str, object] = {}
    for seed in options.seeds:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "run"
            flags = ["--policy", options.policy, *options.flags]
            command, seconds = train(options.env, options.steps, seed, flags, folder)
            with (folder / "progress.csv").open(newline="", encoding="utf-8") as file:
                rows = [row for row in csv.DictReader(file) if not math.isnan(float(row["return_mean"]))]
            runs[str(seed)] = {"command": " ".join(command), **summarise(rows, options.target, seconds)}
            keep_curve(rows, results / f"seed{seed}.csv")
            shutil.copy(folder / "curve.png", results / f"seed{seed}.png")
            shutil.copy(folder / "config.json", results / "config.json")
        print(json.dumps({"seed": seed, **runs[str(seed)]}), flush=True)  # type: ignore[dict-item]
        record["seeds"] = runs
        (results / "summary.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    missed = [s for s, run in runs.items() if run["first_batch_at_target_steps"] is None]  # type: ignore[index]
    print(f"{len(runs) - len(missed)} of {len(runs)} seeds reached {options.target:g}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
