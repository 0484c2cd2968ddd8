"""Which way of collecting batches a config and an environment call for."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from ...policies import Policy
from ..config import TrainConfig
from ..defaults import decided, horizon
from ..environments.recipe import Env, Recipe
from ..errors import UserError
from . import Rollouts
from .cores import process_count
from .envpool import EnvPoolRollouts
from .episode import MOST_SKIPPED
from .serial import SerialRollouts
from .vector import VectorRollouts


def make_rollouts(
    config: TrainConfig,
    env: Env | VectorEnv[Any, Any, Any],
    recipe: Recipe | None,
    policy: Policy,
    limit: int | None,
    state: Mapping[str, NDArray[Any]],
) -> Rollouts:
    """Return the rollouts of a run, which continue those that had this state.

    ``env``, for use in this process, stays the caller's; ``recipe`` makes more, and is None where ``env`` is
    all there is.  ``limit`` is the number of steps after which an episode ends at the latest, if the
    environment has such a limit.  It is a UserError where the config asks for more than ``env`` can give.
    """
    batch_steps: int = decided(config, "batch_steps")
    copies: Rollouts
    if config.backend == "envpool":
        if recipe is None or recipe.spec is None or isinstance(env, VectorEnv):
            raise UserError("backend='envpool' needs an environment id")
        pools = EnvPoolRollouts(config, env, state)
        copies, count = pools, len(pools.resets)
    elif isinstance(env, VectorEnv):
        if config.skip_bad_episodes:
            raise UserError("skip_bad_episodes is for single environments: a vector's step together")
        copies, count = VectorRollouts(env, config.seed, batch_steps), env.num_envs
    elif config.num_envs > 1:
        count = config.num_envs
        if recipe is None:
            raise UserError(
                "num_envs needs an environment id, a function that makes one, or a gymnasium VectorEnv"
            )
        copies = VectorRollouts.from_recipe(recipe, count, config.seed, batch_steps)
    else:
        return _episodes(config, env, recipe, policy, batch_steps, horizon(config, limit))
    share = -(-batch_steps // count)
    if limit is not None and share < limit:
        # Copies begin anew each iteration, and never see the end of an episode.
        copies.notes = (
            f"{count} environments share an iteration's {batch_steps:,} steps, {share:,} each: what comes "
            f"later in an episode of {limit:,} is never seen (fewer num_envs or larger batch_steps show it)",
        )
    return copies


def _episodes(
    config: TrainConfig, env: Env, recipe: Recipe | None, policy: Policy, batch_steps: int, longest: int
) -> Rollouts:
    """Return rollouts of whole episodes, by as many processes as the config has."""
    most_skipped = MOST_SKIPPED if config.skip_bad_episodes else 0
    serial = SerialRollouts(env, config.seed, batch_steps, longest, most_skipped)
    workers = process_count(config, longest)
    if workers == 1:
        return serial
    if recipe is None or sys.platform == "win32":
        reason = (
            "an environment object cannot be copied to workers" if recipe is None else "workers need POSIX"
        )
        serial.notes = (f"rollouts in this process: {reason}",)
        return serial
    # These imports are here, since the arena needs POSIX record locks.
    from .arena import ArenaLayout
    from .workers import CannotRecreateError, WorkerRollouts

    action_dtype = np.dtype(policy.action_dtype).str
    layout = ArenaLayout(
        workers, batch_steps, longest, serial.observation_size, policy.action_shape, action_dtype,
        most_skipped=most_skipped,
        evaluation_episodes=config.evaluation_episodes if config.evaluate_every else 0,
    )  # fmt: skip
    try:
        parallel = WorkerRollouts(recipe, config.seed, layout, config.worker_timeout)
    except CannotRecreateError as error:
        serial.notes = (f"rollouts in this process: no worker can make the environment: {error.reason}",)
        warnings.warn(f"training in one process: no worker can make the environment: {error}", stacklevel=2)
        return serial
    if config.workers is not None and workers < config.workers:
        parallel.notes = (
            f"{workers} workers and not {config.workers:,}: the others would have hardly an episode to run",
        )
    return parallel
