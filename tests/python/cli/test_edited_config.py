"""A config.json that is not the checkpoint's is refused, field by field, and nothing is destroyed."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from fastfisher.cli import main
from fastfisher.runs.folder import RESUMABLE, RunFolder
from fastfisher.training.config import TrainConfig

from .helpers import SMALL, Run, assert_same_run

STEPS = 1200

OTHER: dict[str, Any] = {
    "env": "Acrobot-v1", "algorithm": "trpo", "policy": "mlp", "seed": 7, "batch_steps": 500, "gamma": 0.9,
    "gae_lambda": 0.5, "max_kl": 0.04, "final_max_kl": 0.001, "fisher": "exact", "fisher_fraction": 0.5,
    "damping": 0.02, "relative_damping": True, "damping_rule": "adaptive", "min_damping": 0.002,
    "max_damping": 5.0, "momentum": 0.5, "line_search_factor": 0.5, "line_search_steps": 5,
    "solver": "cholesky", "cg_tolerance": 1e-6, "cg_iterations": 7, "precision": "double",
    "baseline": "linear", "baseline_hidden": [8], "baseline_steps": 3, "baseline_batches": 2,
    "baseline_lambda": 0.9, "ridge": 1e-4, "normalize_observations": False, "normalize_advantages": False,
    "normalize_rewards": True, "initial_log_std": -0.5, "min_log_std": -4.0, "final_min_log_std": -4.0,
    "max_log_std": 3.0, "std": "dependent", "squash": True, "action_units": "environment",
    "action_masks": False, "hidden": [8], "rbf_features": 50, "rbf_bandwidth": 2.0,
    "rbf_bandwidth_scale": 2.0, "backend": "envpool", "num_envs": 3,
    "max_episode_steps": 100, "env_kwargs": {"sutton_barto_reward": True}, "init_noise": 0.1, "preset": True,
}  # fmt: skip
"""Another valid value of every field that a resumed run may not change."""

ALLOWED: dict[str, Any] = {
    "steps": 1600, "workers": 2, "worker_timeout": 60.0, "checkpoint_every": 1, "target_return": 400.0,
    "skip_bad_episodes": True, "evaluate_every": 2, "evaluation_episodes": 3,
}  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three iterations of a linear policy."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    words = ["train", "CartPole-v1", *SMALL, "--policy", "linear", "--steps", str(STEPS), "--quiet"]
    assert main([*words, "--out", str(folder)]) == 0
    return folder


@pytest.fixture
def copy(run: Run, trained: Path) -> Path:
    return Path(shutil.copytree(trained, "copy"))


def edit(folder: Path, **fields: Any) -> None:
    """Write fields into config.json."""
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_every_field_has_a_case() -> None:
    # Fields of later versions come here by this test's failure.
    assert OTHER.keys() | ALLOWED.keys() == {field.name for field in dataclasses.fields(TrainConfig)}
    assert ALLOWED.keys() == RESUMABLE


@pytest.mark.parametrize("field", OTHER)
def test_an_edited_field_is_refused_with_both_values(copy: Path, field: str) -> None:
    was = json.loads((copy / "config.json").read_text())[field]
    edit(copy, **{field: OTHER[field]})
    folder = RunFolder(copy)
    now = getattr(folder.read_config(), field)  # which is valid, so that nothing else refuses it
    was = tuple(was) if isinstance(was, list) else was
    assert now != was
    before = contents(copy)
    with pytest.raises(ValueError, match="put back what the checkpoint has, or start a new run") as error:
        folder.load_agent()
    values = [list(value) if isinstance(value, tuple) else value for value in (now, was)]
    assert f"copy/config.json is not that of the checkpoint, for it has {field} = " in str(error.value)
    assert f"{field} = {values[0]!r} for {values[1]!r}" in str(error.value)
    assert contents(copy) == before


def test_no_command_obeys_or_destroys(run: Run, copy: Path, trained: Path) -> None:
    edit(copy, policy="mlp", max_kl=0.5)
    before = contents(copy)
    for words in (
        ("train", "CartPole-v1", "--out", copy, "--resume"),
        ("train", "CartPole-v1", "--out", copy, "--resume", "--steps", 2 * STEPS),
        ("evaluate", copy),
        ("export", copy),
        ("plot", copy),
    ):
        result = run(*words)
        assert (result.code, result.out) == (2, "")
        assert result.err.count("\n") == 1
        assert "policy = 'mlp' for 'linear', max_kl = 0.5 for 0.025" in result.err
        assert contents(copy).items() - before.items() <= {(".lock", b"")}
    # Put back, the run goes on to the bits of one that nobody edited.
    edit(copy, policy="linear", max_kl=0.025)
    shutil.copytree(trained, "whole")
    for folder in ("copy", "whole"):
        assert run("train", "CartPole-v1", "--out", folder, "--resume", "--steps", 2 * STEPS).code == 0
    assert_same_run(copy, Path("whole"))


@pytest.mark.parametrize("field", ALLOWED)
def test_what_a_resumed_run_may_change_may_be_edited(copy: Path, field: str) -> None:
    edit(copy, **{field: ALLOWED[field]})
    with RunFolder(copy).load_trained() as agent:
        assert agent.steps >= STEPS


def test_a_new_seed_does_not_begin_with_an_edited_config(run: Run, trained: Path) -> None:
    shutil.copytree(trained, "parent/seed0")
    edit(Path("parent/seed0"), gamma=0.9)
    result = run("train", "CartPole-v1", "--out", "parent", "--resume", "--seeds", 2)
    assert result.code == 2
    assert "parent/seed0/config.json is not that of the checkpoint, for it has gamma = 0.9 for" in result.err
    assert not Path("parent/seed1").exists()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Expecting value"),
        ("[]", "expected an object of fields, got []"),
        ('{"env": "CartPole-v1", "gamma": NaN}', "gamma: expected a finite number"),
        ('{"env": "CartPole-v1", "gamma": 0.9, "gamma": 0.8}', "gamma stands twice"),
        ('{"env": "CartPole-v1", "gama": 0.9}', "did you mean gamma?"),
        ("{}", "env"),
        ('{"env": 3}', "env: expected a string"),
        ("[" * 100_000, "recursion"),
        (b"\xff\xfe\x00", "utf-8"),
    ],
)
def test_a_config_that_is_none_is_one_line(run: Run, copy: Path, text: str | bytes, reason: str) -> None:
    (copy / "config.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    for words in (("train", "CartPole-v1", "--out", copy, "--resume"), ("plot", copy), ("evaluate", copy)):
        result = run(*words)
        assert (result.code, result.out) == (2, "")
        assert result.err.startswith("error: copy/config.json is not a valid config: ")
        assert result.err.count("\n") == 1
        assert reason in result.err


def test_a_byte_order_mark_is_no_edit(run: Run, copy: Path) -> None:
    path = copy / "config.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert run("evaluate", copy, "--episodes", 1).code == 0


def test_a_config_that_is_a_folder_is_one_line(run: Run, copy: Path) -> None:
    (copy / "config.json").unlink()
    (copy / "config.json").mkdir()
    result = run("plot", copy)
    assert result.code == 2
    assert "copy is no run folder" in result.err
