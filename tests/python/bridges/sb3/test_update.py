"""One update against its definition: dense scores by autograd, sample by sample, and a dense solve."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("stable_baselines3")

import torch
from stable_baselines3.common.distributions import kl_divergence

from fastfisher.sb3 import NPG, TRPO
from fastfisher.sb3.rollout import whole_rollout

from .helpers import ACTIONS, Drawn, logged, model, parameters, with_rollout


def dense_scores(policy: Any, observations: Any, actions: Any) -> tuple[list[str], np.ndarray]:
    """Return the names of the actor's parameters and the gradients of each sample's log-probability."""
    named = dict(policy.named_parameters())
    rows: list[np.ndarray] = []
    names: list[str] = []
    for n in range(len(actions)):
        log_prob = policy.get_distribution(observations[n : n + 1]).log_prob(actions[n : n + 1])
        found = torch.autograd.grad(log_prob.sum(), list(named.values()), allow_unused=True)
        names = [name for name, gradient in zip(named, found, strict=True) if gradient is not None]
        rows.append(np.concatenate([g.numpy().ravel() for g in found if g is not None]))
    return names, np.array(rows, dtype=np.float64)


def flat(named: dict[str, torch.Tensor], names: list[str]) -> np.ndarray:
    return np.concatenate([named[name].numpy().ravel() for name in names]).astype(np.float64)


@pytest.mark.parametrize("actions", ACTIONS)
def test_npg_takes_the_whole_normalised_step(actions: str) -> None:
    made = with_rollout(model(NPG, Drawn(actions=actions), n_critic_updates=0, tol=1e-8))
    batch = whole_rollout(made.rollout_buffer)
    names, S = dense_scores(made.policy, batch.observations, batch.actions)
    A = batch.advantages.numpy().astype(np.float64)
    A = (A - A.mean()) / (A.std(ddof=1) + 1e-8)
    # The KL divergence of Box and MultiBinary actions is a mean over their dimensions.
    terms = 3 if actions in ("box", "multi-binary") else 1
    g = S.T @ A / len(S)
    x = np.linalg.solve(S.T @ S / (len(S) * terms) + 0.1 * np.eye(S.shape[1]), g)
    step = np.sqrt(2.0 * 0.01 / (g @ x)) * x

    before = parameters(made)
    made.train()
    after = parameters(made)
    moved = flat(after, names) - flat(before, names)
    assert np.linalg.norm(moved - step) < 1e-4 * np.linalg.norm(step)
    for name in set(before) - set(names):
        assert torch.equal(before[name], after[name])
    assert logged(made)["train/residual"] < 1e-6


@pytest.mark.parametrize("actions", ACTIONS)
@pytest.mark.parametrize("fisher", ["empirical", "exact"])
def test_trpo_keeps_the_trust_region_and_gains(actions: str, fisher: str) -> None:
    made = with_rollout(
        model(TRPO, Drawn(actions=actions), n_critic_updates=0, fisher=fisher, target_kl=0.02)
    )
    batch = whole_rollout(made.rollout_buffer)
    with torch.no_grad():
        old = copy.copy(made.policy.get_distribution(batch.observations))
    made.train()
    with torch.no_grad():
        new = made.policy.get_distribution(batch.observations)
        kl = float(kl_divergence(new, old).mean())
        A = (batch.advantages - batch.advantages.mean()) / batch.advantages.std()
        gain = float((A * torch.exp(new.log_prob(batch.actions) - batch.old_log_prob)).mean())
    assert 0.002 < kl < 0.02
    assert gain > 0.0
    found = logged(made)
    assert found["train/is_line_search_success"] == 1.0
    assert found["train/kl_divergence_loss"] == pytest.approx(kl, rel=1e-4)
    assert found["train/policy_objective"] == pytest.approx(gain, abs=1e-6)


def test_a_refused_step_leaves_the_policy_to_the_bit() -> None:
    # The quadratic model of the KL divergence holds for small steps alone.
    search = {"line_search_max_iter": 3, "line_search_shrinking_factor": 1.0}
    made = with_rollout(model(TRPO, n_critic_updates=0, target_kl=50.0, **search))
    before = parameters(made)
    made.train()
    assert all(torch.equal(before[name], tensor) for name, tensor in parameters(made).items())
    found = logged(made)
    assert found["train/is_line_search_success"] == 0.0
    assert found["train/kl_divergence_loss"] == 0.0


def test_a_line_search_without_tries_leaves_the_policy_to_the_bit() -> None:
    made = with_rollout(model(TRPO, n_critic_updates=0, line_search_max_iter=0))
    before = parameters(made)
    made.train()
    assert all(torch.equal(before[name], tensor) for name, tensor in parameters(made).items())
    assert logged(made)["train/is_line_search_success"] == 0.0


def test_advantages_that_are_all_alike_move_nothing() -> None:
    for kind in (NPG, TRPO):
        made = with_rollout(model(kind, n_critic_updates=0))
        made.rollout_buffer.advantages[:] = 2.5
        before = parameters(made)
        made.train()
        assert all(torch.equal(before[name], tensor) for name, tensor in parameters(made).items())


def test_advantages_as_they_are() -> None:
    made = with_rollout(model(NPG, n_critic_updates=0, normalize_advantage=False, tol=1e-8))
    batch = whole_rollout(made.rollout_buffer)
    names, S = dense_scores(made.policy, batch.observations, batch.actions)
    g = S.T @ batch.advantages.numpy().astype(np.float64) / len(S)
    x = np.linalg.solve(S.T @ S / (3 * len(S)) + 0.1 * np.eye(S.shape[1]), g)
    before = parameters(made)
    made.train()
    moved = flat(parameters(made), names) - flat(before, names)
    assert moved @ x > (1.0 - 1e-7) * np.linalg.norm(moved) * np.linalg.norm(x)


def test_a_part_of_the_samples_is_drawn_for_the_step() -> None:
    moved = []
    for one_of in (1, 4, 4):
        made = with_rollout(model(NPG, n_critic_updates=0, sub_sampling_factor=one_of))
        before = parameters(made)
        np.random.seed(len(moved))  # noqa: NPY002 - the buffer draws by the global generator
        made.train()
        moved.append(
            torch.cat([(after - before[name]).flatten() for name, after in parameters(made).items()])
        )
    cosine = torch.nn.functional.cosine_similarity
    assert 0.1 < cosine(moved[0], moved[1], dim=0) < 0.99
    assert 0.1 < cosine(moved[1], moved[2], dim=0) < 0.99


def test_gsde_steps_by_the_scores_of_its_noise_too() -> None:
    made = with_rollout(
        model(NPG, use_sde=True, n_critic_updates=0, tol=1e-8, policy_kwargs={"net_arch": [8]})
    )
    batch = whole_rollout(made.rollout_buffer)
    names, S = dense_scores(made.policy, batch.observations, batch.actions)
    assert "log_std" in names
    A = batch.advantages.numpy().astype(np.float64)
    A = (A - A.mean()) / (A.std(ddof=1) + 1e-8)
    g = S.T @ A / len(S)
    x = np.linalg.solve(S.T @ S / (3 * len(S)) + 0.1 * np.eye(S.shape[1]), g)
    before = parameters(made)
    made.train()
    moved = flat(parameters(made), names) - flat(before, names)
    step = np.sqrt(0.02 / (g @ x)) * x
    assert np.linalg.norm(moved - step) < 1e-4 * np.linalg.norm(step)


def test_threads_of_neither_library_are_exceeded() -> None:
    import fastfisher as ff
    from fastfisher.sb3.trust_region import threads

    ours, torchs = ff.get_num_threads(), torch.get_num_threads()
    try:
        for own, theirs in ((3, 1), (1, 3), (2, 2)):
            ff.set_num_threads(own)
            torch.set_num_threads(theirs)
            assert threads() == min(own, theirs)
    finally:
        ff.set_num_threads(ours)
        torch.set_num_threads(torchs)
