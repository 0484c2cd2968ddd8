"""What calls of an environment return, where it is not what gymnasium's interface says."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import VectorEnv

from ..._core import MalformedStepError, check_step
from ..errors import UserError
from .flat import in_words

_RESULTS = {
    "reset": "a pair of observation and info",
    "step": "5 results, observation, reward, terminated, truncated and info",
}
"""What each call returns."""
_OLD = "as environments of the old gym return"


def first_observation(env: gymnasium.Env[Any, Any], seed: int) -> Any:
    """Reset an environment, and return what it observes.

    It is a MalformedStepError where the result is no pair, and where ``reset`` takes no seed.
    """
    try:
        result = env.reset(seed=seed)
    except TypeError as error:
        if "keyword argument 'seed'" not in str(error):
            raise
        raise MalformedStepError(
            f"env.reset: expected to be given a seed, and it takes none ({error})"
        ) from error
    if not isinstance(result, tuple) or len(result) != 2:
        raise MalformedStepError(f"env.reset: expected {_RESULTS['reset']}, got {in_words(result)}, {_OLD}")
    return result[0]


def seed_notes(env: gymnasium.Env[Any, Any] | VectorEnv[Any, Any, Any], seed: int) -> tuple[str, ...]:
    """Return what the user should know where two resets from one seed give two observations."""
    try:
        first, second = (np.array(env.reset(seed=seed)[0], np.float64) for _ in range(2))
    except Exception:  # the user's code: whatever it raises, this was no step of training
        return ()
    if np.array_equal(first, second, equal_nan=True):
        return ()
    return (
        "env.reset(seed=...) gives another observation each time for the same seed: the same bits are not "
        "promised, and workers and copies may repeat each other's episodes (random numbers should come from "
        "self.np_random, which super().reset(seed=seed) seeds)",
    )


def refuse_shared(envs: VectorEnv[Any, Any, Any]) -> None:
    """Raise a UserError where a vector environment holds one environment as several of its copies."""
    copies = [
        copy.unwrapped for copy in getattr(envs.unwrapped, "envs", ()) if isinstance(copy, gymnasium.Env)
    ]
    if len({id(copy) for copy in copies}) < len(copies):
        raise UserError(
            f"{copies[0]} is one object, and stands for several of {len(copies)} copies: have the function "
            "make a new environment each time it is called"
        )


def refuse_envpool(env: Any) -> None:
    """Raise a UserError where an object is EnvPool's, or wraps one: what a config asks for is its backend."""
    base = getattr(env, "unwrapped", env)
    # Its classes are made as it goes, and say nothing of their module.
    if any(kind.__module__.split(".")[0] == "envpool" for kind in type(base).__mro__):
        raise UserError(
            "an object of EnvPool cannot be trained on, since it ignores the seeds of a reset: give the "
            "environment's id, with backend='envpool' and num_envs"
        )


class CheckedResults(gymnasium.Wrapper[Any, Any, Any, Any]):
    """An environment whose rewards and flags are checked before a vector makes numbers and truths of them."""

    def step(self, action: Any) -> Any:
        """Take a step."""
        result = self.env.step(action)
        check_step(result)
        return result


def what_is_malformed(error: TypeError | ValueError) -> str | None:
    """Return what the environment did wrong where an error says so; None of any other error.

    That is a MalformedStepError, or what wrappers and vectors of gymnasium say as they unpack results.
    """
    if isinstance(error, MalformedStepError):
        return str(error)
    trace = error.__traceback__
    if trace is None or "unpack" not in str(error):
        return None
    while trace.tb_next is not None:
        trace = trace.tb_next
    frame = trace.tb_frame
    call = frame.f_code.co_name
    if call not in _RESULTS or not str(frame.f_globals.get("__name__")).startswith("gymnasium."):
        return None
    return f"env.{call}: expected {_RESULTS[call]}, got another number of them ({error}), {_OLD}"


def refuse_other_objects(made: Any) -> None:
    """Raise a UserError where what a function made is no environment, or lacks a space."""
    expected = "the function that makes the environment: expected a gymnasium.Env"
    if isinstance(made, gymnasium.vector.VectorEnv):
        raise UserError(f"{expected}, got a vector environment, {made}: give that itself, or num_envs")
    if not isinstance(made, gymnasium.Env):
        old = any(kind.__module__.split(".")[0] == "gym" for kind in type(made).__mro__)
        hint = " (gymnasium has replaced gym: shimmy's GymV26CompatibilityV0 makes one of it)" if old else ""
        raise UserError(f"{expected}, got {in_words(made)}{hint}")
    for name in ("observation_space", "action_space"):
        space = getattr(made, name, None)
        if not isinstance(space, gymnasium.spaces.Space):
            raise UserError(f"env.{name}: expected a gymnasium.spaces.Space, got {in_words(space)}")
