"""Paths as users write them, and flags: ``~``, links, devices, long and odd names, 1e6, --no-."""

from __future__ import annotations

import dataclasses
import errno
import os
import stat
from pathlib import Path
from typing import get_type_hints

import numpy as np
import pytest

import fastfisher as ff
from fastfisher.cli.train import config_of
from fastfisher.exported import NumpyPolicy
from fastfisher.runs.export import export_policy
from fastfisher.runs.folder import RunFolder
from fastfisher.training.checkpoint import read_checkpoint
from fastfisher.training.config import TrainConfig
from fastfisher.training.whole_files import replacing

from .helpers import Run, assert_same_run


@pytest.fixture
def home(run: Run, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = Path("home").absolute()
    path.mkdir()
    monkeypatch.setenv("HOME", str(path))
    return path


def test_the_home_folder_in_every_path_of_the_command_line(run: Run, train: Run, home: Path) -> None:
    assert train("--steps", 400, "--out", "~/runs/a").code == 0
    assert train("--steps", 800, "--out", "~/runs/a", "--resume").code == 0
    assert RunFolder(home / "runs/a").saved_iteration() == 2
    assert run("evaluate", "~/runs/a", "--episodes", 1).code == 0
    assert run("export", "~/runs/a", "--out", "~/policy.npz").out == f"{home}/policy.npz\n"
    assert run("plot", "~/runs/a", "--out", "~/curve.pdf").out == f"{home}/curve.pdf\n"
    assert {path.name for path in home.glob("[!.]*")} == {"runs", "policy.npz", "curve.pdf"}
    assert not Path("~").exists()


def test_the_home_folder_in_every_path_of_python(home: Path) -> None:
    with ff.NPG("CartPole-v1", workers=1, batch_steps=100) as agent:
        agent.save("~/new/run.zip")
        export_policy(agent, "~/policy.npz")
    with ff.NPG.load("~/new/run.zip") as again:
        assert again.config == agent.config
    assert (home / "new/run.zip").is_file()
    assert NumpyPolicy.load("~/policy.npz").predict(np.zeros(4)) in (0, 1)
    assert not Path("~").exists()


def test_saving_through_a_link_writes_its_target(tmp_path: Path) -> None:
    link, target = tmp_path / "latest.zip", tmp_path / "store" / "run.zip"
    target.parent.mkdir()
    link.symlink_to("store/run.zip")
    with ff.NPG("CartPole-v1", workers=1, batch_steps=100) as agent:
        for _ in range(2):  # the target is new, and then is there
            agent.save(link)
            assert link.is_symlink()
            assert not target.is_symlink()
            assert read_checkpoint(target)[0] == read_checkpoint(link)[0]
    assert [path.name for path in target.parent.iterdir()] == ["run.zip"]


def test_a_run_whose_checkpoint_is_a_link_keeps_the_one_before(run: Run, train: Run) -> None:
    assert train("--steps", 800, "--out", "a").code == 0
    Path("store").mkdir()
    Path("a/checkpoint.zip").rename("store/checkpoint.zip")
    Path("a/checkpoint.zip").symlink_to("../store/checkpoint.zip")
    assert train("--steps", 1600, "--out", "a", "--resume").code == 0
    assert train("--steps", 1600, "--out", "b").code == 0
    assert_same_run(Path("a"), Path("b"))
    assert Path("a/checkpoint.zip").is_symlink()
    iterations = [
        read_checkpoint(Path("a", name))[0]["counters"]["iteration"]
        for name in ("checkpoint.zip", "checkpoint.previous.zip")
    ]
    assert iterations == [4, 2]


@pytest.mark.parametrize("link", [False, True])
def test_a_device_is_not_replaced(tmp_path: Path, link: bool) -> None:
    device = tmp_path / "pipe"
    os.mkfifo(device)
    path = tmp_path / "link" if link else device
    if link:
        path.symlink_to(device)
    with pytest.raises(OSError, match="it is no file") as error, replacing(path):
        raise AssertionError
    assert error.value.errno == errno.EEXIST
    assert stat.S_ISFIFO(device.stat().st_mode)


@pytest.mark.parametrize("command", ["plot", "export"])
def test_an_output_that_is_no_file_is_one_line(run: Run, train: Run, command: str) -> None:
    assert train("--steps", 800, "--out", "a").code == 0
    Path("out.png").mkdir()
    result = run(command, "a", "--out", "out.png")
    assert result.code == 2
    assert result.err == "error: cannot write out.png: it is no file; choose another --out\n"


@pytest.mark.parametrize("name", ["two\nlines", "-a", "a b", "'", "学習", "x" * 255])
def test_any_name_is_a_folder(run: Run, train: Run, name: str) -> None:
    out = Path(name).absolute()
    assert train("--steps", 400, f"--out={out}").code == 0
    assert train("--steps", 800, f"--out={out}", "--resume").code == 0
    assert run("evaluate", out, "--episodes", 1).code == 0
    assert RunFolder(out).saved_iteration() == 2


def test_a_file_with_a_long_name_may_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 251 + ".zip")
    with replacing(path) as temporary:
        temporary.write_text("whole")
    assert path.read_text() == "whole"


@pytest.mark.parametrize("where", ["x" * 256, "x/" * 3000])
def test_a_name_that_is_too_long_is_one_line(run: Run, train: Run, where: str) -> None:
    for result in (
        train("--steps", 400, "--out", where),
        train("--out", where, "--resume"),
        run("plot", where),
    ):
        assert result.code == 2
        assert result.out == ""
        assert result.err.startswith("error: ")
        assert result.err.count("\n") == 1


def test_a_very_long_id_is_one_line(run: Run) -> None:
    result = run("train", "X" * 5000 + "-v0")
    assert result.code == 2
    assert result.err.count("\n") == 1
    assert not Path("runs").exists()


# Flags.


@pytest.mark.parametrize(
    ("word", "value"), [("1e6", 1_000_000), ("2_500", 2500), ("5E2", 500), ("1000.0", 1000), ("7", 7)]
)
def test_a_whole_number_may_be_written_as_users_do(word: str, value: int) -> None:
    config = config_of(["X-v0", "--steps", word, "--batch-steps", word, "--hidden", word, "8"])
    assert (config.steps, config.batch_steps, config.hidden) == (value, value, (value, 8))
    assert type(config.steps) is int


@pytest.mark.parametrize("word", ["1.5", "1e-3", "inf", "nan", "1e400", "many", ""])
def test_a_number_that_is_not_whole_is_refused(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        config_of(["X-v0", "--steps", word])
    assert end.value.code == 2
    assert "--steps" in capsys.readouterr().err


SWITCHES = {name: kind for name, kind in get_type_hints(TrainConfig).items() if kind in (bool, bool | None)}


@pytest.mark.parametrize("name", SWITCHES)
def test_every_switch_is_turned_on_and_off(name: str) -> None:
    flag = name.replace("_", "-")
    # A preset that is asked for is noted only where there is one.
    env = "HalfCheetah-v5" if name == "preset" else "X-v0"
    for words, value in (([f"--{flag}"], True), ([f"--no-{flag}"], False), ([f"--no_{name}"], False)):
        # The flag may come before the id, which is not its value.
        assert getattr(config_of([env, *words, "--steps", "5"]), name) is value
        assert getattr(config_of([*words, env]), name) is value
    if SWITCHES[name] is not bool:
        for word, expected in (("True", True), ("False", False), ("None", None)):
            assert getattr(config_of([env, f"--{flag}", word]), name) is expected
            assert getattr(config_of([env, f"--{flag}={word}"]), name) is expected


def test_every_boolean_field_is_a_switch() -> None:
    booleans = {f.name for f in dataclasses.fields(TrainConfig) if "bool" in str(f.type)}
    assert booleans == SWITCHES.keys()


def test_an_unknown_setting_is_named_with_the_nearest() -> None:
    with pytest.raises(TypeError, match=r"^gama: .* did you mean gamma\?"):
        ff.NPG("CartPole-v1", gama=0.9)
