"""One step of a rollout: the core's actor against the policy's own, and what both write down."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

from fastfisher import _core
from fastfisher.policies import CategoricalHead, GaussianHead, LinearPolicy, Policy
from fastfisher.training.episode import Slot, make_chooser

STEPS, SIZE, ACTIONS = 150, 7, 3


def slot_for(policy: Policy) -> Slot:
    actions: Any = np.full((STEPS, *policy.action_shape), -1, policy.action_dtype)
    return Slot(np.full((STEPS, SIZE), np.nan), actions, np.zeros(STEPS), np.zeros(SIZE))


def linear_policy(head: Any) -> LinearPolicy:
    rng = np.random.default_rng(1)
    policy = LinearPolicy(SIZE, head, rng)
    policy.parameters = 0.5 * rng.standard_normal(policy.parameters.shape)
    policy.set_input_transform(rng.standard_normal(SIZE), rng.uniform(0.5, 2.0, SIZE))
    return policy


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("seed", [None, 5])
def test_the_core_chooses_what_the_policy_would(dtype: Any, seed: int | None) -> None:
    policy = linear_policy(GaussianHead(ACTIONS))
    low, high = np.array([-0.5, -np.inf, -2.0]), np.array([0.5, 0.25, np.inf])
    space = Box(low.astype(dtype), high.astype(dtype), dtype=dtype)
    slot = slot_for(policy)
    observations = np.random.default_rng(2).standard_normal((STEPS, SIZE))

    choose = make_chooser(policy, None if seed is None else np.random.default_rng(seed), space, slot)
    assert isinstance(choose, _core.EpisodeActor)
    chosen = np.array([choose(t, observation) for t, observation in enumerate(observations)])

    act = policy.actor(None if seed is None else np.random.default_rng(seed))
    expected = np.array([act(observation) for observation in observations])
    np.testing.assert_array_equal(slot.observations, observations)
    np.testing.assert_allclose(slot.actions, expected, rtol=1e-13, atol=1e-13)
    assert chosen.dtype == dtype
    np.testing.assert_array_equal(chosen, np.clip(slot.actions, low, high).astype(dtype))


def test_each_action_is_a_new_array() -> None:
    policy = linear_policy(GaussianHead(ACTIONS))
    choose = make_chooser(policy, None, Box(-1.0, 1.0, (ACTIONS,)), slot_for(policy))
    first = choose(0, np.ones(SIZE))
    kept = first.copy()
    choose(1, -np.ones(SIZE))
    np.testing.assert_array_equal(first, kept)


def test_discrete_actions_take_the_policys_own_actor() -> None:
    policy = linear_policy(CategoricalHead(ACTIONS))
    slot = slot_for(policy)
    choose = make_chooser(policy, np.random.default_rng(0), Discrete(ACTIONS, start=4), slot)
    chosen = [choose(t, np.full(SIZE, t)) for t in range(STEPS)]
    np.testing.assert_array_equal(np.array(chosen), slot.actions + 4)
    assert set(chosen) == {4, 5, 6}


def actor(**changes: Any) -> _core.EpisodeActor:
    arguments: dict[str, Any] = {
        "weights": np.zeros((SIZE, ACTIONS)),
        "draw": lambda: np.zeros((4, ACTIONS)),
        "low": np.full(ACTIONS, -1.0),
        "high": np.full(ACTIONS, 1.0),
        "observations": np.zeros((STEPS, SIZE)),
        "actions": np.zeros((STEPS, ACTIONS)),
        "single": False,
    }
    return _core.EpisodeActor(**{**arguments, **changes})


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"observations": np.zeros((STEPS, SIZE + 1))}, "observations"),
        ({"observations": np.zeros((STEPS, SIZE), np.float32)}, "observations"),
        ({"observations": np.zeros((SIZE, STEPS)).T}, "observations"),
        ({"actions": np.zeros((STEPS, ACTIONS, 1))}, "actions"),
        ({"high": np.zeros(ACTIONS + 1)}, "high"),
        ({"weights": np.zeros((SIZE, ACTIONS + 1))}, "weights"),
        ({"weights": np.zeros(SIZE)}, "weights"),
    ],
)
def test_the_core_refuses_arrays_that_do_not_fit(changes: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match=rf"^{name}: expected"):
        actor(**changes)


def test_the_core_never_writes_beyond_its_arrays() -> None:
    frozen = np.zeros((STEPS, ACTIONS))
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match=r"^actions: expected a writable"):
        actor(actions=frozen)
    one = actor()
    for t in (-1, STEPS):
        with pytest.raises(IndexError, match=rf"below {STEPS}$"):
            one(t, np.zeros(SIZE))
    with pytest.raises(ValueError, match=r"^observation: expected 7 entries"):
        one(0, np.zeros(SIZE - 1))
    with pytest.raises(ValueError, match=r"^draw\(\): expected rows of 3"):
        actor(draw=lambda: np.zeros((4, ACTIONS + 1)))(0, np.zeros(SIZE))
