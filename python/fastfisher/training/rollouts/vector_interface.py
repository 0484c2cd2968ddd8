"""What a vector environment returns, checked, and how it resets the copies whose episode has ended."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode, VectorEnv
from numpy.typing import NDArray

from ..batch import Array, first_not_finite
from ..environments.flat import in_words, numbers_of
from ..errors import UserError

_LAST_OBSERVATIONS = ("final_obs", "final_observation")
"""Names, in the infos, of the last observations of episodes that a step has ended and reset; gymnasium 0.29's
is the second."""


_sum = np.add.reduce  # The Python layers of np.sum cost more than the sum.


def autoreset_mode(envs: VectorEnv[Any, Any, Any]) -> AutoresetMode | None:
    """Return the mode that the metadata of a vector environment name, or one of its attributes; None of none.

    It is a UserError where they name one that gymnasium does not have.
    """
    mode = envs.metadata.get("autoreset_mode")
    if mode is None:
        mode = getattr(envs.unwrapped, "autoreset_mode", None)
    if mode is None or isinstance(mode, AutoresetMode):
        return mode
    try:
        return AutoresetMode(mode)
    except ValueError:
        raise UserError(f"autoreset_mode: expected a gymnasium.vector.AutoresetMode, got {mode!r}") from None


class VectorInterface:
    """The checks of what ``count`` copies return together, whose observations are of a 1-D ``space``.

    All that it returns are copies, since an environment may use its arrays again.
    """

    def __init__(self, count: int, space: Box) -> None:
        self._count, self._dtype = count, space.dtype
        self._shape = (count, *space.shape)

    def begin(self, result: Any, when: str) -> Array:
        """Return the observations of a reset, (n, D); they are finite."""
        if not isinstance(result, tuple) or len(result) != 2:
            raise UserError(f"envs.reset: expected a pair of observations and infos, got {in_words(result)}")
        seen = self._numbers("envs.reset", "observations", result[0], self._shape)
        row = first_not_finite(seen)
        if row is not None:
            raise UserError(f"copy {row} gave an observation that is not finite, {_of(seen[row])}, {when}")
        return seen

    def step(self, result: Any) -> tuple[Array, Array, NDArray[np.bool_], NDArray[np.bool_], Any]:
        """Return observations, (n, D), rewards, which tasks terminated, which episodes ended, and infos."""
        if not isinstance(result, tuple) or len(result) != 5:
            came = str(len(result)) if isinstance(result, tuple) else in_words(result)
            raise UserError(
                "envs.step: expected 5 results, observations, rewards, terminations, truncations and infos, "
                f"got {came}"
            )
        raw, rewards, terminations, truncations, infos = result
        return (
            self._numbers("envs.step", "observations", raw, self._shape),
            self._numbers("envs.step", "rewards", rewards, self._shape[:1]),
            terminated := self._flags("terminations", terminations),
            terminated | self._flags("truncations", truncations),
            infos,
        )

    def _numbers(self, source: str, name: str, came: Any, shape: tuple[int, ...]) -> Array:
        try:
            numbers = None if (given := numbers_of(came)) is None else np.array(given, dtype=np.float64)
        except (TypeError, ValueError):
            numbers = None
        if numbers is None or numbers.shape != shape:
            raise UserError(f"{source}: expected {name} of shape {shape}, got {in_words(came)}")
        return numbers

    def _flags(self, name: str, came: Any) -> NDArray[np.bool_]:
        flags = np.array(came)
        if flags.shape != (self._count,) or flags.dtype.kind not in "biu":
            raise UserError(
                f"envs.step: expected {name} of shape ({self._count},) that are True or False, "
                f"got {in_words(came)}"
            )
        return flags.astype(bool, copy=False)

    def mode_shown(self, infos: Any, ended: NDArray[np.bool_]) -> AutoresetMode:
        """Return the mode of a vector environment that names none, from the first step that ends an episode.

        Last observations show that the step has reset what it ended.  Without any, it may reset with the next
        step, or not at all, or have lost them: that is a UserError, since returns would be wrong.
        """
        if all(_last_observation(infos, int(lane)) is not None for lane in np.flatnonzero(ended)):
            return AutoresetMode.SAME_STEP
        raise UserError(
            "the vector environment does not say how it resets the copies whose episode has ended: put "
            "autoreset_mode into its metadata, a gymnasium.vector.AutoresetMode"
        )

    def last_observations(self, raw: Array, infos: Any, ended: NDArray[np.bool_]) -> Array:
        """Return the observations with those of the infos where an episode has ended."""
        reached = raw.copy()
        for lane in np.flatnonzero(ended):
            last = _last_observation(infos, int(lane))
            if last is None:
                raise UserError(
                    f"the vector environment has reset copy {lane} in the step that ended its episode, and "
                    f"the infos lack the last observation ({_LAST_OBSERVATIONS[0]})"
                )
            # The environment cast the other observations to its space's type, but not this one.
            cast, name = np.asarray(last, self._dtype), f"{_LAST_OBSERVATIONS[0]} of a copy"
            reached[lane] = self._numbers("envs.step", name, cast, raw.shape[1:])
        return reached

    def check_finite(
        self,
        reached: Array,
        earned: Array,
        terminated: NDArray[np.bool_],
        resetting: NDArray[np.bool_],
        step: int,
        iteration: int,
    ) -> None:
        """Raise a UserError where a transition is not finite.

        Nobody asks what the last observation of a task that ended is worth, nor what a step paid that reset.
        """
        # One sum is cheaper than a look at each; it may overflow, which the look finds out.
        if math.isfinite(_sum(reached, axis=None) + _sum(earned)):
            return
        for name, values, matters in (
            ("an observation", reached, ~terminated),
            ("a reward", earned[:, None], ~resetting),
        ):
            row = first_not_finite(values[matters])
            if row is not None:
                copy = int(np.flatnonzero(matters)[row])
                when = f"after {step} steps of all copies, in iteration {iteration}"
                raise UserError(f"copy {copy} gave {name} that is not finite, {_of(values[copy])}, {when}")


def _of(values: Array) -> str:
    """Return the first entry that is not finite."""
    place = int(np.argmin(np.isfinite(values)))
    return f"{values[place]} in entry {place}" if len(values) > 1 else str(values[place])


def _last_observation(infos: Any, lane: int) -> Any:
    """Return the last observation of a copy's episode from the infos, a dict of arrays or a list of dicts."""
    for name in _LAST_OBSERVATIONS:
        if isinstance(infos, dict):
            found, present = infos.get(name), infos.get(f"_{name}")
            last = None if found is None or (present is not None and not present[lane]) else found[lane]
        else:
            last = infos[lane].get(name)
        if last is not None:
            return last
    return None
