"""The loop over an episode's steps: when it stops, and what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from environments import Countdown, Endless

from fastfisher import _core
from fastfisher.policies import GaussianHead, LinearPolicy
from fastfisher.training.errors import UserError
from fastfisher.training.rollouts.episode import Slot, Watch, make_chooser, run_episode

STEPS = 20


def slot() -> Slot:
    return Slot(np.zeros((STEPS, 2)), np.zeros((STEPS, 1)), np.zeros(STEPS), np.zeros(2))


def chooser(slot: Slot, env: Countdown) -> Any:
    policy = LinearPolicy(2, GaussianHead(1, 0.0), np.random.default_rng(0))
    return make_chooser(policy, np.random.default_rng(1), env.action_space, slot)


def test_an_episode_ends_where_the_environment_says_and_its_length_is_seen() -> None:
    env, rows = Countdown(), slot()
    length = np.zeros(1, np.int64)
    episode = run_episode(env, 3, chooser(rows, env), rows, Watch(0, length, np.ones(1, np.int64)))
    assert episode is not None
    assert episode.length == env.length == length[0]
    assert episode.terminated == (env.length % 2 == 1)
    assert 0.0 < episode.seconds_env_step < 1.0
    np.testing.assert_array_equal(rows.final_observation, [env.length, env.number])
    assert not rows.rewards[env.length :].any()


def test_an_episode_is_cut_at_the_last_row() -> None:
    env, rows = Endless(), slot()
    episode = run_episode(env, 3, chooser(rows, env), rows)
    assert episode is not None
    assert (episode.length, episode.terminated) == (STEPS, False)


def test_an_episode_is_abandoned_as_soon_as_it_is_unwanted() -> None:
    env, rows = Endless(), slot()
    unwanted_from = np.full(1, 9, np.int64)

    class Spoilt(Endless):
        def step(self, action: np.ndarray) -> Any:
            if self.t == 4:
                unwanted_from[0] = 5
            return super().step(action)

    env = Spoilt()
    length = np.zeros(1, np.int64)
    assert run_episode(env, 3, chooser(rows, env), rows, Watch(5, length, unwanted_from)) is None
    assert length[0] == 5
    unwanted_from[0] = 9
    assert run_episode(env, 3, chooser(rows, env), rows, Watch(4, length, unwanted_from)) is not None


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (
            (np.zeros(2), 0.0, False, {}),
            r"^env\.step: expected 5 results, .*, got 4, as environments of the old",
        ),
        (None, r"^env\.step: expected observation, reward, terminated, truncated and info, got None"),
        ((np.zeros(2), "much", False, False, {}), r"^env\.step: expected a number as reward, got 'much'"),
        (
            (np.zeros(2), 0.0, np.zeros(2, bool), False, {}),
            r"^env\.step: expected True or False as terminated",
        ),
        ((np.zeros(3), 0.0, False, False, {}), r"^env\.step: expected an observation of shape \(2,\), got"),
    ],
)
def test_steps_that_are_none_are_refused(result: Any, message: str) -> None:
    env, rows = Endless(), slot()
    env.step = lambda action: result  # type: ignore[method-assign]
    with pytest.raises(UserError, match=message):
        run_episode(env, 3, chooser(rows, env), rows)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"rewards": np.zeros(0)}, "rewards"),
        ({"rewards": np.zeros(STEPS, np.float32)}, "rewards"),
        ({"final_observation": np.zeros((2, 1))}, "final_observation"),
        ({"final_observation": np.zeros(2, int)}, "final_observation"),
        ({"length": np.zeros(1)}, "length"),
        ({"length": np.zeros(2, np.int64)}, "length"),
        ({"unwanted_from": np.zeros(1, np.int32)}, "unwanted_from"),
    ],
)
def test_the_core_refuses_arrays_that_do_not_fit(changes: dict[str, Any], name: str) -> None:
    arguments: dict[str, Any] = {
        "choose": lambda t, observation: 0,
        "step": lambda action: (np.ones(2), 0.0, True, False, {}),
        "observation": np.zeros(2),
        "rewards": np.zeros(STEPS),
        "final_observation": np.zeros(2),
        "index": 0,
        "length": np.zeros(1, np.int64),
        "unwanted_from": np.ones(1, np.int64),
    }
    assert _core.run_episode(**arguments)[:3] == (True, 1, True)
    with pytest.raises(ValueError, match=rf"^{name}: expected"):
        _core.run_episode(**{**arguments, **changes})
