"""Environments that are none, or do not do what gymnasium's interface says: one line that names the call."""

from __future__ import annotations

import copy
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle  # type: ignore[import-untyped]
import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.wrappers import TimeLimit

from fastfisher.training import NPG, UserError

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers do not find it

SMALL: dict[str, Any] = {"policy": "linear", "batch_steps": 50, "workers": 1}


class Unsure:
    """What raises an error of its own where its truth is asked for, as a tensor of torch does."""

    def __bool__(self) -> bool:
        raise RuntimeError("ambiguous")

    def __repr__(self) -> str:
        return "<Unsure>"


class Env(gymnasium.Env[Any, Any]):
    """Ten steps an episode; the results of a step, from the third on, may be others."""

    observation_space, action_space = spaces.Box(-np.inf, np.inf, (2,)), spaces.Box(-1.0, 1.0, (1,))

    def __init__(self, **changes: Any) -> None:
        self.changes = changes

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.t = 0
        return np.zeros(2), {}

    def step(self, action: Any) -> Any:
        self.t += 1
        results = {
            "observation": np.full(2, self.t), "reward": 1.0, "terminated": False, "truncated": self.t == 10,
            "info": {},
        }  # fmt: skip
        if self.t >= 3:
            results |= self.changes
        return tuple(value for value in results.values() if value is not ...)


def message_of(env: Any, **options: Any) -> str:
    """Return the one line that training says of an environment."""
    with pytest.raises(UserError) as caught, NPG(env, **{**SMALL, **options}) as agent:
        agent.learn(50)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"reward": np.array([1.0])},
            "expected a number as reward, got an array of shape (1,) and dtype float64",
        ),
        ({"reward": np.ones(2)}, "expected a number as reward, got an array of shape (2,) and dtype float64"),
        ({"reward": None}, "expected a number as reward, got None (NoneType)"),
        ({"reward": "much"}, "expected a number as reward, got 'much' (str)"),
        ({"reward": {"a": 1.0}}, "expected a number as reward, got {'a': 1.0} (dict)"),
        (
            {"reward": [["x" * 40, 1]] * 2},
            "number as reward, got [['" + "x" * 40 + "', 1], ['xxxxxxxx... (list)",
        ),
        ({"reward": [np.eye(2)]}, "number as reward, got [array([[1., 0.], [0., 1.]])] (list)"),
        ({"terminated": Unsure()}, "expected True or False as terminated, got <Unsure> (Unsure)"),
        ({"reward": 1j}, "expected a number as reward, got 1j (complex)"),
        (
            {"terminated": np.zeros(2, bool)},
            "True or False as terminated, got an array of shape (2,) and dtype bool",
        ),
        ({"terminated": None}, "expected True or False as terminated, got None (NoneType)"),
        (
            {"truncated": np.zeros(3)},
            "True or False as truncated, got an array of shape (3,) and dtype float64",
        ),
        ({"truncated": None}, "expected True or False as truncated, got None (NoneType)"),
        ({"truncated": "no"}, "expected True or False as truncated, got 'no' (str)"),
        (
            {"truncated": ...},
            "expected 5 results, observation, reward, terminated, truncated and info, got 4",
        ),
        ({"truncated": ..., "info": ...}, "expected 5 results, observation, reward"),
    ],
)
@pytest.mark.parametrize("actions", ["core", "python"])
def test_results_of_a_step_are_named(changes: dict[str, Any], words: str, actions: str) -> None:
    env, options = Env(**changes), {"squash": actions == "python"}
    message = message_of(env, **options)
    assert re.fullmatch(
        rf"env\.step: .*{re.escape(words)}.*, at step 2 of the episode that env\.reset\(seed=\d+\) began",
        message,
    )
    with pytest.raises(UserError, match=r"^env\.step: expected"):
        NPG(env, **SMALL, **options).evaluate(1)


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_name_them_too(workers: int) -> None:
    assert message_of(lambda: Env(reward=None), workers=workers).startswith(
        "env.step: expected a number as reward"
    )


class Returning(Env):
    def step(self, action: Any) -> Any:
        return None


def test_a_step_without_results_is_named() -> None:
    assert message_of(Returning()).startswith(
        "env.step: expected observation, reward, terminated, truncated and info, got None"
    )


@pytest.mark.parametrize("reward", [1, True, np.float32(1.0), np.int8(1), np.array(1.0), np.bool_(True)])
@pytest.mark.parametrize("flag", [0, np.bool_(False), np.array(False), np.array([False])])
def test_whatever_is_a_number_or_true_or_false_is_taken(reward: Any, flag: Any) -> None:
    agent = NPG(Env(reward=reward, terminated=flag), **SMALL).learn(50)
    assert (agent.episodes, agent.last_return) == (5, 10.0)


@pytest.mark.parametrize("wrap", [lambda env: env, lambda env: TimeLimit(env, 20)])
def test_wrappers_that_unpack_hide_nothing(wrap: Callable[[Any], Any]) -> None:
    assert message_of(wrap(Env(truncated=...))).startswith("env.step: expected 5 results")
    assert message_of(lambda: wrap(Env(truncated=...)), num_envs=2).startswith("env.step: expected 5 results")
    assert message_of(TimeLimit(Returning(), 20)).startswith("env.step: expected 5 results")
    copies = message_of(lambda: wrap(Returning()), num_envs=2)
    assert re.match(
        "env.step: expected (5 results|observation, reward, terminated), .* of the vector", copies
    )


def test_an_error_of_the_environments_own_stays_what_it_is() -> None:
    class Failing(Env):
        def step(self, action: Any) -> Any:
            _first, _second = action  # there is but one

    with pytest.raises(ValueError, match="unpack") as caught:
        NPG(TimeLimit(Failing(), 20), **SMALL).learn(50)
    assert not isinstance(caught.value, UserError)


class Old(Env):
    """The interface of gym: no info at a reset."""

    def reset(self, **options: Any) -> Any:
        return super().reset(**options)[0]


class Unseeded(Env):
    def reset(self) -> Any:  # type: ignore[override]
        return super().reset()


@pytest.mark.parametrize("wrap", [lambda env: env, lambda env: TimeLimit(env, 20)])
def test_the_old_reset_is_named(wrap: Callable[[Any], Any]) -> None:
    assert message_of(wrap(Old())).startswith(
        "env.reset: expected a pair of observation and info, got an array"
    )
    assert message_of(wrap(Unseeded())).startswith(
        "env.reset: expected to be given a seed, and it takes none"
    )


def test_an_old_reset_of_an_observation_of_two_parts_is_no_pair() -> None:
    class Parts(Old):
        observation_space = spaces.Tuple([spaces.Discrete(3), spaces.Box(-1.0, 1.0, (2,))])

        def reset(self, **options: Any) -> Any:
            return 0, np.zeros(2)

    assert message_of(Parts()).startswith("env.reset: expected a tuple of 2 as observation, got 0 (int)")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: None, "got None (NoneType)"),
        (lambda: Env, "got <class"),
        (lambda: gymnasium.make_vec("CartPole-v1", num_envs=2), "got a vector environment"),
        (lambda: "CartPole-v1", "got 'CartPole-v1' (str)"),
    ],
)
def test_what_is_no_environment_is_named(make: Callable[[], Any], words: str) -> None:
    message = message_of(make)
    assert message.startswith("the function that makes the environment: expected a gymnasium.Env, got")
    assert words in message


@pytest.mark.parametrize("name", ["observation_space", "action_space"])
@pytest.mark.parametrize("space", [None, (3,)])
def test_what_is_no_space_is_named(name: str, space: Any) -> None:
    class Spaceless(Env):
        pass

    setattr(Spaceless, name, space)
    words = re.escape(
        f"env.{name}: expected a gymnasium.spaces.Space, got {space!r} ({type(space).__name__})"
    )
    assert re.fullmatch(words, message_of(Spaceless))


@pytest.mark.parametrize("limit", [None, float("inf"), 10, 10.0, np.int64(10)])
def test_a_limit_of_the_environments_own_may_be_none(limit: Any) -> None:
    env = Env()
    env._max_episode_steps = limit  # type: ignore[attr-defined]
    assert NPG(env, **SMALL).learn(50).last_return == 10.0


@pytest.mark.parametrize("limit", ["many", 0, -1, 2.5, float("nan"), [10]])
def test_a_limit_that_is_none_is_named(limit: Any) -> None:
    env = Env()
    env._max_episode_steps = limit  # type: ignore[attr-defined]
    assert message_of(env).startswith(
        "env._max_episode_steps: expected a whole number of steps, at least 1, or None"
    )


@pytest.mark.parametrize("version", [1, 2, 3])
def test_versions_that_gymnasium_gave_up_are_one_line(version: int) -> None:
    assert f"HalfCheetah-v{version}" in message_of(f"HalfCheetah-v{version}")
    command = [sys.executable, "-m", "fastfisher", "train", f"HalfCheetah-v{version}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert re.fullmatch(r"error: .*HalfCheetah-v\d.*\n", done.stderr)


@pytest.mark.parametrize("policy", ["linear", "mlp"])
@pytest.mark.parametrize("reward", [1e200, -1e160, 1.7e308])
def test_rewards_whose_squares_are_no_numbers_are_named(policy: Any, reward: float) -> None:
    message = message_of(Env(reward=reward), policy=policy)
    assert message.startswith(f"the environment gave a reward of {reward:g}, and squares of such returns")


@pytest.mark.parametrize("policy", ["linear", "mlp"])
@pytest.mark.parametrize("reward", [1e140, -1e-140])
def test_large_and_small_rewards_train(policy: Any, reward: float) -> None:
    class Varied(Env):
        def step(self, action: Any) -> Any:
            observation, _, *rest = super().step(action)
            return observation, reward * float(action[0]), *rest

    agent = NPG(Varied(), **{**SMALL, "policy": policy})
    before = copy.deepcopy(agent.policy.parameters)
    agent.learn(150)
    assert np.isfinite(agent.policy.parameters).all()
    assert (agent.policy.parameters != before).any()


def test_an_error_of_close_is_a_warning(tmp_path: Path) -> None:
    class Stuck(Env):
        def close(self) -> None:
            raise OSError("the device is busy")

    with (
        pytest.warns(UserWarning, match=r"env\.close raised OSError: the device is busy"),
        NPG(Stuck, **SMALL) as agent,
    ):
        agent.learn(50).save(tmp_path / "agent.zip")
    assert agent.steps == 50


def test_a_policy_of_other_spaces_is_named(tmp_path: Path) -> None:
    path = tmp_path / "agent.zip"
    NPG("Pendulum-v1", **SMALL).save(path)
    with pytest.raises(
        UserError,
        match=r"agent\.zip was trained on observations of Box\(3,\) and actions of Box\(1,\); "
        r"the environment here has observations of Box\(4,\) and actions of Discrete\(2\)$",
    ):
        NPG.load(path, "CartPole-v1")
    assert NPG.load(path, lambda: gymnasium.make("Pendulum-v1", g=1.0)).config.env == "Pendulum-v1"
