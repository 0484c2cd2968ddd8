"""Beside the thread pools of other frameworks: workers, forks, and limits that hold for all of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import fastfisher

# What uses a framework's pool, here and in the step of an environment.
TORCH = """
import torch
torch.set_num_threads(2)
def squash(numbers):
    torch.set_num_threads(2)
    return torch.tanh(torch.from_numpy(numbers)).numpy()
"""
JAX = """
import jax
def squash(numbers):
    return jax.device_get(jax.numpy.tanh(numbers))
"""
TRAIN = """
import gymnasium, numpy as np
from fastfisher.training import NPG

class Squashed(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (2,))
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.left = 20
        return self.observe(), {}

    def observe(self):  # of numbers enough to be shared out among threads
        return squash(self.np_random.standard_normal(100_000).astype(np.float32))[:2]

    def step(self, action):
        self.left -= 1
        return self.observe(), float(-(action[0] ** 2)), False, self.left == 0, {}

def train(workers):
    with NPG(Squashed, policy="linear", seed=0, batch_steps=100, workers=workers) as agent:
        agent.learn(200)
        assert agent._rollouts.notes == (), agent._rollouts.notes
        return agent.policy.parameters.tobytes()

squash(np.zeros(1_000_000, np.float32))
expected = train(1)  # where both pools run in this process
print(train(2) == expected)
"""
FORK = """
import os, signal, numpy as np, fastfisher as ff
squash(np.zeros(1_000_000, np.float32))
S = np.random.default_rng(0).standard_normal((900, 300))
expected = ff.natural_step(S, S[:, 0], num_threads=2).step
child = os.fork()
if child == 0:
    signal.alarm(60)
    step = ff.natural_step(S, S[:, 0], num_threads=2).step
    os._exit(0 if step.tobytes() == expected.tobytes() else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0)
"""
LIMITS = """
import fastfisher as ff, threadpoolctl

def limits():
    return {one["user_api"]: one["num_threads"] for one in threadpoolctl.threadpool_info()}

before = limits()
with threadpoolctl.threadpool_limits(1):
    inside = limits()
assert {"openmp", "fastfisher"} <= set(before), before
assert set(inside.values()) == {1}, inside
print(limits() == before)
"""

USES = pytest.mark.parametrize(("framework", "use"), [("torch", TORCH), ("jax", JAX)], ids=["torch", "jax"])


def run(program: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore::RuntimeWarning", "-c", program],
        env={
            **os.environ,
            "PYTHONPATH": str(Path(fastfisher.__file__).parents[1]),
            "FASTFISHER_NUM_THREADS": "3",
        },
        timeout=200,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "True\n", done.stderr


@USES
def test_workers_run_an_environment_that_uses_the_framework(framework: str, use: str) -> None:
    """A fork of this process would hang there, since it would have the pools without their threads."""
    pytest.importorskip(framework)
    pytest.importorskip("gymnasium")
    run(use + TRAIN)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@USES
def test_a_step_in_a_fork_after_both_pools_ran(framework: str, use: str) -> None:
    pytest.importorskip(framework)
    run(use + FORK)


def test_one_limit_holds_for_the_threads_of_torch_and_of_a_step() -> None:
    pytest.importorskip("torch")
    pytest.importorskip("threadpoolctl", minversion="3.2")
    run(TORCH + LIMITS)
