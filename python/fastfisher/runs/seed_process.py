"""One seed of several, as a process: :class:`SeedProcess` starts it, and this module is its program.

``python -m fastfisher.runs.seed_process FOLDER`` continues the run of a folder, by the ``config.json`` in it,
and ends with the process that started it.  Its standard input is a pipe whose other end closes when that
process ends, even by kill -9; it then does what it does at SIGTERM: it saves and exits, within a minute.
"""

# ruff: noqa: D102 - run.Seed documents what a seed's process does

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ..runtime import get_num_threads
from ..training.errors import exit_code_of, show_stacks_at_crashes
from ..training.iteration import IterationInfo
from ..training.rollouts.cores import CORES, import_path
from .folder import RunFolder
from .log import last_iteration
from .session import resume_one
from .views import State

if TYPE_CHECKING:
    from typing_extensions import Self

THREADS = "FASTFISHER_NUM_THREADS"

_STOPPED = frozenset({128 + signal.SIGINT, 128 + signal.SIGTERM, -signal.SIGINT, -signal.SIGTERM})
_LINES_OF_ERRORS = 40

PATIENCE = 60.0
"""Seconds for an iteration to end and be saved, after which a seed that is to stop is killed."""


class SeedProcess:
    """A process that trains in a run folder from its checkpoint, with workers and threads for so many cores.

    At the end of a ``with`` block the process saves and stops, if it has not ended by itself.
    """

    def __init__(self, seed: int, path: Path, cores: int) -> None:
        self.seed, self._path, self._cores = seed, path, cores

    def __enter__(self) -> Self:
        # Errors go to a file, since a pipe that nobody reads would fill up and block.
        self._errors = tempfile.TemporaryFile()
        # Its share of the cores, unless this process may have fewer threads by whatever says so.
        threads = min(self._cores, get_num_threads())
        environment = {THREADS: str(threads), **os.environ, CORES: str(self._cores)}
        environment["PYTHONPATH"] = import_path()
        # The process has its own session: Ctrl-C reaches the parent alone, which passes on what it means.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "fastfisher.runs.seed_process", str(self._path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self._errors,
            env=environment,
            start_new_session=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=PATIENCE)
        finally:
            self._process.kill()
            self._errors.close()

    @property
    def state(self) -> State:
        code = self._process.poll()
        if code is None:
            return "training"
        if code == 0:
            return "done"
        return "stopped" if code in _STOPPED else "failed"

    def last(self) -> IterationInfo | None:
        return last_iteration(self._path)

    def steps(self) -> int:
        last = self.last()
        return 0 if last is None else last.steps

    def advance(self) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=0.2)

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)

    def give_up(self) -> None:
        self._process.send_signal(signal.SIGINT)

    def failure(self) -> tuple[int, str] | None:
        return (self._process.returncode, self.errors()) if self.state == "failed" else None

    def errors(self) -> str:
        """Return the last lines that the process wrote to standard error."""
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").splitlines()
        return "\n".join(lines[-_LINES_OF_ERRORS:])


def _stop_with_parent() -> None:
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(PATIENCE)
    os.kill(os.getpid(), signal.SIGKILL)


def _resume() -> int:
    folder = RunFolder.open(Path(sys.argv[1]))
    return resume_one(folder, folder.read_config(), quiet=True)


if __name__ == "__main__":
    show_stacks_at_crashes()
    threading.Thread(target=_stop_with_parent, daemon=True).start()
    sys.exit(exit_code_of(_resume))
