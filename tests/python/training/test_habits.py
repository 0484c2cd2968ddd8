"""What users of Stable-Baselines3 write: taken, or told what it is called here."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from fastfisher.policies import GaussianHead, LinearPolicy
from fastfisher.training import NPG, TRPO
from fastfisher.training.config import TrainConfig

OWN = LinearPolicy(3, GaussianHead(1, 0.0), np.random.default_rng(0))
OPTIONS: dict[str, Any] = {"policy": "linear", "batch_steps": 200, "workers": 1}


def test_total_timesteps_is_total_steps() -> None:
    one, two = (NPG("CartPole-v1", **OPTIONS) for _ in range(2))
    assert one.learn(total_timesteps=500).steps == two.learn(500).steps >= 500
    assert one.policy.parameters.tobytes() == two.policy.parameters.tobytes()
    with pytest.raises(TypeError, match=r"^total_timesteps: expected total_steps or this, .*got both"):
        one.learn(500, total_timesteps=500)
    with pytest.raises(ValueError, match="total_steps: expected"):
        one.learn(total_timesteps=-1)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("progress_bar", "learn(..., callback=print) prints each iteration"),
        ("log_interval", "learn(..., callback=...) gets every iteration"),
        ("reset_num_timesteps", "learn goes on from where the agent stands"),
        ("tb_log_name", "`fastfisher train` writes TensorBoard's events"),
        ("call_back", "did you mean callback?"),
        ("zzz", "expected one of total_steps, callback, keep_best"),
    ],
)
def test_arguments_of_learn_that_are_not_here_are_told(name: str, hint: str) -> None:
    agent = NPG("CartPole-v1", **OPTIONS)
    with pytest.raises(TypeError, match=re.escape(f"{name}: not an argument of learn; {hint}")):
        agent.learn(1, **{name: True})
    assert agent.steps == 0


class BaseCallback:
    """As Stable-Baselines3 has it: a class with methods, and no function."""

    def on_step(self) -> bool:
        return True


@pytest.mark.parametrize("callback", [BaseCallback(), [print], "print"])
def test_a_callback_is_a_function(callback: Any) -> None:
    agent = NPG("CartPole-v1", **OPTIONS)
    with pytest.raises(TypeError, match=r"^callback: expected a function of an IterationInfo, got "):
        agent.learn(1, callback=callback)
    assert agent.steps == 0


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("n_steps", "it is called batch_steps"),
        ("target_kl", "it is called max_kl"),
        ("learning_rate", "it is called max_kl, the length of a step"),
        ("cg_damping", "it is called damping"),
        ("verbose", "learn(..., callback=print) prints each iteration"),
        ("policy_kwargs", "it is called hidden, the sizes of the hidden layers, and the other"),
        ("batchsteps", "did you mean batch_steps?"),
        ("zzz", "expected one of env, algorithm, policy"),
    ],
)
def test_hyper_parameters_that_are_not_here_are_told(name: str, hint: str) -> None:
    with pytest.raises(TypeError, match="^" + re.escape(f"{name}: not a hyper-parameter; {hint}")):
        TRPO("CartPole-v1", **{name: 1})


def test_names_that_are_the_same_are_taken() -> None:
    assert TRPO("CartPole-v1", **OPTIONS, gamma=0.9, gae_lambda=0.8).config.gae_lambda == 0.8


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (("linear", "Pendulum-v1"), "NPG('Pendulum-v1', policy='linear')"),
        (("MlpPolicy", "Pendulum-v1"), "NPG('Pendulum-v1', policy='mlp')"),
        (("Pendulum-v1", "linear"), "NPG('Pendulum-v1', policy='linear')"),
        (("MlpPolicy", object()), "NPG(..., policy='mlp')"),
        ((OWN, "Pendulum-v1"), "NPG('Pendulum-v1', policy=...)"),
    ],
)
def test_the_policy_is_a_word_and_the_environment_comes_first(arguments: Any, shown: str) -> None:
    expected = "NPG: expected the environment alone by position, got 2 arguments; write " + re.escape(shown)
    with pytest.raises(TypeError, match=f"^{expected}$"):
        NPG(*arguments)


def test_every_name_that_is_told_of_is_a_field() -> None:
    from fastfisher.training.habits import _CALLED

    known = TrainConfig("x").to_dict()
    assert not [name for name in _CALLED if name in known]
    assert [name for name in _CALLED.values() if name.split(",")[0] not in known] == []
