"""Gymnasium environments as the trainer needs them: remade at will, flat to observe, kept in bounds."""

from __future__ import annotations

import copy
import importlib
import logging
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import VectorEnv

from ..config import TrainConfig
from ..errors import UserError
from .flat import FlatObservations
from .interface import refuse_envpool, refuse_other_objects, refuse_shared
from .masks import ActionMasked, has_action_masks, refuse_action_masks
from .running_statistics import refuse_statistics
from .spaces import check_observations

Env = gymnasium.Env[Any, Any]
EnvLike = str | Env | Callable[..., Env] | VectorEnv[Any, Any, Any]

_LOGGER = logging.getLogger(__name__)


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
    action_masks: bool = False

    def __call__(self) -> Env:
        """Make one as the config has it."""
        return prepared(self.bare(), self.max_episode_steps, self.init_noise, self.action_masks)

    def bare(self) -> Env:
        """Make one as it comes: unflattened, without the config's time limit and noise."""
        kwargs = copy.deepcopy(self.kwargs)  # an environment may change what it is given
        if self.factory is not None:
            return self.factory(**kwargs)
        assert self.spec is not None
        # The passive checker is left out, since it goes on checking at every step.
        with _model_warnings_logged(self.spec):
            return gymnasium.make(self.spec, disable_env_checker=True, **kwargs)


@contextmanager
def _model_warnings_logged(spec: EnvSpec | None) -> Iterator[None]:
    """Send MuJoCo's warnings to Python's log while a registered MuJoCo environment is made.

    MuJoCo 4 says of each model file that ships with gymnasium which of its attributes are
    deprecated: on the terminal, once for each process, and in a file MUJOCO_LOG.TXT in the working
    directory.  Warnings of the simulation itself, which comes later, go where they always go.
    """
    if spec is None or "mujoco" not in str(spec.entry_point):
        yield
        return
    try:
        import mujoco
    except ImportError:
        # The environment's own message about what to install is better.
        yield
        return
    handler = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(_LOGGER.debug)
    try:
        yield
    finally:
        mujoco.set_mju_user_warning(handler)


def recipe_for(env: str | Callable[..., Env], config: TrainConfig) -> Recipe:
    """Return the recipe of a function or an id, as a config has it; an unknown id is a UserError."""
    options = (config.env_kwargs, config.max_episode_steps, config.init_noise, config.action_masks)
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
    except (ImportError, gymnasium.error.Error) as error:
        # Gymnasium's own, of environments that have moved, or arguments that they do not have.
        if recipe.spec is None:
            raise
        raise UserError(f"{name} cannot be made: {' '.join(str(error).split())}") from error
    except TypeError as error:
        if not recipe.kwargs:
            raise
        raise UserError(f"{name} does not take env_kwargs {recipe.kwargs}: {error}") from error


def prepared(
    env: Env, max_episode_steps: int | None = None, init_noise: float = 0.0, action_masks: bool = False
) -> Env:
    """Return the environment with observations in a 1-D Box, and the time limit and noise that are given.

    With ``action_masks`` they end with the mask, where the environment has one.

    It is a UserError where observations have no fixed size, the time limit is above the environment's own, or
    the noise is for other environments.
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
    check_observations(space)
    masked = action_masks and has_action_masks(env)
    if masked or not (isinstance(space, spaces.Box) and len(space.shape) == 1):
        env = FlatObservations(env)
    return ActionMasked(env) if masked else env


def episode_limit(env: Env | VectorEnv[Any, Any, Any]) -> int | None:
    """Return the number of steps after which an episode ends at the latest, if the environment says.

    It is a UserError where what it says is no number of steps.
    """
    if env.spec is not None and env.spec.max_episode_steps is not None:
        return env.spec.max_episode_steps
    name = "_max_episode_steps"
    if isinstance(env, VectorEnv) or not env.has_wrapper_attr(name):
        return None
    limit = env.get_wrapper_attr(name)
    if limit is None or limit == math.inf:
        return None
    if not isinstance(limit, (int, float, np.number)) or not limit >= 1 or limit != int(limit):
        raise UserError(f"env.{name}: expected a whole number of steps, at least 1, or None, got {limit!r}")
    return int(limit)


def close_environment(env: Env | VectorEnv[Any, Any, Any]) -> None:
    """Close an environment; an error of its ``close`` is a warning, since its work is done."""
    try:
        env.close()
    except Exception as error:  # the user's code: it may raise anything
        warnings.warn(f"env.close raised {type(error).__name__}: {error}", stacklevel=2)


@dataclass(frozen=True, eq=False)
class OpenEnvironment:
    """The environment that an agent acts in, as it comes and as it is prepared."""

    env: Env | VectorEnv[Any, Any, Any]
    """The prepared one: observations flat, masks behind them, the config's time limit and initial noise."""
    observation_space: spaces.Space[Any]
    """Observations of one environment, before they are flattened."""
    action_space: spaces.Space[Any]
    """Actions of one environment."""
    bare: Env | None = None
    """The single environment as it comes; None for a vector environment."""
    recipe: Recipe | None = None
    """How to make more of it; None where the agent was given an environment."""

    @classmethod
    def of(cls, env: EnvLike, config: TrainConfig) -> OpenEnvironment:
        """Make the environment where it is an id or a function, and prepare it as a config has it."""
        refuse_envpool(env)
        if isinstance(env, VectorEnv):
            refuse_shared(env)
            if config.init_noise:
                raise UserError("init_noise is for single environments: wrap the vector's in InitNoise")
            if config.action_masks:
                refuse_action_masks(env)
            refuse_statistics(env)
            return cls(env, env.single_observation_space, env.single_action_space)
        recipe = None
        if not isinstance(env, gymnasium.Env):
            if not callable(env) and not isinstance(env, str):
                raise TypeError(
                    "env: expected an environment's id, an environment, a vector environment or a function "
                    f"that makes an environment, got {env!r} ({type(env).__name__})"
                )
            recipe = recipe_for(env, config)
            env = bare_environment(recipe)
        refuse_other_objects(env)
        refuse_statistics(env)
        ready = prepared(env, config.max_episode_steps, config.init_noise, config.action_masks)
        return cls(ready, env.observation_space, ready.action_space, env, recipe)

    def close(self) -> None:
        """Close the environment, unless it was given."""
        if self.recipe is not None:
            close_environment(self.env)
