"""Kill a training run with SIGKILL at random moments, resume it each time, and compare the final bits.

    python benchmarks/kill_resume.py                 kills 0 to 49, about three seconds each
    python benchmarks/kill_resume.py --kills 10      the next ten that the results do not have yet
    python benchmarks/kill_resume.py --again         begins anew instead

One run is left alone.  Each of the others is killed at a moment drawn evenly from the time up to that run's
last checkpoint, its worker processes are left to find out for themselves, and it is resumed to the end.
Compared with the run left alone: every array of the final checkpoint (parameters, baseline, observation
statistics) and its counters, and progress.csv without its wall-clock columns.  Exit status 1 where anything
differs.  Results that are there are added to where commit, machine and command are the same.

Each process is a fork of this one, which has done the slow imports and nothing else: what is killed is
`fastfisher train`, but without the two seconds that Python takes to load it.
"""

from __future__ import annotations

import argparse
import csv
import gc
import json
import os
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import matplotlib.backends.backend_agg
import matplotlib.figure  # noqa: F401
import numpy as np
import tensorboardX  # noqa: F401
from versus import record
from versus.options import positive

import fastfisher
import fastfisher.training.agent
from fastfisher.cli import main as command
from fastfisher.training.checkpoint import read_checkpoint
from fastfisher.training.errors import UserError

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "kill-resume.json"
TRAIN = ("train", "Pendulum-v1", "--policy", "mlp", "--batch-steps", "600", "--workers", "2")
FLAGS = (*TRAIN, "--checkpoint-every", "3", "--quiet")


@dataclass(frozen=True)
class Kill:
    """One run that was killed and resumed."""

    index: int
    seconds: float
    """The time from the start of the process to the kill."""
    logged: int
    """Iterations in progress.csv when it was killed, a cut last line not counted."""
    checkpoint: int
    """Iteration of the checkpoint from which it was resumed; 0: none."""
    parameters_equal: bool
    progress_equal: bool


def start(*words: str) -> int:
    """Run the command line in a fork; return its process id."""
    process = os.fork()
    if process:
        return process
    code = 70
    try:
        code = command(words)
    finally:
        os._exit(code)


def wait(process: int) -> int:
    """Wait for a process; return its exit code, negative for the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def checkpoint_iteration(folder: Path) -> int:
    """Return the iteration of the newest checkpoint, 0 where there is none."""
    try:
        return int(read_checkpoint(folder / "checkpoint.zip")[0]["counters"]["iteration"])
    except FileNotFoundError:
        return 0


def rows(folder: Path) -> list[dict[str, str]]:
    """Return the cells of progress.csv that are a function of the seed."""
    with (folder / "progress.csv").open(newline="", encoding="utf-8") as file:
        return [
            {k: v for k, v in row.items() if not k.startswith(("seconds", "steps_per_second"))}
            for row in csv.DictReader(file)
        ]


def state(folder: Path) -> dict[str, object]:
    """Return the final checkpoint as bytes by name, and its counters."""
    header, arrays = read_checkpoint(folder / "checkpoint.zip")
    return {"counters": header["counters"]} | {
        name: (array.dtype.str, array.shape, array.tobytes()) for name, array in arrays.items()
    }


def kill_and_resume(index: int, flags: Sequence[str], whole: Path, duration: float, scratch: Path) -> Kill:
    """Run kill number ``index``; its moment is a function of the index and the duration."""
    folder = scratch / f"kill{index}"
    moment = float(np.random.default_rng([2026, index]).uniform(0.0, duration))
    begin = time.monotonic()
    process = start(*flags, "--out", str(folder))
    time.sleep(moment)
    os.kill(process, signal.SIGKILL)
    seconds = time.monotonic() - begin
    wait(process)
    progress = folder / "progress.csv"
    logged = max(0, progress.read_bytes().count(b"\n") - 1) if progress.exists() else 0
    checkpoint = checkpoint_iteration(folder)
    # Killed before the folder had a config, there is nothing to resume, and the command says so: start again.
    resume = ["--resume"] if (folder / "config.json").exists() else []
    code = wait(start(*flags, "--out", str(folder), *resume))
    if code:
        raise SystemExit(f"kill {index}: resuming {folder} ended with exit code {code}")
    try:
        equal = state(folder) == state(whole)
    except UserError as error:
        raise SystemExit(f"kill {index}: {error}") from error
    result = Kill(index, round(seconds, 3), logged, checkpoint, equal, rows(folder) == rows(whole))
    if equal and result.progress_equal:
        shutil.rmtree(folder)
    return result


def header(flags: Sequence[str]) -> dict[str, Any]:
    """Return what a reader needs to judge or repeat the result."""
    return {
        "commit": record.commit(),
        **fastfisher.show_config(),
        "command": shlex.join(("fastfisher", *flags)),
    }


def earlier_kills(path: Path, head: dict[str, Any]) -> list[Kill]:
    """Return the kills that are there already.

    Raises
    ------
    UserError
        Where they are another code's, machine's or command's.
    """
    if not path.exists():
        return []
    content = json.loads(path.read_text("utf-8"))
    now = json.loads(json.dumps(head))
    differing = [
        f"{name} ({content.get(name)} there, {value} now)"
        for name, value in now.items()
        if content.get(name) != value
    ]
    if differing:
        raise UserError(
            f"{path} has kills of another {', another '.join(differing)}: begin anew with --again, "
            "or choose another --out"
        )
    return [Kill(**kill) for kill in content["kills"]]


def main() -> int:
    """Run the kills that the results lack; exit status 1 where a run came out different."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=positive, default=50, help="how many now")
    parser.add_argument("--out", type=Path, default=RESULTS, help="results, to which the kills are added")
    parser.add_argument("--steps", type=positive, default=30_000, help="environment steps of a run")
    parser.add_argument("--again", action="store_true", help="replace the results instead of adding to them")
    options = parser.parse_args()
    flags = (*FLAGS, "--steps", str(options.steps))

    head = header(flags)
    try:
        kills = [] if options.again else earlier_kills(options.out, head)
    except UserError as error:
        parser.error(str(error))
    gc.freeze()  # the forks collect nothing of this process's
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        begin = time.time()
        if code := wait(start(*flags, "--out", str(scratch / "whole"))):
            raise SystemExit(f"the undisturbed run ended with exit code {code}")
        duration = (scratch / "whole" / "checkpoint.zip").stat().st_mtime - begin
        print(f"undisturbed: {len(rows(scratch / 'whole'))} iterations in {duration:.1f} s\n")
        print("kill  at second  logged  checkpoint  parameters  progress.csv")
        first = len(kills)
        for index in range(first, first + options.kills):
            kill = kill_and_resume(index, flags, scratch / "whole", duration, scratch)
            kills.append(kill)
            words = [
                "equal" if equal else "DIFFERS" for equal in (kill.parameters_equal, kill.progress_equal)
            ]
            print(
                f"{kill.index:>4}  {kill.seconds:>9.2f}  {kill.logged:>6}  {kill.checkpoint:>10}  "
                f"{words[0]:>10}  {words[1]:>12}",
                flush=True,
            )
            equal = sum(kill.parameters_equal and kill.progress_equal for kill in kills)
            content = {
                **head,
                "equal": equal,
                "of": len(kills),
                "kills": [asdict(kill) for kill in kills],
            }
            record.write_json(options.out, content)
    print(f"\n{equal} of {len(kills)} resumed runs end with the bits of the run left alone")
    return 0 if equal == len(kills) else 1


if __name__ == "__main__":
    sys.exit(main())
