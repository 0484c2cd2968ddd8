"""The linear and the tanh-network policy, with an optional affine transform of the observations."""

# ruff: noqa: D102 - the base classes document what is overridden here

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from .heads.base import Array, Head
from .network import NetworkPolicy


class MLPPolicy(NetworkPolicy):
    """tanh layers over x = (s - shift) / scale; without hidden layers, a linear policy.

    The transform is the identity until :meth:`set_initial_transform` or :meth:`set_input_transform` moves it.
    The weights of hidden layers are drawn for x of unit variance.
    """

    def __init__(self, observation_size: int, hidden: Sequence[int], head: Head, rng: Generator) -> None:
        super().__init__((observation_size, *hidden, head.size), head, rng)
        self.shift: Array = np.zeros(observation_size)
        self.scale: Array = np.ones(observation_size)

    def features(self, obs: Array) -> Array:
        features = obs - self.shift
        features /= self.scale
        return features

    def set_input_transform(self, shift: Array, scale: Array, obs: Array) -> None:
        # W^T (s - shift) / scale + b is the same function of s before and after.
        first = self._layers()[0]
        first[-1] += ((shift - self.shift) / self.scale) @ first[:-1]
        first[:-1] *= (scale / self.scale)[:, None]
        self.shift, self.scale = shift.copy(), scale.copy()

    def set_initial_transform(self, shift: Array, scale: Array, obs: Array) -> None:
        # To make up for the move would multiply the weights that were drawn by the scale: a velocity of 5
        # beside an angle of 0.1 would have 50 times its say, and saturate every unit.
        if self._layers()[-1][:-1].any():
            self.set_input_transform(shift, scale, obs)
        else:
            self.shift, self.scale = shift.copy(), scale.copy()

    def _core_weights(self) -> tuple[list[Array], bool] | None:
        if type(self).features is not MLPPolicy.features:
            return None
        first, *others = self._layers()
        weights = first[:-1] / self.scale[:, None]
        return [np.vstack([weights, first[-1] - self.shift @ weights]), *(w.copy() for w in others)], False

    def constants(self) -> dict[str, NDArray[Any]]:
        return {"shift": self.shift, "scale": self.scale}

    def load_constants(self, values: Mapping[str, NDArray[Any]]) -> None:
        self.shift, self.scale = np.array(values["shift"]), np.array(values["scale"])


class LinearPolicy(MLPPolicy):
    """z = W^T s + b: the linear policy of arXiv 1703.02660."""

    def __init__(self, observation_size: int, head: Head, rng: Generator) -> None:
        super().__init__(observation_size, (), head, rng)
