"""TRPO as an agent, and what both algorithms share: learning, loading, stopping, resuming."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from environments import Countdown

import fastfisher as ff
from fastfisher.training import NPG, TRPO, IterationInfo, UserError
from fastfisher.training.config import TrainConfig

SMALL: dict[str, Any] = {"batch_steps": 300, "workers": 1}


def timeless(info: IterationInfo) -> dict[str, Any]:
    row = info.as_row()
    return {key: value for key, value in row.items() if not key.startswith(("seconds", "steps_per_second"))}


def learn(agent: NPG, steps: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    agent.learn(steps, callback=lambda info: rows.append(timeless(info)))
    return rows


@pytest.mark.parametrize("kind", [NPG, TRPO])
def test_cartpole_is_learned(kind: type[NPG]) -> None:
    agent = kind("CartPole-v1", seed=1, workers=1, target_return=475.0)
    returns: list[float] = []
    agent.learn(100_000, callback=lambda info: returns.append(info.return_mean))
    assert returns[0] < 30.0
    assert agent.target_reached
    assert agent.steps < 100_000
    assert agent.evaluate(5).mean > 450.0


def test_the_kl_divergence_is_kept_and_each_rejection_recorded() -> None:
    infos: list[IterationInfo] = []
    TRPO("Pendulum-v1", policy="linear", batch_steps=600, workers=1, max_kl=0.05).learn(
        9_000, callback=infos.append
    )
    assert {info.algorithm for info in infos} == {"trpo"}
    assert {info.fisher for info in infos} == {"exact"}
    for info in infos:
        assert 0.0 < info.kl_achieved <= info.kl_asked
        assert info.improvement_achieved > 0.0
        tried = info.line_search_candidates
        assert info.line_search_fraction == 0.8 ** (tried - 1)
        rejections = [note for note in info.notes if note.startswith("line search: step x")]
        assert len(rejections) == tried - 1
        assert all("KL too large" in note or "surrogate not improved" in note for note in rejections)
        assert info.kl_predicted == pytest.approx(info.line_search_fraction**2 * 0.05, rel=0.1)
    assert {info.line_search_candidates for info in infos} >= {1, 2}


def test_npg_takes_the_whole_step() -> None:
    infos: list[IterationInfo] = []
    NPG("CartPole-v1", **SMALL).learn(600, callback=infos.append)
    for info in infos:
        assert (info.algorithm, info.fisher) == ("npg", "empirical")
        assert (info.line_search_candidates, info.line_search_fraction) == (0, 1.0)
        assert info.improvement_ratio == info.improvement_achieved / info.improvement_predicted


def test_a_failed_search_is_a_row_like_another() -> None:
    agent = TRPO("Pendulum-v1", policy="linear", max_kl=20.0, line_search_steps=1, **SMALL)
    theta = agent.policy.parameters.tobytes()
    (row,) = learn(agent, 300)
    assert agent.policy.parameters.tobytes() == theta
    zeros = ("kl_predicted", "kl_achieved", "improvement_predicted", "improvement_achieved", "step_norm")
    assert all(row[name] == 0.0 for name in (*zeros, "line_search_fraction"))
    assert row["line_search_candidates"] == 1
    assert row["notes"].endswith("line search: every candidate was rejected; the policy stays")
    assert "step x 1 rejected, KL too large" in row["notes"]


def test_one_and_two_workers_train_to_the_same_bits() -> None:
    def factory() -> gymnasium.Env:  # type: ignore[type-arg]
        return Countdown()

    options: dict[str, Any] = {
        "batch_steps": 200, "seed": 5, "momentum": 0.8, "damping_rule": "adaptive", "fisher_fraction": 0.5
    }  # fmt: skip
    one = TRPO(factory, workers=1, **options)
    rows = learn(one, 2_000)
    with TRPO(factory, workers=2, **options) as two:
        assert [repr(row) for row in learn(two, 2_000)] == [repr(row) for row in rows]
        assert two.policy.parameters.tobytes() == one.policy.parameters.tobytes()


@pytest.mark.parametrize("kind", [NPG, TRPO])
@pytest.mark.parametrize("env", ["CartPole-v1", "Pendulum-v1"])
@pytest.mark.parametrize(
    "options",
    [
        {"damping_rule": "adaptive"},
        {"momentum": 0.9},
        {"momentum": 0.9, "normalize_observations": True, "policy": "mlp", "hidden": (4,)},
        {"normalize_rewards": True, "normalize_advantages": False, "gae_lambda": 1.0},
        {"fisher_fraction": 0.2, "fisher": "exact", "solver": "cg"},
        {"fisher_fraction": 0.2, "fisher": "empirical", "relative_damping": True},
    ],
    ids=lambda options: "-".join(options),
)
def test_a_loaded_agent_has_forgotten_nothing(
    tmp_path: Path, kind: type[NPG], env: str, options: dict[str, Any]
) -> None:
    whole, halves = (kind(env, seed=3, **SMALL, **options) for _ in range(2))
    rows = learn(whole, 1_500)
    first = learn(halves, 600)
    halves.save(tmp_path / "run.zip")
    state = halves._learner.state()
    again = kind.load(tmp_path / "run.zip")
    assert type(again) is kind
    assert {k: v.tobytes() for k, v in again._learner.state().items()} == {
        k: v.tobytes() for k, v in state.items()
    }
    second = learn(again, whole.steps - again.steps)
    assert [repr(row) for row in rows] == [repr(row) for row in first + second]
    assert again.policy.parameters.tobytes() == whole.policy.parameters.tobytes()


def test_an_interrupted_iteration_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    options: dict[str, Any] = {
        "momentum": 0.9, "damping_rule": "adaptive", "normalize_rewards": True, "normalize_observations": True
    }  # fmt: skip
    agent = TRPO("Pendulum-v1", **SMALL, **options).learn(600)
    state = {name: array.tobytes() for name, array in agent._learner.state().items()}

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(agent._learner.baseline, "fit", interrupt)
        with pytest.raises(KeyboardInterrupt):
            agent.learn(300)
    assert {name: array.tobytes() for name, array in agent._learner.state().items()} == state


def test_the_class_is_that_of_the_file(tmp_path: Path) -> None:
    assert ff.TRPO is TRPO
    trpo, npg = tmp_path / "trpo.zip", tmp_path / "npg.zip"
    TRPO("CartPole-v1", **SMALL).save(trpo)
    NPG("CartPole-v1", **SMALL).save(npg)
    assert type(NPG.load(trpo)) is type(TRPO.load(trpo)) is TRPO
    assert type(NPG.load(npg)) is NPG
    with pytest.raises(UserError, match="an agent of NPG, not of TRPO: use NPG"):
        TRPO.load(npg)
    assert type(NPG.from_config(TrainConfig("CartPole-v1", algorithm="trpo"))) is TRPO
    with pytest.raises(ValueError, match=r"algorithm: expected npg of NPG, got trpo; that is TRPO's"):
        NPG("CartPole-v1", algorithm="trpo")


def test_a_subclass_of_the_users_loads_as_itself(tmp_path: Path) -> None:
    class Mine(NPG):
        pass

    Mine("CartPole-v1", **SMALL).save(tmp_path / "run.zip")
    assert type(Mine.load(tmp_path / "run.zip")) is Mine


def test_training_ends_at_the_target(tmp_path: Path) -> None:
    free = NPG("CartPole-v1", **SMALL)
    returns = [row["return_mean"] for row in learn(free, 4_000)]
    target = max(returns[:6])
    first = next(i for i, value in enumerate(returns) if value >= target)
    assert first > 0
    agent = NPG("CartPole-v1", target_return=target, **SMALL)
    rows = learn(agent, 4_000)
    assert agent.target_reached
    assert [row["return_mean"] for row in rows] == returns[: first + 1]
    assert rows[-1]["notes"] == f"the target return of {target:g} is reached: training ends"
    assert not any(row["notes"] for row in rows[:-1])
    # Saved and loaded, or called again, it stays where it was; with another target it goes on.
    agent.save(tmp_path / "run.zip")
    again = NPG.load(tmp_path / "run.zip")
    assert again.target_reached
    assert learn(again, 300) == []
    again.config = again.config.replace(target_return=None)
    assert learn(again, 300)[0]["return_mean"] == returns[first + 1]


def test_a_batch_without_a_whole_episode_reaches_no_target() -> None:
    def factory() -> gymnasium.Env:  # type: ignore[type-arg]
        return Countdown()

    agent = NPG(factory, target_return=-1e9, batch_steps=20, workers=1)
    assert not agent.target_reached
    agent.last_return = float("nan")
    assert not agent.target_reached
    assert np.isnan(agent.last_return)
    assert len(learn(agent, 200)) == 1
