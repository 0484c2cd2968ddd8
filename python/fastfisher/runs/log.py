"""The logs of a run, a row an iteration: CSV, JSON lines and TensorBoard events."""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..training.iteration import IterationInfo
from ..training.whole_files import replacing
from .folder import PROGRESS, PROGRESS_LINES

_LONGEST_LINES = 1 << 16
"""The bytes at the end of ``progress.jsonl`` that hold its last line."""


class ProgressLog:
    """``progress.csv``, ``progress.jsonl`` and TensorBoard events, a row an iteration.

    Rows after the ``iteration`` of the checkpoint, 0 for a new run, are cut off: a killed run wrote them, and
    writes them again.
    """

    def __init__(self, path: Path, iteration: int = 0) -> None:
        self._csv_path, self._lines_path = path / PROGRESS, path / PROGRESS_LINES
        steps = self._cut(iteration)
        self._csv_file = self._csv_path.open("a", encoding="utf-8", newline="")
        self._csv = csv.writer(self._csv_file, lineterminator="\n")
        self._lines = self._lines_path.open("a", encoding="utf-8")
        self._events = Events(path, iteration, steps)

    def _cut(self, iteration: int) -> int:
        """Keep the rows of the first ``iteration`` iterations; return the last kept one's steps."""
        # A run that begins reads nothing: whatever is there goes.
        header, *rows = (_whole_lines(self._csv_path) if iteration else []) or [""]
        lines = _whole_lines(self._lines_path) if iteration else []
        kept = [row for row in rows if _leading_integer(row, 0) <= iteration]
        counted = [line for line in lines if json.loads(line)["iteration"] <= iteration]
        # The header goes, too, where no row is left: it is written with the first row.
        for path, text in ((self._csv_path, [header, *kept] if kept else []), (self._lines_path, counted)):
            with replacing(path) as temporary:
                temporary.write_text("".join(text), "utf-8", newline="")
        return _leading_integer(kept[-1], 1) if kept else 0

    def append(self, info: IterationInfo) -> None:
        """Write one iteration; it reaches the operating system now and the disk by :meth:`sync`."""
        row = {name: _plain(value) for name, value in info.as_row().items()}
        if self._csv_file.tell() == 0:
            self._csv.writerow(row)
        self._csv.writerow(row.values())
        self._csv_file.flush()
        # JSON has no NaN: a number that does not exist is null.
        missing_as_null = {
            k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()
        }
        self._lines.write(json.dumps(missing_as_null) + "\n")
        self._lines.flush()
        self._events.append(row)

    def sync(self) -> None:
        """Put every row on the disk; to be called before the checkpoint that counts them."""
        for file in (self._csv_file, self._lines):
            file.flush()
            os.fsync(file.fileno())

    def close(self) -> None:
        """Write what is buffered and close the files."""
        self.sync()
        self._csv_file.close()
        self._lines.close()
        self._events.close()


def last_iteration(path: Path) -> IterationInfo | None:
    """Return the last iteration that a run folder's ``progress.jsonl`` has whole, or None.

    It reads the file's end alone, so that a run that another process trains can be watched.
    """
    try:
        with (path / PROGRESS_LINES).open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _LONGEST_LINES))
            lines = file.read().split(b"\n")[:-1]
    except FileNotFoundError:
        return None
    if not lines:
        return None
    row: dict[str, Any] = json.loads(lines[-1])
    notes = row.pop("notes")
    numbers: dict[str, Any] = {name: math.nan if value is None else value for name, value in row.items()}
    return IterationInfo(**numbers, notes=tuple(notes.split(" | ")) if notes else ())


def _whole_lines(path: Path) -> list[str]:
    """Return the lines of a file, if there is one, without a last one that a killed run has cut short."""
    lines = path.read_text("utf-8").splitlines(keepends=True) if path.exists() else []
    return [line for line in lines if line.endswith("\n")]


def _leading_integer(row: str, column: int) -> int:
    return int(row.split(",", column + 1)[column])


def _plain(value: Any) -> Any:
    """Turn NumPy scalars into Python's, whose ``str`` is the shortest text that reads back the same."""
    return value.item() if hasattr(value, "item") else value


_EVENT_GROUPS = {
    "return": "return", "evaluation": "evaluation",
    "kl": "step", "improvement": "step",
    "seconds": "time", "steps": "time",
}  # fmt: skip


def _event_tag(name: str) -> str:
    """Group TensorBoard's charts: returns, the natural step, time, and the rest."""
    return f"{_EVENT_GROUPS.get(name.split('_')[0], 'train')}/{name}"


class Events:
    """TensorBoard events, one an iteration with all its scalars.

    tensorboardX's ``SummaryWriter`` makes an event of each scalar, which costs ten times as much.  The run
    stands at ``iteration`` and ``steps``; TensorBoard hides what a killed run wrote beyond.
    """

    def __init__(self, path: Path, iteration: int, steps: int) -> None:
        from tensorboardX import FileWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog
        from tensorboardX.proto.summary_pb2 import Summary

        self._summary = Summary
        # The name holds the second; without the suffix, a quick resume would overwrite the file.
        suffix = f".{iteration}" if iteration else ""
        self._writer = FileWriter(str(path), flush_secs=10, filename_suffix=suffix)
        if iteration:
            self._writer.add_event(Event(session_log=SessionLog(status=SessionLog.START)), steps + 1)

    def append(self, row: Mapping[str, Any]) -> None:
        """Write the finite numbers of a row of ``progress.csv``."""
        scalars = [
            self._summary.Value(tag=_event_tag(name), simple_value=value)
            for name, value in row.items()
            if name != "steps" and isinstance(value, (int, float)) and math.isfinite(value)
        ]
        self._writer.add_summary(self._summary(value=scalars), row["steps"])

    def close(self) -> None:
        """Write what is buffered and close the file."""
        self._writer.close()
