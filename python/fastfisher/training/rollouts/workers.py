"""Whole episodes in worker processes, the batch back through shared memory."""

# ruff: noqa: D102 - the base class documents what is overridden here

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Sequence
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import IO, Any

import cloudpickle  # type: ignore[import-untyped]

from ..._core import simd_level
from ...policies import Policy
from ..batch import Batch
from ..environments.recipe import Recipe
from ..errors import UserError, WorkerError
from ..evaluation import Evaluation
from . import Rollouts
from .arena import Arena, ArenaLayout
from .cores import import_path
from .episode import refuse_defects
from .worker import Assignment

_START_SECONDS = 120.0
"""Least time for a worker to import what it needs and make its environment."""
_STACK_SECONDS = 2.0
"""How long to wait for the stack of a worker that hangs."""

_STACK_BYTES = 1 << 16
_ITS_STACK = "; its stack:"

# The signals come first, since the worker must outlive those that come while it imports.
_PROGRAM = """
import signal, sys
for number in signal.SIGINT, signal.SIGTERM:
    signal.signal(number, lambda *_: None)
from fastfisher.training.rollouts.worker import main
main(int(sys.argv[1]), int(sys.argv[2]))
"""

_ONE_THREAD = dict.fromkeys(
    ("FASTFISHER_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1"
)


class CannotRecreateError(Exception):
    """The environment cannot be made in another process; the message says why."""

    @property
    def reason(self) -> str:
        """The message in one line: what comes before a stack, or the last line of a traceback."""
        lines = str(self).strip().splitlines()
        return lines[0].removesuffix(_ITS_STACK) if lines[0].endswith(_ITS_STACK) else lines[-1]


class WorkerRollouts(Rollouts):
    """Episodes 0, 1, 2, ... until together they have ``batch_steps`` steps, run by persistent processes.

    Told to collect, each worker takes the next episode that nobody runs, writes its transitions to
    shared memory, and so on until the batch can do without another: one message each way an
    iteration.  An episode is a function of the seed, the iteration, its index and the policy, and
    the batch is always the shortest run of episodes from 0 on that is long enough, so it is the
    same bits for any number of workers, :class:`.SerialRollouts` included.  What was begun beyond
    it is discarded.  A worker is given up after ``timeout`` seconds without a step.

    Raises
    ------
    CannotRecreateError
        Where the environment cannot be pickled, or not be made in a worker.
    """

    def __init__(self, recipe: Recipe, seed: int, layout: ArenaLayout, timeout: float) -> None:
        self._timeout = timeout
        self._layout = layout
        self._arena = Arena(layout)
        self._stacks = [tempfile.TemporaryFile() for _ in range(layout.workers)]  # noqa: SIM115 - open as long as they live
        self._processes: list[subprocess.Popen[bytes]] = []
        self._connections: list[Connection[Any, Any]] = []
        self._arena.clear()
        self._doing = ""
        self._finalizer = weakref.finalize(
            self, _stop, os.getpid(), self._processes, self._connections, self._arena, self._stacks
        )
        try:
            messages = [
                cloudpickle.dumps(
                    Assignment(recipe, seed, index, layout, self._arena.descriptor, stack.fileno())
                )
                for index, stack in enumerate(self._stacks)
            ]
        except Exception as error:  # pickling runs the user's code: it may raise anything
            self.close()
            raise CannotRecreateError(f"it cannot be pickled ({type(error).__name__}: {error})") from error
        try:
            for message, stack in zip(messages, self._stacks, strict=True):
                self._start(message, stack.fileno())
            self._receive("ready", max(self._timeout, _START_SECONDS))
        except WorkerError as error:
            self.close()
            raise CannotRecreateError(str(error)) from error
        except BaseException:
            self.close()
            raise

    def _start(self, message: bytes, stack: int) -> None:
        ours, theirs = Pipe()
        # Workers use the same instructions as this process, so that the bits do not depend on either.
        environment = os.environ | _ONE_THREAD | {"FASTFISHER_SIMD": simd_level()}
        environment["PYTHONPATH"] = import_path()
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM, str(theirs.fileno()), str(os.getpid())],
                env=environment,
                pass_fds=(theirs.fileno(), self._arena.descriptor, stack),
                stdin=subprocess.DEVNULL,
                # Ctrl-C goes to the whole foreground group, which is the trainer alone then.  The worker
                # leads a group of its own, to which belongs what its environment starts.
                start_new_session=True,
            )
        self._processes.append(process)
        self._connections.append(ours)
        ours.send_bytes(message)

    def _receive(self, expected: str, timeout: float) -> list[Any]:
        """Wait for this message from each worker; return what came with it."""
        answers: dict[int, Any] = {}
        patience = _Patience(timeout, len(self._connections))
        while len(answers) < len(self._connections):
            waiting = {
                connection: index
                for index, connection in enumerate(self._connections)
                if index not in answers
            }
            for connection in wait(list(waiting), timeout=patience.interval):
                assert isinstance(connection, Connection)
                index = waiting.pop(connection)
                answers[index] = self._answer(index, expected)
            for index in waiting.values():
                if patience.lost(index, self._progress(index)):
                    raise WorkerError(self._hang(index, timeout))
        return [answers[index] for index in range(len(self._connections))]

    def _answer(self, index: int, expected: str) -> Any:
        try:
            kind, content = self._connections[index].recv()
        except (EOFError, ConnectionError):
            raise WorkerError(f"rollout worker {index} died: {self._cause_of_death(index)}") from None
        if kind == "refused" and expected == "done":
            raise UserError(content)
        if kind in ("failed", "refused"):
            raise WorkerError(f"rollout worker {index} failed:\n{content}")
        assert kind == expected
        return content

    def _progress(self, index: int) -> tuple[int, int]:
        """Return the episode that a worker runs, -1 before its first, and the steps taken of it."""
        episode = int(self._arena.running[index])
        return episode, int(self._arena.length[episode]) if episode >= 0 else 0

    def _hang(self, index: int, timeout: float) -> str:
        """Say where a worker hangs."""
        episode, step = self._progress(index)
        where = (
            f"at step {step} of episode {episode} of {self._doing}"
            if episode >= 0
            else "before its first episode"
        )
        return (
            f"rollout worker {index} hangs: {timeout:g} s without a step {where} "
            f"(worker_timeout sets how long to wait){_ITS_STACK}\n{self._stack(index)}"
        )

    def _stack(self, index: int) -> str:
        """Ask a worker for the stacks of its threads, and wait until it has written them."""
        os.kill(self._processes[index].pid, signal.SIGUSR1)
        deadline, before, text = time.monotonic() + _STACK_SECONDS, "", ""
        while time.monotonic() < deadline and not (text and text == before):
            time.sleep(0.05)
            before, text = text, self._written_stack(index)
        return text or "(it does not answer)"

    def _written_stack(self, index: int) -> str:
        # The file object stays out of this, since the worker writes at an offset that it shares.
        text = os.pread(self._stacks[index].fileno(), _STACK_BYTES, 0).decode(errors="replace")
        return "\n".join(
            line for line in text.splitlines() if not line.startswith("Extension modules:")
        ).strip()

    def _cause_of_death(self, index: int) -> str:
        try:
            code = self._processes[index].wait(timeout=5.0)
        except subprocess.TimeoutExpired:
            return "it closed its connection"
        if code >= 0:
            return f"exit status {code}"
        stack = self._written_stack(index)
        return f"killed by {signal.Signals(-code).name}" + (f"{_ITS_STACK}\n{stack}" if stack else "")

    def collect(self, policy: Policy, iteration: int) -> Batch:
        answers = self._have("collect", policy, iteration, f"iteration {iteration}", self._timeout)
        arena, seconds = self._arena, [answer[0] for answer in answers]
        bad = {episode: defect for _, defects in answers for episode, defect in defects.items()}
        episodes = range(arena.prefix())
        defects = [bad[episode] for episode in episodes if episode in bad]
        refuse_defects(defects, self._layout.most_skipped)
        good = (episode for episode in episodes if episode not in bad)
        return Batch.of(map(arena.trajectory, good), sum(seconds) / len(seconds), defects)

    def evaluate(self, policy: Policy, iteration: int) -> Evaluation:
        # The first time each worker makes another environment.
        patience = max(self._timeout, _START_SECONDS)
        results = self._have(
            "evaluate", policy, iteration, f"the evaluation after iteration {iteration}", patience
        )
        workers = len(results)
        count = self._layout.evaluation_episodes
        played = [results[k % workers][k // workers] for k in range(count)]
        return Evaluation.of(played, self._layout.most_skipped)

    def _have(self, task: str, policy: Policy, iteration: int, doing: str, timeout: float) -> list[Any]:
        """Have all workers do a task, and wait until it is done; return their results."""
        if not self._processes:
            raise WorkerError("the rollout workers have stopped")
        self._doing = doing
        self._arena.clear()
        message = cloudpickle.dumps((task, iteration, policy))
        try:
            for index, connection in enumerate(self._connections):
                try:
                    connection.send_bytes(message)
                except ConnectionError:
                    raise WorkerError(f"rollout worker {index} died: {self._cause_of_death(index)}") from None
            return self._receive("done", timeout)
        except BaseException:
            # Some workers may still be writing: none of this can be used again.
            self.close()
            raise

    def close(self) -> None:
        self._finalizer()


class _Patience:
    """How long each worker has made no progress."""

    def __init__(self, timeout: float, workers: int) -> None:
        self._timeout = timeout
        self.interval = min(1.0, timeout / 4.0)
        """Seconds between two looks."""
        self._seen: list[tuple[tuple[int, int], float]] = [((-2, 0), 0.0)] * workers

    def lost(self, worker: int, progress: tuple[int, int]) -> bool:
        """Note how far a worker is, and say whether it has been there for too long."""
        before, since = self._seen[worker]
        now = time.monotonic()
        if progress != before:
            self._seen[worker] = progress, now
            return False
        return now - since > self._timeout


def _stop(
    trainer: int,
    processes: list[subprocess.Popen[bytes]],
    connections: list[Connection[Any, Any]],
    arena: Arena,
    stacks: Sequence[IO[bytes]],
) -> None:
    """Release what a pool holds; the processes that the environments of its workers started end as well.

    A fork of the trainer, which is another process than started the workers, lets these be.
    """
    for connection in connections:
        connection.close()
    for process in processes if os.getpid() == trainer else ():
        # A worker may be dead while others of its group live; macOS forbids to end a group of the dead.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for stack in stacks:
        stack.close()
    connections.clear()
    processes.clear()
    arena.close()
