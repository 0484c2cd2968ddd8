"""The policy that a config asks for, and the distribution of its actions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.random import Generator

from ..policies import (
    BernoulliHead,
    CategoricalHead,
    DiagonalGaussianHead,
    GaussianHead,
    Head,
    LinearPolicy,
    MLPPolicy,
    MultiCategoricalHead,
    NetworkPolicy,
    Policy,
    RBFPolicy,
    SquashedHead,
    StateDependentGaussianHead,
)
from .config import PolicyName, TrainConfig
from .defaults import decided
from .errors import UserError

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


def make_head(space: spaces.Space[Any], config: TrainConfig) -> Head:
    """Return the distribution for an action space.

    Raises
    ------
    UserError
        Where the space is neither a Box of floats nor Discrete, MultiDiscrete or MultiBinary, or the
        config wants of it what only a Box, or a bounded one, has.
    ValueError
        Where the space is a Box and the config leaves ``initial_log_std`` open.
    """
    kind = next((kind for kind in _HEADS if isinstance(space, kind)), None)
    if kind is None or (kind is spaces.Box and not np.issubdtype(space.dtype, np.floating)):
        raise UserError(
            f"actions of {space} are not supported; wrap the environment to a Box of floats, Discrete, "
            "MultiDiscrete or MultiBinary actions"
        )
    if kind is not spaces.Box and (config.squash or config.std == "dependent"):
        asked = "squash = True" if config.squash else "std = 'dependent'"
        raise UserError(f"{asked} is for actions of a Box, and here they are of {space}")
    return _HEADS[kind](space, config)


def _gaussian_head(space: spaces.Box, config: TrainConfig) -> Head:
    where = (int(np.prod(space.shape)), decided(config, "initial_log_std"), config.min_log_std)
    gaussian: DiagonalGaussianHead = GaussianHead(*where)
    if config.std == "dependent":
        gaussian = StateDependentGaussianHead(*where, config.max_log_std)
    if not config.squash:
        return gaussian
    if not space.is_bounded("both"):
        raise UserError(
            f"squash needs actions with finite bounds, and those of {space} are not; "
            "wrap the environment in RescaleAction or ClipAction, or leave squash out"
        )
    return SquashedHead(gaussian, space.low.astype(np.float64).ravel(), space.high.astype(np.float64).ravel())


_HEADS: dict[type, Callable[[Any, TrainConfig], Head]] = {
    spaces.Box: _gaussian_head,
    spaces.Discrete: lambda space, _: CategoricalHead(int(space.n)),
    spaces.MultiDiscrete: lambda space, _: MultiCategoricalHead(space.nvec.ravel().tolist()),
    spaces.MultiBinary: lambda space, _: BernoulliHead(int(np.prod(space.shape))),
}
"""The head of each kind of action space."""
