"""Whole episodes of a policy that does not learn from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..arguments import Bounds, whole
from ..policies import Policy
from .environments.recipe import Env
from .rollouts.episode import MOST_SKIPPED, Slot, make_chooser, refuse_defects, run_episode
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
    policy: Policy,
    env: Env,
    horizon: int,
    episodes: int,
    *,
    deterministic: bool,
    seed: int,
    skip_bad_episodes: bool = False,
) -> Evaluation:
    """Run episodes of at most ``horizon`` steps, as :meth:`.NPG.evaluate` describes it.

    What comes of them is a function of the arguments; ``env`` is one that :func:`.recipe.prepared` returned.
    """
    whole(episodes, "episodes", Bounds(at_least=1))
    whole(seed, "seed", Bounds(at_least=0))
    (size,) = env.observation_space.shape or ()
    slot = Slot.empty(policy, horizon, size)
    returns: list[float] = []
    lengths: list[int] = []
    defects: list[str] = []
    while len(returns) < episodes:
        index = len(returns) + len(defects)
        env_seed, rng = stream(seed, Stream.EVALUATION, index)
        choose = make_chooser(policy, None if deterministic else rng, env.action_space, slot)
        episode = run_episode(env, env_seed, choose, slot)
        assert episode is not None
        if episode.defect is not None:
            defects.append(episode.defect)
            refuse_defects(defects, MOST_SKIPPED if skip_bad_episodes else 0)
            continue
        returns.append(float(slot.rewards[: episode.length].sum()))
        lengths.append(episode.length)
    return Evaluation(np.array(returns), np.array(lengths))
