"""Workers as processes: how many there are, what they import, what they leave behind."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
from environments import Countdown

from fastfisher.training import NPG
from fastfisher.training.config import TrainConfig
from fastfisher.training.rollouts.cores import CORES, import_path, process_count

OPTIONS: dict[str, Any] = {"policy": "linear", "seed": 3, "batch_steps": 400}


# How many.


@pytest.mark.parametrize(
    ("asked", "longest", "expected"),
    [
        (1, 200, 1),
        (8, 200, 8),  # four a core
        (9, 200, 8),
        (1_000, 200, 8),
        (1_000, 100, 10),  # as many as a batch has episodes at their limit
        (1_000, 1, 1_000),
        (1_000, 10**9, 8),
        (None, 200, 2),
    ],
)
def test_there_are_no_more_workers_than_a_batch_has_use_for(
    monkeypatch: pytest.MonkeyPatch, asked: int | None, longest: int, expected: int
) -> None:
    monkeypatch.setattr("fastfisher.training.rollouts.cores.usable_cores", lambda: 2)
    config = TrainConfig("Pendulum-v1", batch_steps=1_000, workers=asked)
    assert process_count(config, longest) == expected


def test_workers_that_are_left_out_are_told_of_and_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CORES, "1")
    notes: list[tuple[str, ...]] = []
    with NPG("Pendulum-v1", **OPTIONS, workers=1_000) as agent:
        assert agent.workers == 4
        agent.learn(800, callback=lambda info: notes.append(info.notes))
        assert len(agent._rollouts._processes) == 4  # type: ignore[union-attr]
    expected = "4 workers and not 1,000: the others would have hardly an episode to run"
    assert [expected in told for told in notes] == [True, False]
    alone = NPG("Pendulum-v1", **OPTIONS, workers=1).learn(800)
    assert agent.policy.parameters.tobytes() == alone.policy.parameters.tobytes()


# What they import.


def test_what_is_no_text_in_the_path_of_imports_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", ["/a", Path("/b"), "", None, b"/c", "/d"])
    assert import_path() == os.pathsep.join(["/a", os.getcwd(), "/d"])


def test_workers_start_beside_a_path_that_is_an_object(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path, Path("/somewhere")])
    with NPG(Countdown, **OPTIONS, workers=2) as agent:
        assert agent.learn(400).steps >= 400
        assert agent._rollouts.notes == ()  # type: ignore[union-attr]


# What they leave behind.

LEFT = """
import gc, sys
sys.path.insert(0, {tests!r})
from environments import Countdown
from fastfisher.training import NPG

agent = NPG(Countdown, policy="linear", batch_steps=100, workers=2, evaluate_every=1)
agent.learn(100)
{end}
gc.collect()
"""


@pytest.mark.parametrize("end", ["agent.close()", "agent.close(); agent.close()", "del agent", ""])
def test_no_end_of_an_agent_leaves_anything_open(end: str) -> None:
    program = LEFT.format(tests=str(Path(__file__).parent), end=end)
    command = [sys.executable, "-W", "error", "-X", "dev", "-c", program]
    result = subprocess.run(command, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")


def test_closed_workers_hold_no_file() -> None:
    folder = Path("/dev/fd")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gc.collect()  # what tests before this one left open
        before = len(list(folder.iterdir()))
        for _ in range(3):
            with NPG(Countdown, **OPTIONS, workers=2) as agent:
                agent.learn(400)
            gc.collect()
        assert len(list(folder.iterdir())) == before


FORKED = """
import os, sys
sys.path.insert(0, {tests!r})
from environments import Countdown
from fastfisher.training import NPG

agent = NPG(Countdown, policy="linear", batch_steps=100, workers=2)
agent.learn(100)
child = os.fork()
if child == 0:
    agent.close()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
agent.learn(100)
print(agent.iteration)
"""


def test_a_fork_of_the_trainer_leaves_the_workers_to_it() -> None:
    program = FORKED.format(tests=str(Path(__file__).parent))
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (0, "2\n"), result.stderr


# Copies.


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda agent: pickle.loads(pickle.dumps(agent))])
def test_a_copy_of_an_agent_with_workers_goes_on_to_the_same_bits(copied: Any) -> None:
    with NPG("Pendulum-v1", **OPTIONS, workers=2, evaluate_every=1, evaluation_episodes=2) as agent:
        agent.learn(800)
        with copied(agent) as other:
            assert other._rollouts is None
            assert (other.iteration, other.best_return) == (agent.iteration, agent.best_return)
            agent.learn(400)
            other.learn(400)
            assert other.policy.parameters.tobytes() == agent.policy.parameters.tobytes()
            assert other.last_return == agent.last_return
