"""Climbing on the mean policy's return from where training ended."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from experiments import climb
from experiments.trained import load

from fastfisher.runs.export import export_policy
from fastfisher.training import NPG


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("climb") / "policy.npz"
    agent = NPG("Pendulum-v1", policy="mlp", hidden=(4,), workers=1, batch_steps=400, seed=5)
    agent.learn(400)
    export_policy(agent, path)
    path.with_suffix(".json").write_text(json.dumps({"config": agent.config.to_dict()}))
    return path


def test_the_weights_of_training_are_the_trained_policy(exported: Path) -> None:
    trained = load(exported)
    layer = climb.LastLayer(trained)
    weights = layer.weights()
    assert weights.shape == (5,), "four units and a bias"
    observation = np.array([0.3, -0.9, 1.5], np.float32)
    assert layer.policy(weights).predict(observation) == trained.policy.predict(observation)
    assert layer.policy(2.0 * weights).predict(observation) == pytest.approx(
        2.0 * trained.policy.predict(observation)
    )
    weights[:] = 0.0
    assert layer.weights().any(), "the layer's own weights stay"


def test_a_return_is_that_of_the_whole_episode_from_its_seed(exported: Path) -> None:
    layer = climb.LastLayer(load(exported))
    resting = np.zeros(5)
    first, second, again = layer.returns(resting, [1, 2, 1])
    assert first == again != second
    assert first < -500.0, "200 steps of a pendulum that nothing holds up"


def test_a_climb_ends_no_lower_than_its_best_multiple(exported: Path, tmp_path: Path) -> None:
    pytest.importorskip("cma")
    words = ["--evaluations", "300", "--episodes", "3", "--fresh", "5", "--out", str(tmp_path)]
    assert climb.main([str(exported), *words]) == 0
    record = json.loads((tmp_path / "Pendulum-v1-mlp-seed5.json").read_text())
    (row,) = record["rows"]
    assert row["weights"] == 5
    assert row["began_at"] in climb.SCALES
    layer = climb.LastLayer(load(exported))
    before = layer.returns(layer.weights(), range(climb.FRESH_SEED, climb.FRESH_SEED + 5))
    assert row["trained"]["mean"] == pytest.approx(before.mean())
    assert row["climbed"]["mean"] > before.mean() + 100.0


def test_no_episodes_are_one_line(exported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert climb.main([str(exported), "--episodes", "0"]) == 2
    assert capsys.readouterr().err == "error: --episodes: expected at least 1, got 0\n"


def test_without_its_library_it_says_so(
    exported: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert climb.main([str(exported)]) == 2
    assert capsys.readouterr().err.startswith("error: the library cma is not installed: python -m pip")
