"""A contender's process: holds its inputs, and runs when it is its turn.

It is started as ``python -m versus.worker`` with a pipe; between commands it sleeps on the pipe.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import os
import resource
import time
import traceback
import warnings
from multiprocessing.connection import Connection
from typing import Any

# NumPy and the contenders' libraries come after the processors are chosen: a pool is sized at import.

REFEREE = "referee"


class Contestant:
    """One contender of one case."""

    def __init__(self, case: Any, contender: Any, threads: int, seed: int) -> None:
        self.case, self.contender, self.threads, self.seed = case, contender, threads, seed

    def describe(self) -> dict[str, Any]:
        """Say what runs here."""
        import fastfisher

        return fastfisher.show_config()

    def prepare(self, answer_path: str) -> dict[str, Any]:
        """Make the inputs, run once, and leave the answer for the referee."""
        import numpy as np
        from threadpoolctl import threadpool_info, threadpool_limits

        inputs = self.case.inputs(np.random.default_rng(self.seed))
        self.task = self.contender.prepare(inputs, self.threads)
        self._limits = threadpool_limits(self.threads)
        pools = [
            {key: pool.get(key) for key in ("prefix", "version", "architecture", "num_threads")}
            for pool in threadpool_info()
        ]
        np.savez(answer_path, **self.task.answer(self._run()[1]))
        return {"pools": pools}

    def calibrate(self) -> float:
        """Return the seconds of a run that is not the first."""
        return self._run()[0]

    def turn(self, calls: int, warm: bool) -> dict[str, Any]:
        """Run `calls` times; return the seconds of each, and processor seconds: theirs and the turn's."""
        start = _processor_seconds()
        gc.collect()
        gc.disable()
        if warm:
            self._run()
        before = _processor_seconds()
        seconds = [self._run()[0] for _ in range(calls)]
        end = _processor_seconds()
        gc.enable()
        return {"seconds": seconds, "processor_calls": end - before, "processor_turn": end - start}

    def ceilings(self) -> dict[str, float]:
        """Measure the peak of the case's precision and, for a memory-bound case, the bandwidth."""
        from .ceilings import copy_bandwidth, multiply_add_peak

        found = {"peak_flops": multiply_add_peak(self.case.precision, self.threads)}
        if self.case.bytes is not None:
            found["copy_bytes_per_second"] = copy_bandwidth(self.threads)
        return found

    def _run(self) -> tuple[float, Any]:
        if self.task.reset is not None:
            self.task.reset()
        start = time.perf_counter()
        result = self.task.run()
        return time.perf_counter() - start, result


class Referee:
    """Holds the float64 reference and judges answers; it never runs while anything is timed."""

    def __init__(self, case: Any, seed: int) -> None:
        self.case, self.seed = case, seed

    def prepare(self, _: str) -> None:
        """Compute the reference."""
        import numpy as np

        self.inputs = self.case.inputs(np.random.default_rng(self.seed))
        self.reference = self.case.reference(self.inputs)

    def judge(self, answer_path: str) -> dict[str, float]:
        """Return the measures of an answer."""
        import numpy as np

        with np.load(answer_path) as answer:
            return self.case.check(self.inputs, self.reference, dict(answer))


def _processor_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _serve(connection: Connection, subject: Contestant | Referee) -> None:
    from .case import Missing

    while True:
        try:
            command, arguments = connection.recv()
        except EOFError:
            return
        try:
            reply = ("done", getattr(subject, command)(*arguments))
        except (Missing, ImportError) as reason:  # a SIMD level that the machine lacks is an ImportError too
            reply = ("missing", str(reason))
        except Exception as error:  # whatever a library throws belongs in the row
            traceback.print_exc()
            reply = ("failed", f"{type(error).__name__}: {error}")
        connection.send(reply)


def main() -> None:
    """Read the arguments, be bound to the processors, serve."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pipe", type=int, required=True)
    parser.add_argument("--cases", required=True, help="the module whose all_cases() has the case")
    parser.add_argument("--case", required=True)
    parser.add_argument("--contender", required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--processors", type=int, nargs="+", required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()

    os.sched_setaffinity(0, options.processors)
    warnings.simplefilter("ignore")

    all_cases = importlib.import_module(options.cases).all_cases
    case = next(case for case in all_cases(options.quick) if case.name == options.case)
    subject: Contestant | Referee
    if options.contender == REFEREE:
        subject = Referee(case, options.seed)
    else:
        subject = Contestant(case, case.contender(options.contender), options.threads, options.seed)
    with Connection(options.pipe) as connection:
        _serve(connection, subject)


if __name__ == "__main__":
    main()
