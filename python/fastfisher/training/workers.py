"""Whole episodes in worker processes, the batch back through shared memory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import weakref
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import Any

import cloudpickle  # type: ignore[import-untyped]
import numpy as np

from ..policies import Policy
from .arena import Arena, ArenaLayout
from .batch import Batch
from .environment import Recipe
from .errors import WorkerError
from .worker import Assignment

_ONE_THREAD = dict.fromkeys(
    ("FASTFISHER_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1"
)


class CannotRecreateError(Exception):
    """The environment cannot be made in another process; the message says why."""


class WorkerRollouts:
    """Episodes 0, 1, 2, ... until together they have ``batch_steps`` steps, run by persistent processes.

    Told to collect, each worker takes the next episode that nobody runs, writes its transitions to
    shared memory, and so on until the batch can do without another: one message each way an
    iteration.  An episode is a function of the seed, the iteration, its index and the policy, and
    the batch is always the shortest run of episodes from 0 on that is long enough, so it is the
    same bits for any number of workers, :class:`.SerialRollouts` included.  What was begun beyond
    it is discarded.

    Raises
    ------
    CannotRecreateError
        Where the environment cannot be pickled, or not be made in a worker.
    """

    def __init__(self, recipe: Recipe, seed: int, layout: ArenaLayout) -> None:
        self.notes: tuple[str, ...] = ()
        self._layout = layout
        self._arena = Arena(layout)
        self._processes: list[subprocess.Popen[bytes]] = []
        self._connections: list[Connection[Any, Any]] = []
        self._finalizer = weakref.finalize(self, _stop, self._processes, self._connections, self._arena)
        try:
            messages = [
                cloudpickle.dumps(Assignment(recipe, seed, index, layout, self._arena.descriptor))
                for index in range(layout.workers)
            ]
        except Exception as error:  # pickling runs the user's code: it may raise anything
            self.close()
            raise CannotRecreateError(f"it cannot be pickled ({type(error).__name__}: {error})") from error
        try:
            for message in messages:
                self._start(message)
            self._receive("ready")
        except WorkerError as error:
            self.close()
            raise CannotRecreateError(str(error)) from error
        except BaseException:
            self.close()
            raise

    def _start(self, message: bytes) -> None:
        ours, theirs = Pipe()
        environment = os.environ | _ONE_THREAD
        environment["PYTHONPATH"] = os.pathsep.join(path or os.getcwd() for path in sys.path)
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-m", "fastfisher.training.worker", str(theirs.fileno())],
                env=environment,
                pass_fds=(theirs.fileno(), self._arena.descriptor),
                stdin=subprocess.DEVNULL,
            )
        self._processes.append(process)
        self._connections.append(ours)
        ours.send_bytes(message)

    def _receive(self, expected: str) -> list[Any]:
        """Wait for this message from each worker; return what came with it."""
        answers: dict[Connection[Any, Any], Any] = {}
        while len(answers) < len(self._connections):
            for connection in wait([c for c in self._connections if c not in answers]):
                assert isinstance(connection, Connection)
                index = self._connections.index(connection)
                try:
                    kind, content = connection.recv()
                except (EOFError, ConnectionError):
                    raise WorkerError(f"rollout worker {index} died: {self._cause_of_death(index)}") from None
                if kind == "failed":
                    raise WorkerError(f"rollout worker {index} failed:\n{content}")
                assert kind == expected
                answers[connection] = content
        return [answers[connection] for connection in self._connections]

    def _cause_of_death(self, index: int) -> str:
        try:
            code = self._processes[index].wait(timeout=5.0)
        except subprocess.TimeoutExpired:
            return "it closed its connection"
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"

    def collect(self, policy: Policy, iteration: int) -> Batch:
        """Return the transitions of this iteration."""
        if not self._processes:
            raise WorkerError("the rollout workers have stopped")
        arena = self._arena
        arena.clear()
        message = cloudpickle.dumps((iteration, policy))
        try:
            for index, connection in enumerate(self._connections):
                try:
                    connection.send_bytes(message)
                except ConnectionError:
                    raise WorkerError(f"rollout worker {index} died: {self._cause_of_death(index)}") from None
            seconds = self._receive("done")
        except BaseException:
            # Some workers may still be writing: none of this can be used again.
            self.close()
            raise
        lengths = arena.prefix()
        count = len(lengths)
        where = [
            (worker, slice(start, start + length))
            for worker, start, length in zip(arena.worker[:count], arena.start[:count], lengths, strict=True)
        ]
        return Batch(
            observations=np.concatenate([arena.observations[place] for place in where]),
            actions=np.concatenate([arena.actions[place] for place in where]),
            rewards=np.concatenate([arena.rewards[place] for place in where]),
            lengths=lengths,
            terminated=arena.terminated[:count].astype(bool),
            complete=np.ones(count, dtype=bool),
            final_observations=arena.final_observation[:count].copy(),
            seconds_env_step=sum(seconds) / len(seconds),
        )

    def close(self) -> None:
        """Stop the processes."""
        self._finalizer()


def _stop(
    processes: list[subprocess.Popen[bytes]], connections: list[Connection[Any, Any]], arena: Arena
) -> None:
    for connection in connections:
        connection.close()
    for process in processes:
        process.kill()
        process.wait()
    connections.clear()
    processes.clear()
    arena.close()
