"""Stable-Baselines3-contrib's TRPO on this machine, for the wall time (and return) beside ours.

    python benchmarks/peers_learning.py Hopper-v5                    a million steps, then the final return
    python benchmarks/peers_learning.py Hopper-v5 --steps 100000     the time alone, extrapolated to a million

Its own defaults with 8 environments in one process, the peer of benchmarks/rollouts.py: 2,048 steps of each
an iteration, a 64-64 network, 15 CG steps, 10 epochs on the value network.  The time is that of `learn`, and
one of fewer steps is extrapolated in proportion, which the tables say.  Writes
benchmarks/results/learning/peers.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import gymnasium
from suites.results import PEERS, RESULTS, Record, write_json
from versus import record

import fastfisher
from fastfisher.training.cores import usable_cores

PEER = "sb3-contrib TRPO"
MILLION = 1_000_000
ENVIRONMENTS = 8


def train(env: str, steps: int, seed: int, threads: int) -> tuple[Any, float]:
    """Return the trained model and the seconds that `learn` took."""
    import torch
    from sb3_contrib import TRPO
    from stable_baselines3.common.env_util import make_vec_env

    torch.set_num_threads(threads)
    model = TRPO("MlpPolicy", make_vec_env(env, ENVIRONMENTS, seed=seed), device="cpu", seed=seed)
    start = time.perf_counter()
    model.learn(steps)
    return model, time.perf_counter() - start


def evaluate(model: Any, env: str, episodes: int) -> Record:
    """Return the mean policy's returns, as the library's documentation evaluates."""
    import numpy as np
    from stable_baselines3.common.evaluation import evaluate_policy
    from stable_baselines3.common.monitor import Monitor

    with Monitor(gymnasium.make(env)) as single:
        returns, _ = evaluate_policy(model, single, episodes, return_episode_rewards=True)
    return {
        "episodes": episodes,
        "mean_policy": {
            "mean": round(float(np.mean(returns)), 2),
            "std": round(float(np.std(returns, ddof=min(1, episodes - 1))), 2),
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("env")
    parser.add_argument("--steps", type=int, default=MILLION)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=usable_cores(), help="of PyTorch")
    parser.add_argument("--episodes", type=int, default=50, help="of the evaluation after a whole run")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()

    model, seconds = train(options.env, options.steps, options.seed, options.threads)
    whole = options.steps >= MILLION
    found = {
        "peer": PEER,
        "env": options.env,
        "seed": options.seed,
        "steps": model.num_timesteps,
        "seconds": round(seconds, 1),
        "seconds_million": round(seconds * MILLION / model.num_timesteps, 1),
        "extrapolated": not whole,
        "evaluation": evaluate(model, options.env, options.episodes) if whole else None,
    }
    path = options.results / PEERS / f"sb3-contrib-trpo-{options.env}-seed{options.seed}.json"
    settings = {"threads": options.threads, "environments": ENVIRONMENTS}
    write_json(path, found | record.header(settings, fastfisher.show_config()))
    words = (
        "" if found["evaluation"] is None else f", return {found['evaluation']['mean_policy']['mean']:,.1f}"
    )
    print(f"{PEER} {options.env}: {found['seconds_million']:,.0f} s a million steps{words}")


if __name__ == "__main__":
    main()
