"""An environment that ends the process: told in words, wherever it runs."""

from __future__ import annotations

import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from environments import Countdown
from gymnasium import spaces

from fastfisher.training import NPG, UserError
from fastfisher.training.errors import WorkerError, exit_code_of, exits_told

OPTIONS: dict[str, Any] = {"policy": "linear", "seed": 3, "batch_steps": 100}


class Exiting(Countdown):
    """Ends the program: when it is made, at a reset, or on a step."""

    def __init__(self, where: str, code: Any = 0) -> None:
        self.where, self.code = where, code
        self._leave("made")

    def _leave(self, here: str) -> None:
        if self.where == here:
            sys.exit(self.code)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        self._leave("reset")
        return super().reset(seed=seed)

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self._leave("step")
        return super().step(action)


EXPECTED = r"^_leave in .*test_exits\.py, line \d+, asked to end the program \(sys\.exit\({}\)\): an episode"


@pytest.mark.parametrize("where", ["reset", "step"])
@pytest.mark.parametrize("code", [0, 3, None, "bye"])
@pytest.mark.parametrize("options", [{"workers": 1}, {"num_envs": 2}])
def test_an_exit_in_this_process_is_an_error_that_names_it(
    where: str, code: Any, options: dict[str, Any]
) -> None:
    with NPG(partial(Exiting, where, code), **OPTIONS, **options) as agent:
        before = agent.policy.parameters.tobytes()
        with pytest.raises(UserError, match=EXPECTED.format(repr(code))):
            agent.learn(100)
        assert (agent.iteration, agent.policy.parameters.tobytes()) == (0, before)
        with pytest.raises(UserError, match=EXPECTED.format(repr(code))):
            agent.evaluate(1)


def test_an_exit_of_what_makes_the_environment_is_one() -> None:
    with pytest.raises(UserError, match=EXPECTED.format("0")):
        NPG(partial(Exiting, "made"), **OPTIONS)


def test_an_exit_in_a_worker_comes_with_its_traceback() -> None:
    expected = r"(?s)rollout worker \d failed:.*in _leave\n.*SystemExit: 0"
    with (
        NPG(partial(Exiting, "step"), **OPTIONS, workers=2) as agent,
        pytest.raises(WorkerError, match=expected),
    ):
        agent.learn(100)


def test_the_handler_of_a_signal_may_exit() -> None:
    def leave(*_: object) -> None:
        sys.exit(7)

    before = signal.signal(signal.SIGUSR2, leave)
    try:
        with pytest.raises(SystemExit) as caught, exits_told():
            signal.raise_signal(signal.SIGUSR2)
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert caught.value.code == 7


def test_the_command_line_says_it_and_fails(capfd: pytest.CaptureFixture[str]) -> None:
    def program() -> int:
        NPG(partial(Exiting, "step"), **OPTIONS, workers=1).learn(100)
        return 0

    assert exit_code_of(program) == 2
    assert capfd.readouterr().err.startswith("error: _leave in ")


ENDING = """
import ctypes, sys
import gymnasium

class Ending(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (1,))
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        return self.observation_space.sample(), {}

    def step(self, action):
        WHAT

gymnasium.register("Ending-v0", Ending)
"""


@pytest.mark.parametrize("seeds", [1, 2])
@pytest.mark.parametrize(
    ("what", "codes", "words"),
    [
        ("sys.exit(0)", (2, 2), "line 13, asked to end the program (sys.exit(0)): an episode ends by"),
        ("exit()", (2, 2), "line 13, asked to end the program (sys.exit(None)): an episode ends by"),
        ("ctypes.string_at(0)", (-signal.SIGSEGV, 1), "Fatal Python error: Segmentation fault"),
    ],
)
def test_a_run_whose_environment_ends_it_fails_with_a_word(
    tmp_path: Path, what: str, codes: tuple[int, int], words: str, seeds: int
) -> None:
    (tmp_path / "ending.py").write_text(ENDING.replace("WHAT", what))
    command = [sys.executable, "-m", "fastfisher", "train", "ending:Ending-v0", "--workers", "1", "--quiet"]
    result = subprocess.run([*command, "--seeds", str(seeds)], capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == codes[seeds - 1]
    assert words in result.stderr
    assert "ending.py" in result.stderr
    assert seeds == 1 or "seed 1 failed with exit code" in result.stderr


def test_what_the_user_can_mend_is_one_line_whatever_it_quotes() -> None:
    space = spaces.Box(np.array([[0.0, 1.0], [2.0, 3.0]]), np.inf, dtype=np.float64)
    assert "\n" in str(space)
    assert str(UserError(f"expected  two of {space}")) == (
        "expected  two of Box([[0. 1.] [2. 3.]], inf, (2, 2), float64)"
    )
