"""Every mistake that a user can mend is one line that says what to do."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest

from fastfisher.cli import Info

from .helpers import Result, Run


class Gloves(gymnasium.Env[np.ndarray, tuple[np.ndarray, int]]):
    """Has actions that no policy here can take."""

    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (2,))
    action_space = gymnasium.spaces.OneOf([gymnasium.spaces.MultiBinary(3), gymnasium.spaces.Discrete(2)])


gymnasium.register("Gloves-v0", Gloves)

# A module of its own, which rollout workers can import.
EXPLOSIVE = """
import gymnasium
from gymnasium.envs.classic_control import CartPoleEnv

class Explosive(CartPoleEnv):
    def step(self, action):
        raise RuntimeError("kaboom")

gymnasium.register("Explosive-v0", Explosive, max_episode_steps=10)
"""


def assert_one_line(result: Result, *parts: str) -> None:
    """The message is one line on standard error, the exit code 2."""
    assert result.code == 2
    assert result.out == ""
    assert result.err.startswith("error: ")
    assert result.err.count("\n") == 1
    for part in parts:
        assert part in result.err


def test_unknown_environment_suggests_the_nearest(run: Run) -> None:
    assert_one_line(run("train", "CartPol-v1"), "CartPol", "Did you mean", "CartPole")
    assert not Path("runs").exists()


def test_missing_simulator(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(sys.modules):  # another test may have loaded it
        if name.startswith(("mujoco.", "gymnasium.envs.mujoco")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mujoco", None)
    assert_one_line(run("train", "HalfCheetah-v5"), "HalfCheetah-v5", "MuJoCo", "install")
    assert not Path("runs").exists()


def test_environment_of_a_missing_package(run: Run) -> None:
    assert_one_line(run("train", "no_such_package_here:Thing-v0"), "no_such_package_here")


@pytest.mark.parametrize("package", ["matplotlib", "tensorboardX"])
def test_missing_extra_says_what_to_install(run: Run, monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    result = run("train", "CartPole-v1", "--steps", 400, "--workers", 1, "--quiet")
    assert_one_line(result, package, "pip install 'fastfisher[train]'")
    assert not Path("runs").exists()


def test_missing_parser_says_what_to_install() -> None:
    code = "import sys; sys.modules['tyro'] = None; import fastfisher.cli"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 2
    assert result.stderr.splitlines() == ["error: tyro is not installed: pip install 'fastfisher[train]'"]


def test_unsupported_action_space(run: Run) -> None:
    assert_one_line(run("train", "Gloves-v0"), "actions of OneOf", "wrap")
    assert not Path("runs").exists()


def test_existing_run(run: Run, train: Run) -> None:
    assert train("--steps", 400, "--out", "a").code == 0
    before = Path("a/progress.csv").read_bytes()
    assert_one_line(train("--steps", 400, "--out", "a"), "--resume", "--out")
    assert Path("a/progress.csv").read_bytes() == before


def test_folder_of_something_else(run: Run, train: Run) -> None:
    Path("a").mkdir()
    Path("a/thesis.tex").write_text("years of work")
    assert_one_line(train("--out", "a"), "a exists", "another --out")
    Path("file").write_text("")
    assert_one_line(train("--out", "file"), "another --out")
    assert_one_line(train("--out", "file/below"), "file/below", "another --out")


@pytest.mark.parametrize("command", ["evaluate", "plot", "export"])
def test_not_a_run_folder(run: Run, command: str) -> None:
    Path("a").mkdir()
    assert_one_line(run(command, "a"), "a is no run folder", "fastfisher train")
    assert_one_line(run(command, "b"), "b does not exist", "fastfisher train")


def test_nothing_to_resume(run: Run) -> None:
    assert_one_line(
        run("train", "CartPole-v1", "--resume"), "runs/CartPole-v1-npg-mlp-seed0", "leave --resume out"
    )


def test_config_of_another_version(run: Run) -> None:
    Path("a").mkdir()
    Path("a/config.json").write_text('{"env": "CartPole-v1", "warp": 9}')
    assert_one_line(run("plot", "a"), "a/config.json", "warp")
    Path("a/config.json").write_text('{"env": "Cart')
    assert_one_line(run("plot", "a"), "a/config.json")


def test_run_without_data(run: Run, train: Run) -> None:
    assert train("--steps", 400, "--out", "a").code == 0
    for name in ("checkpoint.zip", "progress.csv"):
        Path("a", name).unlink()
    assert_one_line(run("evaluate", "a"), "no checkpoint yet")
    assert_one_line(run("plot", "a"), "no return to plot yet")


def test_numbers_out_of_range(run: Run) -> None:
    assert_one_line(run("evaluate", "a", "--episodes", 0), "--episodes: expected a whole number >= 1, got 0")
    assert_one_line(run("evaluate", "a", "--seed", -1), "--seed")
    for count in (0, -1):
        wrong = f"--video-episodes: expected a whole number >= 1, got {count}"
        assert_one_line(run("evaluate", "a", "--video", "clips", "--video-episodes", count), wrong)
    for noise in (-0.1, "nan", "inf"):
        wrong = f"--init-noise: expected a finite number >= 0 or None, got {noise}"
        assert_one_line(run("evaluate", "a", "--init-noise", noise), wrong)


@pytest.mark.parametrize(
    "words",
    [
        ["train"],
        ["train", "CartPole-v1", "--gamma", "3"],
        ["train", "CartPole-v1", "--gama", "0.9"],
        ["train", "CartPole-v1", "--policy", "quadratic"],
        ["train", "CartPole-v1", "--env-kwargs", "[]"],
        ["fly"],
    ],
)
def test_words_that_the_parser_refuses(run: Run, words: list[str]) -> None:
    result = run(*words)
    assert result.code == 2
    assert result.err
    assert "Traceback" not in result.err
    assert not Path("runs").exists()


def test_ctrl_c_is_130_of_any_command(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(Info, "run", interrupted)
    assert run("info") == Result(130, "", "")


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("word", ["info", "--version", "--help"])
def test_a_reader_that_left_is_141_and_no_complaint(word: str, unbuffered: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as pipe:
        result = subprocess.run(
            [sys.executable, "-m", "fastfisher", word],
            env=os.environ | {"PYTHONUNBUFFERED": unbuffered}, stdout=pipe, stderr=subprocess.PIPE,
        )  # fmt: skip
    assert (result.returncode, result.stderr) == (141, b"")


def test_failed_worker_reports_its_traceback_and_how_to_go_on(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "explosive.py").write_text(EXPLOSIVE)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("explosive")
    result = run("train", "Explosive-v0", "--workers", 2, "--steps", 9999, "--out", "a")
    assert result.code == 1
    assert "kaboom" in result.err
    assert "--out a --resume" in result.err
