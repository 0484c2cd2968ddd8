"""What a config means where it leaves a field open: decided here, once, before anything is built of it.

:func:`resolve` fills in the fields of :data:`OPEN` from the algorithm, the policy, the actions, the
observations and the time limit, never from the environment's name.  An agent's ``config``, a run's
``config.json`` and a checkpoint's header hold the resolved config, and nothing reads another one.

Elsewhere None and "auto" are values like others:

=====================  ========================================================================
``target_return``      None: no return ends the run.
``final_max_kl``       None: ``max_kl`` stays.
``final_min_log_std``  None: ``min_log_std`` stays.
``cg_iterations``      None, of a linear or RBF policy: CG goes on until its tolerance.
``rbf_bandwidth``      None: measured on the first batch, times ``rbf_bandwidth_scale``; the
                       policy keeps it.
``max_episode_steps``  None: the environment's own limit; where that has none, :func:`horizon`.
``workers``            None: the cores of the machine that runs, asked each time.  They change no
                       bit of the result, so they are no part of what a run is.
``num_envs``           0, in gymnasium: episodes one by one, as 1.
``solver``             "auto": the core chooses for each batch's shapes.
``precision``          "auto": the core chooses, as for the solver.
=====================  ========================================================================
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from gymnasium import spaces

from .config import TrainConfig
from .environments.spaces import leaves
from .errors import UserError
from .move import ALGORITHMS

OPEN: Mapping[str, Any] = MappingProxyType(
    {
        "batch_steps": None,
        "gamma": None,
        "max_kl": None,
        "fisher": None,
        "cg_iterations": None,
        "baseline": "auto",
        "normalize_observations": None,
        "initial_log_std": None,
        "num_envs": 0,
    }
)
"""The fields that a config may leave open, and the value that says so."""

_MOST_GAMMA = 0.995
_EPISODES = 10
_FEWEST_STEPS, _FEWEST_STEPS_MLP, _MOST_STEPS = 1_000, 5_000, 10_000
_QUADRATIC_UP_TO = 40
"""Entries of an observation up to which the baseline is quadratic, with 865 features then."""
_MOST_ENVS = 10


def resolve(
    config: TrainConfig, action_space: spaces.Space[Any], observation_size: int, limit: int | None
) -> TrainConfig:
    """Return the config with every field of :data:`OPEN` filled in that it leaves open.

    What is given stays, so a resolved config resolves to itself.  What the MLP policy wants is measured in
    docs/explanation/defaults.md.

    The action space is that of one environment, and the observation is flattened.  ``limit`` is the number of
    steps after which an episode ends at the latest, if there is one, by the environment or by the config's
    ``max_episode_steps``.

    Raises
    ------
    UserError
        Where what is filled in contradicts what is given: a floor above the default of ``initial_log_std``,
        or a last floor above ``min_log_std``, which a preset may have set.
    """
    last_floor = config.final_min_log_std
    if last_floor is not None and last_floor > config.min_log_std:
        raise UserError(
            f"final_min_log_std: expected at most min_log_std = {config.min_log_std}, got {last_floor}"
        )
    discrete = not all(isinstance(space, spaces.Box) for space in leaves(action_space))
    network = config.policy == "mlp"
    batch_steps = config.batch_steps or _batch_steps(network, limit)
    values = {
        "batch_steps": batch_steps,
        "gamma": _gamma(limit),
        # A categorical policy turns nearly deterministic within a few steps, after which an error in the
        # step's direction costs more.  On CartPole-v1 (100,000 steps, 5 seeds) a KL of 0.05 reached 475 on 3
        # seeds, 0.025 on 4, and 0.025 with standardised observations on 5.  HalfCheetah-v5 learns faster at
        # 0.05.
        "max_kl": 0.025 if discrete else 0.05,
        "normalize_observations": discrete or config.policy != "linear",
        "fisher": ALGORITHMS[config.algorithm].fisher,
        "cg_iterations": 10 if network else None,
        "baseline": _baseline(network, observation_size),
        "initial_log_std": 0.25 if network else -1.0,
        "num_envs": _envs(batch_steps, limit) if config.backend == "envpool" else 0,
    }
    try:
        return config.replace(**{name: values[name] for name in OPEN if getattr(config, name) == OPEN[name]})
    except ValueError as error:
        raise UserError(str(error)) from error


def decided(config: TrainConfig, name: str) -> Any:
    """Return a field of a resolved config; it is a ValueError where :func:`resolve` was left out."""
    value = getattr(config, name)
    if value == OPEN[name]:
        raise ValueError(f"{name}: expected the value of a resolved config, got {value!r}; see {__name__}")
    return value


def horizon(config: TrainConfig, limit: int | None) -> int:
    """Return the steps after which an episode is cut: its time limit, or where it has none a whole batch."""
    steps: int = decided(config, "batch_steps") if limit is None else limit
    return steps


def _batch_steps(network: bool, limit: int | None) -> int:
    """Return ten episodes at their limit, 1,000 to 10,000 steps.

    An MLP policy, which has a thousand parameters or more, gets at least 5,000: see
    docs/explanation/defaults.md.
    """
    fewest = _FEWEST_STEPS_MLP if network else _FEWEST_STEPS
    return _MOST_STEPS if limit is None else min(max(_EPISODES * limit, fewest), _MOST_STEPS)


def _gamma(limit: int | None) -> float:
    """Return a discount that makes gamma^limit at most exp(-2.5).

    This power is the share that the baseline's guess of the state at the limit has in a return from an
    episode's start.  At 0.995 it is 0.78 after 50 steps, so the baseline is fitted to its own guesses:
    Reacher-v5 did not reach -6 in a million steps, and did in 125,000 at 0.95.
    """
    return _MOST_GAMMA if limit is None else min(_MOST_GAMMA, math.exp(-2.5 / limit))


def _baseline(network: bool, observation_size: int) -> str:
    if network:
        return "mlp"
    return "quadratic" if observation_size <= _QUADRATIC_UP_TO else "linear"


def _envs(batch_steps: int, limit: int | None) -> int:
    """Return how many environments EnvPool steps together: as many as each see a whole episode, to ten."""
    return _MOST_ENVS if limit is None else max(1, min(_MOST_ENVS, batch_steps // limit))
