"""Policies, spaces, wrappers, callbacks and loggers of Stable-Baselines3."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("stable_baselines3")

import torch
from stable_baselines3.common.callbacks import BaseCallback, EvalCallback
from stable_baselines3.common.logger import configure
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize
from torch import nn

import fastfisher.torch as fft
from fastfisher.sb3 import NPG, TRPO, CnnPolicy, MlpPolicy, MultiInputPolicy

from .helpers import ACTIONS, KINDS, OBSERVATIONS, Drawn, logged, model, parameters, with_rollout

POLICIES = {"image": "CnnPolicy", "dict": "MultiInputPolicy"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("observations", OBSERVATIONS)
@pytest.mark.parametrize("actions", ["box", "discrete"])
def test_observations_of_every_space(kind: type[Any], observations: str, actions: str) -> None:
    policy = POLICIES.get(observations, "MlpPolicy")
    made = model(kind, Drawn(observations, actions), policy, n_steps=64)
    before = parameters(made)
    made.learn(128)
    moved = {name for name, tensor in parameters(made).items() if not torch.equal(before[name], tensor)}
    assert moved == set(before)
    assert all(torch.isfinite(tensor).all() for tensor in parameters(made).values())


@pytest.mark.parametrize("actions", ACTIONS)
def test_actions_of_every_space_with_several_environments(actions: str) -> None:
    env = VecNormalize(DummyVecEnv([lambda: Drawn(actions=actions)] * 3))
    made = model(TRPO, env, n_steps=32, critic="natural")
    made.learn(192)
    action, _ = made.predict(env.reset(), deterministic=True)
    assert action.shape == (3, *ACTIONS[actions].shape)
    assert all(ACTIONS[actions].contains(one) for one in action)


def test_what_is_learned_is_worth_more() -> None:
    made = TRPO("MlpPolicy", "CartPole-v1", n_steps=1024, seed=1, device="cpu", critic="natural")
    lengths: list[float] = []

    class Keep(BaseCallback):
        def _on_step(self) -> bool:
            return True

        def _on_rollout_end(self) -> None:
            lengths.append(float(np.mean([episode["l"] for episode in self.model.ep_info_buffer])))

    made.learn(16 * 1024, callback=Keep())
    assert lengths[0] < 40.0
    assert lengths[-1] > 3.0 * lengths[0]


class Squared(BaseFeaturesExtractor):
    """Features with a parameter of its own that no layer has."""

    def __init__(self, space: Any) -> None:
        super().__init__(space, 2 * space.shape[0])
        self.scale = nn.Parameter(torch.ones(space.shape[0]))

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        scaled = observations * self.scale
        return torch.cat([scaled, scaled.square()], dim=1)


class ValuedActor(ActorCriticPolicy):
    """A policy with "value" in the name of a part of the actor, by which SB3-contrib would leave it out."""

    def _build(self, lr_schedule: Any) -> None:
        super()._build(lr_schedule)
        self.valued = nn.Linear(self.mlp_extractor.latent_dim_pi, self.mlp_extractor.latent_dim_pi)
        self.optimizer = self.optimizer_class(self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)

    def _get_action_dist_from_latent(self, latent_pi: torch.Tensor) -> Any:
        return super()._get_action_dist_from_latent(torch.tanh(self.valued(latent_pi)))


@pytest.mark.parametrize("critic", ["adam", "natural"])
@pytest.mark.parametrize("share", [True, False])
def test_an_extractor_that_is_shared_is_the_policys_alone(share: bool, critic: str) -> None:
    kwargs = {"features_extractor_class": Squared, "share_features_extractor": share}
    made = with_rollout(model(TRPO, policy_kwargs=kwargs, critic=critic, learning_rate=0.01))
    made.train()
    after_both = parameters(made)
    alone = with_rollout(model(TRPO, policy_kwargs=kwargs, n_critic_updates=0))
    alone.train()
    after_policy = parameters(alone)
    moved = {name for name, tensor in after_both.items() if not torch.equal(after_policy[name], tensor)}
    critics = {name for name in after_both if "value" in name}
    # The actor's extractor is registered first, as features_extractor.
    assert moved == critics | (set() if share else {"vf_features_extractor.scale"})


def test_the_actor_is_what_the_actions_depend_on_whatever_its_name() -> None:
    made = with_rollout(model(TRPO, policy=ValuedActor, n_critic_updates=0))
    before = parameters(made)
    made.train()
    moved = {name for name, tensor in parameters(made).items() if not torch.equal(before[name], tensor)}
    assert {"valued.weight", "valued.bias", "log_std"} <= moved
    assert not any(name.startswith("value_net") for name in moved)


def test_layers_that_act_otherwise_in_training_are_taken_as_they_acted() -> None:
    class Normalised(BaseFeaturesExtractor):
        def __init__(self, space: Any) -> None:
            super().__init__(space, space.shape[0])
            self.layers = nn.Sequential(nn.BatchNorm1d(space.shape[0]), nn.Dropout(0.5))

        def forward(self, observations: torch.Tensor) -> torch.Tensor:
            return self.layers(observations)

    made = with_rollout(model(TRPO, policy_kwargs={"features_extractor_class": Normalised}))
    made.train()
    found = logged(made)
    assert found["train/is_line_search_success"] == 1.0
    assert 0.0 < found["train/kl_divergence_loss"] < 0.01


def test_a_layer_that_mixes_samples_is_named() -> None:
    class Mixing(BaseFeaturesExtractor):
        def __init__(self, space: Any) -> None:
            super().__init__(space, space.shape[0])
            self.mixing = nn.BatchNorm1d(space.shape[0])

        def train(self, mode: bool = True) -> Any:
            return super().train(True)

        def forward(self, observations: torch.Tensor) -> torch.Tensor:
            return observations if len(observations) == 1 else self.mixing(observations)

    made = with_rollout(model(TRPO, policy_kwargs={"features_extractor_class": Mixing}))
    with pytest.raises(fft.UnsupportedModuleError, match="mixing"):
        made.train()


def test_callbacks_loggers_and_files(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    made = TRPO(
        "MlpPolicy", Drawn(), n_steps=64, batch_size=32, seed=0, device="cpu", tensorboard_log=str(tmp_path)
    )
    made.learn(128, callback=EvalCallback(Monitor(Drawn()), eval_freq=64, log_path=str(tmp_path), verbose=0))
    assert (tmp_path / "TRPO_1").is_dir()
    assert (tmp_path / "evaluations.npz").is_file()
    made.set_logger(configure(str(tmp_path / "own"), ["csv"]))
    made.learn(192, reset_num_timesteps=False, tb_log_name="other")
    header = (tmp_path / "own" / "progress.csv").read_text().partition("\n")[0].split(",")
    assert {
        "train/policy_objective", "train/kl_divergence_loss", "train/value_loss", "train/explained_variance",
        "train/is_line_search_success", "train/std", "train/n_updates", "train/learning_rate",
        "train/residual", "train/iterations", "train/solver",
    } <= set(header)  # fmt: skip
    assert made.num_timesteps == 320


def test_a_progress_bar(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tqdm")
    pytest.importorskip("rich")
    model(NPG, n_steps=32).learn(64, progress_bar=True)
    assert "64" in capsys.readouterr().out


def test_the_arguments_are_those_of_sb3_contrib() -> None:
    contrib = pytest.importorskip("sb3_contrib")
    theirs = inspect.signature(contrib.TRPO.__init__).parameters
    for kind in KINDS:
        ours = inspect.signature(kind.__init__).parameters
        assert list(ours)[: len(theirs)] == list(theirs)
        assert {name: ours[name].default for name in theirs} == {n: p.default for n, p in theirs.items()}
        more = list(ours.values())[len(theirs) :]
        assert all(parameter.kind is parameter.KEYWORD_ONLY for parameter in more)
        assert kind.policy_aliases == contrib.TRPO.policy_aliases
    assert (
        inspect.signature(TRPO.learn).parameters.keys()
        == inspect.signature(contrib.TRPO.learn).parameters.keys()
    )


def test_policies_have_their_short_names() -> None:
    aliases = {"MlpPolicy": MlpPolicy, "CnnPolicy": CnnPolicy, "MultiInputPolicy": MultiInputPolicy}
    assert aliases == TRPO.policy_aliases


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"fisher": "true"}, ValueError, "fisher: expected one of 'empirical', 'exact', got 'true'"),
        ({"critic": "sgd"}, ValueError, "critic: expected one of 'adam', 'natural', got 'sgd'"),
        ({"solver": "qr"}, ValueError, "solver: expected one of"),
        ({"tol": 0.0}, ValueError, "tol: expected a finite number > 0, got 0.0"),
        ({"tol": "small"}, TypeError, "tol: expected a finite number > 0, got 'small'"),
        ({"fisher": "exact", "use_sde": True}, ValueError, 'fisher: expected "empirical" with use_sde=True'),
        ({"target_kl": 0.0}, ValueError, "target_kl: expected a finite number > 0, got 0.0"),
        ({"target_kl": None}, TypeError, "target_kl: expected a finite number > 0, got None"),
        ({"cg_damping": -0.1}, ValueError, "cg_damping: expected a finite number >= 0, got -0.1"),
        ({"batch_size": 0}, ValueError, "batch_size: expected a whole number >= 1, got 0"),
        ({"n_critic_updates": -1}, ValueError, "n_critic_updates: expected a whole number from 0"),
        ({"line_search_max_iter": -1}, ValueError, "line_search_max_iter: expected a whole number from 0"),
        ({"sub_sampling_factor": 0}, ValueError, "sub_sampling_factor: expected a whole number >= 1, got 0"),
        ({"n_steps": 64, "sub_sampling_factor": 64}, AssertionError, "sub_sampling_factor: expected less"),
        ({"n_steps": 1}, AssertionError, r"n_steps: expected n_steps \* n_envs > 1"),
    ],
)
def test_wrong_arguments_are_named(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        TRPO("MlpPolicy", Drawn(), device="cpu", **options)


def test_batches_that_do_not_divide_the_rollout_are_warned_of() -> None:
    with pytest.warns(UserWarning, match="batch_size: a factor of the rollout's size"):
        TRPO("MlpPolicy", Drawn(), n_steps=100, batch_size=64, device="cpu")
