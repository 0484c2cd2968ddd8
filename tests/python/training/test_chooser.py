"""One step of a rollout: the core's actors against NumPy's arithmetic, and what they write down."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

from fastfisher import _core
from fastfisher.policies import (
    CategoricalHead,
    GaussianHead,
    Head,
    LinearPolicy,
    MLPPolicy,
    NetworkPolicy,
    Policy,
    RBFPolicy,
    StateDependentGaussianHead,
)
from fastfisher.training.rollouts.episode import Slot, make_chooser

STEPS, SIZE, ACTIONS = 150, 7, 3

POLICIES: dict[str, Callable[[Head, np.random.Generator], NetworkPolicy]] = {
    "linear": lambda head, rng: LinearPolicy(SIZE, head, rng),
    "mlp": lambda head, rng: MLPPolicy(SIZE, (19, 8), head, rng),
    "rbf": lambda head, rng: RBFPolicy(SIZE, 33, head, rng, bandwidth=2.0),
}


def slot_for(policy: Policy) -> Slot:
    actions: Any = np.full((STEPS, *policy.action_shape), -1, policy.action_dtype)
    return Slot(np.full((STEPS, SIZE), np.nan), actions, np.zeros(STEPS), np.zeros(SIZE))


def make(kind: str, head: Head) -> NetworkPolicy:
    rng = np.random.default_rng(1)
    policy = POLICIES[kind](head, rng)
    policy.parameters = policy.parameters + 0.5 * rng.standard_normal(policy.parameters.shape)
    shift, scale = rng.standard_normal(SIZE), rng.uniform(0.5, 2.0, SIZE)
    policy.set_input_transform(shift, scale, shift[None, :])
    return policy


def outputs(policy: NetworkPolicy, observations: np.ndarray) -> np.ndarray:
    """The network in NumPy."""
    *hidden, last = policy._layers()
    x = policy.features(observations)
    for layer in hidden:
        x = np.tanh(x @ layer[:-1] + layer[-1])
    z: np.ndarray = x @ last[:-1] + last[-1]
    return z


def noise(policy: NetworkPolicy, seed: int | None) -> np.ndarray:
    """The noise of an episode: drawn 64 rows at a time."""
    if seed is None:
        return np.zeros((STEPS, policy.head.noise_size))
    rng = np.random.default_rng(seed)
    return np.concatenate([policy.head.noise(policy._own(), 64, rng) for _ in range(3)])[:STEPS]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("seed", [None, 5])
@pytest.mark.parametrize("kind", POLICIES)
def test_the_core_samples_gaussian_actions_and_bounds_them(kind: str, dtype: Any, seed: int | None) -> None:
    policy = make(kind, GaussianHead(ACTIONS))
    low, high = np.array([-0.5, -np.inf, -2.0]), np.array([0.5, 0.25, np.inf])
    slot = slot_for(policy)
    observations = np.random.default_rng(2).standard_normal((STEPS, SIZE))

    rng = None if seed is None else np.random.default_rng(seed)
    choose = make_chooser(policy, rng, Box(low.astype(dtype), high.astype(dtype), dtype=dtype), slot)
    assert isinstance(choose, _core.BoxActor)
    chosen = np.array([choose(t, observation) for t, observation in enumerate(observations)])

    expected = outputs(policy, observations) + noise(policy, seed)
    np.testing.assert_array_equal(slot.observations, observations)
    np.testing.assert_allclose(slot.actions, expected, rtol=1e-12, atol=1e-12)
    assert chosen.dtype == dtype
    np.testing.assert_array_equal(chosen, np.clip(slot.actions, low, high).astype(dtype))


@pytest.mark.parametrize("seed", [None, 5])
@pytest.mark.parametrize("kind", POLICIES)
def test_the_core_samples_categorical_actions(kind: str, seed: int | None) -> None:
    policy = make(kind, CategoricalHead(ACTIONS))
    slot = slot_for(policy)
    observations = np.random.default_rng(2).standard_normal((STEPS, SIZE))
    rng = None if seed is None else np.random.default_rng(seed)
    choose = make_chooser(policy, rng, Discrete(ACTIONS, start=4), slot)
    assert isinstance(choose, _core.DiscreteActor)
    chosen = [choose(t, observation) for t, observation in enumerate(observations)]
    np.testing.assert_array_equal(
        slot.actions, np.argmax(outputs(policy, observations) + noise(policy, seed), axis=1)
    )
    np.testing.assert_array_equal(chosen, slot.actions + 4)
    assert set(chosen) == {4, 5, 6}


@pytest.mark.parametrize("kind", POLICIES)
def test_other_heads_choose_in_python_from_the_cores_outputs(kind: str) -> None:
    policy = make(kind, StateDependentGaussianHead(ACTIONS))
    slot = slot_for(policy)
    observations = np.random.default_rng(2).standard_normal((STEPS, SIZE))
    choose = make_chooser(policy, np.random.default_rng(5), Box(-1.0, 1.0, (ACTIONS,)), slot)
    chosen = np.array([choose(t, observation) for t, observation in enumerate(observations)])
    expected = policy.head.perturb(outputs(policy, observations), noise(policy, 5))
    np.testing.assert_allclose(slot.actions, expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(chosen, np.clip(slot.actions, -1.0, 1.0).astype(np.float32))


@pytest.mark.parametrize("sizes", [(1, 1), (17, 6), (7, 33, 5), (17, 64, 64, 6)])
def test_the_network_is_right_at_every_simd_level(simd: str, sizes: tuple[int, ...]) -> None:
    rng = np.random.default_rng(3)
    weights = [rng.standard_normal((p + 1, q)) / np.sqrt(p) for p, q in pairwise(sizes)]
    x = observation = rng.standard_normal(sizes[0])
    for layer in weights[:-1]:
        x = np.tanh(x @ layer[:-1] + layer[-1])
    expected = x @ weights[-1][:-1] + weights[-1][-1]
    actor = _core.NetworkActor(weights, False)
    np.testing.assert_allclose(actor(observation), expected, rtol=1e-12, atol=1e-13)
    # It goes on at the level that it was made for.
    before = actor(observation)
    _core.set_simd_level("baseline" if "baseline" in _core.available_simd_levels() else simd)
    np.testing.assert_array_equal(actor(observation), before)
    _core.set_simd_level(simd)


def test_features_of_a_users_own_are_not_left_out() -> None:
    class Squares(LinearPolicy):
        def features(self, obs: np.ndarray) -> np.ndarray:
            return np.square(obs)

    rng = np.random.default_rng(0)
    policy = Squares(SIZE, GaussianHead(ACTIONS), rng)
    policy.parameters = rng.standard_normal(policy.parameters.shape)
    observation = rng.standard_normal(SIZE)
    slot = slot_for(policy)
    make_chooser(policy, None, Box(-1.0, 1.0, (ACTIONS,)), slot)(0, observation)
    np.testing.assert_allclose(slot.actions[0], outputs(policy, observation[None])[0], rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.uint8, np.bool_])
def test_observations_of_any_dtype_are_taken(dtype: Any) -> None:
    policy = make("mlp", GaussianHead(ACTIONS))
    slot = slot_for(policy)
    choose = make_chooser(policy, None, Box(-1.0, 1.0, (ACTIONS,)), slot)
    observation = np.arange(SIZE).astype(dtype)
    choose(0, observation)
    np.testing.assert_array_equal(slot.observations[0], observation)


def test_each_action_is_a_new_array() -> None:
    policy = make("linear", GaussianHead(ACTIONS))
    choose = make_chooser(policy, None, Box(-1.0, 1.0, (ACTIONS,)), slot_for(policy))
    first = choose(0, np.ones(SIZE))
    kept = first.copy()
    choose(1, -np.ones(SIZE))
    np.testing.assert_array_equal(first, kept)


def actor(**changes: Any) -> _core.BoxActor:
    arguments: dict[str, Any] = {
        "weights": [np.zeros((SIZE + 1, 5)), np.zeros((6, ACTIONS))],
        "sine_features": False,
        "draw": lambda: np.zeros((4, ACTIONS)),
        "observations": np.zeros((STEPS, SIZE)),
        "actions": np.zeros((STEPS, ACTIONS)),
        "low": np.full(ACTIONS, -1.0),
        "high": np.full(ACTIONS, 1.0),
        "units": None,
        "single": False,
    }
    return _core.BoxActor(**{**arguments, **changes})


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"observations": np.zeros((STEPS, SIZE + 1))}, "observations"),
        ({"observations": np.zeros((STEPS, SIZE), np.float32)}, "observations"),
        ({"observations": np.zeros((SIZE, STEPS)).T}, "observations"),
        ({"actions": np.zeros((STEPS, ACTIONS, 1))}, "actions"),
        ({"high": np.zeros(ACTIONS + 1)}, "high"),
        ({"low": np.zeros((1, ACTIONS))}, "low"),
        ({"units": (np.zeros(ACTIONS + 1), np.ones(ACTIONS))}, r"units\[0\]"),
        ({"units": (np.zeros(ACTIONS), np.ones((ACTIONS, 1)))}, r"units\[1\]"),
        ({"weights": [np.zeros((SIZE + 1, 5)), np.zeros((5, ACTIONS))]}, "weights"),
        ({"weights": [np.zeros(SIZE)]}, "weights"),
        ({"weights": []}, "weights"),
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
