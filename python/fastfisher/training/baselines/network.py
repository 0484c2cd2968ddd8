"""A value network, fitted by Gauss-Newton steps: a natural step whose scores are the derivatives of V."""

# ruff: noqa: D102 - the base class documents what is overridden here

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from ..._core import network_backward, network_forward
from ...natural import natural_step
from ...scores import Scores
from ..batch import Array
from ..moments import standardization
from .base import Baseline, Times

_CLIP = 10.0
"""Standard deviations at which observations are clipped, for those far from all that was fitted."""
_CURVATURE_ROWS = 2_500
"""Rows that the Gauss-Newton matrix is made of, evenly spread; the gradient is made of all rows."""
_CG_ITERATIONS = 10
_CG_TOLERANCE = 1e-3
_INITIAL_DAMPING, _LEAST_DAMPING, _MOST_DAMPING = 1.0, 0.1, 1e6
"""Their unit gives targets variance one.  Below the least one the network fits the noise of the batch."""
_ROUNDING = 1e-9
"""Targets that deviate by a smaller share of the largest are constant; smaller residuals are zero."""
_SHRINK, _GROW = 0.5, 4.0
"""Factors of the damping where a step achieved what was predicted, and where it did not."""


class NetworkBaseline(Baseline):
    """V(s) = shift + scale net(x), x the standardized observation, net a tanh network.

    A fit starts from the one before and takes a few steps of Levenberg and Marquardt: with J the
    derivatives of net and r the residuals, theta <- theta + (J^T J / N + lambda I)^-1 J^T r / N, which is a
    natural step with J for scores and r for advantages, from passes in float32.  A step that does not lower
    the mean square error is rejected, and lambda raised.

    Time is no input: a value that knows how far the time limit is goes on, by the bootstrap there,
    predicting the drop of its own first fits.  On recorded batches (60 of HalfCheetah-v5, 50 of
    Hopper-v5, 10,000 steps each, three seeds of the network; returns more than 400 steps from the time
    limit) V of the batches before explained 0.30 and 0.60 of the variance, with time as an input 0.25
    and 0.52; the quadratic baseline 0.27 and 0.45.  Four steps with curvature from 2,500 rows explained
    more than two with curvature from all rows (0.28 and 0.57), in the same time.

    The initial weights are drawn from ``rng``; those of the last layer are zero.
    """

    def __init__(self, observation_size: int, hidden: Sequence[int], steps: int, rng: Generator) -> None:
        self._steps = steps
        self._layers: list[Array] = []
        for inputs, outputs in pairwise((observation_size, *hidden, 1)):
            layer = np.zeros((inputs + 1, outputs))
            layer[:-1] = rng.standard_normal((inputs, outputs)) / np.sqrt(inputs)
            self._layers.append(layer)
        self._layers[-1][...] = 0.0
        self.shift: Array = np.zeros(observation_size)
        self.scale: Array = np.ones(observation_size)
        self.target_shift, self.target_scale = 0.0, 1.0
        self.damping = _INITIAL_DAMPING

    def _standardized(self, observations: Array) -> Array:
        x: Array = np.clip((observations - self.shift) / self.scale, -_CLIP, _CLIP)
        return x

    def predict(self, observations: Array, times: Times) -> Array:
        _, output = network_forward(self._standardized(observations), self._layers, True)
        values: Array = self.target_shift + self.target_scale * output[:, 0].astype(np.float64)
        return values

    def fit(self, observations: Array, times: Times, targets: Array) -> None:
        self._restandardize(observations, targets)
        x = self._standardized(observations)
        y = (targets - self.target_shift) / self.target_scale
        inputs, residuals = self._forward(x, y, self._layers)
        for step in range(self._steps):
            loss = _half_mean_square(residuals)
            if loss <= _ROUNDING**2:
                return
            ones = np.ones((len(y), 1), np.float32)
            J = list(zip(inputs, network_backward(self._layers, inputs, ones), strict=True))
            every = max(1, len(y) // _CURVATURE_ROWS)
            rows = slice(step % every, None, every)
            direction = natural_step(
                [(left[rows], right[rows]) for left, right in J],
                gradient=Scores(J).T @ residuals / len(y),
                damping=self.damping,
                solver="cg",
                precision="single",
                tol=_CG_TOLERANCE,
                max_iterations=_CG_ITERATIONS,
                precondition=False,
            )
            candidate = self._moved(direction.step)
            inputs_there, residuals_there = self._forward(x, y, candidate)
            achieved = loss - _half_mean_square(residuals_there)
            # The quadratic model's g^T x - x^T G x / 2 (Marquardt 1963; Nocedal and Wright, chapter 10).
            predicted = direction.predicted_improvement - direction.predicted_kl
            if achieved > 0.75 * predicted:
                self.damping = max(self.damping * _SHRINK, _LEAST_DAMPING)
            elif not achieved > 0.25 * predicted:
                self.damping = min(self.damping * _GROW, _MOST_DAMPING)
            if achieved > 0.0:
                self._layers, inputs, residuals = candidate, inputs_there, residuals_there

    def _restandardize(self, observations: Array, targets: Array) -> None:
        """Take shifts and scales from the batch; the weights make up for them, so that V stays.

        Where the targets are a constant, V is that, to the bit.
        """
        shift, scale = standardization(observations)
        first, last = self._layers[0].copy(), self._layers[-1].copy()
        if len(self._layers) == 1:
            last = first
        # While V does not depend on the hidden layers, there is nothing to make up for: they stay as drawn.
        if last[:-1].any():
            first[-1] += ((shift - self.shift) / self.scale) @ first[:-1]
            first[:-1] *= (scale / self.scale)[:, None]
        target_shift, target_std = float(targets.mean()), float(targets.std())
        largest = float(np.abs(targets).max())
        constant = target_std <= _ROUNDING * largest
        target_scale = (largest or 1.0) if constant else target_std
        last *= self.target_scale / target_scale
        last[-1] += (self.target_shift - target_shift) / target_scale
        if constant:
            last[...] = 0.0
        self._layers[0], self._layers[-1] = first, last
        self.shift, self.scale = shift, scale
        self.target_shift, self.target_scale = target_shift, target_scale

    def _forward(self, x: Array, y: Array, layers: list[Array]) -> tuple[list[NDArray[np.float32]], Array]:
        """Return each layer's inputs and the residuals y - net(x)."""
        inputs, output = network_forward(x, layers, True)
        return inputs, y - output[:, 0]

    def _moved(self, step: Array) -> list[Array]:
        parts = np.split(step, np.cumsum([layer.size for layer in self._layers])[:-1])
        return [layer + part.reshape(layer.shape) for layer, part in zip(self._layers, parts, strict=True)]

    def state(self) -> dict[str, NDArray[Any]]:
        return {
            **{f"layer{index}": layer for index, layer in enumerate(self._layers)},
            "shift": self.shift,
            "scale": self.scale,
            "targets": np.array([self.target_shift, self.target_scale]),
            "damping": np.array(self.damping),
        }

    def load_state(self, values: Mapping[str, NDArray[Any]]) -> None:
        self._layers = [np.array(values[f"layer{index}"]) for index in range(len(self._layers))]
        self.shift, self.scale = np.array(values["shift"]), np.array(values["scale"])
        self.target_shift, self.target_scale = map(float, values["targets"])
        self.damping = float(values["damping"])


def _half_mean_square(residuals: Array) -> float:
    return 0.5 * float(np.mean(np.square(residuals)))
