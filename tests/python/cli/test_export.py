"""``fastfisher export``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

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
    assert Path("b.npz").read_bytes() == Path("a/policy.npz").read_bytes()
    policy = NumpyPolicy.load("b.npz")
    observations = np.random.default_rng(0).normal(size=(20, 4)) * 0.1
    with NPG.load("a/checkpoint.zip") as agent:
        for observation in observations:
            expected, _ = agent.predict(observation, deterministic=True)
            assert policy.predict(observation)[0] == expected


def test_bad_name_of_a_file(run: Run, train: Run) -> None:
    assert train("--steps", 400, "--out", "a").code == 0
    result = run("export", "a", "--out", "nowhere/b.npz")
    assert result.code == 2
    assert "cannot write nowhere/b.npz" in result.err
