"""What policies keep, refuse and start from."""

from __future__ import annotations

import dataclasses
import pickle

import numpy as np
import pytest
from numpy.typing import NDArray

from fastfisher import NPG
from fastfisher.policies import (
    CategoricalHead,
    GaussianHead,
    LinearPolicy,
    MLPPolicy,
    Policy,
    RBFPolicy,
)
from fastfisher.policies.rbf import mean_pairwise_distance
from fastfisher.training.config import TrainConfig
from fastfisher.training.make_policy import make_policy


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("kind", ["linear", "rbf", "mlp"])
def test_the_first_policy_does_not_depend_on_the_observation(kind: str) -> None:
    policy = make_policy(TrainConfig("x", policy=kind), 4, GaussianHead(2, -0.5), rng())  # type: ignore[arg-type]
    obs = rng(1).standard_normal((6, 4))
    np.testing.assert_array_equal(policy.mode(obs), np.zeros((6, 2)))
    assert policy.std(obs) == pytest.approx(np.exp(-0.5))


def test_single_precision_is_that_of_the_passes_too() -> None:
    config = TrainConfig("x", policy="mlp", hidden=(5, 4))
    policy = make_policy(config, 3, GaussianHead(2), rng())
    single = make_policy(dataclasses.replace(config, precision="single"), 3, GaussianHead(2), rng())
    policy.parameters = single.parameters = rng(1).standard_normal(len(policy.parameters))
    obs, act = rng(2).standard_normal((20, 3)), rng(3).standard_normal((20, 2))
    before, rounded = policy.at(obs), single.at(obs)
    for exact, pair in zip(before.scores(act)[:3], rounded.scores(act)[:3], strict=True):
        for expected, half in zip(exact, pair, strict=True):
            assert expected.dtype == np.float64
            assert half.dtype == np.float32
            np.testing.assert_allclose(half, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(rounded.log_prob(act), before.log_prob(act), rtol=1e-5)
    policy.parameters = single.parameters = policy.parameters + 0.05
    kl = before.kl(before.after(policy))
    assert rounded.kl(rounded.after(single)) == pytest.approx(kl, rel=1e-4)


def test_parameters_are_refused_in_the_wrong_shape_or_not_finite() -> None:
    policy = LinearPolicy(3, GaussianHead(2), rng())
    with pytest.raises(ValueError, match=r"parameters: expected shape \(10,\), got \(9,\)"):
        policy.parameters = np.zeros(9)
    with pytest.raises(ValueError, match="finite"):
        policy.parameters = np.full(10, np.nan)
    np.testing.assert_array_equal(policy.parameters[:8], 0.0)


@pytest.mark.parametrize("hidden", [(), (5,), (5, 4)])
def test_moving_the_input_transform_leaves_the_policy_as_it_was(hidden: tuple[int, ...]) -> None:
    policy = MLPPolicy(3, hidden, GaussianHead(2), rng())
    policy.parameters = rng(1).standard_normal(len(policy.parameters))
    obs = 10.0 * rng(2).standard_normal((20, 3)) + 4.0
    before, actor_before = policy.mode(obs), policy.actor(None)(obs[0])
    theta = policy.parameters.copy()
    for shift, scale in (([1.0, 2.0, 3.0], [0.5, 4.0, 30.0]), ([-1.0, 0.0, 7.0], [2.0, 2.0, 1e-2])):
        policy.set_input_transform(np.array(shift), np.array(scale), obs)
        np.testing.assert_allclose(policy.mode(obs), before, rtol=1e-9, atol=1e-10)
        np.testing.assert_allclose(policy.actor(None)(obs[0]), actor_before, rtol=1e-9, atol=1e-10)
    assert not np.allclose(policy.parameters, theta)
    np.testing.assert_allclose(policy.features(obs), (obs - [-1.0, 0.0, 7.0]) / [2.0, 2.0, 1e-2])


@pytest.mark.parametrize("hidden", [(), (5,), (5, 4)])
def test_the_first_transform_leaves_hidden_weights_as_drawn_while_no_action_depends_on_them(
    hidden: tuple[int, ...],
) -> None:
    shift, scale = np.array([1.0, 2.0, 3.0]), np.array([0.5, 4.0, 30.0])
    obs = rng(2).standard_normal((20, 3)) * scale + shift
    policy = MLPPolicy(3, hidden, GaussianHead(2), rng())
    drawn, before = policy.parameters.copy(), policy.mode(obs)
    policy.set_initial_transform(shift, scale, obs)
    np.testing.assert_array_equal(policy.parameters, drawn)
    np.testing.assert_array_equal(policy.mode(obs), before)
    np.testing.assert_allclose(policy.features(obs), (obs - shift) / scale)

    learned = MLPPolicy(3, hidden, GaussianHead(2), rng())
    learned.parameters = rng(1).standard_normal(len(learned.parameters))
    other, before = learned.copy(), learned.mode(obs)
    learned.set_initial_transform(shift, scale, obs)
    other.set_input_transform(shift, scale, obs)
    np.testing.assert_array_equal(learned.parameters, other.parameters)
    np.testing.assert_allclose(learned.mode(obs), before, rtol=1e-9, atol=1e-10)


def test_rbf_features_are_the_papers() -> None:
    policy = RBFPolicy(3, 50, GaussianHead(1), rng(), bandwidth=2.5)
    obs = rng(1).standard_normal((4, 3))
    expected = np.sin(obs @ policy.projection / 2.5 + policy.phase)
    np.testing.assert_allclose(policy.features(obs), expected, rtol=1e-13)
    assert policy.phase.min() >= -np.pi
    assert policy.phase.max() < np.pi


def test_rbf_bandwidth_is_the_mean_distance_of_the_first_observations() -> None:
    policy = RBFPolicy(3, 5, CategoricalHead(2), rng())
    obs = rng(1).standard_normal((40, 3)) + 100.0
    policy.prepare(obs)
    distances = [np.linalg.norm(a - b) for i, a in enumerate(obs) for b in obs[:i]]
    assert policy.bandwidth == pytest.approx(np.mean(distances), rel=1e-9)
    policy.prepare(2.0 * obs)
    assert policy.bandwidth == pytest.approx(np.mean(distances), rel=1e-9), "set once"
    wide = RBFPolicy(3, 5, CategoricalHead(2), rng(), bandwidth_scale=2.0)
    wide.prepare(obs)
    assert wide.bandwidth == 2.0 * policy.bandwidth
    with NPG("Pendulum-v1", policy="rbf", rbf_bandwidth_scale=3.0) as agent:
        assert isinstance(agent.policy, RBFPolicy)
        assert agent.policy.bandwidth_scale == 3.0
    assert mean_pairwise_distance(np.ones((5, 3))) == 1.0
    # A thousand of 1,998, spread over all of them and not from the first half alone, which is one point.
    halves = np.repeat([[0.0], [1.0]], 999, axis=0)
    assert mean_pairwise_distance(halves) == pytest.approx(0.5, abs=1e-3)


def test_rbf_features_of_another_scale_are_weighted_to_the_same_policy() -> None:
    policy = RBFPolicy(3, 200, GaussianHead(2), rng())
    obs = rng(2).standard_normal((500, 3)) * [1.0, 10.0, 0.1] + [0.0, 4.0, 0.0]
    policy.set_input_transform(obs.mean(axis=0), obs.std(axis=0), obs)
    policy.prepare(obs)
    assert policy.bandwidth == pytest.approx(np.sqrt(2.0 * 3), rel=0.1), "of the scaled observations"
    theta = policy.parameters.copy()
    theta[:-2] = 0.1 * rng(1).standard_normal(len(theta) - 2)
    policy.parameters = theta
    before, stay = policy.mode(obs), policy.log_prob(obs, policy.mode(obs))
    features = policy.features(obs)
    scale = obs.std(axis=0) * [1.3, 0.8, 1.1]
    policy.set_input_transform(obs.mean(axis=0) + 0.1, scale, obs)
    moved = policy.features(obs)
    assert np.abs(moved - features).max() > 0.1
    uncorrected = np.column_stack([moved, np.ones(500)]) @ theta[:-2].reshape(201, 2)
    missed = np.square(policy.mode(obs) - before).mean()
    assert missed < 0.01 * np.square(uncorrected - before).mean()
    assert missed < 0.001 * before.var()
    np.testing.assert_allclose(policy.log_prob(obs, before), stay, atol=1e-2)
    np.testing.assert_array_equal(policy.parameters[-2:], theta[-2:])


def test_moving_the_scale_of_rbf_features_is_linear_in_theta() -> None:
    obs = rng(2).standard_normal((90, 3))

    def moved(theta: NDArray[np.float64]) -> NDArray[np.float64]:
        policy = RBFPolicy(3, 20, GaussianHead(2), rng(), bandwidth=2.0)
        policy.parameters = theta
        policy.set_input_transform(np.full(3, 0.2), np.array([1.5, 0.7, 1.0]), obs)
        return policy.parameters

    a, b = rng(3).standard_normal((2, 21 * 2 + 2))
    np.testing.assert_allclose(moved(a) - 2.0 * moved(b), moved(a - 2.0 * b), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "policy",
    [
        RBFPolicy(3, 5, GaussianHead(2), rng()),
        MLPPolicy(3, (4,), GaussianHead(2), rng()),
        LinearPolicy(3, CategoricalHead(2), rng()),
    ],
    ids=lambda p: type(p).__name__,
)
def test_constants_parameters_and_pickle_carry_the_whole_policy(policy: RBFPolicy | MLPPolicy) -> None:
    obs = rng(1).standard_normal((9, 3)) * [1.0, 5.0, 0.1]
    policy.set_input_transform(obs.mean(axis=0), obs.std(axis=0), obs)
    policy.prepare(obs)
    policy.parameters = rng(2).standard_normal(len(policy.parameters))
    if isinstance(policy, RBFPolicy):
        other: Policy = RBFPolicy(3, 5, policy.head, rng(9))
    else:
        hidden = (4,) if len(policy.parameters) > 10 else ()
        other = MLPPolicy(3, hidden, policy.head, rng(9))
    other.load_constants(policy.constants())
    other.parameters = policy.parameters
    act = policy.act(obs, rng(3))
    for twin in (other, pickle.loads(pickle.dumps(policy)), policy.copy()):
        np.testing.assert_array_equal(twin.log_prob(obs, act), policy.log_prob(obs, act))
        twin.parameters += 1.0
    np.testing.assert_array_equal(policy.parameters, rng(2).standard_normal(len(policy.parameters)))


def test_the_log_std_has_a_floor() -> None:
    policy = LinearPolicy(1, GaussianHead(2, initial_log_std=0.0, min_log_std=-1.0), rng())
    policy.parameters += np.array([5.0, 5.0, 5.0, 5.0, -9.0, 0.5])
    policy.constrain()
    np.testing.assert_array_equal(policy.parameters, [5.0, 5.0, 5.0, 5.0, -1.0, 0.5])
