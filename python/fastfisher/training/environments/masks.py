"""Action masks: which choices an environment allows at the moment, by its method ``action_masks()``."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from ...policies import Policy
from ..batch import Array
from ..errors import UserError
from .spaces import leaves


def choices(space: spaces.Space[Any]) -> list[int]:
    """Return the number of choices of each discrete component of an action: what a mask consists of.

    A Discrete is one component, a MultiDiscrete has several, and each bit of a MultiBinary is one of two
    choices, 0 and 1: as MaskablePPO of sb3-contrib has it.  A Dict or Tuple has those of its parts, one
    after the other; a Box has none.
    """
    sizes: list[int] = []
    for leaf in leaves(space):
        if isinstance(leaf, spaces.Discrete):
            sizes.append(int(leaf.n))
        elif isinstance(leaf, spaces.MultiDiscrete):
            sizes += leaf.nvec.ravel().tolist()
        elif isinstance(leaf, spaces.MultiBinary):
            sizes += [2] * int(np.prod(leaf.shape))
    return sizes


def has_action_masks(env: gymnasium.Env[Any, Any]) -> bool:
    """Return whether a wrapper or the environment itself has ``action_masks()``, and choices to forbid.

    It is a UserError where ``action_masks`` is something else, which would be passed over, but for None.
    """
    name = "action_masks"
    if not choices(env.action_space):
        return False
    layer = env
    while isinstance(layer, gymnasium.Wrapper) and not hasattr(type(layer), name):
        layer = layer.env
    # What computes a property may be there only after a reset.
    masks: Any = getattr(type(layer), name, None)
    if not isinstance(masks, property):
        masks = env.get_wrapper_attr(name) if env.has_wrapper_attr(name) else None
    if masks is not None and not callable(masks):
        raise UserError(f"env.{name}: expected a method that returns the mask, got a {type(masks).__name__}")
    return masks is not None


def refuse_action_masks(envs: VectorEnv[Any, Any, Any]) -> None:
    """Raise UserError where a vector environment, or a copy that it holds in this process, has masks."""
    copies = getattr(envs.unwrapped, "envs", ())
    if hasattr(envs, "action_masks") or any(
        isinstance(env, gymnasium.Env) and has_action_masks(env) for env in copies
    ):
        raise UserError(
            "a vector environment is not asked for its action_masks(): give an environment's id, or a "
            "function that makes one, and num_envs; or action_masks=False, which leaves them out"
        )


class MaskForm:
    """What a mask of a space of actions has to be: an entry for each choice, in components."""

    def __init__(self, space: spaces.Space[Any]) -> None:
        self.space = space
        sizes = choices(space)
        self.size = sum(sizes)
        self._starts = np.cumsum([0, *sizes[:-1]])

    def checked(self, mask: Any) -> NDArray[np.bool_]:
        """Return a mask as one row, (size,): true where a choice is allowed.

        It may come in a list of its components' masks.  It is a UserError where there are not as many entries
        as choices, they are not 0 and 1, or a component has no choice left.
        """
        try:
            entries = np.ravel(mask)
        except ValueError:  # components of different sizes
            entries = np.concatenate([np.ravel(component) for component in mask])
        if len(entries) != self.size:
            raise UserError(
                f"action_masks: expected {self.size} entries, one for each choice of {self.space}, "
                f"got {len(entries)}"
            )
        allowed: NDArray[np.bool_] = entries == 1
        if entries.dtype != np.bool_ and not (allowed | (entries == 0)).all():
            raise UserError(f"action_masks: expected entries of 1, allowed, and 0, forbidden, got {entries}")
        left = np.logical_or.reduceat(allowed, self._starts)
        if not left.all():
            where = "" if len(left) == 1 else f" in component {int(np.argmin(left))}"
            raise UserError(f"action_masks: expected at least one choice that is allowed{where}, got none")
        return allowed


def with_masks(rows: Array, masks: Any, space: spaces.Space[Any], mask_size: int, single: bool) -> Array:
    """Return observations, (n, D), with their masks, for a policy that expects ``mask_size`` entries.

    ``masks`` is one of them where the observation is ``single``, else n; None allows all.  It is a ValueError
    where there are masks and the policy takes none.
    """
    if masks is None:
        return np.hstack([rows, np.ones((len(rows), mask_size))]) if mask_size else rows
    if not mask_size:
        raise ValueError("action_masks: expected None, since the policy was trained without masks")
    form, each = MaskForm(space), [masks] if single else list(masks)
    if len(each) != len(rows):
        raise ValueError(f"action_masks: expected {len(rows)}, one for each observation, got {len(each)}")
    return np.hstack([rows, np.array([form.checked(mask) for mask in each])])


class ActionMasked(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Appends the mask to the flat observation, so that whatever goes with the one goes with the other.

    Where the episode has ended there is nothing to choose: the environment is not asked, and all is allowed.
    """

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        super().__init__(env)
        space = env.observation_space
        assert isinstance(space, spaces.Box)
        self._form = MaskForm(env.action_space)
        self.mask_size = self._form.size
        zeros, ones = np.zeros(self.mask_size), np.ones(self.mask_size)
        self.observation_space = spaces.Box(
            np.concatenate([space.low, zeros]), np.concatenate([space.high, ones]), dtype=np.float64
        )
        self._action_masks = env.get_wrapper_attr("action_masks")
        self._all = ones

    def reset(self, **options: Any) -> Any:
        """Reset the environment."""
        result: Any = self.env.reset(**options)
        # What is no pair is for the caller to name, as in step.
        pair = isinstance(result, tuple) and len(result) == 2
        return (self._with_mask(result[0]), result[1]) if pair else result

    def step(self, action: Any) -> Any:
        """Take a step."""
        result: Any = self.env.step(action)
        if not isinstance(result, (tuple, list)) or len(result) != 5:
            return result
        observation, reward, terminated, truncated, info = result
        over = terminated or truncated
        masked = np.concatenate([observation, self._all]) if over else self._with_mask(observation)
        return masked, reward, terminated, truncated, info

    def _with_mask(self, observation: Array) -> Array:
        return np.concatenate([observation, self._form.checked(self._action_masks())])


def expect_masks(policy: Policy, env: gymnasium.Env[Any, Any] | VectorEnv[Any, Any, Any]) -> None:
    """Tell the policy to expect what a prepared environment appends; UserError where it takes no masks."""
    if not isinstance(env, ActionMasked):
        policy.mask_size = 0  # which another environment may have set
    else:
        try:
            policy.expect_masks(env.mask_size)
        except ValueError as error:
            raise UserError(
                f"the environment has action_masks(), and {error}; action_masks=False leaves them out"
            ) from error
