"""The policy that a config asks for."""

from __future__ import annotations

from numpy.random import Generator

from ..policies.base import Policy
from ..policies.heads.base import Head
from ..policies.mlp import LinearPolicy, MLPPolicy
from ..policies.network import NetworkPolicy
from ..policies.rbf import RBFPolicy
from .config import PolicyName, TrainConfig

_NAMES: dict[type, PolicyName] = {LinearPolicy: "linear", MLPPolicy: "mlp", RBFPolicy: "rbf"}


def config_name(policy: Policy) -> PolicyName:
    """Return what a config calls a policy's kind, whose defaults it takes: "linear" for one of the user's."""
    return next((_NAMES[kind] for kind in type(policy).__mro__ if kind in _NAMES), "linear")


def make_policy(config: TrainConfig, observation_size: int, head: Head, rng: Generator) -> NetworkPolicy:
    """Build ``config.policy`` for observations of this size and actions of this head."""
    policy = _of_kind(config, observation_size, head, rng)
    policy.single_scores = config.precision == "single"
    return policy


def _of_kind(config: TrainConfig, observation_size: int, head: Head, rng: Generator) -> NetworkPolicy:
    match config.policy:
        case "linear":
            return LinearPolicy(observation_size, head, rng)
        case "mlp":
            return MLPPolicy(observation_size, config.hidden, head, rng)
        case "rbf":
            return RBFPolicy(
                observation_size, config.rbf_features, head, rng,
                bandwidth=config.rbf_bandwidth, bandwidth_scale=config.rbf_bandwidth_scale,
            )  # fmt: skip
