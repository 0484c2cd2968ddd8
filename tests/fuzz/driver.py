"""Cases in processes of their own: one that crashes, hangs or takes all memory is an outcome like others."""

from __future__ import annotations

import collections
import contextlib
import importlib
import multiprocessing
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, NamedTuple

import numpy as np

MEMORY = 12 << 30
"""The bytes of addresses that a case may use: what asks for more is told so, and the machine lives on."""
FAILED = "BROKEN"
LONGEST_WORDS = 1_500


class Kind(NamedTuple):
    """A kind of cases, which its module runs."""

    module: str
    cases: int
    """How many a slice has."""
    seconds: float
    """After how many a case counts as hung."""


KINDS = {
    "step": Kind("step", 8000, 30.0),
    "training": Kind("training", 350, 120.0),
    "folders": Kind("folders", 450, 120.0),
    "checkpoints": Kind("checkpoints", 6000, 60.0),
}
"""The kinds, with the cases of a slice: two cores take less than two minutes for all of them."""


class BrokenPromiseError(Exception):
    """A promise that a case found broken."""


def hold(promise: object, words: str) -> None:
    """Raise `BrokenPromiseError` with these words where a promise does not hold."""
    if not promise:
        raise BrokenPromiseError(words)


class Case(NamedTuple):
    """A kind and a number, which everything random in the case follows from."""

    kind: str
    number: int

    def rng(self) -> np.random.Generator:
        """Return the generator of the case."""
        return np.random.default_rng([list(KINDS).index(self.kind), self.number])

    @property
    def command(self) -> str:
        """The command line that runs it alone."""
        return f"python tests/fuzz --only {self.kind} --case {self.number}"


def _serve(connection: Connection, words: int) -> None:
    """Run the cases that come, in an empty folder each; what they print goes to a file."""
    os.setsid()  # so that the processes that a case starts can be ended with it
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    for stream in (1, 2):
        os.dup2(words, stream)
    while True:
        case = connection.recv()
        with tempfile.TemporaryDirectory(prefix="fuzz-") as folder, _working_in(folder):
            connection.send(_outcome(case))


@contextlib.contextmanager
def _working_in(folder: str) -> Iterator[None]:
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir("/")


def _outcome(case: Case) -> tuple[str, str]:
    """Run a case; return its outcome, and what is to be said of one that failed."""
    try:
        return importlib.import_module(KINDS[case.kind].module).run(case.rng()), ""
    except BrokenPromiseError as broken:
        return FAILED, str(broken)
    except BaseException as error:  # SystemExit, too, must not come through
        frames = "".join(traceback.format_tb(error.__traceback__)[-2:])
        return FAILED, "\n".join(
            [f"{type(error).__name__}: {error}", *getattr(error, "__notes__", ()), frames]
        )


@dataclass
class _Server:
    """A process that runs one case after another."""

    process: multiprocessing.process.BaseProcess
    connection: Connection
    words: int
    """The descriptor of the file that has what it printed."""
    case: Case | None = None
    since: float = 0.0

    @classmethod
    def start(cls) -> _Server:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        with tempfile.TemporaryFile() as file:
            words = os.dup(file.fileno())
        with theirs:
            process = context.Process(target=_start, args=(theirs, multiprocessing.reduction.DupFd(words)))
            process.start()
        return cls(process, ours, words)

    def give(self, case: Case) -> None:
        self.case, self.since = case, time.monotonic()
        os.ftruncate(self.words, 0)
        self.connection.send(case)

    def late(self) -> bool:
        return self.case is not None and time.monotonic() - self.since > KINDS[self.case.kind].seconds

    def printed(self) -> str:
        size = os.fstat(self.words).st_size
        return os.pread(self.words, LONGEST_WORDS, max(0, size - LONGEST_WORDS)).decode(errors="replace")

    def end(self) -> int | None:
        """End the process and those that it started; return its exit code."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid or 0, signal.SIGKILL)
        self.process.kill()  # it may not have had the time to lead a group
        self.process.join()
        self.connection.close()
        os.close(self.words)
        return self.process.exitcode


def _start(connection: Connection, words: Any) -> None:
    with contextlib.suppress(EOFError, KeyboardInterrupt):
        _serve(connection, words.detach())


def drive(cases: Iterator[Case], *, jobs: int, seconds: float | None) -> int:
    """Run cases, several at a time, until there are no more or the time is over; return the exit code."""
    counts: dict[str, Counter[str]] = collections.defaultdict(Counter)
    end = time.monotonic() + (seconds or float("inf"))
    begin = time.monotonic()
    servers = [_Server.start() for _ in range(jobs)]

    def count(case: Case, outcome: str, words: str) -> None:
        counts[case.kind][outcome] += 1
        if outcome == FAILED:
            print(f"{case.command}\n    " + words.strip()[:LONGEST_WORDS].replace("\n", "\n    "), flush=True)

    def next_for(server: _Server) -> None:
        case = next(cases, None) if time.monotonic() < end else None
        server.case = None
        if case is not None:
            server.give(case)

    def replaced(server: _Server, why: str) -> _Server:
        assert server.case is not None
        case, words = server.case, server.printed()
        code = server.end()
        count(case, FAILED, f"{why} (exit code {code}): {words}")
        return _Server.start()

    try:
        for server in servers:
            next_for(server)
        while any(server.case for server in servers):
            ready = wait([server.connection for server in servers if server.case], timeout=1.0)
            for index, server in enumerate(servers):
                if server.connection in ready:
                    try:
                        outcome = server.connection.recv()
                    except EOFError:
                        servers[index] = replaced(server, "the process died")
                    else:
                        assert server.case is not None
                        count(server.case, *outcome)
                elif server.late():
                    servers[index] = replaced(server, f"no end after {time.monotonic() - server.since:.0f} s")
                else:
                    continue
                next_for(servers[index])
    finally:
        for server in servers:
            server.end()
    _print_table(counts, time.monotonic() - begin)
    return int(any(FAILED in of_kind for of_kind in counts.values()))


def _print_table(counts: dict[str, Counter[str]], seconds: float) -> None:
    """Print how often cases of each kind ended in which way."""
    for kind, outcomes in counts.items():
        total = outcomes.total()
        print(
            f"{kind:<12} {total:>7,}   " + ", ".join(f"{n:,} {words}" for words, n in outcomes.most_common())
        )
    print(f"{sum(of_kind.total() for of_kind in counts.values()):,} cases in {seconds:.0f} s")
    sys.stdout.flush()
