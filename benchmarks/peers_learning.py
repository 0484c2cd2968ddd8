"""Stable-Baselines3-contrib's TRPO on this machine, for the wall time (and return) beside ours.

    python benchmarks/peers_learning.py Hopper-v5                    a million steps, then the final return
    python benchmarks/peers_learning.py Hopper-v5 --steps 100000     the time alone, extrapolated to a million
    python benchmarks/peers_learning.py Hopper-v5 --zoo              by the hyper-parameters of its zoo
    python benchmarks/peers_learning.py Ant-v5 --env-kwargs '{"include_cfrc_ext_in_observation": false}'

Its own defaults with 8 environments in one process, the peer of benchmarks/rollouts.py: 2,048 steps of each
an iteration, a 64-64 network, 15 CG steps, 10 epochs on the value network.  Or what rl-baselines3-zoo has for
the MuJoCo tasks (hyperparams/trpo.yml): observations and rewards standardized, 2 environments of 1,024 steps
an iteration, damping 0.1, 25 CG steps, 20 epochs.  There its published returns are of -v3 and -v4; these are
of the environment named.  The time is that of `learn`, and one of fewer steps is extrapolated in proportion,
which the tables say; they show it beside rows of the same environment and arguments.  Writes
benchmarks/results/learning/peers.
"""

from __future__ import annotations

import argparse
import json
import time
import zlib
from pathlib import Path
from typing import Any

from suites.results import PEERS, RESULTS, Record
from versus import record

import fastfisher
from fastfisher.runs.folder import file_name
from fastfisher.training.rollouts.cores import usable_cores

PEER = "sb3-contrib TRPO"
MILLION = 1_000_000
ENVIRONMENTS = {"defaults": 8, "zoo": 2}
_OF_THE_ZOO: dict[str, Any] = {
    "batch_size": 128,
    "n_steps": 1024,
    "gamma": 0.99,
    "gae_lambda": 0.95,
    "cg_max_steps": 25,
    "cg_damping": 0.1,
    "n_critic_updates": 20,
    "learning_rate": 1e-3,
}
_OF_A_TASK: dict[str, dict[str, Any]] = {"HalfCheetah": {"target_kl": 0.04}, "Swimmer": {"gamma": 0.9999}}


def train(options: argparse.Namespace) -> tuple[Any, float]:
    """Return the trained model and the seconds that `learn` took."""
    import torch
    from sb3_contrib import TRPO
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.vec_env import VecNormalize

    torch.set_num_threads(options.threads)
    count, hyper = ENVIRONMENTS[options.settings], {}
    envs = make_vec_env(options.env, count, seed=options.seed, env_kwargs=options.env_kwargs)
    if options.settings == "zoo":
        hyper = _OF_THE_ZOO | _OF_A_TASK.get(options.env.split("-")[0], {})
        envs = VecNormalize(envs, gamma=hyper["gamma"])
    model = TRPO("MlpPolicy", envs, device="cpu", seed=options.seed, **hyper)
    start = time.perf_counter()
    model.learn(options.steps)
    return model, time.perf_counter() - start


def evaluate(model: Any, options: argparse.Namespace) -> Record:
    """Return the mean policy's returns, as the library's documentation evaluates."""
    import numpy as np
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.evaluation import evaluate_policy
    from stable_baselines3.common.vec_env import VecNormalize

    episodes = options.episodes
    env = make_vec_env(options.env, 1, seed=options.seed + 1_000, env_kwargs=options.env_kwargs)
    if isinstance(model.env, VecNormalize):
        # Its statistics of training; returns in the environment's own unit.
        env = VecNormalize(env, training=False, norm_reward=False)
        env.obs_rms = model.env.obs_rms
    returns, _ = evaluate_policy(model, env, episodes, return_episode_rewards=True)
    env.close()
    return {
        "episodes": episodes,
        "mean_policy": {
            "mean": round(float(np.mean(returns)), 2),
            "std": round(float(np.std(returns, ddof=min(1, episodes - 1))), 2),
        },
    }


def file_of(options: argparse.Namespace) -> str:
    """Return a name that two records of different things do not share."""
    kind = "-zoo" if options.settings == "zoo" else ""
    arguments = json.dumps(options.env_kwargs, sort_keys=True)
    digest = f"-{zlib.crc32(arguments.encode()):08x}" if options.env_kwargs else ""
    return f"sb3-contrib-trpo{kind}-{file_name(options.env)}{digest}-seed{options.seed}.json"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("env")
    parser.add_argument("--steps", type=int, default=MILLION)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--zoo", dest="settings", action="store_const", const="zoo", default="defaults")
    parser.add_argument("--env-kwargs", type=json.loads, default={}, help="of the environment, JSON")
    parser.add_argument("--threads", type=int, default=usable_cores(), help="of PyTorch")
    parser.add_argument("--episodes", type=int, default=50, help="of the evaluation after a whole run")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()

    model, seconds = train(options)
    whole = options.steps >= MILLION
    found = {
        "peer": PEER,
        "env": options.env,
        "env_kwargs": options.env_kwargs,
        "hyperparameters": options.settings,
        "seed": options.seed,
        "steps": model.num_timesteps,
        "seconds": round(seconds, 1),
        "seconds_million": round(seconds * MILLION / model.num_timesteps, 1),
        "extrapolated": not whole,
        "evaluation": evaluate(model, options) if whole else None,
    }
    path = options.results / PEERS / file_of(options)
    settings = {"threads": options.threads, "environments": ENVIRONMENTS[options.settings]}
    record.write_json(path, found | record.header(settings, fastfisher.show_config()))
    words = (
        "" if found["evaluation"] is None else f", return {found['evaluation']['mean_policy']['mean']:,.1f}"
    )
    print(f"{PEER} {options.env}: {found['seconds_million']:,.0f} s a million steps{words}")


if __name__ == "__main__":
    main()
