"""Small environments whose every number is known."""

from __future__ import annotations

import ctypes
import os
import time
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
