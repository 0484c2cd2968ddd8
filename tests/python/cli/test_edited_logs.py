"""Logs that somebody edited: what can be read is; of anything else one line names the file and line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fastfisher.cli import main
from fastfisher.runs.log import last_iteration

from .helpers import SMALL, Run, assert_same_run, repeatable_rows

STEPS = 1600


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four iterations, with a checkpoint after the last."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert main(["train", "CartPole-v1", *SMALL, "--steps", str(STEPS), "--out", str(folder), "--quiet"]) == 0
    return folder


@pytest.fixture(scope="module")
def longer(tmp_path_factory: pytest.TempPathFactory, whole: Path) -> Path:
    """The same, gone on with."""
    folder = Path(shutil.copytree(whole, tmp_path_factory.mktemp("longer") / "run"))
    words = ["train", "CartPole-v1", "--out", str(folder), "--resume", "--steps", str(2 * STEPS), "--quiet"]
    assert main(words) == 0
    return folder


@pytest.fixture
def copy(run: Run, whole: Path) -> Path:
    return Path(shutil.copytree(whole, "copy"))


def resume(run: Run) -> tuple[int, str]:
    result = run("train", "CartPole-v1", "--out", "copy", "--resume", "--steps", 2 * STEPS, "--quiet")
    return result.code, result.err


Edit = Callable[[str], str]


def in_line(number: int, old: str, new: str) -> Edit:
    def edit(text: str) -> str:
        lines = text.splitlines(keepends=True)
        assert old in lines[number - 1]
        lines[number - 1] = lines[number - 1].replace(old, new, 1)
        return "".join(lines)

    return edit


def in_order(*numbers: int) -> Edit:
    """Put lines in this order, each by its number."""

    def edit(text: str) -> str:
        lines = text.splitlines(keepends=True)
        return "".join(lines[number - 1] for number in numbers)

    return edit


HARMLESS: dict[str, Edit] = {
    "empty lines": lambda text: text.replace("\n", "\n\n") + "\n\n",
    "line ends": lambda text: text.replace("\n", "\r\n"),
    "a mark of the encoding": lambda text: "\ufeff" + text,
    "garbage beyond the checkpoint": lambda text: text + "\0\0\ud800;;;\n,,\n",
    "a line that is cut short": lambda text: text + "5,20",
}


@pytest.mark.parametrize("log", ["progress.csv", "progress.jsonl"])
@pytest.mark.parametrize("name", HARMLESS)
def test_what_editors_do_is_no_harm(run: Run, copy: Path, longer: Path, log: str, name: str) -> None:
    text = HARMLESS[name]((copy / log).read_text())
    (copy / log).write_bytes(text.encode(errors="surrogatepass"))
    assert resume(run) == (0, "")
    assert_same_run(copy, longer)
    assert run("plot", copy).code == 0


CSV: dict[str, tuple[Edit, int, str]] = {
    "semicolons": (lambda text: text.replace(",", ";"), 1, "expected columns"),
    "no header": (lambda text: text.partition("\n")[2], 1, "expected columns"),
    "another encoding": (lambda text: "\0".join(text), 1, "expected columns"),
    "a cell less": (in_line(3, ",", ""), 3, "cells between commas, got"),
    "a cell more": (in_line(4, ",", ",,"), 4, "cells between commas, got"),
    "a word": (in_line(2, ",4", ",x4"), 2, "could not convert string to float: 'x4"),
    "an empty line before": (lambda text: "\n" + in_line(2, ",4", ",x4")(text), 3, "could not convert"),
}


@pytest.mark.parametrize("name", CSV)
def test_a_csv_that_no_run_wrote_is_named_with_its_line(run: Run, copy: Path, name: str) -> None:
    edit, line, reason = CSV[name]
    path = copy / "progress.csv"
    path.write_text(edit(path.read_text()))
    before = path.read_bytes()
    code, err = resume(run)
    assert code == 2
    plotted = run("plot", copy)
    assert (plotted.code, plotted.out) == (2, "")
    for words in (err.splitlines()[-1], plotted.err):
        assert words.startswith(f"error: copy/progress.csv, line {line}: ")
        assert reason in words
        assert "Restore it, or delete it to go on without its rows, which progress.jsonl has, too" in words
    assert "Traceback" not in err
    assert path.read_bytes() == before
    # What the message says.
    path.unlink()
    assert resume(run) == (0, "")
    assert repeatable_rows(copy)[0]["iteration"] == "5"


@pytest.mark.parametrize("log", ["progress.csv", "progress.jsonl"])
@pytest.mark.parametrize("order", [(4, 1, 2, 3), (2, 1, 4, 3), (1, 2, 3, 4, 1, 2, 3, 4), (4, 4, 3, 1, 1, 2)])
def test_rows_in_another_order_are_put_in_theirs(
    run: Run, copy: Path, longer: Path, log: str, order: tuple[int, ...]
) -> None:
    path = copy / log
    numbers = (1, *(number + 1 for number in order)) if log == "progress.csv" else order
    path.write_text(in_order(*numbers)(path.read_text()))
    assert resume(run) == (0, "")
    assert_same_run(copy, longer)
    lines = (copy / "progress.jsonl").read_text().splitlines()
    assert [json.loads(line)["iteration"] for line in lines] == list(range(1, 8))


@pytest.mark.parametrize("name", ["-1", "0"])
def test_an_iteration_before_the_first_is_named(run: Run, copy: Path, name: str) -> None:
    path = copy / "progress.csv"
    path.write_text(in_line(3, "2,", f"{name},")(path.read_text()))
    code, err = resume(run)
    assert code == 2
    assert "copy/progress.csv, line 3: expected whole numbers of iteration and steps, from 1 on" in err


@pytest.mark.parametrize("log", ["progress.csv", "progress.jsonl"])
def test_a_folder_in_the_place_of_a_log_is_named(run: Run, copy: Path, log: str) -> None:
    (copy / log).unlink()
    (copy / log).mkdir()
    code, err = resume(run)
    assert code == 2
    message = f"error: cannot use copy/{log}: Is a directory; restore it, or move it away"
    assert err.splitlines()[-1] == message
    if log == "progress.csv":
        plotted = run("plot", copy)
        assert (plotted.code, plotted.err) == (2, message + "\n")


@pytest.mark.parametrize(
    "line", ["[]", "{}", "{", "3", '{"iteration": null}', '{"iteration": Infinity}', "[" * 100_000, "\0",
             '{"iteration": 0}', '{"iteration": 1.5}', '{"iteration": true}'],
    ids=range(11),
)  # fmt: skip
def test_a_line_of_json_that_no_run_wrote_is_named(run: Run, copy: Path, line: str) -> None:
    path = copy / "progress.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], line, *lines[2:]]) + "\n")
    before = path.read_bytes()
    code, err = resume(run)
    assert code == 2
    assert err.splitlines()[-1].startswith(
        "error: copy/progress.jsonl, line 2: expected an object with an iter"
    )
    assert "Traceback" not in err
    assert path.read_bytes() == before


def test_a_fraction_of_an_iteration_is_named(run: Run, copy: Path) -> None:
    path = copy / "progress.csv"
    path.write_text(in_line(3, "2,", "1.5,")(path.read_text()))
    code, err = resume(run)
    assert code == 2
    assert "copy/progress.csv, line 3: expected whole numbers of iteration and steps" in err


def test_columns_of_an_older_version_stay_in_place(run: Run, copy: Path) -> None:
    path = copy / "progress.csv"
    rows = [line.split(",") for line in path.read_text().splitlines()]
    place = rows[0].index("entropy")
    path.write_text("".join(",".join(row[:place] + row[place + 1 :]) + "\n" for row in rows))
    lines = [json.loads(line) for line in (copy / "progress.jsonl").read_text().splitlines()]
    for line in lines:
        del line["entropy"]
    (copy / "progress.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    last = last_iteration(copy)
    assert last is not None
    assert last.steps == lines[-1]["steps"]
    assert last.entropy != last.entropy
    assert resume(run) == (0, "")
    entropies = [row["entropy"] for row in repeatable_rows(copy)]
    assert entropies[:4] == [""] * 4
    assert 0.0 < float(entropies[4]) < 1.0
    assert float(repeatable_rows(copy)[0]["return_mean"]) == lines[0]["return_mean"]


def test_a_column_of_somebodys_own_is_not_lost(run: Run, copy: Path) -> None:
    path = copy / "progress.csv"
    path.write_text("".join(f"mine,{line}\n" for line in path.read_text().splitlines()))
    code, err = resume(run)
    assert code == 2
    assert "copy/progress.csv, line 1: expected a run's columns alone, got mine" in err


@pytest.mark.parametrize(
    "text", ["", "{}\n", "[]\n", "\0\n", '{"iteration": "x", "steps": 3}\n', '{"steps": []}\n']
)
def test_a_view_of_a_log_that_no_run_wrote_sees_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "progress.jsonl").write_text(text)
    assert last_iteration(tmp_path) is None


def test_one_broken_run_among_whole_ones_is_named(run: Run, copy: Path, whole: Path) -> None:
    (copy / "progress.csv").write_text("a;b\n1;2\n")
    result = run("plot", whole, copy)
    assert result.code == 2
    assert result.err.startswith("error: copy/progress.csv, line 1: ")
    assert not Path("curves.png").exists()
