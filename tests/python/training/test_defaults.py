"""What a config leaves open, and how it is filled in."""

from __future__ import annotations

import math
from typing import Any

import pytest
from gymnasium import spaces

from fastfisher.training.baselines.make import make_baseline
from fastfisher.training.baselines.network import NetworkBaseline
from fastfisher.training.baselines.ridge import RidgeBaseline
from fastfisher.training.config import PolicyName, TrainConfig
from fastfisher.training.environments.recipe import with_defaults
from fastfisher.training.errors import UserError
from fastfisher.training.moments import RewardUnit
from fastfisher.training.rollouts.make import batch_steps_for

BOX, DISCRETE = spaces.Box(-1.0, 1.0, (2,)), spaces.Discrete(3)


def fields_of(policy: PolicyName, space: spaces.Space[Any]) -> tuple[Any, ...]:
    config = with_defaults(TrainConfig("X-v0", policy=policy), space)
    return config.normalize_observations, config.initial_log_std, config.cg_iterations


def test_a_network_learns_with_other_values() -> None:
    assert TrainConfig("X-v0").policy == "mlp"
    assert fields_of("mlp", BOX) == fields_of("mlp", DISCRETE) == (True, 0.25, 10)
    assert fields_of("linear", BOX) == (False, -1.0, None)
    assert fields_of("rbf", BOX) == fields_of("rbf", DISCRETE) == (True, -1.0, None)
    assert fields_of("linear", DISCRETE) == (True, -1.0, None)


def test_the_baseline_follows_the_policy() -> None:
    assert isinstance(make_baseline(TrainConfig("X-v0", policy="mlp"), 3, RewardUnit()), NetworkBaseline)
    for asked in (TrainConfig("X-v0", policy="linear"), TrainConfig("X-v0", baseline="quadratic")):
        assert isinstance(make_baseline(asked, 3, RewardUnit()), RidgeBaseline)


@pytest.mark.parametrize(
    ("limit", "mlp", "linear"),
    [
        (50, 5_000, 1_000),
        (200, 5_000, 2_000),
        (999, 9_990, 9_990),
        (5_000, 10_000, 10_000),
        (None, 10_000, 10_000),
    ],
)
def test_a_batch_is_ten_episodes_within_bounds(limit: int | None, mlp: int, linear: int) -> None:
    assert batch_steps_for(TrainConfig("X-v0"), limit) == mlp
    assert batch_steps_for(TrainConfig("X-v0", policy="linear"), limit) == linear
    assert batch_steps_for(TrainConfig("X-v0", batch_steps=7), limit) == 7


def test_the_discount_forgets_what_lies_behind_the_time_limit() -> None:
    def gamma(limit: int | None) -> float:
        chosen = with_defaults(TrainConfig("X-v0"), BOX, limit).gamma
        assert chosen is not None
        return chosen

    assert [gamma(limit) for limit in (None, 500, 1_000)] == [0.995] * 3
    for limit in (1, 50, 200):
        assert gamma(limit) ** limit == pytest.approx(math.exp(-2.5))


def test_a_floor_above_the_default_is_refused() -> None:
    with pytest.raises(UserError, match=r"min_log_std: expected at most initial_log_std = 0.25, got 1.0"):
        with_defaults(TrainConfig("X-v0", min_log_std=1.0), BOX)


def test_a_floor_does_not_rise() -> None:
    with_defaults(TrainConfig("X-v0", final_min_log_std=-3.0), BOX)
    with pytest.raises(UserError, match=r"final_min_log_std: expected at most min_log_std = -3.0, got -2.0"):
        with_defaults(TrainConfig("X-v0", final_min_log_std=-2.0), BOX)


def test_what_is_given_stays() -> None:
    given = {"gamma": 0.9, "cg_iterations": 3, "initial_log_std": -2.0, "max_kl": 0.1}
    given |= {"normalize_observations": False, "fisher": "exact"}
    config = with_defaults(TrainConfig("X-v0", **given), BOX, 50)
    assert {name: getattr(config, name) for name in given} == given
