"""The parent's end of a worker."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from types import TracebackType
from typing import Any

from .environment import processors_for, worker_environment


class Skip(Exception):  # noqa: N818 - it becomes a row, not a crash
    """This comparison cannot be made; `status` and the message go into the row."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Worker:
    """Starts a worker process, and asks it for one thing at a time."""

    def __init__(
        self,
        case: str,
        contender: str,
        *,
        threads: int,
        simd: str,
        seed: int,
        quick: bool,
        limit: float,
        cases: str = "versus.cases",
    ) -> None:
        self.contender, self._limit = contender, limit
        self._pipe, child = multiprocessing.Pipe()
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        command = [sys.executable, "-m", "versus.worker", "--pipe", str(child.fileno())]
        command += ["--case", case, "--contender", contender, "--threads", str(threads), "--seed", str(seed)]
        command += ["--cases", cases]
        command += ["--processors", *map(str, processors_for(threads))] + ["--quick"] * quick
        self._process = subprocess.Popen(
            command,
            env=worker_environment(threads, simd),
            pass_fds=[child.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )
        child.close()

    def ask(self, command: str, *arguments: object) -> Any:
        """Have a method of the worker called and return what it returns.

        Raises
        ------
        Skip
            If the library is missing, the call failed, the worker died or took too long.
        """
        try:
            self._pipe.send((command, arguments))
            if not self._pipe.poll(self._limit):
                self._process.kill()
                raise Skip("failed", f"{self.contender}: no answer in {self._limit:g} s")
            status, reply = self._pipe.recv()
        except (EOFError, OSError):
            code = self._process.wait()
            raise Skip("failed", f"{self.contender} ended with status {code}: {self._last_words()}") from None
        if status != "done":
            raise Skip("skipped" if status == "missing" else status, f"{self.contender}: {reply}")
        return reply

    def _last_words(self) -> str:
        self._log.seek(0)
        lines = [line.strip() for line in self._log if line.strip()]
        return lines[-1] if lines else "no output"

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pipe.close()  # the worker reads the end of the pipe and leaves
        try:
            self._process.wait(0.1 if kind is KeyboardInterrupt else 10.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()


def remove(path: str) -> None:
    """Delete a file that may not exist."""
    with suppress(FileNotFoundError):
        os.unlink(path)
