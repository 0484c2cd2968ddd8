"""What a config leaves open, and how it is filled in."""

from __future__ import annotations

import math
from typing import Any

import pytest
from gymnasium import spaces
from learners import make_policy

from fastfisher.training.baselines.make import make_baseline
from fastfisher.training.baselines.network import NetworkBaseline
from fastfisher.training.baselines.ridge import RidgeBaseline
from fastfisher.training.config import PolicyName, TrainConfig
from fastfisher.training.defaults import OPEN, decided, horizon, resolve
from fastfisher.training.errors import UserError
from fastfisher.training.learner import Learner
from fastfisher.training.make_policy import make_head
from fastfisher.training.moments import RewardUnit

BOX, DISCRETE = spaces.Box(-1.0, 1.0, (2,)), spaces.Discrete(3)


def fields_of(policy: PolicyName, space: spaces.Space[Any]) -> tuple[Any, ...]:
    config = resolve(TrainConfig("X-v0", policy=policy), space, 3, None)
    return config.normalize_observations, config.initial_log_std, config.cg_iterations


def test_a_network_learns_with_other_values() -> None:
    assert TrainConfig("X-v0").policy == "mlp"
    assert fields_of("mlp", BOX) == fields_of("mlp", DISCRETE) == (True, 0.25, 10)
    assert fields_of("linear", BOX) == (False, -1.0, None)
    assert fields_of("rbf", BOX) == fields_of("rbf", DISCRETE) == (True, -1.0, None)
    assert fields_of("linear", DISCRETE) == (True, -1.0, None)


def test_the_baseline_follows_the_policy() -> None:
    def baseline(**fields: Any) -> Any:
        return make_baseline(resolve(TrainConfig("X-v0", **fields), BOX, 3, None), 3, RewardUnit())

    assert isinstance(baseline(policy="mlp"), NetworkBaseline)
    for asked in ({"policy": "linear"}, {"baseline": "quadratic"}):
        assert isinstance(baseline(**asked), RidgeBaseline)


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
    def batch_steps(**fields: Any) -> int | None:
        return resolve(TrainConfig("X-v0", **fields), BOX, 3, limit).batch_steps

    assert batch_steps() == mlp
    assert batch_steps(policy="linear") == linear
    assert batch_steps(batch_steps=7) == 7


def test_the_discount_forgets_what_lies_behind_the_time_limit() -> None:
    def gamma(limit: int | None) -> float:
        chosen = resolve(TrainConfig("X-v0"), BOX, 3, limit).gamma
        assert chosen is not None
        return chosen

    assert [gamma(limit) for limit in (None, 500, 1_000)] == [0.995] * 3
    for limit in (1, 50, 200):
        assert gamma(limit) ** limit == pytest.approx(math.exp(-2.5))


def test_a_floor_above_the_default_is_refused() -> None:
    with pytest.raises(UserError, match=r"min_log_std: expected at most initial_log_std = 0.25, got 1.0"):
        resolve(TrainConfig("X-v0", min_log_std=1.0), BOX, 3, None)


def test_a_floor_does_not_rise() -> None:
    resolve(TrainConfig("X-v0", final_min_log_std=-3.0), BOX, 3, None)
    with pytest.raises(UserError, match=r"final_min_log_std: expected at most min_log_std = -3.0, got -2.0"):
        resolve(TrainConfig("X-v0", final_min_log_std=-2.0), BOX, 3, None)


def test_what_is_given_stays() -> None:
    given = {"gamma": 0.9, "cg_iterations": 3, "initial_log_std": -2.0, "max_kl": 0.1}
    given |= {"normalize_observations": False, "fisher": "exact", "batch_steps": 7, "baseline": "linear"}
    given |= {"backend": "envpool", "num_envs": 2}
    assert OPEN.keys() < given.keys()
    config = resolve(TrainConfig("X-v0", **given), BOX, 3, 50)
    assert {name: getattr(config, name) for name in given} == given


@pytest.mark.parametrize("backend", ["gymnasium", "envpool"])
@pytest.mark.parametrize("policy", ["linear", "rbf", "mlp"])
def test_a_resolved_config_is_complete_and_resolves_to_itself(policy: PolicyName, backend: Any) -> None:
    config = TrainConfig("X-v0", policy=policy, backend=backend)
    meaningful = set() if policy == "mlp" else {"cg_iterations"}
    meaningful |= {"num_envs"} if backend == "gymnasium" else set()
    for space in (BOX, DISCRETE):
        for size, limit in ((3, 50), (60, None)):
            resolved = resolve(config, space, size, limit)
            assert {name for name in OPEN if getattr(resolved, name) == OPEN[name]} == meaningful
            assert resolve(resolved, DISCRETE, 500, 1_000) == resolved
            assert {
                name for name, value in resolved.to_dict().items() if value != config.to_dict()[name]
            } == OPEN.keys() - meaningful
            for name in OPEN.keys() - meaningful:
                assert decided(resolved, name) == getattr(resolved, name)


def test_nothing_is_built_of_an_open_config() -> None:
    config = TrainConfig("X-v0")
    resolved = resolve(config, BOX, 3, None)
    with pytest.raises(ValueError, match=r"^baseline: expected the value of a resolved config, got 'auto'"):
        make_baseline(config, 3, RewardUnit())
    with pytest.raises(ValueError, match=r"^initial_log_std: expected the value of a resolved config"):
        make_head(BOX, config)
    for name in ("max_kl", "gamma", "fisher"):
        with pytest.raises(ValueError, match=rf"^{name}: expected the value of a resolved config, got None"):
            Learner(resolved.replace(**{name: None}), make_policy(), 3)
    with pytest.raises(ValueError, match=r"^batch_steps: expected the value of a resolved config"):
        horizon(config, None)


def test_an_episode_ends_at_its_limit_or_with_the_batch() -> None:
    config = resolve(TrainConfig("X-v0"), BOX, 3, None)
    assert (horizon(config, 50), horizon(config, None)) == (50, config.batch_steps) == (50, 10_000)
