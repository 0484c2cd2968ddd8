"""Whole episodes of a policy that does not learn from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..arguments import Bounds, whole
from ..policies import Policy
from .environments.recipe import Env
from .rollouts.episode import Slot, make_chooser, run_episode
from .seeding import Stream, stream


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Undiscounted returns and lengths of whole episodes, (episodes,) each."""

    returns: NDArray[np.float64]
    lengths: NDArray[np.int64]

    @property
    def mean(self) -> float:
        """Mean return."""
        return float(self.returns.mean())

    @property
    def std(self) -> float:
        """Standard deviation of the returns."""
        return float(self.returns.std())


def evaluate(
    policy: Policy, env: Env, horizon: int, episodes: int, *, deterministic: bool, seed: int
) -> Evaluation:
    """Run whole episodes; what comes of them is a function of the arguments.

    Parameters
    ----------
    env
        An environment of 1-D observations, as :func:`.recipe.prepared` returns it.
    horizon
        Steps of the longest episode.
    episodes
        How many, at least 1.
    deterministic
        The most likely action instead of a sample.
    seed
        Seed of the episodes and of the sampled actions; they differ from those of training whatever it is.

    Raises
    ------
    TypeError
        Where ``episodes`` or ``seed`` is no integer.
    ValueError
        Where ``episodes`` is below 1 or the seed negative.
    """
    whole(episodes, "episodes", Bounds(at_least=1))
    whole(seed, "seed", Bounds(at_least=0))
    (size,) = env.observation_space.shape or ()
    slot = Slot.empty(policy, horizon, size)
    returns, lengths = [], []
    for index in range(episodes):
        env_seed, rng = stream(seed, Stream.EVALUATION, index)
        choose = make_chooser(policy, None if deterministic else rng, env.action_space, slot)
        episode = run_episode(env, env_seed, choose, slot)
        assert episode is not None
        returns.append(float(slot.rewards[: episode.length].sum()))
        lengths.append(episode.length)
    return Evaluation(np.array(returns), np.array(lengths))
