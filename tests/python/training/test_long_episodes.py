"""A time limit that no episode comes near costs nothing: memory is taken by what is played."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from environments import Countdown

from fastfisher.training import NPG, UserError
from fastfisher.training.rollouts.arena import Arena, ArenaLayout
from fastfisher.training.rollouts.memory import empty_rows

FAR = 10**9
OPTIONS: dict[str, Any] = {"policy": "linear", "seed": 3, "batch_steps": 100, "gamma": 0.9}

PEAK = """
import resource, sys
sys.path.insert(0, {tests!r})
from environments import Countdown
from fastfisher.training import NPG

def megabytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / {unit}

with NPG(Countdown, policy="linear", batch_steps=100, workers=1, max_episode_steps={limit}) as agent:
    before = megabytes()
    agent.learn(300)
    agent.evaluate(3)
    print(megabytes() - before)
"""


def trained(limit: int, workers: int) -> tuple[bytes, bytes]:
    with NPG(Countdown, **OPTIONS, workers=workers, max_episode_steps=limit) as agent:
        agent.learn(300)
        return agent.policy.parameters.tobytes(), agent.evaluate(5).returns.tobytes()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_far_limit_trains_to_the_bits_of_a_near_one(workers: int) -> None:
    assert trained(FAR, workers) == trained(9, 1)


def test_a_far_limit_takes_no_more_memory() -> None:
    unit = 1 << (20 if sys.platform == "darwin" else 10)
    taken = []
    for limit in (9, FAR):
        program = PEAK.format(tests=sys.path[0], unit=unit, limit=limit)
        command = [sys.executable, "-c", program]
        taken.append(float(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
    assert taken[1] < taken[0] + 30.0, taken


@pytest.mark.parametrize("workers", [1, 2])
def test_a_limit_beyond_any_memory_is_named(workers: int) -> None:
    expected = "max_episode_steps: expected episodes that fit in memory, got up to 1,000,000,000,000,0"
    options = OPTIONS | {"workers": workers, "max_episode_steps": 10**15}
    with NPG(Countdown, **options) as agent, pytest.raises(UserError, match=expected):
        agent.learn(100)


def test_rows_that_nobody_wrote_are_there_to_write() -> None:
    rows = empty_rows((FAR, 30), np.float64)
    assert rows.shape == (FAR, 30)
    rows[[0, FAR - 1], 7] = 1.0, 2.0
    assert (rows[0, 7], rows[FAR - 1, 7]) == (1.0, 2.0)
    for shape in ((10**15, 17), (10**18, 17), (10**30,)):
        with pytest.raises(UserError, match=f"got up to {shape[0]:,} steps, which take"):
            empty_rows(shape, np.float64)


def test_an_arena_has_the_addresses_of_all_workers_or_says_so() -> None:
    arena = Arena(ArenaLayout(8, 1_000, FAR, 100, (6,), "<f8"))
    arena.rewards[7, FAR] = 3.0
    assert arena.rewards[7, FAR] == 3.0
    arena.close()
    with pytest.raises(UserError, match=r"got up to 1,000,000,000,999 steps"):
        Arena(ArenaLayout(64, 1_000, 10**12, 100, (6,), "<f8"))
