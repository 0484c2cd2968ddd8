"""Whole episodes of a policy that does not learn from them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from gymnasium.vector import VectorEnv
from numpy.random import Generator
from numpy.typing import NDArray

from ..arguments import Bounds, whole
from ..policies import Policy
from .config import TrainConfig
from .environments.recipe import Env, OpenEnvironment, Recipe, close_environment
from .errors import UserError
from .iteration import IterationInfo
from .rollouts.episode import MOST_SKIPPED, Slot, Watch, make_chooser, refuse_defects, run_episode
from .seeding import Stream, stream

if TYPE_CHECKING:
    from .rollouts import Rollouts


class Played(NamedTuple):
    """What an episode came to."""

    total: float
    """Its undiscounted return."""
    length: int
    defect: str | None
    """What was not finite, so that the episode ended there and is no use; None of a good one."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Undiscounted returns and lengths of whole episodes, (episodes,) each."""

    returns: NDArray[np.float64]
    lengths: NDArray[np.int64]

    @classmethod
    def of(cls, played: Sequence[Played], most_skipped: int) -> Evaluation:
        """Gather the returns and lengths of the good episodes.

        It is a UserError where more are bad than may be skipped, or none is good.
        """
        defects = [one.defect for one in played if one.defect is not None]
        refuse_defects(defects, most_skipped)
        if len(defects) == len(played):
            raise UserError(f"of {len(played)} episodes of an evaluation none is good: {defects[-1]}")
        good = [one for one in played if one.defect is None]
        return cls(np.array([one.total for one in good]), np.array([one.length for one in good]))

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
    slot, most_skipped = _slot(policy, env, horizon), MOST_SKIPPED if skip_bad_episodes else 0
    played: list[Played] = []
    while sum(one.defect is None for one in played) < episodes:
        env_seed, rng = stream(seed, Stream.EVALUATION, len(played))
        played.append(play(policy, env, env_seed, None if deterministic else rng, slot))
        refuse_defects([one.defect for one in played if one.defect is not None], most_skipped)
    return Evaluation.of(played, most_skipped)


def play(
    policy: Policy, env: Env, env_seed: int, rng: Generator | None, slot: Slot, watch: Watch | None = None
) -> Played:
    """Run an episode, of at most as many steps as the slot has rows.

    ``rng`` is the source of the policy's noise; None for its mode.
    """
    episode = run_episode(env, env_seed, make_chooser(policy, rng, env.action_space, slot), slot, watch)
    assert episode is not None
    return Played(float(slot.rewards[: episode.length].sum()), episode.length, episode.defect)


def _slot(policy: Policy, env: Env, horizon: int) -> Slot:
    (size,) = env.observation_space.shape or ()
    return Slot.empty(policy, horizon, size)


class EvaluationInTraining:
    """What a run knows of its own policies: evaluations now and then, and which was the best.

    After every ``evaluate_every``-th iteration ``evaluation_episodes`` episodes of the policy's mode are run,
    by the rollout workers where there are any, and else in this process.  Their seeds are functions of the
    config's, the iteration and the episode, and their environments are others than those of training, so
    training goes on to the same bits with them and without, and an evaluation is the same whoever runs it.
    """

    def __init__(self, environment: OpenEnvironment) -> None:
        self._environment = environment
        self._env: Env | None = None
        self.best_mean = -math.inf
        """Largest mean return so far."""
        self.best_iteration = 0
        """Iterations that the policy with that mean had been trained for; 0 before the first evaluation."""

    def check(self, config: TrainConfig) -> None:
        """Raise a UserError where the config asks for evaluations and there is no environment for them."""
        if config.evaluate_every and self._environment.recipe is None:
            raise UserError(
                "evaluate_every needs an environment id or a function that makes an environment: a given "
                "environment, in the middle of training, is not to be disturbed"
            )

    def after(
        self, iteration: int, config: TrainConfig, policy: Policy, rollouts: Rollouts, longest: int
    ) -> Evaluation | None:
        """Evaluate the policy that so many iterations have trained; None where none is due."""
        if config.evaluate_every == 0 or iteration % config.evaluate_every:
            return None
        evaluation = rollouts.evaluate(policy, iteration)
        if evaluation is not None:
            return evaluation
        self.check(config)
        if self._env is None:
            assert self._environment.recipe is not None
            self._env = another(self._environment.recipe, self._environment.env)
        slot = _slot(policy, self._env, longest)
        seeds = (evaluation_seed(config.seed, iteration, k) for k in range(config.evaluation_episodes))
        played = [play(policy, self._env, seed, None, slot) for seed in seeds]
        return Evaluation.of(played, MOST_SKIPPED if config.skip_bad_episodes else 0)

    def noted(self, info: IterationInfo, evaluation: Evaluation | None) -> IterationInfo:
        """Note what :meth:`after` returned, and add it to the measurements of the iteration.

        Of several equal means the first is the best.
        """
        if evaluation is not None:
            if evaluation.mean > self.best_mean:
                self.best_mean, self.best_iteration = evaluation.mean, info.iteration
            info = dataclasses.replace(info, evaluation_mean=evaluation.mean, evaluation_std=evaluation.std)
        best = self.best_mean if self.best_iteration else math.nan
        return dataclasses.replace(info, evaluation_best=best)

    def recall(self, best: Mapping[str, Any]) -> None:
        """Go on from what a checkpoint has of the best so far; one of an older version has nothing."""
        self.best_mean = float(best.get("return", -math.inf))
        self.best_iteration = int(best.get("iteration", 0))

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_env": None}

    def close(self) -> None:
        """Close the environment that was made for evaluations."""
        if self._env is not None:
            close_environment(self._env)
            self._env = None


def evaluation_seed(seed: int, iteration: int, episode: int) -> int:
    """Return the seed of an episode of an evaluation in training."""
    return stream(seed, Stream.EVALUATION_IN_TRAINING, iteration, episode)[0]


def another(recipe: Recipe, env: Env | VectorEnv[Any, Any, Any]) -> Env:
    """Make an environment other than this one, which goes on undisturbed."""
    made = recipe()
    if made.unwrapped is env.unwrapped:
        raise UserError(
            "evaluate_every needs a function that makes an environment at each call, got one that returns "
            "the same one again"
        )
    return made
