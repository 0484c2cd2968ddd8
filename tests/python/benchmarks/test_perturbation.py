"""The perturbation test: what counts as recovered, and the files it leaves."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from experiments import perturbation, trained

from fastfisher.runs.export import export_policy
from fastfisher.training import NPG, UserError

pytestmark = pytest.mark.filterwarnings("ignore:.*compiler attribute")


def test_recovered_is_alive_and_at_four_fifths_of_the_usual() -> None:
    rates = np.array([2.0, 1.61, 1.59, -1.0, math.nan])
    alive, recovered = perturbation.judged(rates, 2.0)
    assert alive.tolist() == [True, True, True, True, False]
    assert recovered.tolist() == [True, True, False, False, False]


def test_the_interval_is_wilsons() -> None:
    # Brown, Cai and DasGupta 2001: for 0 of n it ends at z^2 / (n + z^2).
    assert perturbation.interval(0, 50) == (0.0, pytest.approx(1.96**2 / (50 + 1.96**2)))
    low, high = perturbation.interval(25, 50)
    assert (low + high) / 2 == pytest.approx(0.5)
    assert (low, high) == (pytest.approx(0.366, abs=1e-3), pytest.approx(0.634, abs=1e-3))


def test_a_policy_is_measured_from_whatever_it_is_kept_in(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = NPG("Ant-v5", policy="linear", workers=1, batch_steps=50, max_episode_steps=50).learn(50)
    agent.save(tmp_path / "run.zip")
    export_policy(agent, tmp_path / "seed0.npz")
    # Its reward for standing still makes a policy that has learned nothing worth pushing.
    words = ["a=" + str(tmp_path / "run.zip"), "b=" + str(tmp_path / "seed0.npz"), "--out", str(tmp_path)]
    assert perturbation.main([*words, "--episodes", "2", "--strengths", "0", "1"]) == 0
    out = json.loads((tmp_path / "Ant-v5.json").read_text())
    assert [(row["label"], row["strength"]) for row in out["rows"]] == [
        ("a", 0.0), ("a", 1.0), ("b", 0.0), ("b", 1.0)
    ]  # fmt: skip
    first, second = ([row["alive"], row["recovered"]] for row in out["rows"][::2])
    assert first == second, "the same policy, kept in two ways"
    assert out["rows"][0]["alive"] > 0.0
    assert (tmp_path / "Ant-v5.png").stat().st_size > 5_000
    assert "push 1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nothing"], "expected LABEL=PATH, got nothing"),
        (["a=/none/such"], "No such file or directory: '/none/such'"),
        (["a=x", "--episodes", "0"], "--episodes: expected at least 1"),
    ],
)
def test_bad_words_are_one_line(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert perturbation.main(words) == 2
    assert message in capsys.readouterr().err


def test_a_policy_that_earns_nothing_has_nothing_to_get_back_to() -> None:
    with NPG("HalfCheetah-v5", policy="linear", workers=1) as agent:
        policy = trained.Trained(Path("x.npz"), None, agent.config, 0)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"x.npz: unpushed the policy earns -0.5 a step"):
        perturbation.usual_rate(policy, np.array([-0.5, math.nan]))
