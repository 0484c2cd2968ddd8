"""Observations of any space as rows of numbers, each checked against its space before it is one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import index
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.spaces.utils import flatten, flatten_space
from numpy.typing import NDArray

from ..._core import MalformedStepError
from ..errors import UserError

Flattener = Callable[[Any], NDArray[Any]]
"""From an observation to its entries, (D,); a ValueError says what was expected and what came."""

_LONGEST = 60


def in_words(came: Any) -> str:
    """Return what came in a few words: the shape of an array, the beginning of anything else."""
    if isinstance(came, np.ndarray):
        kind = "a masked array" if np.ma.is_masked(came) else "an array"
        return f"{kind} of shape {came.shape} and dtype {came.dtype}"
    text = " ".join(repr(came).split())
    text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
    return f"{text} ({type(came).__name__})"


def numbers_of(came: Any) -> NDArray[Any] | None:
    """Return what came as an array of real numbers; None of text, imaginary parts and what a mask covers."""
    array = np.asarray(came)
    masked = isinstance(came, np.ma.MaskedArray) and np.ma.is_masked(came)
    return array if array.dtype.kind not in "cSUmM" and not masked else None


def flattener(space: spaces.Space[Any]) -> Flattener:
    """Return the function that does what gymnasium's ``flatten`` does for a space, and checks as it does.

    Shapes are checked, and the range of what becomes one-hot: gymnasium broadcasts an observation that is too
    small.  It is a UserError where observations of the space have no fixed size, or are of one of several.
    """
    match space:
        case spaces.Box() | spaces.MultiBinary():
            return _array(space)
        case spaces.Discrete():
            return _one_hot(space)
        case spaces.MultiDiscrete():
            return _one_hots(space)
        case spaces.Dict():
            return _dict({name: flattener(part) for name, part in space.spaces.items()})
        case spaces.Tuple():
            return _tuple([flattener(part) for part in space.spaces])
        case spaces.Text():
            return _text(space)
    raise UserError(f"observations of {space} have no fixed size; wrap the environment so that they do")


def _array(space: spaces.Box | spaces.MultiBinary) -> Flattener:
    shape, dtype = space.shape, space.dtype
    whole = not np.issubdtype(dtype, np.floating)

    def flat(observation: Any) -> NDArray[Any]:
        array = numbers_of(observation)
        if array is None or array.shape != shape:
            raise ValueError(f"expected an observation of shape {shape}, got {in_words(observation)}")
        if whole and array.dtype.kind == "f" and not np.isfinite(array).all():
            return array.ravel()  # which as integers would be numbers
        return array.astype(dtype).ravel()

    return flat


def _one_hot(space: spaces.Discrete) -> Flattener:
    n, start = int(space.n), int(space.start)

    def flat(observation: Any) -> NDArray[Any]:
        try:
            place = index(observation) - start
        except TypeError:
            place = -1
        if not 0 <= place < n:
            raise ValueError(f"expected an observation of {space}, got {in_words(observation)}")
        entries = np.zeros(n, space.dtype)
        entries[place] = 1
        return entries

    return flat


def _one_hots(space: spaces.MultiDiscrete) -> Flattener:
    counts, starts = space.nvec, space.start
    offsets = np.cumsum(counts.ravel()) - counts.ravel()
    size = int(counts.sum())

    def flat(observation: Any) -> NDArray[Any]:
        array = np.asarray(observation)
        fits = array.shape == counts.shape and array.dtype.kind in "iu"
        places = array - starts if fits else array
        if not fits or (places < 0).any() or (places >= counts).any():
            raise ValueError(f"expected an observation of {space}, got {' '.join(repr(observation).split())}")
        entries = np.zeros(size, space.dtype)
        entries[offsets + places.ravel()] = 1
        return entries

    return flat


def _dict(parts: Mapping[str, Flattener]) -> Flattener:
    def flat(observation: Any) -> NDArray[Any]:
        if not isinstance(observation, Mapping):
            raise ValueError(f"expected a dict as observation, got {in_words(observation)}")
        missing = [repr(name) for name in parts if name not in observation]
        if missing:
            names = ", ".join(map(repr, parts))
            raise ValueError(f"expected an observation with {names}, got one without {', '.join(missing)}")
        return np.concatenate([_part(repr(name), part, observation[name]) for name, part in parts.items()])

    return flat


def _tuple(parts: list[Flattener]) -> Flattener:
    def flat(observation: Any) -> NDArray[Any]:
        if not isinstance(observation, (tuple, list)) or len(observation) != len(parts):
            raise ValueError(f"expected a tuple of {len(parts)} as observation, got {in_words(observation)}")
        several = enumerate(zip(parts, observation, strict=True))
        return np.concatenate([_part(str(place), part, one) for place, (part, one) in several])

    return flat


def _part(name: str, flat: Flattener, observation: Any) -> NDArray[Any]:
    try:
        return flat(observation)
    except ValueError as error:
        raise ValueError(f"{error}, in part {name} of the observation") from None


def _text(space: spaces.Text) -> Flattener:
    def flat(observation: Any) -> NDArray[Any]:
        if not space.contains(observation):
            raise ValueError(f"expected an observation of {space}, got {in_words(observation)}")
        return np.asarray(flatten(space, observation))

    return flat


class FlatObservations(gymnasium.Wrapper[Any, Any, Any, Any]):
    """An environment whose observations are one-dimensional arrays.

    A MalformedStepError names what came where an observation is none of the environment's space.
    """

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        super().__init__(env)
        self._flat = flattener(env.observation_space)
        self.observation_space = flatten_space(env.observation_space)

    def reset(self, **options: Any) -> Any:
        """Start an episode."""
        result = self.env.reset(**options)
        # What is no pair is for the caller to name, as in step.
        pair = isinstance(result, tuple) and len(result) == 2
        return (self._entries("env.reset", result[0]), result[1]) if pair else result

    def step(self, action: Any) -> Any:
        """Take a step."""
        result = self.env.step(action)
        whole = isinstance(result, (tuple, list)) and len(result) == 5
        return (self._entries("env.step", result[0]), *result[1:]) if whole else result

    def _entries(self, source: str, observation: Any) -> NDArray[Any]:
        try:
            return self._flat(observation)
        except (TypeError, ValueError) as error:
            raise MalformedStepError(f"{source}: {error}") from None
