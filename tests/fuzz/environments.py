"""Random environments: their spaces, rewards and ends are functions of a seed, and some break the rules."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.spaces.utils import flatten
from numpy.random import Generator

DTYPES = (np.float32, np.float64)
WRONG: dict[str, Callable[[Any, str, Any], Any]] = {
    "observation of another shape": lambda env, kind, value: np.zeros(env.size + 1),
    "observation of one entry": lambda env, kind, value: np.zeros(1),
    "observation with an axis more": lambda env, kind, value: np.asarray(value)[..., None],
    "observation of nan": lambda env, kind, value: np.full_like(value, np.nan, dtype=float),
    "observation of text": lambda env, kind, value: "left",
    "observation of none": lambda env, kind, value: None,
    "reward of nan": lambda env, kind, value: np.nan,
    "reward of nan at times": lambda env, kind, value: np.nan if env.np_random.random() < 0.1 else value,
    "reward of inf": lambda env, kind, value: np.inf,
    "reward of none": lambda env, kind, value: None,
    "reward of text": lambda env, kind, value: "1",
    "reward of two": lambda env, kind, value: np.ones(2),
    "end of two": lambda env, kind, value: np.zeros(2, bool),
    "end of nan": lambda env, kind, value: np.nan,
    "end of none": lambda env, kind, value: None,
    "observation that is masked": lambda env, kind, value: np.ma.masked_all(env.size),
    "observation of complex numbers": lambda env, kind, value: np.full(env.size, 1j),
    "step of four": lambda env, kind, value: value[:4],
    "step of none": lambda env, kind, value: None,
    "step that raises": lambda env, kind, value: 1 // 0,
    "step that exits": lambda env, kind, value: sys.exit(0),
    "step that dies": lambda env, kind, value: os._exit(3),
    "reset that raises": lambda env, kind, value: 1 // 0,
    "reset of the old api": lambda env, kind, value: value[0],
    "reset of none": lambda env, kind, value: None,
}
"""What an environment may return in the place of a value; the first word says of which."""
KILLING, AT_TIMES = "step that dies", "reward of nan at times"
HARMLESS = (AT_TIMES, "observation of one entry", "observation with an axis more", "step of four")
"""What may be right by chance, where a space has that shape."""


def random_box(rng: Generator, *, action: bool) -> spaces.Box:
    """Return a box with a few entries and bounds of any size."""
    shape = [(1,), (2,), (3,), (), (2, 2), (1, 3, 2)][int(rng.integers(4 if action else 6))]
    shape = (int(rng.integers(1, 5)),) if rng.random() < 0.4 else shape
    dtype = DTYPES[int(rng.integers(2))]
    match rng.integers(5):
        case 0:
            return spaces.Box(-np.inf, np.inf, shape, dtype)
        case 1:
            low = rng.uniform(-1e3, 1e3, shape)
            return spaces.Box(
                low.astype(dtype), (low + rng.uniform(0.01, 1e3, shape)).astype(dtype), shape, dtype
            )
        case 2:
            return spaces.Box(0.0, np.inf, shape, dtype)
        case 3 if not action:
            return spaces.Box(0, 255, shape, np.uint8)
    return spaces.Box(-1.0, 1.0, shape, dtype)


def random_space(rng: Generator, *, action: bool, depth: int = 2) -> spaces.Space[Any]:
    """Return a space of any kind, with others in it down to a depth."""
    kind = int(rng.integers(7 if depth else 4)) if rng.random() < 0.5 else 0
    start = int(rng.integers(-2, 3))
    match kind:
        case 1:
            return spaces.Discrete(int(rng.integers(1, 5)), start=start)
        case 2:
            nvec = rng.integers(1, 4, size=int(rng.integers(1, 4)))
            return spaces.MultiDiscrete(nvec, start=np.full(len(nvec), start))
        case 3:
            return spaces.MultiBinary(int(rng.integers(1, 4)) if rng.random() < 0.7 else [2, 2])
        case 4:
            parts = {
                name: random_space(rng, action=action, depth=depth - 1) for name in "ba"[: rng.integers(1, 3)]
            }
            return spaces.Dict(parts)
        case 5:
            return spaces.Tuple(
                [random_space(rng, action=action, depth=depth - 1) for _ in range(rng.integers(1, 3))]
            )
        case 6 if rng.random() < 0.2:
            return spaces.OneOf([spaces.Discrete(2), spaces.Box(-1.0, 1.0, (2,))])
    return random_box(rng, action=action)


def components(space: Any, action: Any) -> Iterator[tuple[int, int]]:
    """Yield the number of choices of each discrete component of an action, and the one that was chosen."""
    match space:
        case spaces.Dict():
            for name, part in space.items():
                yield from components(part, action[name])
        case spaces.Tuple():
            for part, one in zip(space, action, strict=True):
                yield from components(part, one)
        case spaces.Discrete():
            yield int(space.n), int(action - space.start)
        case spaces.MultiDiscrete():
            yield from zip(space.nvec.ravel().tolist(), (action - space.start).ravel().tolist(), strict=True)
        case spaces.MultiBinary():
            yield from ((2, int(bit)) for bit in action.ravel())


class Random(gymnasium.Env[Any, Any]):
    """Observes samples of its space; the reward is one of the episode's, and has something of the action."""

    def __init__(self, seed: int, wrong: str = "", limit: int | None = None, masks: bool = False) -> None:
        rng = np.random.default_rng(seed)
        self.observation_space = random_space(rng, action=False)
        self.action_space = random_space(rng, action=True)
        self.reward_scale = 10.0 ** rng.uniform(-4.0, 4.0) if rng.random() < 0.5 else float(rng.integers(2))
        self.reward_type = [float, np.float32, int][int(rng.integers(3))]
        self.end = float(rng.uniform(0.02, 0.5))
        self._choices = [size for size, _ in components(self.action_space, self.action_space.sample())]
        self.masked = bool(self._choices) and masks
        if self.masked:
            self.action_masks = self._masks
        self.wrong, self.wrong_after = wrong, int(rng.integers(2))
        if limit is not None:
            self._max_episode_steps = limit
        self.limit = limit or 50

    @property
    def size(self) -> int:
        """Entries of the flattened observation."""
        return int(np.prod(spaces.flatten_space(self.observation_space).shape or (0,)))

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        """Begin the episode of a seed."""
        super().reset(seed=seed)
        self.observation_space.seed(int(self.np_random.integers(2**31)))
        self.t = 0
        observation = self._value("observation", self.observation_space.sample())
        result: tuple[Any, dict[str, Any]] = self._value("reset", (observation, {}))
        return result

    def step(self, action: Any) -> tuple[Any, Any, Any, bool, dict[str, Any]]:
        """Take a step with an action of the space; any other is an AssertionError."""
        assert self.action_space.contains(action), f"the action {action!r} is not in {self.action_space}"
        chosen = np.cumsum([0, *self._choices])[:-1] + [
            index for _, index in components(self.action_space, action)
        ]
        assert not self.masked or self._masks()[chosen.astype(int)].all(), f"the action {action!r} is masked"
        self.t += 1
        taken = float(np.tanh(np.asarray(flatten(self.action_space, action), float)).sum())
        reward = self.reward_type(self.reward_scale * (taken + self.np_random.standard_normal()))
        end = bool(self.np_random.random() < self.end)
        truncated = not end and self.t >= self.limit
        observation = self._value("observation", self.observation_space.sample())
        values: Any = (observation, self._value("reward", reward), self._value("end", end), truncated, {})
        result: tuple[Any, Any, Any, bool, dict[str, Any]] = self._value("step", values)
        return result

    def _masks(self) -> np.ndarray:
        """Return which choices are allowed now, half of those of each component."""
        return np.concatenate([np.arange(size) % 2 == self.t % min(2, size) for size in self._choices])

    def _value(self, kind: str, value: Any) -> Any:
        due = self.wrong.split()[:1] == [kind] and (kind == "reset" or self.t >= self.wrong_after)
        return WRONG[self.wrong](self, kind, value) if due else value
