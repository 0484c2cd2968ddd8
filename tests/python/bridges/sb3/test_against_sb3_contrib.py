"""The exact Fisher matrix gives SB3-contrib's own step, and Adam its own critic; files go both ways."""

from __future__ import annotations

import copy
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("stable_baselines3")
contrib = pytest.importorskip("sb3_contrib")

import torch  # noqa: E402
from sb3_contrib.common.utils import conjugate_gradient_solver  # noqa: E402
from stable_baselines3.common.distributions import kl_divergence  # noqa: E402

from fastfisher.sb3 import NPG, TRPO  # noqa: E402
from fastfisher.sb3.rollout import whole_rollout  # noqa: E402

from .helpers import ACTIONS, Drawn, model, parameters, with_rollout  # noqa: E402


def contribs_step(made: Any) -> dict[str, torch.Tensor]:
    """Return the whole step of SB3-contrib's own functions for the rollout that a model of it holds."""
    policy, batch = made.policy, whole_rollout(made.rollout_buffer)
    with torch.no_grad():
        old = copy.copy(policy.get_distribution(batch.observations))
    distribution = policy.get_distribution(batch.observations)
    A = (batch.advantages - batch.advantages.mean()) / (batch.advantages.std() + 1e-8)
    objective = (A * torch.exp(distribution.log_prob(batch.actions) - batch.old_log_prob)).mean()
    actor, gradient, grad_kl, _ = made._compute_actor_grad(kl_divergence(distribution, old).mean(), objective)
    product = partial(made.hessian_vector_product, actor, grad_kl)
    x = conjugate_gradient_solver(product, gradient, max_iter=200, residual_tol=1e-12)
    step = float(torch.sqrt(2.0 * made.target_kl / (x @ product(x)))) * x
    names = {id(parameter): name for name, parameter in policy.named_parameters()}
    parts = torch.split(step, [parameter.numel() for parameter in actor])
    return {
        names[id(parameter)]: part.reshape(parameter.shape)
        for parameter, part in zip(actor, parts, strict=True)
    }


@pytest.mark.parametrize("actions", ACTIONS)
@pytest.mark.parametrize("solver", ["auto", "cg"])
def test_the_exact_step_is_that_of_sb3_contrib(actions: str, solver: str) -> None:
    theirs = with_rollout(model(contrib.TRPO, Drawn(actions=actions), n_steps=256))
    step = contribs_step(theirs)
    ours = with_rollout(
        model(NPG, Drawn(actions=actions), n_steps=256, fisher="exact", solver=solver, n_critic_updates=0)
    )
    before = parameters(ours)
    assert all(torch.equal(before[name], tensor) for name, tensor in parameters(theirs).items())
    ours.train()
    after = parameters(ours)
    assert {name for name in after if not torch.equal(before[name], after[name])} == set(step)
    moved = torch.cat([(after[name] - before[name]).flatten() for name in step]).double()
    wanted = torch.cat([part.flatten() for part in step.values()]).double()
    assert f"{torch.nn.functional.cosine_similarity(moved, wanted, dim=0):.5f}" == "1.00000"
    assert float(moved.norm()) == pytest.approx(float(wanted.norm()), rel=1e-3)


def test_the_critic_is_fitted_to_the_bit_as_theirs_is() -> None:
    fitted = []
    for kind in (contrib.TRPO, TRPO):
        made = with_rollout(model(kind, learning_rate=3e-3))
        made.rollout_buffer.advantages[:] = made.rollout_buffer.advantages.mean()  # so that no policy moves
        np.random.seed(7)  # noqa: NPY002 - the buffer draws by the global generator
        if kind is contrib.TRPO:
            made.normalize_advantage = False
            made.rollout_buffer.advantages[:] = 1e-3
        made.train()
        fitted.append({name: tensor for name, tensor in parameters(made).items() if "value" in name})
    assert all(torch.equal(tensor, fitted[1][name]) for name, tensor in fitted[0].items())


def test_files_open_in_plain_sb3_contrib_and_the_reverse(tmp_path: Path) -> None:
    ours = model(TRPO, fisher="exact", tol=1e-5, solver="cg", critic="natural", cg_damping=0.2)
    ours.learn(128)
    ours.save(tmp_path / "ours")
    theirs = contrib.TRPO.load(tmp_path / "ours", env=Drawn(), device="cpu")
    assert type(theirs) is contrib.TRPO
    assert theirs.cg_damping == 0.2
    assert all(torch.equal(tensor, parameters(ours)[name]) for name, tensor in parameters(theirs).items())
    observation, _ = Drawn().reset(seed=3)
    assert np.array_equal(
        theirs.predict(observation, deterministic=True)[0], ours.predict(observation, deterministic=True)[0]
    )
    theirs.learn(128)
    theirs.save(tmp_path / "theirs")

    for kind in (TRPO, NPG):
        back = kind.load(tmp_path / "theirs", env=Drawn(), device="cpu")
        assert all(torch.equal(tensor, parameters(theirs)[name]) for name, tensor in parameters(back).items())
        assert back.fisher == "exact"  # SB3-contrib keeps what it does not know.
        back.learn(128)


def test_a_file_of_sb3_contribs_own_has_our_defaults(tmp_path: Path) -> None:
    model(contrib.TRPO, cg_damping=0.3).save(tmp_path / "theirs")
    back = TRPO.load(tmp_path / "theirs", env=Drawn(), device="cpu")
    assert (back.fisher, back.tol, back.solver, back.critic) == ("empirical", 1e-3, "auto", "adam")
    assert back.cg_damping == 0.3
    exact = TRPO.load(tmp_path / "theirs", env=Drawn(), device="cpu", fisher="exact")
    assert exact.fisher == "exact"
    exact.learn(128)
