"""The config: its round trip, and what it refuses."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np
import pytest

from fastfisher.training.config import TrainConfig


def test_json_round_trip() -> None:
    config = TrainConfig("X-v0", hidden=(3, 4), baseline_hidden=(5,), rbf_bandwidth=2.0, env_kwargs={"a": 1})
    assert TrainConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    before = TrainConfig("X-v0", action_units="environment", action_masks=False)
    assert TrainConfig.from_dict({"env": "X-v0"}) == before, "as versions without these fields had it"


def test_unknown_keys_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"gama: unknown configuration key; did you mean gamma\?"):
        TrainConfig.from_dict({"env": "X-v0", "gama": 0.9, "lr": 1})
    with pytest.raises(ValueError, match="gama"):
        TrainConfig("X-v0").replace(gama=0.9)


@pytest.mark.parametrize(
    ("name", "value", "error", "message"),
    [
        ("gamma", 1.5, ValueError, r"gamma: expected a finite number from 0 to 1 or None, got 1\.5$"),
        ("gamma", "high", TypeError, r"gamma: expected a finite number from 0 to 1 or None, got 'high'$"),
        ("gamma", float("nan"), ValueError, r"gamma: expected a finite number"),
        ("max_kl", 0.0, ValueError, r"max_kl: expected a finite number > 0 or None, got 0\.0$"),
        ("steps", 0, ValueError, r"steps: expected a whole number >= 1, got 0$"),
        ("steps", 1.5, TypeError, r"steps: expected a whole number >= 1, got 1\.5$"),
        ("steps", float("nan"), TypeError, r"steps: expected a whole number >= 1, got nan$"),
        ("steps", float("inf"), TypeError, r"steps: expected a whole number >= 1, got inf$"),
        ("steps", 0.0, ValueError, r"steps: expected a whole number >= 1, got 0$"),
        ("seed", -1, ValueError, r"seed"),
        ("seed", True, TypeError, r"seed"),
        ("workers", 0, ValueError, r"workers"),
        ("policy", "cnn", ValueError, r"policy: expected one of 'linear', 'rbf', 'mlp', got 'cnn'"),
        ("solver", "lu", ValueError, r"solver: expected one of"),
        ("hidden", (64, 0), ValueError, r"hidden"),
        ("hidden", 64, TypeError, r"hidden"),
        ("hidden", np.array(64), TypeError, r"hidden"),
        ("hidden", np.array([[8, 8]]), TypeError, r"hidden: expected a tuple of whole numbers >= 1, got"),
        ("hidden", np.array([8.5]), TypeError, r"hidden: expected a tuple of whole numbers >= 1, got"),
        ("normalize_advantages", 1, TypeError, r"normalize_advantages"),
        ("initial_log_std", -5.0, ValueError, r"min_log_std: expected at most initial_log_std"),
        ("algorithm", "ppo", ValueError, r"algorithm: expected one of 'npg', 'trpo', got 'ppo'"),
        ("fisher", "observed", ValueError, r"fisher: .* 'empirical', 'exact' or None, got 'observed'"),
        ("fisher_fraction", 0.0, ValueError, r"fisher_fraction: .* > 0 and <= 1, got 0\.0$"),
        ("momentum", 1.0, ValueError, r"momentum: .* >= 0 and < 1, got 1\.0$"),
        ("line_search_factor", 1.0, ValueError, r"line_search_factor: .* > 0 and < 1, got 1\.0$"),
        ("line_search_steps", 0, ValueError, r"line_search_steps: expected a whole number >= 1, got 0$"),
        ("damping_rule", "none", ValueError, r"damping_rule: .* 'fixed', 'adaptive', got 'none'$"),
        ("max_damping", 1e-9, ValueError, r"max_damping: expected a finite number >= 0\.001, got 1e-09$"),
        ("target_return", float("inf"), ValueError, r"target_return: .* finite number or None, got inf$"),
        ("baseline_hidden", (8, -1), ValueError, r"baseline_hidden: .* whole numbers >= 1, got \(8, -1\)$"),
        ("baseline_steps", 0, ValueError, r"baseline_steps: expected a whole number >= 1, got 0$"),
        ("baseline_batches", 0, ValueError, r"baseline_batches: expected a whole number >= 1, got 0$"),
        ("baseline_lambda", 1.1, ValueError, r"baseline_lambda: .* from 0 to 1, got 1\.1$"),
        ("std", "both", ValueError, r"std: expected one of 'independent', 'dependent', got 'both'"),
        ("squash", "yes", TypeError, r"squash: expected True or False"),
        ("env_kwargs", [1], TypeError, r"env_kwargs"),
        ("env", None, TypeError, r"env: expected a string, got None"),
    ],
)
def test_bad_values_are_named(name: str, value: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        TrainConfig(**{"env": "X-v0", name: value})


TINY, HUGE = 1e-300, 1e300
OUT_OF_RANGE: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    # What is refused, and what is just within.
    "steps": ((0, -1), (1, 10**12)),
    "seed": ((-1,), (0, 2**70)),
    "batch_steps": ((0, -5), (1,)),
    "gamma": ((-1e-9, 1.0 + 1e-9), (0.0, 1.0)),
    "gae_lambda": ((-1e-9, 1.0 + 1e-9), (0.0, 1.0)),
    "max_kl": ((0.0, -0.01), (TINY, HUGE)),
    "final_max_kl": ((0.0, -0.01), (TINY, HUGE)),
    "fisher_fraction": ((0.0, -0.5, 1.0 + 1e-9), (TINY, 1.0)),
    "damping": ((-1e-9,), (0.0, HUGE)),
    "min_damping": ((0.0, -1e-3), (TINY, 10.0)),
    "max_damping": ((1e-3 - 1e-9, 0.0, -1.0), (1e-3, HUGE)),
    "momentum": ((-1e-9, 1.0, 2.0), (0.0, 1.0 - 1e-9)),
    "line_search_factor": ((0.0, -0.5, 1.0, 2.0), (TINY, 1.0 - 1e-9)),
    "line_search_steps": ((0, -1), (1,)),
    "cg_tolerance": ((0.0, -1e-8, 1.0 + 1e-9), (TINY, 1.0)),
    "cg_iterations": ((0, -1), (1,)),
    "baseline_steps": ((0, -1), (1,)),
    "baseline_batches": ((0, -1), (1,)),
    "baseline_lambda": ((-1e-9, 1.0 + 1e-9), (0.0, 1.0)),
    "ridge": ((0.0, -1e-5), (TINY, HUGE)),
    "max_log_std": ((-3.0, -4.0), (-3.0 + 1e-9, HUGE)),
    "rbf_features": ((0, -1), (1,)),
    "rbf_bandwidth": ((0.0, -1.0), (TINY, HUGE)),
    "rbf_bandwidth_scale": ((0.0, -1.0), (TINY, HUGE)),
    "workers": ((0, -1), (1,)),
    "worker_timeout": ((0.0, -1.0), (TINY, HUGE)),
    "num_envs": ((-1,), (0,)),
    "max_episode_steps": ((0, -1), (1,)),
    "init_noise": ((-1e-9,), (0.0, HUGE)),
    "checkpoint_every": ((0, -1), (1,)),
    "evaluate_every": ((-1,), (0, 1)),
    "evaluation_episodes": ((0, -1), (1,)),
}
WITHOUT_RANGE = {"target_return", "initial_log_std", "min_log_std", "final_min_log_std"}
"""Any finite number, or bounded by another field alone."""
NUMERIC = {
    name: hint
    for name, hint in get_type_hints(TrainConfig).items()
    if {int, float} & {hint, *get_args(hint)} and get_origin(hint) is not tuple
}


def test_every_number_has_its_range_or_is_known_to_have_none() -> None:
    assert OUT_OF_RANGE.keys() | WITHOUT_RANGE == NUMERIC.keys()
    assert not OUT_OF_RANGE.keys() & WITHOUT_RANGE


@pytest.mark.parametrize("name", OUT_OF_RANGE)
def test_numbers_out_of_range_are_refused_by_name(name: str) -> None:
    refused, taken = OUT_OF_RANGE[name]
    for value in refused:
        with pytest.raises(
            ValueError, match=rf"^{name}: expected a (finite|whole) number .*, got {re.escape(str(value))}$"
        ):
            TrainConfig(**{"env": "X-v0", name: value})
    for value in taken:
        assert getattr(TrainConfig(**{"env": "X-v0", name: value}), name) == value


@pytest.mark.parametrize("name", NUMERIC)
def test_numbers_are_finite_and_numbers(name: str) -> None:
    if float in (hint := NUMERIC[name], *get_args(hint)):
        for value in (float("nan"), float("inf"), -float("inf")):
            with pytest.raises(ValueError, match=rf"^{name}: expected a finite number\b.*, got {value}$"):
                TrainConfig(**{"env": "X-v0", name: value})
    for wrong in ("1", True, [1]):
        with pytest.raises(TypeError, match=rf"^{name}: expected "):
            TrainConfig(**{"env": "X-v0", name: wrong})
    if type(None) in get_args(NUMERIC[name]):
        assert getattr(TrainConfig(**{"env": "X-v0", name: None}), name) is None
    else:
        with pytest.raises(TypeError, match=rf"^{name}: expected "):
            TrainConfig(**{"env": "X-v0", name: None})


def test_an_adaptive_damping_starts_within_its_bounds() -> None:
    with pytest.raises(ValueError, match=r"^damping: expected a finite number from 0\.001 to 10, got 0\.0$"):
        TrainConfig("X-v0", damping=0.0, damping_rule="adaptive")
    with pytest.raises(ValueError, match=r"^damping: expected a finite number from 0\.001 to 10, got 11\.0$"):
        TrainConfig("X-v0", damping=11.0, damping_rule="adaptive")
    assert TrainConfig("X-v0", damping=0.0).damping == 0.0


def test_a_dependent_std_starts_above_its_floor() -> None:
    TrainConfig("X-v0", initial_log_std=-3.0, min_log_std=-3.0)
    with pytest.raises(ValueError, match=r"min_log_std: expected below initial_log_std = -3.0"):
        TrainConfig("X-v0", initial_log_std=-3.0, min_log_std=-3.0, std="dependent")


def test_a_dependent_std_starts_below_its_ceiling() -> None:
    TrainConfig("X-v0", initial_log_std=2.0)
    with pytest.raises(ValueError, match=r"max_log_std: expected above initial_log_std = 2.0 .*, got 2.0"):
        TrainConfig("X-v0", initial_log_std=2.0, std="dependent")
    with pytest.raises(ValueError, match=r"max_log_std: expected a finite number > -1, got -1\.0$"):
        TrainConfig("X-v0", min_log_std=-1.0, max_log_std=-1.0)


def test_noise_of_initial_states_is_out_of_envpools_reach() -> None:
    assert TrainConfig("X-v0", backend="envpool").init_noise == 0.0
    with pytest.raises(ValueError, match=r"init_noise: expected 0 with backend = 'envpool'.*, got 0.5"):
        TrainConfig("X-v0", backend="envpool", init_noise=0.5)


def test_integers_stand_for_reals() -> None:
    assert TrainConfig("X-v0", gamma=1).gamma == 1.0


def test_reals_without_a_fraction_stand_for_integers() -> None:
    config = TrainConfig("X-v0", steps=1e6, batch_steps=np.float32(2e3))  # type: ignore[arg-type]
    assert config == TrainConfig("X-v0", steps=1_000_000, batch_steps=2_000)
    assert type(config.steps) is int


def test_arrays_stand_for_tuples() -> None:
    config = TrainConfig("X-v0", hidden=np.array([8, 16]))  # type: ignore[arg-type]
    assert config.to_dict()["hidden"] == [8, 16]
    assert json.loads(json.dumps(config.to_dict())) == config.to_dict()


def test_numbers_of_numpy_stand_for_pythons() -> None:
    config = TrainConfig("X-v0", seed=np.int64(3), damping=np.float64(0.25), preset=np.bool_(False))  # type: ignore[arg-type]
    assert config == TrainConfig("X-v0", seed=3, damping=0.25)
    assert json.loads(json.dumps(config.to_dict())) == config.to_dict()
    with pytest.raises(TypeError, match=r"steps: expected a whole number >= 1, got .*2\.5"):
        TrainConfig("X-v0", steps=np.float32(2.5))  # type: ignore[arg-type]


def test_arguments_of_the_environment_are_json() -> None:
    with pytest.raises(TypeError, match=r"env_kwargs\['x'\]: expected .* JSON .* got array"):
        TrainConfig("X-v0", env_kwargs={"x": np.arange(3)})


def test_only_a_floor_that_is_clamped_falls() -> None:
    with pytest.raises(ValueError, match=r"final_min_log_std: expected a finite number or None, got nan$"):
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
