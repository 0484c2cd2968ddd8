"""From the policy's actions to the environment's, and from the environment's observations to the policy's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from ...arguments import refuse_masked
from ..batch import Array
from ..errors import UserError
from .flat import flattener, in_words, numbers_of

Converter = Callable[[Any], Any]


def action_converter(
    space: spaces.Space[Any], batch: bool = False, action_map: Callable[[Array], Array] | None = None
) -> Converter:
    """Return a function from the policy's actions to the environment's.

    Box actions are clipped to the bounds (the score uses the unclipped one), those of Discrete and
    MultiDiscrete shifted to the space's start; a row of a Dict or Tuple is taken apart.  Each call returns
    new arrays: environments may keep them.

    ``space`` is that of one environment; with ``batch`` the function takes rows of actions, and what it
    returns of a Dict or Tuple is a dict or tuple of rows, as a gymnasium vector environment takes it.  The
    policy's :attr:`~fastfisher.policies.Policy.action_map` comes before the clipping.
    """
    if action_map is not None:
        convert = action_converter(space, batch)
        return lambda action: convert(action_map(action))
    if isinstance(space, (spaces.Dict, spaces.Tuple)):
        return _composite_converter(space, batch)
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
    low, high = bounds(space)
    # The Python layers of np.clip cost more than these two ufuncs.
    maximum, minimum = np.maximum, np.minimum

    def clip(action: Array) -> NDArray[Any]:
        return minimum(maximum(action, low), high).astype(dtype)

    return clip if len(shape) == 1 + batch else lambda action: clip(action).reshape(shape)


def _composite_converter(space: spaces.Space[Any], batch: bool) -> Converter:
    """Return a converter of rows that hold the actions of a Dict's or Tuple's parts one after the other."""
    names = list(space.keys()) if isinstance(space, spaces.Dict) else None
    converters, stop = [], 0
    for part in parts_of(space):
        start, stop = stop, stop + sum(_row_size(leaf) for leaf in leaves(part))
        converters.append((slice(start, stop), _of_row(part, batch)))

    def convert(row: Array) -> Any:
        each = [of_part(row[..., place]) for place, of_part in converters]
        return tuple(each) if names is None else dict(zip(names, each, strict=True))

    return convert


def _of_row(space: spaces.Space[Any], batch: bool) -> Converter:
    """Return a converter of a stretch of a float64 row, from which a Discrete's number has to be read."""
    if isinstance(space, spaces.Discrete):
        start, dtype = space.start, space.dtype
        return lambda row: (row[..., 0] + start).astype(dtype)[()]  # of one row a number, and no array
    convert = action_converter(space, batch)
    if isinstance(space, (spaces.Dict, spaces.Tuple, spaces.Box)):
        return convert
    return lambda row: convert(row.astype(np.int64))


def _row_size(leaf: spaces.Space[Any]) -> int:
    return int(np.prod(leaf.shape or ()))


def parts_of(space: spaces.Space[Any]) -> list[spaces.Space[Any]]:
    """Return the spaces in a Dict or Tuple, in the order in which they are flattened; none in others."""
    if isinstance(space, spaces.Dict):
        return list(space.values())
    return list(space) if isinstance(space, spaces.Tuple) else []


def leaves(space: spaces.Space[Any]) -> list[spaces.Space[Any]]:
    """Return the spaces that hold no others, in the order in which they are flattened."""
    parts = parts_of(space)
    return [leaf for part in parts for leaf in leaves(part)] if parts else [space]


def bounds(space: spaces.Box) -> tuple[Array, Array]:
    """Return the lower and the upper bound of each entry, in C order."""
    return space.low.astype(np.float64).ravel(), space.high.astype(np.float64).ravel()


def check_observations(space: spaces.Space[Any]) -> None:
    """Raise UserError, which names the space, where observations of it cannot be one row of numbers."""
    for part in leaves(space):
        within = "" if part is space else f" in {space}"
        if isinstance(part, (spaces.Dict, spaces.Tuple, spaces.OneOf)):  # which are empty, or one of several
            raise UserError(
                f"observations of {part}{within} are not supported; wrap the environment to a Box, or a Dict "
                "or Tuple that has parts"
            )
        if not part.is_np_flattenable:
            raise UserError(
                f"observations of {part}{within} have no fixed size; wrap the environment so that they do"
            )


def observation_rows(space: spaces.Space[Any], observation: Any) -> tuple[Array, bool]:
    """Return observations as the policy takes them, (n, D), and whether there was but one.

    ``space`` is that of one observation, before it is flattened.  ``observation`` is one, or several: an
    array of rows, a list, or what a gymnasium vector environment gives, for a Dict or Tuple space a dict or
    tuple of such; anything else is a ValueError, as are masked entries.
    """
    call = {2: "reset", 5: "step"}.get(len(observation)) if isinstance(observation, tuple) else None
    if call is not None and isinstance(observation[-1], dict) and not isinstance(space, spaces.Tuple):
        raise ValueError(f"observation: expected the first of what env.{call} returns, got all of it")
    refuse_masked(observation, "observation")
    if isinstance(space, spaces.Box):
        expected = f"{space.shape} or (n, {', '.join(map(str, space.shape))})"
        try:
            array = numbers_of(observation)
        except ValueError:  # rows of several lengths
            array = None
        if array is None:
            raise ValueError(f"observation: expected numbers, {expected}, got {in_words(observation)}")
        single = array.shape == space.shape
        if not single and array.shape[1:] != space.shape:
            raise ValueError(f"observation: expected shape {expected}, got {array.shape}")
        if not single and len(array) == 0:
            raise ValueError(f"observation: expected at least one, got shape {array.shape}")
        return array.astype(np.float64).reshape(1 if single else len(array), -1), single
    try:
        composite = isinstance(space, (spaces.Dict, spaces.Tuple))
        if composite and not isinstance(observation, list):
            part, leaf = _first_part(space, observation)
            single = np.ndim(leaf) == len(part.shape or ())
            several = [observation] if single else [row_of(space, observation, n) for n in range(len(leaf))]
        else:
            single = not composite and np.ndim(observation) == len(space.shape or ())
            several = [observation] if single else list(observation)
        if not several:
            raise ValueError
        if composite or all(space.contains(one) for one in several):
            flat = flattener(space)
            return np.array([flat(one) for one in several], dtype=np.float64), single
    except (IndexError, KeyError, TypeError, ValueError):
        pass
    raise ValueError(f"observation: expected one of {space}, or several, got {observation!r}")


def _first_part(space: spaces.Space[Any], observation: Any) -> tuple[spaces.Space[Any], Any]:
    """Return the first space in a space that holds no others, and what is observed of it."""
    while isinstance(space, (spaces.Dict, spaces.Tuple)):
        first: Any = next(iter(space.spaces)) if isinstance(space, spaces.Dict) else 0
        space, observation = space[first], observation[first]
    return space, observation


def row_of(space: spaces.Space[Any], several: Any, n: int) -> Any:
    """Return the n-th of observations or actions whose parts are stacked."""
    if isinstance(space, spaces.Dict):
        return {name: row_of(part, several[name], n) for name, part in space.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(row_of(part, one, n) for part, one in zip(space, several, strict=True))
    return np.asarray(several[n]) if isinstance(space, spaces.Box) else several[n]


def outlines(observation_space: spaces.Space[Any], action_space: spaces.Space[Any]) -> dict[str, str]:
    """Return what a policy is made for: the kinds and sizes of both spaces, without their bounds."""
    return {"observations": _outline(observation_space), "actions": _outline(action_space)}


def _outline(space: spaces.Space[Any]) -> str:
    match space:
        case spaces.Box():
            return f"Box{space.shape}"
        case spaces.Discrete():
            return f"Discrete({space.n})"
        case spaces.MultiDiscrete():
            return f"MultiDiscrete({space.nvec.tolist()})"
        case spaces.Dict():
            parts = (f"{name}: {_outline(part)}" for name, part in space.spaces.items())
            return f"Dict({', '.join(parts)})"
        case spaces.Tuple():
            return f"Tuple({', '.join(map(_outline, space.spaces))})"
    return str(space)


def refuse_other_spaces(trained: Mapping[str, str], here: Mapping[str, str], source: object) -> None:
    """Raise a UserError where a policy was trained on other spaces than the environment's here.

    Both are :func:`outlines`; of a checkpoint that has none, nothing is known.
    """
    if trained and dict(trained) != dict(here):
        before, now = (
            " and ".join(f"{kind} of {space}" for kind, space in both.items()) for both in (trained, here)
        )
        raise UserError(f"{source} was trained on {before}; the environment here has {now}")
