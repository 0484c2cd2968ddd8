"""The logs of a run, a row an iteration: CSV, JSON lines and TensorBoard events."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import io
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from ..arguments import Bounds, whole
from ..training.errors import UserError
from ..training.iteration import IterationInfo
from ..training.whole_files import replacing
from .events import Events
from .folder import PROGRESS, PROGRESS_LINES, naming

_Row = TypeVar("_Row")
_COLUMNS = [field.name for field in dataclasses.fields(IterationInfo)]
_ESCAPE = "surrogateescape"
"""Bytes that are not UTF-8 stay what they are."""
_LONGEST_LINES = 1 << 16
"""The bytes at the end of ``progress.jsonl`` that hold its last line."""


class ProgressLog:
    """``progress.csv``, ``progress.jsonl`` and TensorBoard events, a row an iteration.

    Rows after the ``iteration`` of the checkpoint, 0 for a new run, are cut off: a killed run wrote them, and
    writes them again.  A file is opened for each row, so that one which somebody saves anew, or deletes,
    meanwhile goes on under its name.
    """

    def __init__(self, path: Path, iteration: int = 0) -> None:
        self._csv_path, self._lines_path = path / PROGRESS, path / PROGRESS_LINES
        self.events = Events(path, iteration, self._cut(iteration))

    def _cut(self, iteration: int) -> int:
        """Keep the rows of the first ``iteration`` iterations; return the last kept one's steps."""
        rows = _until(iteration, _counted(self._csv_path))
        lines = _until(iteration, _counted_lines(self._lines_path))
        unknown = sorted(rows[0].cells.keys() - set(_COLUMNS)) if rows else []
        if unknown:
            raise _unreadable(self._csv_path, 1, f"expected a run's columns alone, got {', '.join(unknown)}")
        # What an older version did not measure stays empty, under a column of its own.
        table = [[row.cells.get(name, "") for name in _COLUMNS] for row in rows]
        # The header goes, too, where no row is left: it is written with the first row.
        for path, text in (
            (self._csv_path, _as_csv([_COLUMNS, *table] if table else [])),
            (self._lines_path, "".join(lines)),
        ):
            with replacing(path) as temporary:
                temporary.write_bytes(text.encode(errors=_ESCAPE))
        return int(rows[-1].numbers[1]) if rows else 0

    def append(self, info: IterationInfo) -> None:
        """Write one iteration; it reaches the operating system now and the disk by :meth:`sync`."""
        row = {name: _plain(value) for name, value in info.as_row().items()}
        _append(self._csv_path, _as_csv([row.values()]), header=_as_csv([row]))
        # JSON has no NaN: a number that does not exist is null.
        missing_as_null = {
            k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()
        }
        _append(self._lines_path, json.dumps(missing_as_null) + "\n")
        self.events.append(row)

    def sync(self) -> None:
        """Put every row on the disk; to be called before the checkpoint that counts them."""
        for path in (self._csv_path, self._lines_path):
            with contextlib.suppress(FileNotFoundError), path.open("rb+") as file:
                os.fsync(file.fileno())


@dataclasses.dataclass(frozen=True)
class ProgressRow:
    """A row of ``progress.csv``."""

    line: int
    cells: Mapping[str, str]
    numbers: list[float]
    """The numbers in the columns that were asked for."""


def read_progress(path: Path, columns: Sequence[str]) -> Iterator[ProgressRow]:
    """Yield the rows of a ``progress.csv``, with the numbers in some columns; none where there is no file.

    A last line that a killed run has cut short is left out, as are empty lines.  Of others that a run does
    not write, a UserError names the file and the line.
    """
    lines = csv.reader(_whole_lines(path))
    names: list[str] = []
    try:
        for cells in filter(None, lines):
            line = lines.line_num
            if not names:
                names = cells
                if missing := [name for name in columns if name not in names]:
                    wanted = f"expected columns {', '.join(missing)} between commas"
                    raise _unreadable(path, line, f"{wanted}, got {','.join(cells)[:80]}")
                continue
            if len(cells) != len(names):
                wanted = f"expected {len(names)} cells between commas"
                raise _unreadable(path, line, f"{wanted}, got {len(cells)}")
            row = dict(zip(names, cells, strict=True))
            try:
                numbers = [float(row[name]) for name in columns]
            except ValueError as error:
                raise _unreadable(path, line, str(error)) from error
            yield ProgressRow(line, row, numbers)
    except csv.Error as error:
        raise _unreadable(path, lines.line_num, str(error)) from error


def last_iteration(path: Path) -> IterationInfo | None:
    """Return the last iteration that a run folder's ``progress.jsonl`` has whole, or None.

    It reads the file's end alone, so that a run that another process trains can be watched.  What that
    process did not write is none.
    """
    try:
        with (path / PROGRESS_LINES).open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _LONGEST_LINES))
            row = json.loads(file.read().split(b"\n")[:-1][-1])
        notes = row.get("notes") or ""
        # What an older version did not measure is NaN, as is what did not exist.
        numbers: dict[str, Any] = {
            name: math.nan if row.get(name) is None else row[name] for name in _COLUMNS
        }
        if not (isinstance(row["iteration"], int) and isinstance(row["steps"], int)):
            return None
        return IterationInfo(**numbers | {"notes": tuple(notes.split(" | ")) if notes else ()})
    except (OSError, LookupError, ValueError, TypeError, AttributeError, RecursionError):
        return None


def _until(iteration: int, rows: Iterable[tuple[int, _Row]]) -> list[_Row]:
    """Return the first row of each iteration up to one, in order, wherever an editor has put them.

    Beyond that one may stand anything after a power cut.
    """
    kept: dict[int, _Row] = {}
    reached = iteration == 0
    try:
        for count, row in rows:
            reached |= count >= iteration
            if count <= iteration:
                kept.setdefault(count, row)
    except UserError:
        if not reached:
            raise
    return [kept[count] for count in sorted(kept)]


def _counted(path: Path) -> Iterator[tuple[int, ProgressRow]]:
    """Yield the rows of a ``progress.csv``, each with its iteration."""
    for row in read_progress(path, ("iteration", "steps")):
        if not all(number.is_integer() and number >= 1.0 for number in row.numbers):
            raise _unreadable(path, row.line, "expected whole numbers of iteration and steps, from 1 on")
        yield int(row.numbers[0]), row


def _counted_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a ``progress.jsonl``, each with its iteration."""
    for number, line in enumerate(_whole_lines(path), 1):
        if line.strip():
            try:
                yield whole(json.loads(line)["iteration"], "iteration", Bounds(at_least=1)), line
            except (LookupError, ValueError, TypeError, RecursionError) as error:
                raise _unreadable(path, number, f"expected an object with an iteration ({error})") from error


def _whole_lines(path: Path) -> Iterator[str]:
    """Yield the lines of a file, if there is one, without a last one that a killed run has cut short."""
    if path.exists():
        # Some programs begin a file with a mark of its encoding, and end its lines in a way of their own.
        with (
            naming(path, "restore it, or move it away"),
            path.open(encoding="utf-8-sig", errors=_ESCAPE) as file,
        ):
            yield from (line for line in file if line.endswith("\n"))


def _unreadable(path: Path, line: int, problem: str) -> UserError:
    return UserError(f"{path}, line {line}: {problem}; was it edited? {_mend(path)}")


def _mend(path: Path) -> str:
    other = PROGRESS_LINES if path.name == PROGRESS else PROGRESS
    return f"Restore it, or delete it to go on without its rows, which {other} has, too"


def _append(path: Path, text: str, *, header: str = "") -> None:
    """Append to a file, in a line of its own, below a header where there is nothing yet."""
    with path.open("ab+") as file:
        if file.seek(0, os.SEEK_END) == 0:
            text = header + text
        else:
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                text = "\n" + text
        file.write(text.encode())


def _as_csv(rows: Sequence[Any]) -> str:
    table = io.StringIO(newline="")
    csv.writer(table, lineterminator="\n").writerows(rows)
    return table.getvalue()


def _plain(value: Any) -> Any:
    """Turn NumPy scalars into Python's, whose ``str`` is the shortest text that reads back the same."""
    return value.item() if hasattr(value, "item") else value
