"""Gymnasium environments as the trainer needs them: remade at will, flat to observe, kept in bounds."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from gymnasium.spaces.utils import flatten
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from ..config import TrainConfig
from ..errors import UserError
from .model_warnings import model_warnings_logged

Env = gymnasium.Env[Any, Any]
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Recipe:
    """How to make the environment again, in this process or another.

    It holds the registered spec and not the id, so an environment that only the main script
    registered can be made in a worker that never ran that script.
    """

    spec: EnvSpec | None = None
    factory: Callable[..., Env] | None = None
    kwargs: dict[str, Any] = field(default_factory=dict)
    max_episode_steps: int | None = None
    init_noise: float = 0.0

    def __call__(self) -> Env:
        """Make one."""
        return prepared(self.bare(), self.max_episode_steps, self.init_noise)

    def bare(self) -> Env:
        """Make one as it comes: unflattened, without the config's time limit and noise."""
        if self.factory is not None:
            return self.factory(**self.kwargs)
        assert self.spec is not None
        # Without the passive checker, which goes on checking at every step.
        with model_warnings_logged(self.spec):
            return gymnasium.make(self.spec, disable_env_checker=True, **self.kwargs)


def recipe_for(env: str | Callable[..., Env], config: TrainConfig) -> Recipe:
    """Return the recipe of an environment id, or of a function that makes one, as a config has it.

    Raises
    ------
    UserError
        Where the id is unknown.
    """
    options = (config.env_kwargs, config.max_episode_steps, config.init_noise)
    if not isinstance(env, str):
        return Recipe(None, env, *options)
    package, _, name = env.rpartition(":")
    try:
        if package:
            importlib.import_module(package)  # which registers its environments; gymnasium.spec does not
        return Recipe(gymnasium.spec(name), None, *options)
    except (gymnasium.error.Error, ModuleNotFoundError) as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"environment {env!r} is not registered with gymnasium: {reason} "
            "(an environment of another package is spelled package:Name-v0)"
        ) from error


def bare_environment(recipe: Recipe) -> Env:
    """Make the environment as it comes; what the user can mend comes back as a UserError."""
    name = recipe.spec.id if recipe.spec is not None else "environment"
    try:
        return recipe.bare()
    except gymnasium.error.DependencyNotInstalled as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{name} needs a package that is missing: {reason}") from error
    except ModuleNotFoundError as error:
        extra = "; try: pip install 'gymnasium[mujoco]'" if error.name == "mujoco" else ""
        raise UserError(f"{name} needs the Python package {error.name}, which is missing{extra}") from error
    except TypeError as error:
        if not recipe.kwargs:
            raise
        raise UserError(f"{name} does not take env_kwargs {recipe.kwargs}: {error}") from error


def prepared(env: Env, max_episode_steps: int | None = None, init_noise: float = 0.0) -> Env:
    """Return the environment with observations in a 1-D Box, and the time limit and noise that are given.

    Raises
    ------
    UserError
        Where observations have no fixed size, the time limit is above the environment's own, or the noise is
        for other environments.
    """
    own = episode_limit(env)
    if own is not None and max_episode_steps is not None and max_episode_steps > own:
        raise UserError(
            f"max_episode_steps: expected at most {own}, the environment's own limit, got "
            f"{max_episode_steps}; among env_kwargs it makes one with another limit"
        )
    if init_noise > 0.0:
        from .init_noise import InitNoise  # which needs MuJoCo

        env = InitNoise(env, init_noise)
    if max_episode_steps is not None:
        env = gymnasium.wrappers.TimeLimit(env, max_episode_steps)
    space = env.observation_space
    if isinstance(space, spaces.Box) and len(space.shape) == 1:
        return env
    if not space.is_np_flattenable:
        raise UserError(f"observations of {space} have no fixed size; wrap the environment so that they do")
    return gymnasium.wrappers.FlattenObservation(env)


_MOST_GAMMA = 0.995


def with_defaults(config: TrainConfig, space: spaces.Space[Any], limit: int | None = None) -> TrainConfig:
    """Return the config with what it leaves to algorithm, policy, actions and time limit filled in.

    A categorical policy turns nearly deterministic within a few steps, after which an error in the step's
    direction costs more.  On CartPole-v1 (100,000 steps, 5 seeds) a KL of 0.05 reached 475 on 3 seeds, 0.025
    on 4, and 0.025 with standardised observations on 5.  HalfCheetah-v5 learns faster at 0.05.  What
    else the mlp policy wants is measured in docs/defaults.md.

    A discount makes gamma^limit of a return, at an episode's start, what the baseline takes the state at the
    limit to be worth.  At 0.995 that is 0.78 after 50 steps, so the baseline is fitted to its own guesses:
    Reacher-v5 did not reach -6 in a million steps, and did in 125,000 at 0.95.  Hence at most exp(-2.5).

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
    discrete, network = not isinstance(space, spaces.Box), config.policy == "mlp"
    changes: dict[str, Any] = {}
    if config.gamma is None:
        changes["gamma"] = _MOST_GAMMA if limit is None else min(_MOST_GAMMA, math.exp(-2.5 / limit))
    if config.max_kl is None:
        changes["max_kl"] = 0.025 if discrete else 0.05
    if config.normalize_observations is None:
        changes["normalize_observations"] = discrete or config.policy != "linear"
    if config.initial_log_std is None:
        changes["initial_log_std"] = 0.25 if network else -1.0
    if config.cg_iterations is None and network:
        changes["cg_iterations"] = 10
    if config.fisher is None:
        changes["fisher"] = "exact" if config.algorithm == "trpo" else "empirical"
    try:
        return config.replace(**changes)
    except ValueError as error:
        raise UserError(str(error)) from error


Converter = Callable[[Any], Any]


def action_converter(
    space: spaces.Space[Any], batch: bool = False, squash: Callable[[Array], Array] | None = None
) -> Converter:
    """Return a function from the policy's actions to the environment's.

    Box actions are clipped to the bounds (the score uses the unclipped one), those of Discrete and
    MultiDiscrete shifted to the space's start.  Each call returns a new array: environments may keep it.

    Parameters
    ----------
    space
        Of one environment.
    batch
        The function takes rows of actions.
    squash
        The policy's :attr:`~fastfisher.policies.Policy.squash`, applied before the clipping.
    """
    if isinstance(space, spaces.Discrete):
        start = space.start
        if batch:
            return lambda rows: rows + start
        return lambda index: index + start if start else index
    assert space.shape is not None
    dtype, shape = space.dtype, ((-1, *space.shape) if batch else space.shape)
    if isinstance(space, spaces.MultiDiscrete):
        starts = space.start.ravel()
        return lambda indices: (indices + starts).astype(dtype).reshape(shape)
    if isinstance(space, spaces.MultiBinary):
        return lambda bits: bits.astype(dtype).reshape(shape)
    assert isinstance(space, spaces.Box)
    low, high = space.low.astype(np.float64).ravel(), space.high.astype(np.float64).ravel()
    # Not np.clip: its Python layers cost more than both ufuncs.
    maximum, minimum = np.maximum, np.minimum

    def clip(action: Array) -> NDArray[Any]:
        return minimum(maximum(action, low), high).astype(dtype)

    bounded = clip if squash is None else lambda action: clip(squash(action))
    return bounded if len(shape) == 1 + batch else lambda action: bounded(action).reshape(shape)


def observation_rows(space: spaces.Space[Any], observation: Any) -> tuple[Array, bool]:
    """Return observations as the policy takes them, (n, D), and whether there was but one.

    Parameters
    ----------
    space
        Of one observation, before it was flattened.
    observation
        One, or several: an array of rows, a list, or what a gymnasium vector environment gives, for a
        Dict or Tuple space a dict or tuple of such.

    Raises
    ------
    ValueError
        Where it is neither.
    """
    if isinstance(space, spaces.Box):
        array = np.asarray(observation, dtype=np.float64)
        single = array.shape == space.shape
        if not single and array.shape[1:] != space.shape:
            expected = f"{space.shape} or (n, {', '.join(map(str, space.shape))})"
            raise ValueError(f"observation: expected shape {expected}, got {array.shape}")
        return array.reshape(1 if single else len(array), -1), single
    try:
        composite = isinstance(space, (spaces.Dict, spaces.Tuple))
        if composite and not isinstance(observation, list):
            part, leaf = _first_part(space, observation)
            single = np.ndim(leaf) == len(part.shape or ())
            several = [observation] if single else [_row(space, observation, n) for n in range(len(leaf))]
        else:
            single = not composite and np.ndim(observation) == len(space.shape or ())
            several = [observation] if single else list(observation)
        if composite or all(space.contains(one) for one in several):
            return np.array([flatten(space, one) for one in several], dtype=np.float64), single
    except (IndexError, KeyError, TypeError, ValueError):
        pass
    raise ValueError(f"observation: expected one of {space}, or several, got {observation!r}")


def _first_part(space: spaces.Space[Any], observation: Any) -> tuple[spaces.Space[Any], Any]:
    """Return the first space in a space that holds no others, and what is observed of it."""
    while isinstance(space, (spaces.Dict, spaces.Tuple)):
        first: Any = next(iter(space.spaces)) if isinstance(space, spaces.Dict) else 0
        space, observation = space[first], observation[first]
    return space, observation


def _row(space: spaces.Space[Any], observations: Any, n: int) -> Any:
    """Return the n-th of observations whose parts are stacked."""
    if isinstance(space, spaces.Dict):
        return {name: _row(part, observations[name], n) for name, part in space.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(_row(part, one, n) for part, one in zip(space, observations, strict=True))
    return observations[n]


def episode_limit(env: Env | VectorEnv[Any, Any, Any]) -> int | None:
    """Return the number of steps after which an episode ends at the latest, if the environment says."""
    if env.spec is not None and env.spec.max_episode_steps is not None:
        return env.spec.max_episode_steps
    if not isinstance(env, VectorEnv) and env.has_wrapper_attr("_max_episode_steps"):
        return int(env.get_wrapper_attr("_max_episode_steps"))
    return None
