"""``fastfisher export``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fastfisher.runs.export import export_policy
from fastfisher.training import NPG

from .helpers import Run

pytest.importorskip("fastfisher.exported")


def test_exported_policy_acts_as_the_agent_does(run: Run, train: Run) -> None:
    from fastfisher.exported import NumpyPolicy

    assert train("--steps", 800, "--out", "a").code == 0
    result = run("export", "a")
    assert (result.code, result.out) == (0, "a/policy.npz\n")
    named = run("export", "a", "--out", "b.npz")
    assert (named.code, named.out) == (0, "b.npz\n")
    policies = [NumpyPolicy.load(name) for name in ("a/policy.npz", "b.npz")]
    observations = np.random.default_rng(0).normal(size=(20, 4)) * 0.1
    with NPG.load("a/checkpoint.zip") as agent:
        for observation in observations:
            expected, _ = agent.predict(observation, deterministic=True)
            assert [policy.predict(observation) for policy in policies] == [expected, expected]


@pytest.mark.parametrize("policy", ["linear", "rbf", "mlp"])
def test_an_agent_of_single_precision_acts_in_double(policy: str, tmp_path: Path) -> None:
    from fastfisher.exported import NumpyPolicy

    observations = np.random.default_rng(0).normal(size=(50, 3))
    with NPG("Pendulum-v1", policy=policy, precision="single", workers=1, batch_steps=400) as agent:
        agent.learn(400)
        export_policy(agent, tmp_path / "policy.npz")
        z = agent.policy.mode(observations)
    exported = NumpyPolicy.load(tmp_path / "policy.npz")
    assert np.abs(exported._outputs(exported._features(observations))[:, :1] - z).max() < 1e-14


def test_bad_name_of_a_file(run: Run, train: Run) -> None:
    assert train("--steps", 400, "--out", "a").code == 0
    result = run("export", "a", "--out", "nowhere/b.npz")
    assert result.code == 2
    assert "cannot write nowhere/b.npz" in result.err
