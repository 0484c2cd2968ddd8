"""The config: its round trip, and what it refuses."""

from __future__ import annotations

import dataclasses
import inspect
import json
from typing import Any

import numpy as np
import pytest

from fastfisher.config import TrainConfig


def test_json_round_trip() -> None:
    config = TrainConfig("X-v0", hidden=(3, 4), baseline_hidden=(5,), rbf_bandwidth=2.0, env_kwargs={"a": 1})
    assert TrainConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert TrainConfig.from_dict({"env": "X-v0"}) == TrainConfig("X-v0")


def test_unknown_keys_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"unknown configuration keys gama, lr; expected some of env,"):
        TrainConfig.from_dict({"env": "X-v0", "gama": 0.9, "lr": 1})
    with pytest.raises(ValueError, match="gama"):
        TrainConfig("X-v0").replace(gama=0.9)


@pytest.mark.parametrize(
    ("name", "value", "error", "message"),
    [
        ("gamma", 1.5, ValueError, r"gamma: expected a number at least 0.0 and at most 1.0, got 1.5"),
        ("gamma", "high", TypeError, r"gamma: expected a real number or None, got 'high' \(str\)"),
        ("gamma", float("nan"), ValueError, r"gamma: expected a finite number"),
        ("max_kl", 0.0, ValueError, r"max_kl: expected a number above 0.0, got 0.0"),
        ("steps", 0, ValueError, r"steps: expected a number at least 1, got 0"),
        ("steps", 1e6, TypeError, r"steps: expected an integer"),
        ("seed", -1, ValueError, r"seed"),
        ("seed", True, TypeError, r"seed"),
        ("workers", 0, ValueError, r"workers"),
        ("policy", "cnn", ValueError, r"policy: expected one of linear, rbf, mlp, got 'cnn'"),
        ("solver", "lu", ValueError, r"solver: expected one of"),
        ("hidden", (64, 0), ValueError, r"hidden"),
        ("hidden", 64, TypeError, r"hidden"),
        ("normalize_advantages", 1, TypeError, r"normalize_advantages"),
        ("initial_log_std", -5.0, ValueError, r"min_log_std: expected at most initial_log_std"),
        ("algorithm", "ppo", ValueError, r"algorithm: expected one of npg, trpo, got 'ppo'"),
        ("fisher", "observed", ValueError, r"fisher: expected one of empirical, exact, None, got 'observed'"),
        ("fisher_fraction", 0.0, ValueError, r"fisher_fraction: .* above 0.0 and at most 1.0, got 0.0"),
        ("momentum", 1.0, ValueError, r"momentum: .* at least 0.0 and below 1.0, got 1.0"),
        ("line_search_factor", 1.0, ValueError, r"line_search_factor: .* above 0.0 and below 1.0, got 1.0"),
        ("line_search_steps", 0, ValueError, r"line_search_steps: expected a number at least 1, got 0"),
        ("damping_rule", "none", ValueError, r"damping_rule: expected one of fixed, adaptive, got 'none'"),
        ("max_damping", 1e-9, ValueError, r"max_damping: expected a number at least 0.001, got 1e-09"),
        ("target_return", float("inf"), ValueError, r"target_return: expected a finite number, got inf"),
        ("baseline_hidden", (8, -1), ValueError, r"baseline_hidden: expected positive layer sizes"),
        ("baseline_steps", 0, ValueError, r"baseline_steps: expected a number at least 1, got 0"),
        ("baseline_batches", 0, ValueError, r"baseline_batches: expected a number at least 1, got 0"),
        ("baseline_lambda", 1.1, ValueError, r"baseline_lambda: .* at least 0.0 and at most 1.0, got 1.1"),
        ("std", "both", ValueError, r"std: expected one of independent, dependent, got 'both'"),
        ("squash", "yes", TypeError, r"squash: expected True or False"),
        ("env_kwargs", [1], TypeError, r"env_kwargs"),
        ("env", None, TypeError, r"env: expected a string, got None"),
    ],
)
def test_bad_values_are_named(name: str, value: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        TrainConfig(**{"env": "X-v0", name: value})


def test_an_adaptive_damping_starts_within_its_bounds() -> None:
    with pytest.raises(
        ValueError, match=r"damping: expected a number at least 0.001 and at most 10.0, got 0"
    ):
        TrainConfig("X-v0", damping=0.0, damping_rule="adaptive")
    assert TrainConfig("X-v0", damping=0.0).damping == 0.0


def test_a_dependent_std_starts_above_its_floor() -> None:
    TrainConfig("X-v0", initial_log_std=-3.0, min_log_std=-3.0)
    with pytest.raises(ValueError, match=r"min_log_std: expected below initial_log_std = -3.0"):
        TrainConfig("X-v0", initial_log_std=-3.0, min_log_std=-3.0, std="dependent")


def test_a_dependent_std_starts_below_its_ceiling() -> None:
    TrainConfig("X-v0", initial_log_std=2.0)
    with pytest.raises(ValueError, match=r"max_log_std: expected above initial_log_std = 2.0 .*, got 2.0"):
        TrainConfig("X-v0", initial_log_std=2.0, std="dependent")
    with pytest.raises(ValueError, match=r"max_log_std: expected a number above -1.0, got -1.0"):
        TrainConfig("X-v0", min_log_std=-1.0, max_log_std=-1.0)


def test_integers_stand_for_reals() -> None:
    assert TrainConfig("X-v0", gamma=1).gamma == 1.0


def test_numbers_of_numpy_stand_for_pythons() -> None:
    config = TrainConfig("X-v0", seed=np.int64(3), damping=np.float64(0.25), preset=np.bool_(False))  # type: ignore[arg-type]
    assert config == TrainConfig("X-v0", seed=3, damping=0.25)
    assert json.loads(json.dumps(config.to_dict())) == config.to_dict()
    with pytest.raises(TypeError, match=r"steps: expected an integer, got 2\.5"):
        TrainConfig("X-v0", steps=np.float32(2.5))  # type: ignore[arg-type]


def test_arguments_of_the_environment_are_json() -> None:
    with pytest.raises(TypeError, match=r"env_kwargs: expected values that JSON has, got .*array"):
        TrainConfig("X-v0", env_kwargs={"x": np.arange(3)})


def test_only_a_floor_that_is_clamped_falls() -> None:
    with pytest.raises(ValueError, match=r"final_min_log_std: expected a finite number, got nan"):
        TrainConfig("X-v0", final_min_log_std=float("nan"))
    with pytest.raises(ValueError, match=r"final_min_log_std: expected None with std = 'dependent'"):
        TrainConfig("X-v0", final_min_log_std=-4.0, std="dependent")


def test_every_field_has_one_line_of_help() -> None:
    source = inspect.getsource(TrainConfig).splitlines()
    for field in dataclasses.fields(TrainConfig):
        place = next(i for i, line in enumerate(source) if line.startswith(f"    {field.name}: "))
        documentation = source[place + 1].strip()
        assert documentation.startswith('"""'), field.name
        assert documentation.endswith('."""'), field.name
