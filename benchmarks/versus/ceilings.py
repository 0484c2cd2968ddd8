"""What the machine can do at most, measured by ours' worker just before the pairs."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Thread

import numpy as np


def _on_threads(threads: int, work: Callable[[int], None]) -> None:
    team = [Thread(target=work, args=(index,)) for index in range(threads)]
    for thread in team:
        thread.start()
    for thread in team:
        thread.join()


def multiply_add_peak(precision: str, threads: int, seconds: float = 0.2) -> float:
    """Flops a second of multiply-adds between registers, all threads at once."""
    from fastfisher import _core

    rates = [0.0] * threads

    def work(index: int) -> None:
        rates[index] = _core.measure_peak_flops(precision, seconds)  # without the interpreter lock

    _on_threads(threads, work)
    return sum(rates)


def copy_bandwidth(threads: int, megabytes: int = 256, repetitions: int = 5) -> float:
    """Bytes read and written a second by copying arrays larger than the cache, all threads at once."""
    size = megabytes * 2**20 // 8 // threads
    sources = [np.ones(size) for _ in range(threads)]
    targets = [np.zeros(size) for _ in range(threads)]

    def work(index: int) -> None:
        np.copyto(targets[index], sources[index])  # without the interpreter lock

    best = float("inf")
    for _ in range(repetitions):
        start = time.perf_counter()
        _on_threads(threads, work)
        best = min(best, time.perf_counter() - start)
    return 2 * 8 * size * threads / best
