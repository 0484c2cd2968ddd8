"""A policy of one's own: Poisson counts, which no head of the package has, on a shop that orders stock.

Each day the shop orders a_t items, a_t ~ Poisson(exp(theta^T [s, 1])), s its stock and the weekday's demand.

python examples/custom_policy.py [STEPS]
"""

from __future__ import annotations

import sys
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

import fastfisher as ff

STEPS = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
DEMAND = np.array([2.0, 2.0, 3.0, 3.0, 5.0, 9.0, 6.0])
Array = NDArray[np.float64]


class Shop(gymnasium.Env[Array, Array]):
    """Sell what there is for 1 each; what is left in the evening costs 0.3 an item."""

    observation_space = gymnasium.spaces.Box(0.0, np.inf, (2,), np.float64)
    action_space = gymnasium.spaces.Box(0.0, 100.0, (1,), np.float64)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Array, dict[str, Any]]:
        super().reset(seed=seed)
        self.day, self.stock = 0, 0.0
        return self._observation(), {}

    def step(self, action: Array) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        there = self.stock + float(action[0])
        sold = min(there, float(self.np_random.poisson(DEMAND[self.day % 7])))
        self.day, self.stock = self.day + 1, there - sold
        return self._observation(), sold - 0.3 * self.stock, False, self.day == 28, {}

    def _observation(self) -> Array:
        return np.array([self.stock, DEMAND[self.day % 7]]) / 5.0


class PoissonPolicy(ff.Policy):
    """a ~ Poisson(rate), log rate = theta^T [s, 1]."""

    def __init__(self) -> None:
        super().__init__(np.zeros(3), action_shape=(1,), action_dtype=np.float64)

    def features(self, obs: Array) -> Array:
        return np.column_stack([obs, np.ones(len(obs))])

    def log_rate(self, obs: Array) -> Array:
        return self.features(obs) @ self.parameters

    def act(self, obs: Array, rng: np.random.Generator) -> Array:
        return rng.poisson(np.exp(self.log_rate(obs))).astype(float)[:, None]

    def mode(self, obs: Array) -> Array:
        return np.floor(np.exp(self.log_rate(obs)))[:, None]

    def log_prob(self, obs: Array, act: Array) -> Array:
        a, log_rate = act[:, 0], self.log_rate(obs)
        log_factorial = np.array([np.log(np.arange(1.0, n + 1.0)).sum() for n in a])
        return a * log_rate - np.exp(log_rate) - log_factorial

    def scores(self, obs: Array, act: Array) -> list[Array]:  # d log_prob / d theta = (a - rate) [s, 1]
        return [(act[:, 0] - np.exp(self.log_rate(obs)))[:, None] * self.features(obs)]

    def fisher_scores(self, obs: Array) -> list[Array]:  # F = mean rate [s, 1] [s, 1]^T
        return [np.exp(0.5 * self.log_rate(obs))[:, None] * self.features(obs)]

    def kl(self, other: PoissonPolicy, obs: Array) -> float:
        ours, theirs = self.log_rate(obs), other.log_rate(obs)
        return float((np.exp(ours) * (ours - theirs) - np.exp(ours) + np.exp(theirs)).mean())

    def entropy(self, obs: Array) -> float:  # in the limit of a large rate, which is enough for a log
        return float(0.5 * (np.log(2.0 * np.pi * np.e) + self.log_rate(obs)).mean())


def main() -> None:
    agent = ff.TRPO(Shop, policy=PoissonPolicy(), seed=0, batch_steps=2_800, workers=1)
    agent.learn(STEPS, callback=lambda info: print(f"{info.steps:>8,} days, profit {info.return_mean:6.1f}"))
    print("log rate = {:.2f} stock + {:.2f} demand + {:.2f}".format(*agent.policy.parameters / [5, 5, 1]))


if __name__ == "__main__":
    main()
