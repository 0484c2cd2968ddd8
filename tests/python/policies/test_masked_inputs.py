"""Policies and predictions refuse masked arrays by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from fastfisher import NPG
from fastfisher.exported import NumpyPolicy
from fastfisher.policies import GaussianHead, LinearPolicy, MLPPolicy, Policy, RBFPolicy
from fastfisher.runs.export import export_policy

RNG = np.random.default_rng(0)
OBS, ACT = RNG.standard_normal((7, 3)), RNG.standard_normal((7, 2))
HOLE = r": expected an array without masked entries, got some"


def masked(array: np.ndarray) -> np.ma.MaskedArray:
    result = np.ma.array(array.copy())
    result[(1,) * array.ndim] = np.ma.masked
    return result


POLICIES: dict[str, Policy] = {
    "linear": LinearPolicy(3, GaussianHead(2), RNG),
    "mlp": MLPPolicy(3, (4,), GaussianHead(2), RNG),
    "rbf": RBFPolicy(3, 10, GaussianHead(2), RNG, bandwidth=1.0),
}


@pytest.mark.parametrize("kind", POLICIES)
def test_policies(kind: str) -> None:
    policy = POLICIES[kind]
    hidden: Any = masked(OBS)
    for refuses in (
        lambda: policy.act(hidden, RNG),
        lambda: policy.mode(hidden),
        lambda: policy.log_prob(hidden, ACT),
        lambda: policy.scores(hidden, ACT),
        lambda: policy.fisher_scores(hidden),
        lambda: policy.kl(policy, hidden),
        lambda: policy.entropy(hidden),
    ):
        with pytest.raises(ValueError, match=f"^obs{HOLE}"):
            refuses()
    for of_actions in (policy.log_prob, policy.scores):
        with pytest.raises(ValueError, match=f"^act{HOLE}"):
            of_actions(OBS, masked(ACT))
    with pytest.raises(ValueError, match=f"^parameters{HOLE}"):
        policy.parameters = masked(policy.parameters)
    np.testing.assert_array_equal(policy.mode(np.ma.array(OBS)), policy.mode(OBS))


class Parts(gymnasium.Env):  # type: ignore[type-arg]
    """Observes a dict of two vectors."""

    observation_space = spaces.Dict({"a": spaces.Box(-1, 1, (2,)), "b": spaces.Box(-1, 1, (2,))})
    action_space = spaces.Discrete(2)


def test_predictions(tmp_path: Path) -> None:
    with NPG("Pendulum-v1", policy="linear") as agent:
        for observation in (masked(OBS), masked(OBS)[1], [masked(OBS)[1]]):
            with pytest.raises(ValueError, match=f"^observation{HOLE}"):
                agent.predict(observation)
        agent.predict(np.ma.array(OBS[0]))
        export_policy(agent, tmp_path / "policy.npz")
    exported = NumpyPolicy.load(tmp_path / "policy.npz")
    with pytest.raises(ValueError, match=f"^observation{HOLE}"):
        exported.predict(masked(OBS)[1])
    exported.predict(np.ma.array(OBS[0]))
    with NPG(Parts(), policy="linear") as agent, pytest.raises(ValueError, match=f"^observation{HOLE}"):
        agent.predict({"a": np.zeros(2, np.float32), "b": masked(np.zeros(2, np.float32))})
