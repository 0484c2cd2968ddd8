"""From the policy's actions to the environment's, and from the environment's observations to the policy's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.spaces.utils import flatten
from numpy.typing import NDArray

from ...arguments import refuse_masked
from ..batch import Array

Converter = Callable[[Any], Any]


def action_converter(
    space: spaces.Space[Any], batch: bool = False, squash: Callable[[Array], Array] | None = None
) -> Converter:
    """Return a function from the policy's actions to the environment's.

    Box actions are clipped to the bounds (the score uses the unclipped one), those of Discrete and
    MultiDiscrete shifted to the space's start.  Each call returns a new array: environments may keep it.

    ``space`` is that of one environment; with ``batch`` the function takes rows of actions.  ``squash``, the
    policy's :attr:`~fastfisher.policies.Policy.squash`, comes before the clipping.
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
    # The Python layers of np.clip cost more than these two ufuncs.
    maximum, minimum = np.maximum, np.minimum

    def clip(action: Array) -> NDArray[Any]:
        return minimum(maximum(action, low), high).astype(dtype)

    bounded = clip if squash is None else lambda action: clip(squash(action))
    return bounded if len(shape) == 1 + batch else lambda action: bounded(action).reshape(shape)


def observation_rows(space: spaces.Space[Any], observation: Any) -> tuple[Array, bool]:
    """Return observations as the policy takes them, (n, D), and whether there was but one.

    ``space`` is that of one observation, before it is flattened.  ``observation`` is one, or several: an
    array of rows, a list, or what a gymnasium vector environment gives, for a Dict or Tuple space a dict or
    tuple of such; anything else is a ValueError, as are masked entries.
    """
    refuse_masked(observation, "observation")
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
