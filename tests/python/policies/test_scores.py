"""Scores, Fisher matrices and divergences of the policies, against finite differences and sampling."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from network_policies import KINDS, OBSERVATIONS, random_policy

from fastfisher import Scores
from fastfisher.policies import (
    CategoricalHead,
    GaussianHead,
    Head,
    NetworkPolicy,
)

HEADS: dict[str, Callable[[], Head]] = {
    "gaussian": lambda: GaussianHead(2),
    "categorical": lambda: CategoricalHead(4),
}


@pytest.fixture(params=[(kind, head) for kind in KINDS for head in HEADS], ids="-".join)
def policy(request: pytest.FixtureRequest) -> NetworkPolicy:
    kind, head = request.param
    return random_policy(kind, HEADS[head](), hidden=(5, 4), features=6)


@pytest.fixture
def obs() -> np.ndarray:
    return np.random.default_rng(4).standard_normal((7, OBSERVATIONS))


def moved(policy: NetworkPolicy, step: np.ndarray) -> NetworkPolicy:
    other = policy.copy()
    other.parameters = policy.parameters + step
    return other


def central_differences(f: Callable[[np.ndarray], np.ndarray], size: int, h: float = 1e-5) -> np.ndarray:
    """Return d f / d theta at zero, the parameters last; the error is of order h^2."""
    return np.stack([(f(h * e) - f(-h * e)) / (2.0 * h) for e in np.eye(size)], axis=-1)


def test_scores_are_the_gradient_of_the_log_probability(policy: NetworkPolicy, obs: np.ndarray) -> None:
    act = policy.act(obs, np.random.default_rng(5))
    expected = central_differences(
        lambda step: moved(policy, step).log_prob(obs, act), len(policy.parameters)
    )
    np.testing.assert_allclose(Scores(policy.scores(obs, act)).to_dense(), expected, rtol=1e-7, atol=1e-8)


def test_rows_of_pairs_are_outer_products_in_c_order(policy: NetworkPolicy, obs: np.ndarray) -> None:
    blocks = policy.scores(obs, policy.act(obs, np.random.default_rng(5)))
    row = np.concatenate(
        [np.outer(b[0][2], b[1][2]).ravel() if isinstance(b, tuple) else b[2] for b in blocks]
    )  # fmt: skip
    np.testing.assert_array_equal(Scores(blocks).to_dense()[2], row)
    assert row.shape == policy.parameters.shape


def test_exact_fisher_is_the_second_derivative_of_the_kl(policy: NetworkPolicy, obs: np.ndarray) -> None:
    size = len(policy.parameters)
    R = Scores(policy.fisher_scores(obs)).to_dense()
    # The gradient of the KL at h e_i, by differences again: cheaper than the Hessian and as exact.
    h = 1e-3

    def kl(step: np.ndarray) -> float:
        return policy.kl(moved(policy, step), obs)

    rng = np.random.default_rng(6)
    for v in rng.standard_normal((5, size)):
        second = (kl(h * v) + kl(-h * v) - 2.0 * kl(0.0 * v)) / h**2
        assert second == pytest.approx(np.square(R @ v).sum() / len(obs), rel=2e-4)


def test_scores_of_sampled_actions_have_mean_zero_and_the_exact_fisher(policy: NetworkPolicy) -> None:
    samples = 40_000
    obs = np.tile(np.random.default_rng(7).standard_normal((1, OBSERVATIONS)), (samples, 1))
    S = Scores(policy.scores(obs, policy.act(obs, np.random.default_rng(8)))).to_dense()
    R = Scores(policy.fisher_scores(obs[:1])).to_dense()
    F = R.T @ R
    error = np.sqrt(np.diag(F).max() / samples)
    assert np.abs(S.mean(axis=0)).max() < 5.0 * error
    np.testing.assert_allclose(S.T @ S / samples, F, atol=0.05 * np.diag(F).max())


def test_kl_is_zero_at_itself_and_the_sampled_log_ratio_elsewhere(policy: NetworkPolicy) -> None:
    obs = np.tile(np.random.default_rng(9).standard_normal((1, OBSERVATIONS)), (40_000, 1))
    other = moved(policy, 0.2 * np.random.default_rng(10).standard_normal(len(policy.parameters)))
    act = policy.act(obs, np.random.default_rng(11))
    ratio = policy.log_prob(obs, act) - other.log_prob(obs, act)
    assert policy.kl(policy, obs) == pytest.approx(0.0, abs=1e-15)
    assert policy.kl(other, obs) == pytest.approx(ratio.mean(), abs=5.0 * ratio.std() / 200.0)


def test_entropy_is_the_mean_of_minus_log_probability(policy: NetworkPolicy) -> None:
    obs = np.tile(np.random.default_rng(12).standard_normal((1, OBSERVATIONS)), (40_000, 1))
    log_prob = policy.log_prob(obs, policy.act(obs, np.random.default_rng(13)))
    assert policy.entropy(obs) == pytest.approx(-log_prob.mean(), abs=5.0 * log_prob.std() / 200.0)


def test_an_actor_samples_what_act_samples(policy: NetworkPolicy, obs: np.ndarray) -> None:
    one_by_one = policy.actor(np.random.default_rng(14))
    np.testing.assert_allclose(
        np.array([one_by_one(row) for row in obs]),
        policy.act(obs, np.random.default_rng(14)),
        rtol=1e-12,
        atol=1e-13,
    )
    best = policy.actor(None)
    np.testing.assert_allclose(np.array([best(row) for row in obs]), policy.mode(obs), rtol=1e-12, atol=1e-13)


def test_an_actor_does_not_move_with_the_policy(policy: NetworkPolicy, obs: np.ndarray) -> None:
    actor = policy.actor(None)
    before = [actor(row) for row in obs]
    policy.parameters += np.random.default_rng(16).standard_normal(len(policy.parameters))
    np.testing.assert_array_equal([actor(row) for row in obs], before)


def test_a_snapshot_does_not_move_with_the_policy(policy: NetworkPolicy, obs: np.ndarray) -> None:
    act = policy.act(obs, np.random.default_rng(15))
    before = policy.log_prob(obs, act)
    snapshot = policy.at(obs)
    policy.parameters += np.random.default_rng(16).standard_normal(len(policy.parameters))
    np.testing.assert_array_equal(snapshot.log_prob(act), before)
    np.testing.assert_array_equal(snapshot.after(policy).log_prob(act), policy.log_prob(obs, act))
    assert not np.array_equal(policy.log_prob(obs, act), before)
