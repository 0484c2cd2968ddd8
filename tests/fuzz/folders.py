"""Run folders that somebody has edited: a command says which file is wrong, or does what is right."""

from __future__ import annotations

import contextlib
import csv
import functools
import io
import json
import os
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from calls import chance, one_of
from driver import hold
from numpy.random import Generator
from training import same_state

from fastfisher.cli import main
from fastfisher.runs.folder import RESUMABLE
from fastfisher.training.checkpoint import read_checkpoint

CONFIG, TABLE, LINES = "config.json", "progress.csv", "progress.jsonl"
CHECKPOINT, OLDER, BEST = "checkpoint.zip", "checkpoint.previous.zip", "best.zip"
FIRST, WHOLE = 150, 250
"""The steps of the run that is edited, and of the one that it becomes by --resume."""
SAVED = 3
"""The iterations of the first."""
NEW = (
    f"train CartPole-v1 --seed 4 --steps {FIRST} --policy linear --batch-steps 50 --workers 1 --quiet "
    "--checkpoint-every 1 --evaluate-every 1 --evaluation-episodes 2 --out run"
)
COMMANDS = {
    "train": f"train CartPole-v1 --steps {WHOLE} --workers 1 --quiet --resume --out run",
    "evaluate": "evaluate run --episodes 2 --json",
    "evaluate the best": "evaluate run --best --episodes 2 --json",
    "plot": "plot run --out curve.svg",
    "export": "export run --out policy.npz",
}
"""What is done with the run that is edited."""


class Result(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str


def command(words: str) -> Result:
    """Run the command line in this process; a traceback comes through as an exception."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(words.split())
        except SystemExit as end:
            code = int(end.code or 0)
    return Result(code, out.getvalue(), err.getvalue())


@functools.cache
def model() -> Path:
    """Return a folder with a run, and what each command makes of it when nobody has edited it."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-run-"))
    here = Path.cwd()
    os.chdir(folder)
    try:
        result = command(NEW)
        hold(result == Result(0, "", ""), f"a run that nobody has edited: {result}")
        for name, words in COMMANDS.items():
            shutil.copytree(folder / "run", folder / name / "run")
            os.chdir(folder / name)
            result = command(words)
            hold(result.code == 0, f"{name} of a run that nobody has edited: {result}")
            Path("out").write_text(result.out)
    finally:
        os.chdir(here)
    return folder


def run(rng: Generator) -> str:
    """Run a case: edit a file of a run, or two, and run a command on it."""
    warnings.simplefilter("ignore")
    shutil.copytree(model() / "run", "run")
    edited = {_edit(rng) for _ in range(1 if chance(rng, 0.8) else 2)}
    if chance(rng, 0.05):
        edited |= {f"{CHECKPOINT} deleted", f"{OLDER} deleted"}
        for name in (CHECKPOINT, OLDER):
            if not Path("run", name).is_dir():
                Path("run", name).unlink(missing_ok=True)
    name = one_of(rng, ["train", *COMMANDS])
    kept, lies = _rows_of(Path("run")), _lies()
    lost = any(kept.values()) and not any(Path("run", zipped).exists() for zipped in (CHECKPOINT, OLDER))
    what = f"fastfisher {name} after {' and '.join(sorted(edited))}"
    try:
        result = command(COMMANDS[name])
    except Exception as error:
        hold(False, f"{what}: {type(error).__name__}: {error}")
    if result.code != 0:
        hold(result.code == 2, f"{what}: exit code {result.code}: {result.err}")
        told = [line for line in result.err.splitlines() if not line.startswith("to continue from")]
        hold(len(told) == 1 and told[0].startswith("error: "), f"{what}: {result.err}")
        names = {word for words in edited for word in words.split()[:2]} | {"run folder", "run has no"}
        hold(any(word in result.err for word in names), f"{what}: names no file: {result.err}")
        return "refused"
    hold(not lost or name in ("plot", "evaluate the best"), f"{what}: taken, though its checkpoints are gone")
    hold(name != "train" or not lies, f"{what}: taken, though the checkpoint has not {lies}")
    try:
        _check(name, result, kept, BEST in " ".join(edited))
    except Exception as error:
        hold(False, f"{what}: {type(error).__name__}: {error}")
    return f"{name} done"


def _edit(rng: Generator) -> str:
    """Edit the folder; return the file's name and, where there is one, the field's, then what was done."""
    name = one_of(rng, (CONFIG, CONFIG, TABLE, TABLE, LINES, LINES, CHECKPOINT, OLDER, BEST))
    path = Path("run") / name
    if not path.is_file():
        return f"{name} gone"
    if chance(rng, 0.15) or name in (CHECKPOINT, OLDER, BEST):
        return f"{name} {_away(rng, path)}"
    if chance(rng, 0.7):
        with contextlib.suppress(ValueError, TypeError, LookupError):  # it has been edited before
            return f"{name} {_changed(rng, path)}"
    return f"{name} {_torn(rng, path)}"


def _away(rng: Generator, path: Path) -> str:
    """Delete a file, or put something else in its place."""
    match rng.integers(5):
        case 0:
            path.unlink()
            return "deleted"
        case 1:
            path.unlink()
            path.mkdir()
            return "a folder"
        case 2:
            path.rename(path.with_name(f"{path.name}.bak"))
            return "moved"
        case 3:
            path.unlink()
            path.symlink_to("nowhere")
            return "a link to nothing"
    path.write_bytes(b"")
    return "emptied"


def _torn(rng: Generator, path: Path) -> str:
    """Change the bytes of a file, whatever they mean."""
    data, place = path.read_bytes(), int(rng.integers(path.stat().st_size + 1))
    changes = {
        "cut": data[:place],
        "with a byte that is no text": data[:place] + b"\xff" + data[place + 1 :],
        "with a mark at its start": b"\xef\xbb\xbf" + data,
        "with CRLF": data.replace(b"\n", b"\r\n"),
        "with blank lines": data.replace(b"\n", b"\n\n"),
        "twice": data + data,
    }
    name = one_of(rng, list(changes))
    path.write_bytes(changes[name])
    return str(name)


def _changed(rng: Generator, path: Path) -> str:
    """Change a field, as somebody does by hand, or a script."""
    text = path.read_text()
    value = one_of(rng, (None, "x", "", -1, 0, 0.5, True, [], {}, 1e400, "nan", 2**70))
    if path.name == TABLE:
        return _changed_table(rng, path, "" if value is None else str(value))
    rows = [json.loads(text)] if path.name == CONFIG else [json.loads(line) for line in text.splitlines()]
    row = one_of(rng, rows)
    field = one_of(
        rng, [*row, *(["policy", "max_kl", "gamma", "seed", "hidden"] if path.name == CONFIG else [])]
    )
    match rng.integers(5):
        case 0:
            del row[field]
            done = "deleted"
        case 1:
            row[f"{field}_more"] = value
            done = "added to"
        case 2 if isinstance(row[field], (int, float)) and not isinstance(row[field], bool):
            row[field] = type(row[field])(row[field] * 2 + 1)
            done = f"= {row[field]}"
        case 3 if len(rows) > 1:
            rows.insert(0, rows.pop())
            done = "rows in another order"
        case _:
            row[field] = value
            done = f"= {value!r}"
    indent = 2 if path.name == CONFIG else None
    path.write_text("".join(json.dumps(row, indent=indent) + "\n" for row in rows))
    return f"{field} {done}"


def _changed_table(rng: Generator, path: Path, value: str) -> str:
    rows = list(csv.reader(io.StringIO(path.read_text())))
    if not all(rows) or len({*map(len, rows)}) != 1:
        raise ValueError("this is no table")
    columns = len(rows[0]) if chance(rng, 0.5) else min(4, len(rows[0]))
    row, column = int(rng.integers(len(rows))), int(rng.integers(columns))
    field, separator, done = rows[0][column], ",", f"= {value!r} in row {row}"
    match rng.integers(7):
        case 0:
            separator = one_of(rng, (";", "\t", ", "))
            field, done = "separated", f"by {separator!r}"
        case 1:
            rows = [r[:column] + r[column + 1 :] for r in rows]
            done = "left out"
        case 2:
            rows = [[r[column], *r[:column], *r[column + 1 :]] for r in rows]
            done = "moved to the front"
        case 3:
            rows.insert(row, rows[row])
            done = f"row {row} twice"
        case 4:
            del rows[row]
            done = f"row {row} deleted"
        case 5:
            rows = [[*r, value] for r in rows]
            done = "and a column more"
        case _:
            rows[row][column] = value
    path.write_text("".join(separator.join(r) + "\n" for r in rows))
    return f"{field} {done}"


def _lies() -> dict[str, Any]:
    """Return what config.json says that the checkpoint does not; null leaves open, and may be right."""
    try:
        config = json.loads(Path("run", CONFIG).read_text())
        known = json.loads((model() / "run" / CONFIG).read_text())
        return {
            k: v
            for k, v in config.items()
            if k in known and k not in RESUMABLE and v is not None and v != known[k]
        }
    except (OSError, ValueError, AttributeError):
        return {}


def _iteration(line: str) -> int | None:
    """Return the iteration of a row of either log; None where it has none."""
    try:
        value = json.loads(line)["iteration"] if line.startswith("{") else int(line.split(",")[0])
    except (ValueError, KeyError, TypeError):
        return None
    return value if type(value) is int and value > 0 else None


def _rows_of(folder: Path) -> dict[str, list[str]]:
    """Return the rows of the logs that have an iteration, as they are."""
    rows = {}
    for name in (TABLE, LINES):
        path = folder / name
        lines = path.read_bytes().decode(errors="replace").splitlines(keepends=True) if path.is_file() else []
        rows[name] = [line.strip() for line in lines if line.endswith("\n") and _iteration(line) is not None]
    return rows


def _check(name: str, result: Result, kept: dict[str, list[str]], best_edited: bool) -> None:
    """Hold what a command has done, with success, to what it does of the run as it was."""
    expected = model() / name
    if name.startswith("evaluate"):
        got, whole = json.loads(result.out), json.loads((expected / "out").read_text())
        hold(got == whole, f"{got}, not {whole}")
    elif name == "plot":
        hold(Path("curve.svg").read_bytes().rstrip().endswith(b"</svg>"), "no curve was drawn")
    elif name == "export":
        with np.load("policy.npz") as got, np.load(expected / "policy.npz") as whole:
            hold(same_state(dict(got), dict(whole)), "another policy was exported")
    else:
        more = _check_resumed(Path("run"), expected / "run", kept)
        if not (best_edited or more):
            best, best0 = (read_checkpoint(path / "run" / BEST) for path in (Path(), expected))
            hold(same_state(best[1], best0[1]), "another policy is the best")
            last = read_checkpoint(Path("run", CHECKPOINT))[0]["best"]["iteration"]
            hold(best[0]["counters"]["iteration"] == last, f"best.zip is not that of iteration {last}")


def _check_resumed(folder: Path, expected: Path, kept: dict[str, list[str]]) -> list[str]:
    """Hold a resumed run to the one that nobody has edited; return the fields that it goes on with."""
    (header, arrays), (header0, arrays0) = (read_checkpoint(path / CHECKPOINT) for path in (folder, expected))
    config, config0 = (json.loads((path / CONFIG).read_text()) for path in (folder, expected))
    hold(not _lies(), f"config.json now says what the run is not: {_lies()}")
    more = [name for name in config if name in RESUMABLE and config[name] != config0[name]]
    counters, counters0 = header["counters"], header0["counters"]
    hold(counters == counters0 or more, f"{counters}, not {counters0}")
    if counters == counters0:
        hold(same_state(arrays, arrays0), "other bits than the run that nobody has edited")
    hold(header["best"] == header0["best"] or more, f"the best is {header['best']}, not {header0['best']}")
    last = counters["iteration"]
    for name, rows in _rows_of(folder).items():
        iterations = [number for row in rows if (number := _iteration(row))]
        hold(iterations == sorted({*iterations}), f"{name}: {iterations} are in no order")
        before = {number for number in map(_iteration, kept[name]) if number and number <= SAVED}
        hold(before <= {*iterations}, f"{name} has lost iterations {before - {*iterations}}")
        new = [number for number in iterations if number > SAVED]
        hold(new == [*range(SAVED + 1, last + 1)], f"{name} has iterations {iterations} of {last}")
        lines = len((folder / name).read_bytes().splitlines()) - (name == TABLE)
        hold(lines == len(rows), f"{name} has {lines} lines, {len(rows)} of them rows")
    return more
