"""How an agent is trained: iteration by iteration, each of which happens whole or not at all."""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from os import PathLike
from time import perf_counter
from typing import TYPE_CHECKING, Any

from gymnasium.spaces import Space
from numpy.typing import NDArray

from ..arguments import number
from ..policies import Policy
from .batch import Batch
from .config import TrainConfig
from .defaults import horizon
from .environments.interface import seed_notes
from .environments.recipe import OpenEnvironment
from .errors import exits_told
from .evaluation import EvaluationInTraining
from .habits import refuse_unknown_arguments
from .iteration import IterationInfo, describe
from .learner import Learner
from .make_policy import unit_notes
from .rollouts import Rollouts
from .rollouts.cores import process_count
from .rollouts.make import make_rollouts

if TYPE_CHECKING:
    from typing_extensions import Never, Self

Callback = Callable[[IterationInfo], bool | None]


class Trainer(ABC):
    """The part of an agent that trains: what it is made of, how far it is, and its iterations."""

    config: TrainConfig
    """The hyper-parameters, none of them left open."""
    iteration: int
    """Iterations so far."""
    steps: int
    """Environment steps so far."""
    episodes: int
    """Whole episodes so far."""
    last_return: float
    """Mean return of the last batch's whole episodes."""
    action_space: Space[Any]
    """Actions of one environment."""

    _environment: OpenEnvironment
    _limit: int | None
    _custom_policy: bool
    _learner: Learner
    _evaluations: EvaluationInTraining
    _rollouts: Rollouts | None
    _rollouts_state: dict[str, NDArray[Any]]

    @property
    def policy(self) -> Policy:
        """The policy in training."""
        return self._learner.policy

    @property
    def workers(self) -> int:
        """Rollout processes; fewer than the config asks for, where most of those would have nothing to do."""
        return process_count(self.config, self._longest)

    @property
    def _longest(self) -> int:
        """Steps after which an episode is cut."""
        return horizon(self.config, self._limit)

    @property
    def best_return(self) -> float:
        """Largest mean return of an evaluation in training; minus infinity before the first."""
        return self._evaluations.best_mean

    @property
    def best_iteration(self) -> int:
        """Iterations that the policy with that return had been trained for; 0 before the first evaluation."""
        return self._evaluations.best_iteration

    @property
    def target_reached(self) -> bool:
        """Whether the last batch's mean return is at least the config's ``target_return``."""
        target = self.config.target_return
        return target is not None and self.last_return >= target

    @abstractmethod
    def save(self, path: str | PathLike[str]) -> None:
        """Write everything that training depends on to one file, whole or not at all."""

    def learn(
        self,
        total_steps: float | None = None,
        callback: Callback | None = None,
        *,
        keep_best: str | PathLike[str] | None = None,
        total_timesteps: float | None = None,
        **unknown: Never,
    ) -> Self:
        """Train for at least this many environment steps more; the last iteration is not cut.

        Training is a pure function of the config and the iteration: stopped, saved and loaded
        anywhere, it continues to the same bits.  With a ``target_return`` it ends with the first batch
        that reaches it; an agent whose last batch did has nothing to learn.  What falls over the run, to
        ``final_max_kl`` and ``final_min_log_std``, goes by the config's ``steps``, not by these.

        Parameters
        ----------
        total_steps
            How many; None: what is left of the config's ``steps``.
        callback
            What is called after each iteration; True stops training.  It runs in this process, and what it
            changes here does not reach environments in workers.
        keep_best
            File for the agent as it is after each evaluation with the largest mean return so far, as
            :meth:`save` writes it; the config's ``evaluate_every`` says when there are evaluations.
        total_timesteps
            Stable-Baselines3's name of ``total_steps``.

        Raises
        ------
        ValueError
            Where ``total_steps`` is negative or NaN, or ``keep_best`` is given and ``evaluate_every`` is 0.
        TypeError
            Where ``total_steps`` is no number, or given by both names, or ``callback`` is no function.
        """
        refuse_unknown_arguments(unknown, ("total_steps", "callback", "keep_best"))
        if total_timesteps is not None:
            if total_steps is not None:
                raise TypeError("total_timesteps: expected total_steps or this, which is the same, got both")
            total_steps = total_timesteps
        if total_steps is not None and total_steps != math.inf:  # which leaves the end to the callback
            number(total_steps, "total_steps")
        if callback is not None and not callable(callback):
            raise TypeError(f"callback: expected a function of an IterationInfo, got {callback!r}")
        if keep_best is not None and not self.config.evaluate_every:
            raise ValueError("keep_best: expected an agent with evaluate_every of at least 1, got 0")
        stop = self.config.steps if total_steps is None else self.steps + total_steps
        while self.steps < stop and not self.target_reached:
            info = self._iterate()
            if keep_best is not None and self.best_iteration == self.iteration:
                self.save(keep_best)
            if callback is not None and callback(info):
                break
        return self

    def _iterate(self) -> IterationInfo:
        start = perf_counter()
        if self._rollouts is None:
            with exits_told():
                self._rollouts = make_rollouts(
                    self.config, self._environment.env, self._environment.recipe, self.policy, self._limit,
                    self._rollouts_state,
                )  # fmt: skip
        saved = self._learner.state()
        try:
            with exits_told():
                batch = self._rollouts.collect(self.policy, self.iteration)
                collected = perf_counter()
                batch.check_range()
                update = self._learner.update(batch, min(1.0, self.steps / self.config.steps))
                updated = perf_counter()
                evaluation = self._evaluations.after(
                    self.iteration + 1, self.config, self.policy, self._rollouts, self._longest
                )
            seconds_evaluation = 0.0 if evaluation is None else perf_counter() - updated
        except BaseException:
            # An interrupted iteration never happened: what is saved now continues to the same bits.
            self._learner.load_state(saved)
            self._close_rollouts()
            raise
        self._rollouts_state = self._rollouts.state()
        self.iteration += 1
        self.steps += len(batch.rewards)
        self.episodes += int(batch.complete.sum())
        info = describe(
            self.config, (self.iteration, self.steps, self.episodes), batch, update,
            self._first_notes(batch) if self.iteration == 1 else (),
            seconds_rollout=collected - start, seconds_evaluation=seconds_evaluation,
            seconds=perf_counter() - start,
        )  # fmt: skip
        self.last_return = info.return_mean
        info = self._evaluations.noted(info, evaluation)
        if self.target_reached:
            reached = f"the target return of {self.config.target_return:g} is reached: training ends"
            info = dataclasses.replace(info, notes=(*info.notes, reached))
        return info

    def _first_notes(self, batch: Batch) -> tuple[str, ...]:
        """Return what the user should know about how batches are collected."""
        assert self._rollouts is not None
        notes = self._rollouts.notes
        if self._environment.recipe is not None and self.config.backend == "gymnasium":
            notes += seed_notes(self._environment.env, self.config.seed)
        if not self._custom_policy:
            notes += unit_notes(self.action_space, self.config)
        longest = self._longest
        cut = batch.complete & ~batch.terminated & (batch.lengths == longest)
        if self._limit is None and cut.any():
            notes += (
                f"the environment has no time limit: episodes are cut after {longest:,} steps, "
                "as many as an iteration has (max_episode_steps sets a limit)",
            )
        return notes

    def _close_rollouts(self) -> None:
        if self._rollouts is not None:
            self._rollouts.close()
            self._rollouts = None
        self._evaluations.close()

    def __getstate__(self) -> dict[str, Any]:
        # Processes cannot be copied, nor need they: the next iteration starts them, to the same bits.
        return self.__dict__ | {"_rollouts": None}
