"""Presets: what they hold, who asks for them, and that a run says so."""

from __future__ import annotations

import json
import re
from pathlib import Path

import gymnasium
import pytest

from fastfisher import NPG
from fastfisher.cli.train import config_of
from fastfisher.training import presets as presets_module
from fastfisher.training.config import TrainConfig
from fastfisher.training.presets import PRESETS, completed, taken_from_preset

from .helpers import SMALL, Run


@pytest.fixture
def cart_pole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a quick environment a preset."""
    monkeypatch.setattr(presets_module, "PRESETS", {"CartPole-v1": {"mlp": {"gamma": 0.97, "max_kl": 0.01}}})


@pytest.mark.parametrize(("env", "policy"), [(env, policy) for env in PRESETS for policy in PRESETS[env]])
def test_every_preset_is_a_config_of_a_registered_environment(env: str, policy: str) -> None:
    assert gymnasium.spec(env).id == env
    fields = completed(env, {"policy": policy, "preset": True})
    config = TrainConfig(env, **fields)
    assert fields == {"policy": policy, **PRESETS[env][policy], "preset": True}
    assert taken_from_preset(config) == {"policy": policy, **PRESETS[env][policy]}
    # What these say is the user's; a preset is about how to learn.
    assert not {"env", "policy", "seed", "steps", "workers", "env_kwargs", "preset"} & set(
        PRESETS[env][policy]
    )


def test_what_is_given_wins_and_the_policy_says_whose_preset_it_is() -> None:
    assert completed("Hopper-v5", {"preset": True, "max_kl": 0.5})["max_kl"] == 0.5
    assert completed("HalfCheetah-v5", {"preset": True})["policy"] == "linear"
    network = completed("HalfCheetah-v5", {"preset": True, "policy": "mlp"})
    assert network["batch_steps"] == PRESETS["HalfCheetah-v5"]["mlp"]["batch_steps"]
    assert completed("Reacher-v5", {"preset": True, "policy": "rbf"}) == {"preset": False, "policy": "rbf"}
    assert completed("Hopper-v5", {"preset": False}) == {"preset": False}


def test_flags_are_held_against_the_preset_of_the_policy_they_name(monkeypatch: pytest.MonkeyPatch) -> None:
    narrow, wide = {"initial_log_std": -0.5}, {"initial_log_std": 0.0}
    monkeypatch.setattr(presets_module, "PRESETS", {"Hopper-v5": {"mlp": narrow, "rbf": wide}})
    config = config_of(["Hopper-v5", "--policy", "rbf", "--min-log-std", "-0.25"])
    assert (config.policy, config.initial_log_std, config.min_log_std) == ("rbf", 0.0, -0.25)
    with pytest.raises(SystemExit):
        config_of(["Hopper-v5", "--min-log-std", "-0.25"])


@pytest.mark.usefixtures("cart_pole")
def test_train_uses_the_preset_and_says_so(run: Run) -> None:
    train = ("train", "CartPole-v1", *SMALL, "--steps", 800)
    result = run(*train, "--max-kl", 0.02, "--out", "a")
    assert result.code == 0
    assert re.search(r"\n  preset +policy mlp, gamma 0\.97 \(--no-preset leaves it out\)\n", result.out)
    config = json.loads(Path("a/config.json").read_text())
    assert (config["preset"], config["gamma"], config["max_kl"]) == (True, 0.97, 0.02)
    assert run(*train, "--no-preset", "--out", "b").code == 0
    config = json.loads(Path("b/config.json").read_text())
    assert (config["preset"], config["gamma"], config["max_kl"]) == (False, 0.995, 0.025)


@pytest.mark.usefixtures("cart_pole")
def test_resuming_keeps_what_the_run_began_with(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    train = ("train", "CartPole-v1", *SMALL)
    assert run(*train, "--steps", 400, "--out", "a").code == 0
    assert run(*train, "--steps", 400, "--no-preset", "--out", "b").code == 0
    monkeypatch.setattr(presets_module, "PRESETS", {"CartPole-v1": {"mlp": {"gamma": 0.5}}})
    for folder, gamma in (("a", 0.97), ("b", 0.995)):
        assert run("train", "CartPole-v1", "--steps", 800, "--out", folder, "--resume").code == 0
        assert json.loads(Path(folder, "config.json").read_text())["gamma"] == gamma
    assert (
        "preset = True, not False" in run("train", "CartPole-v1", "--no-preset", "--out", "a", "--resume").err
    )


def test_a_run_is_resumed_where_the_preset_names_its_policy(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presets_module, "PRESETS", {"CartPole-v1": {"linear": {}}})
    train = ("train", "CartPole-v1", *SMALL)
    assert run(*train, "--steps", 400).code == 0
    assert Path("runs/CartPole-v1-npg-linear-seed0").is_dir()
    assert run(*train, "--steps", 800, "--resume").code == 0
    assert run(*train, "--steps", 400, "--no-preset").code == 0
    assert Path("runs/CartPole-v1-npg-mlp-seed0").is_dir()
    with NPG("CartPole-v1", preset=True) as agent, NPG("CartPole-v1", policy="mlp", preset=True) as asked:
        assert (agent.config.policy, asked.config.policy) == ("linear", "mlp")


def test_an_environment_without_one_gets_the_defaults(run: Run) -> None:
    result = run("train", "CartPole-v1", *SMALL, "--steps", 400, "--preset", "--out", "a")
    assert result.code == 0
    assert "preset" not in result.out
    assert json.loads(Path("a/config.json").read_text())["preset"] is False


@pytest.mark.usefixtures("cart_pole")
def test_python_asks_for_it() -> None:
    with NPG("CartPole-v1") as plain, NPG("CartPole-v1", preset=True, max_kl=0.02) as agent:
        assert (plain.config.gamma, plain.config.preset) == (0.995, False)
        assert (agent.config.gamma, agent.config.max_kl, agent.config.preset) == (0.97, 0.02, True)
        assert taken_from_preset(agent.config) == {"policy": "mlp", "gamma": 0.97}
        assert taken_from_preset(plain.config) == {}
