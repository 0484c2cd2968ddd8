"""Learners and batches for them, without an environment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces

from fastfisher.policies import CategoricalHead, GaussianHead, MLPPolicy, Policy
from fastfisher.training.batch import Batch
from fastfisher.training.config import TrainConfig
from fastfisher.training.defaults import resolve
from fastfisher.training.learner import Learner

OBSERVATION_SIZE = 3


def make_policy(*, discrete: bool = False, hidden: Sequence[int] = ()) -> Policy:
    """Return a policy for three observation entries that depends on all of them."""
    rng = np.random.default_rng(0)
    head = CategoricalHead(3) if discrete else GaussianHead(2, -0.5)
    policy = MLPPolicy(OBSERVATION_SIZE, hidden, head, rng)
    policy.parameters += 0.3 * rng.standard_normal(policy.parameters.shape)
    return policy


def make_learner(
    policy: Policy | None = None, *, discrete: bool = False, hidden: Sequence[int] = (), **options: Any
) -> Learner:
    """Return a learner of such a policy; the options are fields of the config."""
    fields: dict[str, Any] = {
        "max_kl": 0.01,
        "fisher": "empirical",
        "policy": "linear",
        "normalize_observations": False,
        **options,
    }
    policy = policy or make_policy(discrete=discrete, hidden=hidden)
    space = spaces.Discrete(3) if discrete else spaces.Box(-1.0, 1.0, (2,))
    config = resolve(TrainConfig("", **fields), space, OBSERVATION_SIZE, None)
    return Learner(config, policy, OBSERVATION_SIZE)


def make_batch(
    policy: Policy,
    seed: int = 0,
    lengths: Sequence[int] = (40, 25, 60, 75),
    terminated: Sequence[bool] = (True, False, True, False),
    reward_scale: float = 1.0,
) -> Batch:
    """Return trajectories of random observations, rewarded for the first action by the first entry."""
    rng = np.random.default_rng(seed)
    n = sum(lengths)
    observations = rng.standard_normal((n, OBSERVATION_SIZE)) * [1.0, 2.0, 0.5] + [0.0, 3.0, -1.0]
    actions = policy.act(observations, rng)
    first = actions[:, 0] if actions.ndim == 2 else actions
    return Batch(
        observations=observations,
        actions=actions,
        rewards=reward_scale * (first * observations[:, 0] + rng.standard_normal(n)),
        lengths=np.array(lengths),
        terminated=np.array(terminated),
        complete=np.ones(len(lengths), dtype=bool),
        final_observations=rng.standard_normal((len(lengths), OBSERVATION_SIZE)),
    )
