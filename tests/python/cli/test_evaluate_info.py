"""``fastfisher evaluate``, ``info`` and ``--version``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import fastfisher
from fastfisher.training import NPG

from .helpers import Run


def test_evaluate_prints_a_table(run: Run, train: Run) -> None:
    assert train("--steps", 2000, "--out", "a").code == 0
    result = run("evaluate", "a", "--episodes", 5)
    assert result.code == 0
    first, header, *rows = result.out.splitlines()
    assert first.startswith("CartPole-v1, mlp policy after 2,")
    assert header.split()[:2] == ["actions", "return"]
    assert [row.split()[0] for row in rows] == ["deterministic", "stochastic"]


def test_evaluate_json_is_a_function_of_the_seed(run: Run, train: Run) -> None:
    assert train("--steps", 2000, "--out", "a").code == 0
    one, same, other = (run("evaluate", "a", "--json", "--episodes", 5, "--seed", s).out for s in (1, 1, 2))
    assert one == same != other
    values = json.loads(one)
    assert (values["env"], values["policy"], values["episodes"], values["seed"]) == (
        "CartPole-v1",
        "mlp",
        5,
        1,
    )
    agent = NPG.load("a/checkpoint.zip")
    for key, deterministic in (("deterministic", True), ("stochastic", False)):
        returns = agent.evaluate(5, deterministic=deterministic, seed=1).returns
        assert values[key]["return_mean"] == pytest.approx(returns.mean(), rel=1e-15)
        assert values[key]["return_standard_error"] == pytest.approx(np.std(returns, ddof=1) / 5**0.5)
    agent.close()


@pytest.mark.filterwarnings("ignore:.*compiler attribute")
def test_evaluate_from_other_initial_states(run: Run) -> None:
    words = ("--policy", "linear", "--steps", 300, "--batch-steps", 300, "--workers", 1, "--init-noise", 0.3)
    assert run("train", "Hopper-v5", *words, "--out", "a").code == 0
    default, own, usual = (
        json.loads(run("evaluate", "a", "--json", "--episodes", 3, *noise).out)
        for noise in ((), ("--init-noise", 0.3), ("--init-noise", 0))
    )
    assert default == own
    assert (own["init_noise"], usual["init_noise"]) == (0.3, 0.0)
    with NPG.load("a/checkpoint.zip") as agent:
        returns = agent.evaluate(3, init_noise=0.0).returns
    assert usual["deterministic"]["return_mean"] == pytest.approx(returns.mean(), rel=1e-15)
    assert usual["deterministic"]["return_mean"] != own["deterministic"]["return_mean"]


def test_evaluating_leaves_the_run_alone(run: Run, train: Run) -> None:
    assert train("--steps", 800, "--out", "a").code == 0
    before = {path.name: path.stat().st_mtime_ns for path in Path("a").iterdir()}
    assert run("evaluate", "a", "--episodes", 1).code == 0
    assert {path.name: path.stat().st_mtime_ns for path in Path("a").iterdir()} == before


def test_info(run: Run) -> None:
    result = run("info")
    assert result.code == 0
    for name in ("fastfisher", "python", "numpy", "gymnasium"):
        assert name in result.out
    facts = json.loads(run("info", "--json").out)
    assert facts["numpy"] == np.__version__
    assert facts.keys() >= fastfisher.show_config().keys() - {"version"}


def test_version(run: Run) -> None:
    result = run("--version")
    assert result.code == 0
    assert result.out.startswith("fastfisher ")


@pytest.mark.parametrize("words", [[], ["--help"]])
def test_help_lists_the_commands(run: Run, words: list[str]) -> None:
    result = run(*words)
    assert result.code == 0
    for command in ("train", "evaluate", "plot", "export", "info"):
        assert command in result.out
