"""One seed of several, as a process: :class:`SeedProcess` starts it, and as a program this is it.

``python -m fastfisher.runs.seed_process train ENV ...`` is a ``fastfisher`` command that ends with the
process that started it.  Its standard input is a pipe whose other end closes when that process ends,
even by kill -9; it then does what it does at SIGTERM: it saves and exits.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from ..training.rollouts.cores import CORES

if TYPE_CHECKING:
    from typing_extensions import Self

    from ..training.iteration import IterationInfo
    from .views.several_seeds import State

THREADS = "FASTFISHER_NUM_THREADS"

_STOPPED = frozenset({128 + signal.SIGINT, 128 + signal.SIGTERM, -signal.SIGINT, -signal.SIGTERM})
_LINES_OF_ERRORS = 40


class SeedProcess:
    """A process that trains in a run folder from where its checkpoint is.

    As a context manager: at the end of the block it saves and stops, if it has not ended by itself.

    Parameters
    ----------
    env
        The run's environment.
    seed
        The run's seed, by which it is called.
    path
        The run folder.
    cores
        For how many it starts workers and threads.
    """

    def __init__(self, env: str, seed: int, path: Path, cores: int) -> None:
        self.seed, self._path = seed, path
        # A pipe that nobody reads would fill up and block.  Closed by __exit__.
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        environment = {THREADS: str(cores), **os.environ, CORES: str(cores)}
        environment["PYTHONPATH"] = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
        words = ["train", env, "--out", str(path), "--resume", "--quiet"]
        # A session of its own: Ctrl-C reaches the parent alone, which passes on what it means.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "fastfisher.runs.seed_process", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self._errors,
            env=environment,
            start_new_session=True,
        )

    @property
    def state(self) -> State:
        """What it is doing, or how it ended."""
        code = self._process.poll()
        if code is None:
            return "training"
        if code == 0:
            return "done"
        return "stopped" if code in _STOPPED else "failed"

    @property
    def returncode(self) -> int:
        """The exit code of a process that has ended."""
        return self.wait()

    def last(self) -> IterationInfo | None:
        """Return the last iteration that its folder tells of."""
        from .log import last_iteration

        return last_iteration(self._path)

    def stop(self) -> None:
        """Ask it to finish its iteration, to save and to end."""
        self._process.send_signal(signal.SIGTERM)

    def interrupt(self) -> None:
        """Ask it, where it was asked to stop, to end at once."""
        self._process.send_signal(signal.SIGINT)

    def wait(self) -> int:
        """Wait for its end; return the exit code."""
        return self._process.wait()

    def errors(self) -> str:
        """Return the last lines that it wrote to standard error."""
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").splitlines()
        return "\n".join(lines[-_LINES_OF_ERRORS:])

    def __enter__(self) -> Self:
        """Return the process."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it, by force where it does not."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=60)
        finally:
            self._process.kill()
            self._errors.close()


def _stop_with_parent() -> None:
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    from ..cli import main

    threading.Thread(target=_stop_with_parent, daemon=True).start()
    sys.exit(main())
