"""The timing: ours, the peer, ours, the peer, ..., one at a time."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .process import Worker
from .quiet import Bystanders

SETTLE_SECONDS = 0.1
"""The pause between turns: OpenBLAS's and OpenMP's threads busy-wait for some 20 ms after their last job."""
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


@dataclass(frozen=True)
class Ratio:
    """The ratio of the peer's time to ours: the median over pairs, and an interval of the median."""

    median: float
    low: float
    high: float
    coverage: float
    """Probability with which the interval covers the median, whatever the distribution."""


def ratio_of_pairs(ours: Sequence[float], peer: Sequence[float]) -> Ratio:
    """Return the median of the pairs' ratios, peer / ours, and its interval."""
    ratios = [theirs / own for own, theirs in zip(ours, peer, strict=True)]
    return Ratio(statistics.median(ratios), *median_interval(ratios))


def ratio_of(row: Mapping[str, Any]) -> Ratio:
    """Return a timed row's ratio, from its turns: rows of before have another interval, by the bootstrap."""
    return ratio_of_pairs(row["ours"]["turns"], row["peer_time"]["turns"])


def median_interval(values: Sequence[float], least: float = 0.95) -> tuple[float, float, float]:
    """Return an interval of the median from order statistics, low and high, and its exact coverage.

    Of n independent values, so many below the median as a coin gives heads: from the k-th smallest to the
    k-th largest covers it with probability 1 - 2 P(Bin(n, 1/2) < k).  This takes the largest k with at least
    `least`, and from the smallest to the largest, 1 - 2^(1 - n), where that is too little.
    """
    ordered, n = sorted(values), len(values)
    k, coverage = 1, 1.0 - 2.0 ** (1 - n)
    while (narrower := coverage - 2.0 * math.comb(n, k) / 2.0**n) >= least:
        k, coverage = k + 1, narrower
    return ordered[k - 1], ordered[n - k], coverage


def restated(row: dict[str, Any]) -> dict[str, Any]:
    """Return the row with the interval of its turns."""
    if row["status"] != "timed":
        return row
    ratio = ratio_of(row)
    return {**row, "interval": [ratio.low, ratio.high], "coverage": ratio.coverage}


def coverages(rows: Iterable[Mapping[str, Any]]) -> str:
    """Say with what probability the intervals of timed rows cover the median."""
    found = {len(row["ours"]["turns"]): ratio_of(row).coverage for row in rows}
    return ", ".join(
        f"{coverage:.0%} ({pairs} pair{'s' * (pairs != 1)})" for pairs, coverage in sorted(found.items())
    )
