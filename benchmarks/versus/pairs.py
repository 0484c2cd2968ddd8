"""The timing: ours, the peer, ours, the peer, ..., one at a time."""

from __future__ import annotations

import math
import random
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from .process import Worker
from .quiet import Bystanders

SETTLE_SECONDS = 0.1
"""Between turns: OpenBLAS's and OpenMP's threads busy-wait for some 20 ms after their last job."""
TURN_SECONDS = 0.1
"""A turn of a short task is as many calls as fill this; its time is their median."""


@dataclass
class Side:
    """The times of one contender, in seconds."""

    worker: Worker
    calls: int = 1
    warm: bool = True
    turns: list[float] = field(default_factory=list)
    best: float = math.inf
    elapsed: float = 0.0
    processor: float = 0.0

    def calibrate(self) -> None:
        """Choose the calls of a turn; a long task needs no untimed call to wake threads and fill caches."""
        seconds = self.worker.ask("calibrate")
        self.calls = min(50, max(1, math.ceil(TURN_SECONDS / seconds)))
        self.warm = seconds < 0.5

    def take_turn(self, bystanders: Bystanders) -> None:
        """Run while everyone else sleeps."""
        time.sleep(SETTLE_SECONDS)
        bystanders.start()
        turn = self.worker.ask("turn", self.calls, self.warm)
        bystanders.stop(turn["processor_turn"])
        seconds = turn["seconds"]
        self.turns.append(statistics.median(seconds))
        self.best = min(self.best, *seconds)
        self.elapsed += sum(seconds)
        self.processor += turn["processor_calls"]

    @property
    def median(self) -> float:
        """The median turn."""
        return statistics.median(self.turns)


def play(ours: Side, peer: Side, repetitions: int) -> float | None:
    """Time the pairs; return how many processors others kept busy meanwhile."""
    bystanders = Bystanders()
    for side in (ours, peer):
        side.calibrate()
    for _ in range(repetitions):
        ours.take_turn(bystanders)
        peer.take_turn(bystanders)
    return bystanders.cores()


def ratio_interval(
    ours: Sequence[float], peer: Sequence[float], seed: int, resamples: int = 10_000
) -> tuple[float, float, float]:
    """Return the median of the pairs' ratios, peer / ours, and its 95% bootstrap interval over pairs."""
    ratios = [theirs / own for own, theirs in zip(ours, peer, strict=True)]
    generator = random.Random(seed)
    medians = sorted(statistics.median(generator.choices(ratios, k=len(ratios))) for _ in range(resamples))
    low, high = medians[round(0.025 * (resamples - 1))], medians[round(0.975 * (resamples - 1))]
    return statistics.median(ratios), low, high
