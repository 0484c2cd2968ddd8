"""What the tests of the command line share: a small CartPole run, and when two runs are the same."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from fastfisher.training.checkpoint import read_checkpoint

SMALL = ("--batch-steps", "400", "--checkpoint-every", "2", "--workers", "1")


@dataclass(frozen=True)
class Result:
    """What a command left behind."""

    code: int
    out: str
    err: str


Run = Callable[..., Result]


def descendants(process: int) -> list[int]:
    """Return the processes that a process started, and those that they did; Linux alone tells."""
    children = map(int, Path(f"/proc/{process}/task/{process}/children").read_text().split())
    return [one for child in children for one in (child, *descendants(child))]


needs_descendants = pytest.mark.skipif(
    not Path(f"/proc/self/task/{os.getpid()}/children").exists(), reason="needs Linux's list of children"
)


def repeatable_rows(folder: Path) -> list[dict[str, str]]:
    """Return the cells of progress.csv that are a function of the seed."""
    with (folder / "progress.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [
        {k: v for k, v in row.items() if not k.startswith(("seconds", "steps_per_second"))} for row in rows
    ]


def assert_same_run(folder: Path, reference: Path) -> None:
    """Compare the logs as text and the final states bit by bit."""
    assert repeatable_rows(folder) == repeatable_rows(reference)
    lines = [len((f / "progress.jsonl").read_text().splitlines()) for f in (folder, reference)]
    assert lines[0] == lines[1] == len(repeatable_rows(reference))
    (header, arrays), (header0, arrays0) = (
        read_checkpoint(f / "checkpoint.zip") for f in (folder, reference)
    )
    assert header["counters"] == header0["counters"]
    assert arrays.keys() == arrays0.keys()
    for name, array in arrays.items():
        assert (array.dtype, array.shape) == (arrays0[name].dtype, arrays0[name].shape), name
        assert array.tobytes() == arrays0[name].tobytes(), name
