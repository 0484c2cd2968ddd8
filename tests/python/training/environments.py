"""Small environments whose every number is known."""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np


class Countdown(gymnasium.Env[np.ndarray, np.ndarray]):
    """Observes (step, a number of the seed); an episode has 1 to 9 steps, by its seed.

    It terminates where its length is odd and is truncated where it is even.  The reward is the action.
    """

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,))
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,))

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.number = self.np_random.random()
        self.length = int(self.np_random.integers(1, 10))
        self.t = 0
        return self._observation(), {}

    def _observation(self) -> np.ndarray:
        return np.array([self.t, self.number])

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        assert self.t < self.length, "stepped after the end"
        assert self.action_space.contains(action)
        self.t += 1
        over = self.t == self.length
        odd = self.length % 2 == 1
        return self._observation(), float(action[0]), over and odd, over and not odd, {}


class Failing(Countdown):
    """Raises on a step, or kills its process."""

    def __init__(self, deadly: bool) -> None:
        self.deadly = deadly

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        if self.deadly:
            os.kill(os.getpid(), 9)
        raise ArithmeticError("the simulator is on fire")


class Crashing(Countdown):
    """Reads where there is no memory: on a step, or when it is made."""

    def __init__(self, at_once: bool = False) -> None:
        if at_once:
            ctypes.string_at(0)

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        ctypes.string_at(0)
        return super().step(action)


class Endless(Countdown):
    """Has no end of its own."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        observation, info = super().reset(seed=seed)
        self.length = 1 << 30
        return observation, info


class Hanging(Endless):
    """Never returns from a step after so many of them."""

    def __init__(self, after: int) -> None:
        self.after = after

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        while self.t == self.after:
            time.sleep(1.0)
        return super().step(action)


class SometimesBroken(Countdown):
    """Countdown, three of ten of whose episodes end in a NaN, soon or late."""

    def step(self, action: np.ndarray) -> Any:
        observation, reward, *rest = super().step(action)
        bad = self.number < 0.3 and self.t > 10.0 * self.number
        return observation, np.nan if bad else reward, *rest


class Broken(gymnasium.Env[Any, Any]):
    """Ten steps an episode.  Those that ``when`` picks, by a number of the seed, go wrong at a step."""

    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,))

    def __init__(
        self,
        what: str = "observation",
        value: float = np.nan,
        at: int = 4,
        when: Callable[[float], bool] = lambda number: True,
        space: Any = None,
    ) -> None:
        self.observation_space = space or gymnasium.spaces.Box(-np.inf, np.inf, (2,))
        self._what, self._value, self._at, self._when = what, value, at, when
        self.actions: list[Any] = []

    def _given(self, what: str, value: Any) -> Any:
        wrong = what == self._what and self.t == self._at and self._when(self.number)
        return np.full_like(value, self._value) if wrong else value

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.t, self.number = 0, self.np_random.random()
        return self._observe(), {}

    def _observe(self) -> Any:
        shape = self.observation_space.shape or ()
        return self._given("observation", np.full(shape, self.number + self.t))

    def step(self, action: Any) -> Any:
        assert np.isfinite(action).all(), "an action of a NaN"
        self.actions.append(action)
        self.t += 1
        over = self.t == 10
        dead = over and self._what == "end"
        observation = np.full(2, np.nan) if dead else self._observe()
        return observation, float(self._given("reward", 1.0)), dead, over and not dead, {}
