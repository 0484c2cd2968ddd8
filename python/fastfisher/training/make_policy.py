"""The policy that a config asks for, and the distribution of its actions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.random import Generator

from ..policies import (
    ActionUnits,
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
    ProductHead,
    RBFPolicy,
    SquashedHead,
    StateDependentGaussianHead,
    has_bounds,
)
from .config import PolicyName, TrainConfig
from .defaults import decided
from .environments.spaces import bounds, leaves
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
        Where the space is neither a Box of floats, Discrete, MultiDiscrete or MultiBinary, nor a Dict or
        Tuple of such, or the config wants of it what only a Box, or a bounded one, has.
    ValueError
        Where the space has a Box and the config leaves ``initial_log_std`` open.
    """
    parts = leaves(space)
    for part in parts:
        if not _is_supported(part):
            within = "" if part is space else f" in {space}"
            raise UserError(
                f"actions of {part}{within} are not supported; wrap the environment to a Box of floats, "
                "Discrete, MultiDiscrete or MultiBinary actions, or a Dict or Tuple of such"
            )
    if (config.squash or config.std == "dependent") and not any(isinstance(p, spaces.Box) for p in parts):
        asked = "squash = True" if config.squash else "std = 'dependent'"
        raise UserError(f"{asked} is for actions of a Box, and here they are of {space}")
    heads = [next(make for kind, make in _HEADS.items() if isinstance(p, kind))(p, config) for p in parts]
    return heads[0] if parts == [space] else ProductHead(heads)


def _is_supported(space: spaces.Space[Any]) -> bool:
    """Return whether there is a head for a space that holds no others, and something to choose in it."""
    if isinstance(space, spaces.Box):
        return bool(np.issubdtype(space.dtype, np.floating)) and space.low.size > 0
    return isinstance(space, tuple(_HEADS)) and math.prod(space.shape or ()) > 0


def unit_notes(space: spaces.Space[Any], config: TrainConfig) -> tuple[str, ...]:
    """Return what the user should know about the units of the actions of :func:`make_head`."""
    boxes = [leaf for leaf in leaves(space) if isinstance(leaf, spaces.Box)]
    if config.squash or config.action_units == "environment" or not boxes:
        return ()
    bounded = np.concatenate([has_bounds(*bounds(box)) for box in boxes])
    if bounded.all():
        return ()
    return (
        f"{np.count_nonzero(~bounded)} of {len(bounded)} action entries lack a finite bound: they start at "
        "a mean of 0 and a deviation of exp(initial_log_std), in the environment's units",
    )


def _gaussian_head(space: spaces.Box, config: TrainConfig) -> Head:
    low, high = bounds(space)
    units = None
    if config.action_units == "bounds" and not config.squash:
        of_bounds = ActionUnits.of_bounds(low, high)
        units = None if of_bounds.are_the_environments else of_bounds
    where = (len(low), decided(config, "initial_log_std"), config.min_log_std)
    gaussian: DiagonalGaussianHead = (
        StateDependentGaussianHead(*where, config.max_log_std, units)
        if config.std == "dependent"
        else GaussianHead(*where, units)
    )
    if not config.squash:
        return gaussian
    if not (has_bounds(low, high) & (low < high)).all():
        raise UserError(
            f"squash needs actions with finite bounds that differ, which {space} does not have; "
            "wrap the environment in RescaleAction or ClipAction, or leave squash out"
        )
    return SquashedHead(gaussian, low, high)


_HEADS: dict[type, Callable[[Any, TrainConfig], Head]] = {
    spaces.Box: _gaussian_head,
    spaces.Discrete: lambda space, _: CategoricalHead(int(space.n)),
    spaces.MultiDiscrete: lambda space, _: MultiCategoricalHead(space.nvec.ravel().tolist()),
    spaces.MultiBinary: lambda space, _: BernoulliHead(int(np.prod(space.shape))),
}
"""The head of each kind of action space."""
