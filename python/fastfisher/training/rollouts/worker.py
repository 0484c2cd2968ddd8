"""A rollout process: :func:`main` with the number of a connection, started by :mod:`.workers`.

It is a program of its own and no fork of the trainer, so it inherits no threads and no locks.  Nor does it
run the user's main module again, as multiprocessing's spawn does, so scripts need no
``if __name__ == "__main__"``.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import sys
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection
from types import FrameType
from typing import Any

import cloudpickle  # type: ignore[import-untyped]

from ..._core import end_with_parent
from ...policies import Policy
from ..environments.recipe import Env, Recipe
from ..errors import UserError
from ..evaluation import Played, another, evaluation_seed, play
from ..seeding import Stream, stream
from .arena import BAD, GOOD, Arena, ArenaLayout
from .episode import Slot, Watch, make_chooser, run_episode


@dataclass(frozen=True)
class Assignment:
    """What a worker is told once."""

    recipe: Recipe
    seed: int
    index: int
    layout: ArenaLayout
    arena_descriptor: int
    stack_descriptor: int
    """File that receives the stacks of all threads at a crash, and at SIGUSR1."""


def main(descriptor: int, trainer: int) -> None:
    """Answer to the trainer, the process of this number, until it closes the connection or ends."""
    end_with_parent(trainer)
    _leave_to_trainer(signal.SIGINT, signal.SIGTERM)
    connection = Connection(descriptor)
    try:
        serve(connection)
    except UserError as error:
        with contextlib.suppress(OSError):
            connection.send(("refused", str(error)))
    except BaseException:
        # Where nobody listens any more there is nobody to tell.
        with contextlib.suppress(OSError):
            connection.send(("failed", traceback.format_exc()))
    with contextlib.suppress(AttributeError, OSError, ValueError):
        sys.stdout.flush()
    # What the environment started must go, too, and this process is in its group.
    os.killpg(0, signal.SIGKILL)


def _leave_to_trainer(*numbers: int) -> None:
    """Ignore signals for as long as there is a trainer, which decides what they mean.

    A service manager or a cluster's scheduler sends SIGTERM to every process of a job, and the trainer needs
    its workers to finish the iteration.  A handler and not SIG_IGN, which programs that the environment
    starts would inherit; in its forks the signals mean what they always do.
    """
    worker, trainer = os.getpid(), os.getppid()

    def handle(number: int, _: FrameType | None) -> None:
        if (os.getpid(), os.getppid()) != (worker, trainer):
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    for number in numbers:
        signal.signal(number, handle)


def serve(connection: Connection[Any, Any]) -> None:
    """Make the environment, then run the episodes of one iteration after the other."""
    assignment: Assignment = cloudpickle.loads(connection.recv_bytes())
    # These handlers are in C, so they answer from a simulator that crashes or never returns, too.
    faulthandler.enable(file=assignment.stack_descriptor, all_threads=True)
    faulthandler.register(signal.SIGUSR1, file=assignment.stack_descriptor, all_threads=True)
    env = assignment.recipe()
    arena = Arena(assignment.layout, assignment.arena_descriptor)
    connection.send(("ready", None))
    evaluation_env: Env | None = None
    while True:
        try:
            message = connection.recv_bytes()
        except EOFError:
            return
        task, iteration, policy = cloudpickle.loads(message)
        if task == "collect":
            result: Any = run_episodes(env, policy, iteration, assignment, arena)
        else:
            evaluation_env = evaluation_env or another(assignment.recipe, env)
            result = evaluate_episodes(evaluation_env, policy, iteration, assignment, arena)
        connection.send(("done", result))


def run_episodes(
    env: Env, policy: Policy, iteration: int, assignment: Assignment, arena: Arena
) -> tuple[float, dict[int, str]]:
    """Run episodes until the batch can do without another.

    Returns
    -------
    tuple
        The seconds in ``env.step``, and what was wrong with each bad episode, a sentence.
    """
    defects: dict[int, str] = {}
    worker = assignment.index
    start, seconds = 0, 0.0
    while (k := arena.take(worker)) is not None:
        env_seed, rng = stream(assignment.seed, Stream.EPISODE, iteration, k)
        slot = _slot(arena, worker, start, k)
        choose = make_chooser(policy, rng, env.action_space, slot)
        watch = Watch(k, arena.length[k : k + 1], arena.unwanted_from)
        episode = run_episode(env, env_seed, choose, slot, watch)
        if episode is None:
            break
        seconds += episode.seconds_env_step
        if episode.defect is not None:
            defects[k] = episode.defect
            arena.finished[k] = BAD
            continue
        arena.terminated[k], arena.worker[k], arena.start[k] = episode.terminated, worker, start
        arena.finished[k] = GOOD
        start += episode.length
    return seconds, defects


def evaluate_episodes(
    env: Env, policy: Policy, iteration: int, assignment: Assignment, arena: Arena
) -> list[Played]:
    """Run this worker's share of an evaluation, every so many-th episode; return what they came to."""
    worker, layout, results = assignment.index, arena.layout, []
    for k in range(worker, layout.evaluation_episodes, layout.workers):
        arena.running[worker] = k
        watch = Watch(k, arena.length[k : k + 1], arena.unwanted_from)
        seed = evaluation_seed(assignment.seed, iteration, k)
        results.append(play(policy, env, seed, None, _slot(arena, worker, 0, k), watch))
    return results


def _slot(arena: Arena, worker: int, start: int, episode: int) -> Slot:
    """Return the place of an episode that a worker writes from this row of its own on."""
    place = worker, slice(start, start + arena.layout.horizon)
    last = arena.final_observation[episode]
    return Slot(arena.observations[place], arena.actions[place], arena.rewards[place], last)
