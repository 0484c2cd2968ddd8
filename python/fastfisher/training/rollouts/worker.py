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
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection
from types import FrameType
from typing import Any

import cloudpickle  # type: ignore[import-untyped]

from ...policies import Policy
from ..environments.recipe import Env, Recipe
from ..errors import UserError
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


def main(descriptor: int) -> None:
    """Answer to the trainer until it closes the connection."""
    _leave_to_trainer(signal.SIGINT, signal.SIGTERM)
    connection = Connection(descriptor)
    try:
        serve(connection)
    except UserError as error:
        with contextlib.suppress(OSError):
            connection.send(("refused", str(error)))
        raise SystemExit(1) from None
    except BaseException:
        # Where nobody listens any more there is nobody to tell.
        with contextlib.suppress(OSError):
            connection.send(("failed", traceback.format_exc()))
        raise SystemExit(1) from None


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
    while True:
        try:
            message = connection.recv_bytes()
        except EOFError:
            return
        iteration, policy = cloudpickle.loads(message)
        connection.send(("done", run_episodes(env, policy, iteration, assignment, arena)))


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
    worker, horizon = assignment.index, arena.layout.horizon
    start, seconds = 0, 0.0
    while (k := arena.take(worker)) is not None:
        window = slice(start, start + horizon)
        env_seed, rng = stream(assignment.seed, Stream.EPISODE, iteration, k)
        slot = Slot(
            arena.observations[worker, window],
            arena.actions[worker, window],
            arena.rewards[worker, window],
            arena.final_observation[k],
        )
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
