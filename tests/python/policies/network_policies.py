"""Network policies with parameters away from their start: what several tests of the policies share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fastfisher.policies import Head, LinearPolicy, MLPPolicy, NetworkPolicy, RBFPolicy

OBSERVATIONS = 3
KINDS = ("linear", "mlp", "rbf")


def random_policy(kind: str, head: Head, *, hidden: Sequence[int], features: int) -> NetworkPolicy:
    """Return a policy of random parameters, an mlp's on shifted and scaled observations."""
    rng = np.random.default_rng(3)
    policy: NetworkPolicy
    if kind == "linear":
        policy = LinearPolicy(OBSERVATIONS, head, rng)
    elif kind == "mlp":
        policy = MLPPolicy(OBSERVATIONS, hidden, head, rng)
    else:
        policy = RBFPolicy(OBSERVATIONS, features, head, rng, bandwidth=1.7)
    policy.parameters = 0.5 * rng.standard_normal(len(policy.parameters))
    if kind == "mlp":
        shift, scale = rng.standard_normal(OBSERVATIONS), 1.0 + rng.random(OBSERVATIONS)
        policy.set_input_transform(shift, scale, shift[None, :])
    return policy
