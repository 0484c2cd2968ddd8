"""Vector environments that do not say how they reset, or take but one seed, or have infos of another kind."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv
from gymnasium.wrappers.vector import DictInfoToList

from fastfisher.training import NPG, UserError
from fastfisher.training.rollouts.vector import VectorRollouts

LENGTH = 15
SMALL: dict[str, Any] = {"policy": "linear", "batch_steps": 240, "normalize_observations": False}


class Fifteen(gymnasium.Env[Any, Any]):
    """Observes the step; each of an episode's 15 steps pays 1."""

    observation_space, action_space = spaces.Box(0.0, 15.0, (1,)), spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.t = 0
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> Any:
        assert self.t < LENGTH, "stepped after the end"
        self.t += 1
        return np.full(1, self.t, np.float32), 1.0, self.t == LENGTH, False, {}


class Silent(VectorEnv[Any, Any, Any]):
    """A vector environment of another maker: it says nothing of how it resets."""

    single_observation_space, single_action_space = Fifteen.observation_space, Fifteen.action_space
    num_envs = 4

    def __init__(self, mode: AutoresetMode, final: str | None = None) -> None:
        self._envs, self._final = SyncVectorEnv([Fifteen] * 4, autoreset_mode=mode), final
        self.metadata = {}

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        return self._envs.reset(seed=seed, options=options)

    def step(self, actions: Any) -> Any:
        *results, infos = self._envs.step(actions)
        last = infos.pop("final_obs", None)
        infos.pop("_final_obs", None)
        return *results, infos if last is None or self._final is None else {self._final: last}


def check_episodes(envs: VectorEnv[Any, Any, Any]) -> None:
    """Every episode is of 15 steps, observes 0 to 14 and ends at 15."""
    agent = NPG(envs, **SMALL)
    batch = VectorRollouts(envs, 0, 240).collect(agent.policy, 0)
    np.testing.assert_array_equal(batch.observations[:, 0], batch.times)
    np.testing.assert_array_equal(batch.final_observations[:, 0], batch.lengths)
    np.testing.assert_array_equal(batch.lengths[batch.complete], LENGTH)
    assert batch.complete.sum() >= 12
    returns: list[float] = []
    agent.learn(480, callback=lambda info: returns.extend((info.return_min, info.return_max)))
    assert set(returns) == {15.0}


@pytest.mark.parametrize("final", ["final_obs", "final_observation"])
def test_last_observations_show_that_the_step_resets(final: str) -> None:
    check_episodes(Silent(AutoresetMode.SAME_STEP, final))


@pytest.mark.parametrize("mode", AutoresetMode)
def test_without_last_observations_a_silent_one_is_refused(mode: AutoresetMode) -> None:
    with pytest.raises(UserError, match="put autoreset_mode into its metadata") as caught:
        NPG(Silent(mode), **SMALL).learn(240)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize("spelled", ["mode", "word"])
def test_metadata_are_taken_at_their_word(mode: AutoresetMode, spelled: str) -> None:
    envs = Silent(mode, "final_obs")
    envs.metadata["autoreset_mode"] = mode if spelled == "mode" else mode.value
    check_episodes(envs)


@pytest.mark.parametrize("mode", AutoresetMode)
def test_an_attribute_says_as_much_as_metadata(mode: AutoresetMode) -> None:
    envs = SyncVectorEnv([Fifteen] * 4, autoreset_mode=mode)
    envs.metadata = {}
    check_episodes(envs)


def test_one_that_says_same_step_and_loses_the_last_observations_is_refused() -> None:
    envs = Silent(AutoresetMode.SAME_STEP)
    envs.metadata["autoreset_mode"] = AutoresetMode.SAME_STEP
    with pytest.raises(UserError, match=r"reset copy 0 in the step that ended its episode, .*\(final_obs\)"):
        NPG(envs, **SMALL).learn(240)


def test_infos_may_be_a_list() -> None:
    check_episodes(DictInfoToList(SyncVectorEnv([Fifteen] * 4, autoreset_mode=AutoresetMode.SAME_STEP)))


@pytest.mark.parametrize("mode", AutoresetMode)
def test_other_processes_run_the_same_episodes(mode: AutoresetMode) -> None:
    envs = AsyncVectorEnv([Fifteen] * 4, autoreset_mode=mode)
    check_episodes(envs)
    envs.close()


def test_a_vector_of_one_generator_is_seeded_by_one_number() -> None:
    """Its base class takes no list of seeds."""
    trained = []
    for _ in range(2):
        envs = gymnasium.make_vec("CartPole-v1", num_envs=4)
        assert not isinstance(envs.unwrapped, SyncVectorEnv)
        trained.append(NPG(envs, seed=3, batch_steps=200).learn(400).policy.parameters.tobytes())
    other = NPG(gymnasium.make_vec("CartPole-v1", num_envs=4), seed=4, batch_steps=200).learn(400)
    assert trained[0] == trained[1] != other.policy.parameters.tobytes()


def test_its_episodes_are_those_of_cartpole() -> None:
    envs = gymnasium.make_vec("CartPole-v1", num_envs=4)
    agent = NPG(envs, seed=3, batch_steps=200)
    batch = VectorRollouts(envs, 3, 400).collect(agent.policy, 1)
    assert batch.complete.any()
    np.testing.assert_array_equal(batch.rewards, 1.0)
    firsts = batch.observations[batch.ends - batch.lengths]
    assert np.abs(firsts).max() <= 0.05
    fallen = (np.abs(batch.final_observations[:, 0]) > 2.4) | (
        np.abs(batch.final_observations[:, 2]) > 0.2094
    )
    np.testing.assert_array_equal(fallen, batch.terminated)
    again = VectorRollouts(envs, 3, 400).collect(agent.policy, 1)
    assert batch.observations.tobytes() == again.observations.tobytes()
    different = VectorRollouts(envs, 3, 400).collect(agent.policy, 2)
    assert batch.observations[0].tobytes() != different.observations[0].tobytes()
