"""The critic's two fits: what they move, how far they get, and when they are undone."""

from __future__ import annotations

import copy
import time
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("stable_baselines3")

import torch

import fastfisher.torch as fft
from fastfisher.sb3 import TRPO
from fastfisher.sb3.critic import fit_critic

from .helpers import Drawn, logged, model, parameters, with_rollout

CRITIC = {"policy_kwargs": {"net_arch": {"pi": [8], "vf": [64, 64]}}}


def regression(samples: int = 4096) -> Any:
    """Return a model whose rollout has returns that are a smooth function of the observations."""
    made = model(TRPO, n_steps=samples, batch_size=128, **CRITIC)
    buffer, rng = made.rollout_buffer, np.random.default_rng(0)
    buffer.reset()
    buffer.observations[:, 0] = observations = rng.standard_normal((samples, 5))
    buffer.returns[:, 0] = 3.0 * np.sin(observations[:, 0]) + observations[:, 1] * observations[:, 2]
    buffer.full = True
    return made


def error(made: Any) -> float:
    """Return the mean squared error of the critic on the rollout."""
    buffer = made.rollout_buffer
    shape = buffer.observations.shape
    observations = torch.as_tensor(buffer.observations).reshape(-1, shape[-1])
    with torch.no_grad():
        values = made.policy.predict_values(observations).flatten()
    return float(((values - torch.as_tensor(buffer.returns).flatten()) ** 2).mean())


def fit(made: Any, how: Any, updates: int = 10) -> float:
    actor = {name for name, _ in made.policy.named_parameters() if "value" not in name}
    return fit_critic(
        made.policy, made.rollout_buffer, actor, how=how, updates=updates, batch_size=128, threads=1
    )


def test_gauss_newton_gets_as_far_as_adam_with_less_work() -> None:
    errors, work = {}, {}
    for how in ("adam", "natural"):
        made = regression()
        before, start = error(made), time.process_time()
        fit(made, how)
        work[how], errors[how] = time.process_time() - start, error(made)
        assert errors[how] < 0.5 * before
    print(work)  # No bar: a loaded machine is no clock.
    assert errors["natural"] <= errors["adam"]


def test_what_is_returned_is_the_error_where_the_steps_ended() -> None:
    made = regression(512)
    assert fit(made, "natural") == pytest.approx(error(made), rel=1e-5)


@pytest.mark.parametrize("how", ["adam", "natural"])
def test_the_actor_stays_and_learns_again(how: str) -> None:
    made = regression(512)
    before = parameters(made)
    fit(made, how)
    after = parameters(made)
    moved = {name for name in after if not torch.equal(before[name], after[name])}
    assert moved == {name for name in after if "value" in name}
    assert all(parameter.requires_grad for parameter in made.policy.parameters())


def test_a_fit_that_makes_things_worse_is_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    made = regression(512)
    before, reached = parameters(made), error(made)
    add = fft.TorchScores.add_
    rng = np.random.default_rng(1)
    monkeypatch.setattr(fft.TorchScores, "add_", lambda S, step: add(S, rng.standard_normal(len(step))))
    assert fit(made, "natural") == pytest.approx(reached, rel=1e-5)
    assert all(torch.equal(before[name], tensor) for name, tensor in parameters(made).items())


def test_no_updates_leave_the_critic_and_its_loss_unsaid() -> None:
    for how in ("adam", "natural"):
        made = with_rollout(model(TRPO, n_critic_updates=0, critic=how))
        before = parameters(made)
        made.train()
        assert "train/value_loss" not in logged(made)
        assert all(
            torch.equal(before[name], tensor) for name, tensor in parameters(made).items() if "value" in name
        )


def test_a_critic_that_is_all_the_actors_is_left_alone() -> None:
    made = with_rollout(model(TRPO))
    every = {name for name, _ in made.policy.named_parameters()}
    before = copy.deepcopy(made.policy.state_dict())
    assert np.isnan(
        fit_critic(made.policy, made.rollout_buffer, every, how="adam", updates=3, batch_size=32, threads=1)
    )
    assert all(torch.equal(before[name], tensor) for name, tensor in made.policy.state_dict().items())


@pytest.mark.parametrize("observations", ["dict", "discrete", "double"])
def test_the_critic_takes_observations_of_every_kind(observations: str) -> None:
    policy = "MultiInputPolicy" if observations == "dict" else "MlpPolicy"
    made = with_rollout(model(TRPO, Drawn(observations), policy, critic="natural", n_critic_updates=20))
    before = made.rollout_buffer.returns.var()
    made.train()
    assert logged(made)["train/value_loss"] < 1.5 * before
