"""Arguments of environments: as they are given they come back, or they are refused by name."""

from __future__ import annotations

import enum
from collections import OrderedDict
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from fastfisher.training import NPG
from fastfisher.training.config import TrainConfig


class Level(enum.IntEnum):
    HARD = 2


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"weights": {0: 1.0, 1: 5.0}}, r"^env_kwargs\['weights'\], key 0: expected a string"),
        ({"size": (3, 4)}, r"^env_kwargs\['size'\]: expected .* got \(3, 4\)"),
        ({"a": {"b": [1, {2}]}}, r"^env_kwargs\['a'\]\['b'\]\[1\]: expected .* got \{2\}"),
        ({"a": np.arange(3)}, r"^env_kwargs\['a'\]: expected .* got array"),
        ({"a": b"1"}, r"^env_kwargs\['a'\]: expected"),
        ({"a": 1j}, r"^env_kwargs\['a'\]: expected"),
        ({"a": Level.HARD}, r"^env_kwargs\['a'\]: expected .* got <Level\.HARD: 2>"),
        ({"a": OrderedDict(b=1)}, r"^env_kwargs\['a'\]: expected"),
        ({"a": range(3)}, r"^env_kwargs\['a'\]: expected"),
        ({None: 1}, r"^env_kwargs, key None: expected a string"),
        ({"a": len}, r"^env_kwargs\['a'\]: .*a function that makes the environment can hold any other"),
    ],
)
def test_what_json_would_change_is_refused_by_name(kwargs: dict[Any, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        TrainConfig("X-v0", env_kwargs=kwargs)
    with pytest.raises(TypeError, match=message):
        NPG("CartPole-v1", env_kwargs=kwargs)


def test_a_mapping_that_contains_itself_is_refused() -> None:
    endless: dict[str, Any] = {}
    endless["a"] = [endless]
    with pytest.raises(TypeError, match="contains itself"):
        TrainConfig("X-v0", env_kwargs=endless)


class Weighted(gymnasium.Env[Any, Any]):
    """Pays the weight of its only state, if it is given as it was written down."""

    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (1,))
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, weights: dict[str, float], scale: float, names: list[str]) -> None:
        assert [type(part) for part in (weights, scale, names)] == [dict, float, list]
        self.reward = scale * weights.pop(names.pop())

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.t = 0
        return np.zeros(1), {}

    def step(self, action: Any) -> Any:
        self.t += 1
        return np.zeros(1), self.reward, self.t == 10, False, {}


def test_what_is_kept_is_the_same_before_and_after_and_the_caller_may_change_theirs(tmp_path: Path) -> None:
    given = {"weights": {"a": np.float64(5.0)}, "scale": np.float32(0.5), "names": ["b", np.str_("a")]}
    agent = NPG(Weighted, env_kwargs=given, batch_steps=50, workers=1)
    given["names"].append("c")  # type: ignore[union-attr]
    agent.learn(100)
    assert agent.config.env_kwargs == {"weights": {"a": 5.0}, "scale": 0.5, "names": ["b", "a"]}
    before = agent.evaluate(2).returns
    np.testing.assert_array_equal(before, 25.0)
    agent.save(tmp_path / "agent.zip")
    after = NPG.load(tmp_path / "agent.zip", Weighted)
    assert after.config == agent.config
    np.testing.assert_array_equal(after.evaluate(2).returns, before)


def test_a_config_is_what_its_json_says() -> None:
    kwargs = {"a": None, "b": True, "c": [1, 2.5, "d"], "e": {"f": {}, "g": []}, "h": float("inf")}
    config = TrainConfig("X-v0", env_kwargs=kwargs)
    assert TrainConfig.from_dict(config.to_dict()) == config
    assert config.env_kwargs == kwargs
    assert config.env_kwargs["e"] is not kwargs["e"]
