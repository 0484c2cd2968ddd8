"""Saving, loading and going on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("stable_baselines3")

import torch

from fastfisher.sb3 import TRPO

from .helpers import KINDS, Drawn, logged, model, parameters


def going_on(made: Any, seed: int) -> dict[str, torch.Tensor]:
    """Learn two rollouts from a new environment and given random states; return the parameters."""
    made.set_env(made._wrap_env(Drawn(), verbose=0))
    made.set_random_seed(seed)
    made.learn(256, reset_num_timesteps=False)
    return parameters(made)


@pytest.mark.parametrize("critic", ["adam", "natural"])
@pytest.mark.parametrize("fisher", ["empirical", "exact"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_loaded_model_goes_on_with_the_same_bits(
    kind: type[Any], fisher: str, critic: str, tmp_path: Path
) -> None:
    made = model(kind, fisher=fisher, critic=critic, sub_sampling_factor=2)
    made.learn(256)
    made.save(tmp_path / "model.zip")
    loaded = kind.load(tmp_path / "model.zip", env=Drawn(), device="cpu")
    assert (loaded.fisher, loaded.critic, loaded.sub_sampling_factor) == (fisher, critic, 2)
    ours, theirs = going_on(made, 5), going_on(loaded, 5)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert loaded.num_timesteps == made.num_timesteps == 512


@pytest.mark.parametrize("wrong", [{"fisher": "true"}, {"critic": "sgd"}, {"tol": -1.0}, {"target_kl": 0.0}])
def test_what_a_file_is_loaded_with_is_checked(wrong: dict[str, Any], tmp_path: Path) -> None:
    model().save(tmp_path / "model.zip")
    with pytest.raises(ValueError, match=f"{next(iter(wrong))}: expected"):
        TRPO.load(tmp_path / "model.zip", device="cpu", **wrong)
    with pytest.raises(ValueError, match=f"{next(iter(wrong))}: expected"):
        TRPO.load(tmp_path / "model.zip", device="cpu", custom_objects=wrong)


def test_parameters_are_taken_out_and_put_in() -> None:
    one, other = model(seed=1), model(seed=2)
    one.learn(128)
    other.set_parameters(one.get_parameters())
    assert all(torch.equal(parameters(one)[name], tensor) for name, tensor in parameters(other).items())
    assert other.get_parameters().keys() == {"policy", "policy.optimizer"}


def test_two_models_of_one_seed_are_the_same_bits() -> None:
    runs = []
    for _ in range(2):
        made = model(seed=3, critic="natural")
        made.learn(256)
        runs.append((parameters(made), logged(made)["train/residual"]))
    assert runs[0][1] == runs[1][1]
    assert all(torch.equal(runs[0][0][name], tensor) for name, tensor in runs[1][0].items())
