"""Nothing that a trainer started outlives it, however it ends and whatever its workers are doing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

WITHIN = 3.0
"""Seconds in which everybody is gone; they look at their parent five times a second."""

# The first episode is over at once, so that the workers are ready; a step of the others takes an hour.
TRAINER = """
import ctypes, os, pathlib, subprocess, sys, time
import gymnasium, numpy as np
from fastfisher.training import NPG

trainer = os.getpid()
folder, step_kind, workers = pathlib.Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])

class Slow(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (1,))
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self):
        self.simulator = subprocess.Popen(["sleep", "3600"])
        (folder / f"{self.simulator.pid}.simulator").touch()

    def reset(self, *, seed=None, options=None):
        return np.zeros(1, np.float32), {}

    def step(self, action):
        (folder / f"{os.getpid()}.stepping").touch()
        if step_kind == "sleeps":
            time.sleep(3600)
        elif step_kind == "holds the lock":
            ctypes.PyDLL(None).sleep(3600)
        elif step_kind == "raises as it ends":
            while os.getppid() == trainer:
                pass
            raise ArithmeticError("nobody is there to be told")
        elif step_kind == "raises":
            raise ArithmeticError("the simulator is on fire")
        return np.zeros(1, np.float32), 1.0, True, False, {}

def stop(info):
    (folder / f"{os.getpid()}.trained").touch()
    if step_kind == "then idle":
        time.sleep(3600)

agent = NPG(lambda: Slow(), policy="linear", batch_steps=10, workers=workers)
try:
    agent.learn(10, callback=stop)
finally:
    if step_kind != "forgotten":
        agent.close()
"""


class Trainer:
    """A trainer in its own process, the parent of its workers, whose environments start a simulator each."""

    def __init__(self, folder: Path, kind: str, workers: int = 2) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-c", TRAINER, str(folder), kind, str(workers)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def numbers(self, kind: str) -> set[int]:
        return {int(path.stem) for path in self.folder.glob(f"*.{kind}")}

    def wait_for(self, kind: str, count: int) -> None:
        deadline = time.monotonic() + 60.0
        while len(self.numbers(kind)) < count:
            assert time.monotonic() < deadline, f"{self.numbers(kind)} {kind} of {count}"
            assert self.process.poll() is None
            time.sleep(0.02)

    def living(self, numbers: set[int]) -> set[int]:
        return {number for number in numbers if alive(number)}

    def output_ends(self, within: float) -> bool:
        """Whether nobody holds the standard output any more."""
        assert self.process.stdout is not None
        os.set_blocking(self.process.stdout.fileno(), False)
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            try:
                if not os.read(self.process.stdout.fileno(), 1 << 16):
                    return True
            except BlockingIOError:
                time.sleep(0.02)
        return False


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    # An orphan that is dead stays in the table where nobody at the top of it collects the dead.
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(process)], capture_output=True, text=True).stdout
    return not state.startswith("Z") and bool(state)


@pytest.fixture
def trainers(tmp_path: Path) -> Iterator[list[Trainer]]:
    started: list[Trainer] = []
    yield started
    for trainer in started:
        trainer.process.kill()
        trainer.process.wait()
        for number in trainer.living(trainer.numbers("simulator") | trainer.numbers("stepping")):
            os.kill(number, signal.SIGKILL)


def all_gone(trainer: Trainer, numbers: set[int]) -> bool:
    deadline = time.monotonic() + WITHIN
    while living := trainer.living(numbers):
        if time.monotonic() > deadline:
            print("still there:", living)
            return False
        time.sleep(0.02)
    return True


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("kind", ["sleeps", "holds the lock", "raises as it ends", "then idle"])
def test_workers_and_what_they_started_die_with_a_trainer_that_is_killed(
    tmp_path: Path, trainers: list[Trainer], kind: str, number: signal.Signals
) -> None:
    trainers.append(trainer := Trainer(tmp_path, kind))
    trainer.wait_for(*(("trained", 1) if kind == "then idle" else ("stepping", 2)))
    # One simulator is the trainer's own environment's, which nobody ends who is killed.
    simulators, started = trainer.numbers("simulator"), children(trainer.process.pid)
    own = simulators & started
    begun = (started | simulators) - own
    assert (len(own), len(begun)) == (1, 4)
    trainer.process.send_signal(number)
    trainer.process.wait()
    assert all_gone(trainer, begun)
    for simulator in own:
        os.kill(simulator, signal.SIGKILL)
    assert trainer.output_ends(WITHIN)


def children(process: int) -> set[int]:
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True).stdout
    pairs = [line.split() for line in listed.splitlines()]
    return {int(child) for child, parent in pairs if int(parent) == process}


@pytest.mark.parametrize("kind", ["ends", "forgotten", "raises"])
def test_simulators_of_workers_end_with_the_agent(tmp_path: Path, trainers: list[Trainer], kind: str) -> None:
    trainers.append(trainer := Trainer(tmp_path, kind))
    trainer.wait_for("simulator", 3)
    trainer.process.wait(60)
    # The one that is left is that of the agent's own environment, which closes nothing.
    deadline = time.monotonic() + WITHIN
    while len(left := trainer.living(trainer.numbers("simulator"))) > 1 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert len(left) == 1


def test_a_process_whose_parent_is_gone_already_ends_at_once() -> None:
    watch = f"from fastfisher._core import end_with_parent; end_with_parent({1 << 22})"
    command = [sys.executable, "-c", f"{watch}; import time; time.sleep(3600)"]
    process = subprocess.Popen(command, start_new_session=True)
    assert process.wait(60) == -signal.SIGKILL


def test_only_a_leader_of_a_group_may_end_it() -> None:
    command = "import os; from fastfisher._core import end_with_parent; end_with_parent(os.getppid())"
    result = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True)
    assert result.returncode == 1
    assert "expected a process that leads its group" in result.stderr


def test_a_seed_that_does_not_come_to_an_end_is_killed_with_its_parent() -> None:
    program = (
        "import signal, time; from fastfisher.runs import seed_process as seed; seed.PATIENCE = 0.3;"
        "signal.signal(signal.SIGTERM, lambda *_: None); seed._stop_with_parent(); time.sleep(3600)"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(60) == -signal.SIGKILL
