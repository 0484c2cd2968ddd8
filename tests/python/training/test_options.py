"""Each field of the config arrives where it is used, with the value that it was given."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from environments import Hanging
from gymnasium import spaces
from learners import OBSERVATION_SIZE, make_batch, make_learner
from numpy.typing import NDArray

from fastfisher.policies import (
    GaussianHead,
    LinearPolicy,
    RBFPolicy,
    SquashedHead,
    StateDependentGaussianHead,
)
from fastfisher.policies.rbf import mean_pairwise_distance
from fastfisher.scores import Scores
from fastfisher.training import NPG
from fastfisher.training.advantages import discounted_returns, generalized_advantages
from fastfisher.training.baselines.make import make_baseline
from fastfisher.training.baselines.network import NetworkBaseline
from fastfisher.training.baselines.ridge import RidgeBaseline
from fastfisher.training.config import TrainConfig
from fastfisher.training.defaults import resolve
from fastfisher.training.errors import WorkerError
from fastfisher.training.learner import Learner, Update
from fastfisher.training.make_policy import make_head, make_policy
from fastfisher.training.moments import RewardUnit
from fastfisher.training.seeding import Stream, stream

Array = NDArray[np.float64]

# The learner.


def second_update(
    monkeypatch: pytest.MonkeyPatch, learner: Learner, reward_scale: float = 1.0
) -> dict[str, Any]:
    """Update twice; return what the second one was of, from values that the first one left."""
    learner.update(make_batch(learner.policy, 0, reward_scale=reward_scale))
    batch, seen = make_batch(learner.policy, 1, reward_scale=reward_scale), {}
    unit = learner.reward_unit.value
    seen["batch"] = batch
    seen["values"] = unit * learner.baseline.predict(batch.observations, batch.times)
    seen["final_values"] = unit * learner.baseline.predict(batch.final_observations, batch.lengths)
    step, fit = learner.stepper.step, learner.baseline.fit

    def recorded_step(*arguments: Any) -> Any:
        seen["A"] = arguments[4].copy()
        return step(*arguments)

    def recorded_fit(observations: Any, times: Any, targets: Array) -> None:
        seen["targets"] = targets.copy()
        fit(observations, times, targets)

    monkeypatch.setattr(learner.stepper, "step", recorded_step)
    monkeypatch.setattr(learner.baseline, "fit", recorded_fit)
    learner.update(batch)
    assert seen["values"].std() > 0.1
    return seen


@pytest.mark.parametrize(("gamma", "gae_lambda"), [(0.6, 0.9), (0.9, 0.3), (1.0, 1.0)])
def test_advantages_are_of_the_configs_gamma_and_lambda(
    monkeypatch: pytest.MonkeyPatch, gamma: float, gae_lambda: float
) -> None:
    learner = make_learner(gamma=gamma, gae_lambda=gae_lambda, normalize_advantages=False)
    seen = second_update(monkeypatch, learner)
    expected = generalized_advantages(seen["batch"], seen["values"], seen["final_values"], gamma, gae_lambda)
    np.testing.assert_allclose(seen["A"], expected, rtol=1e-12, atol=1e-12)
    returns = discounted_returns(seen["batch"], seen["final_values"], gamma)
    np.testing.assert_allclose(seen["targets"], returns, rtol=1e-12, atol=1e-12)


def test_normalized_advantages_are_those_standardized(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = second_update(monkeypatch, make_learner(gamma=0.8, gae_lambda=0.7))
    raw = generalized_advantages(seen["batch"], seen["values"], seen["final_values"], 0.8, 0.7)
    np.testing.assert_allclose(seen["A"], (raw - raw.mean()) / raw.std(), rtol=1e-9, atol=1e-9)


def test_advantages_and_targets_are_in_the_unit_of_rewards(monkeypatch: pytest.MonkeyPatch) -> None:
    options: dict[str, Any] = {"gamma": 0.8, "normalize_rewards": True, "normalize_advantages": False}
    learner = make_learner(**options)
    seen = second_update(monkeypatch, learner, reward_scale=50.0)
    unit = learner.reward_unit.value
    assert unit > 20.0
    raw = generalized_advantages(seen["batch"], seen["values"], seen["final_values"], 0.8, 0.95)
    np.testing.assert_allclose(seen["A"], raw / unit, rtol=1e-12, atol=1e-12)
    returns = discounted_returns(seen["batch"], seen["final_values"], 0.8)
    np.testing.assert_allclose(seen["targets"], returns / unit, rtol=1e-12, atol=1e-12)


def update_of(**options: Any) -> tuple[Learner, Update]:
    learner = make_learner(**options)
    return learner, learner.update(make_batch(learner.policy))


@pytest.mark.parametrize("factor", [0.37, 0.9])
def test_the_line_search_shortens_by_the_configs_factor(factor: float) -> None:
    _, update = update_of(algorithm="trpo", max_kl=5.0, line_search_factor=factor, line_search_steps=4)
    assert len(update.move.candidates) >= 2
    for k, candidate in enumerate(update.move.candidates):
        assert candidate.fraction == pytest.approx(factor**k, rel=1e-12)


# The stepper.


def test_a_relative_damping_is_in_units_of_the_mean_eigenvalue() -> None:
    learner = make_learner(damping=0.3, relative_damping=True)
    batch = make_batch(learner.policy)
    S = Scores(learner.policy.scores(batch.observations, batch.actions)).to_dense()
    step = learner.update(batch).step
    assert step is not None
    mean = (S**2).sum() / len(S) / S.shape[1]
    assert step.damping == pytest.approx(0.3 * mean, rel=1e-12)
    assert abs(mean - 1.0) > 0.1


@pytest.mark.parametrize("precision", ["single", "double", "mixed"])
def test_a_step_is_in_the_configs_precision(precision: str) -> None:
    _, update = update_of(precision=precision, solver="cholesky", hidden=(8,))
    assert update.step is not None
    assert update.step.precision == precision


def test_the_damping_adapts_between_the_configs_bounds() -> None:
    options: dict[str, Any] = {"damping_rule": "adaptive", "min_damping": 0.85, "max_damping": 1.15}
    # So small a step is as good as its linear model, and one so large is refused.
    learner, update = update_of(max_kl=1e-4, damping=1.0, **options)
    assert update.move.ratio > 0.9
    assert learner.stepper.damping == 0.85
    learner, update = update_of(max_kl=5.0, damping=1.0, algorithm="trpo", line_search_steps=1, **options)
    assert update.move.fraction == 0.0
    assert learner.stepper.damping == 1.15


# The baseline.


def baseline_of(**options: Any) -> Any:
    config = resolve(TrainConfig("X-v0", **options), spaces.Discrete(2), OBSERVATION_SIZE, None)
    return make_baseline(config, OBSERVATION_SIZE, RewardUnit())


@pytest.mark.parametrize("kind", ["linear", "quadratic"])
def test_the_baselines_ridge(kind: str) -> None:
    rng = np.random.default_rng(0)
    obs, times, targets = rng.standard_normal((50, 3)), np.arange(50), rng.standard_normal(50)
    expected = RidgeBaseline(kind, 3, 0.75)  # type: ignore[arg-type]
    baseline = baseline_of(baseline=kind, ridge=0.75)
    for one in (expected, baseline):
        one.fit(obs, times, targets)
    assert baseline.coefficients.tobytes() == expected.coefficients.tobytes()


@pytest.mark.parametrize("steps", [1, 7])
@pytest.mark.parametrize("seed", [0, 3])
def test_the_value_networks_sizes_steps_and_seed(seed: int, steps: int) -> None:
    rng = np.random.default_rng(0)
    obs, times, targets = rng.standard_normal((50, 3)), np.arange(50), rng.standard_normal(50)
    baseline = baseline_of(baseline="mlp", baseline_hidden=(5, 7), baseline_steps=steps, seed=seed)
    assert [layer.shape for layer in baseline._layers] == [(4, 5), (6, 7), (8, 1)]
    expected = NetworkBaseline(3, (5, 7), steps, stream(seed, Stream.BASELINE)[1])
    for one in (expected, baseline):
        one.fit(obs, times, targets)
    assert baseline.predict(obs, times).tobytes() == expected.predict(obs, times).tobytes()


# The policy.


def test_features_and_bandwidth_of_the_rbf_policy() -> None:
    obs = np.random.default_rng(1).standard_normal((40, OBSERVATION_SIZE))

    def prepared(**options: Any) -> RBFPolicy:
        config = TrainConfig("X-v0", policy="rbf", rbf_features=17, **options)
        policy = make_policy(config, OBSERVATION_SIZE, GaussianHead(2), np.random.default_rng(0))
        assert isinstance(policy, RBFPolicy)
        policy.prepare(obs)
        return policy

    assert prepared().features(obs).shape == (40, 17)
    assert prepared(rbf_bandwidth=6.5).bandwidth == 6.5
    scaled = prepared(rbf_bandwidth_scale=2.5).bandwidth
    assert scaled == pytest.approx(2.5 * mean_pairwise_distance(obs), rel=1e-15)


@pytest.mark.parametrize("squash", [False, True])
def test_the_ceiling_of_a_dependent_deviation(squash: bool) -> None:
    config = TrainConfig("X-v0", std="dependent", initial_log_std=-1.0, max_log_std=0.25, squash=squash)
    head = make_head(spaces.Box(-2.0, 2.0, (2,)), config)
    gaussian = head.gaussian if isinstance(head, SquashedHead) else head
    assert isinstance(gaussian, StateDependentGaussianHead)
    _, log_std = gaussian.moments(np.full((1, 4), 1e3), np.zeros(0))
    np.testing.assert_allclose(log_std, 0.25, rtol=1e-12)


@pytest.mark.parametrize("squash", [False, True])
def test_the_floor_of_the_deviation_holds_and_falls_whether_or_not_actions_are_squashed(squash: bool) -> None:
    """Both the floor that the run begins with and the one that it moves to."""
    config = TrainConfig(
        "X-v0", initial_log_std=-1.0, min_log_std=-1.5, final_min_log_std=-2.5, squash=squash
    )
    head = make_head(spaces.Box(-2.0, 2.0, (2,)), config)
    policy = LinearPolicy(OBSERVATION_SIZE, head, np.random.default_rng(0))
    learner = make_learner(policy, final_min_log_std=-2.5, min_log_std=-1.5, max_kl=1e-9)
    for progress, floor in [(0.0, -1.5), (0.25, -1.75), (1.0, -2.5)]:
        learner.update(make_batch(policy), progress)
        policy.parameters[-2:] = -9.0
        policy.constrain()
        np.testing.assert_allclose(policy.parameters[-2:], floor, rtol=1e-12)


# The rollouts.


def test_a_run_waits_for_its_workers_as_long_as_it_is_told() -> None:
    with (
        NPG(
            partial(Hanging, after=0), policy="linear", workers=2, batch_steps=50, worker_timeout=0.5
        ) as agent,
        pytest.raises(WorkerError, match=r"hangs: 0\.5 s without a step at step 0 of episode"),
    ):
        agent.learn(50)
