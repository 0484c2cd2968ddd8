"""Training, all included, against Stable-Baselines3-contrib's TRPO; and the time outside ``env.step``.

    python benchmarks/rollouts.py [--env HalfCheetah-v5] [--rounds 5] [--contenders linear mlp ...]

Writes benchmarks/results/rollouts.json and prints a table.  Each contender trains in a process of its own.
They take turns of about 16,384 environment steps, in an order that is reversed every round, so a machine
that changes its speed changes it for all; the others sleep meanwhile.  A turn is everything: rollouts,
advantages, update, value function, and for ours the line of progress.csv, progress.jsonl and the event
file.  `ratio` is the median over rounds of steps a second over the peer's of the same round.

`outside` is (wall - inside) / wall over all turns, inside being the seconds in ``env.step`` averaged over the
workers: what waits for the other worker, resets, chooses, copies or learns is outside.  EnvPool's threads
simulate while the policy acts: there, inside is the time that the caller waits for them.

All MLPs are 17-64-64-6 where the environment is HalfCheetah.  TRPO has its defaults: 2,048 steps of each of 8
environments an iteration, 15 CG steps, 10 epochs on a value network of the same size.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from versus import record

RESULTS = Path(__file__).resolve().parent / "results"
PEER = "sb3-contrib TRPO"
TURN_STEPS = 16_384
# TRPO's own number of CG iterations (arXiv 1502.05477) and, as in PyTorch, single precision.
CG = {"solver": "cg", "cg_iterations": 10, "precision": "single"}
# Spelled out where a default could move what the record means.
PLAIN = {
    "baseline": "quadratic",
    "momentum": 0.0,
    "initial_log_std": -1.0,
    "normalize_observations": False,
}
MLP = {"policy": "mlp", "hidden": (64, 64), "damping": 0.1, **PLAIN, **CG}
OURS: dict[str, dict[str, Any]] = {
    "linear": {"policy": "linear"},
    "mlp": MLP,
    "mlp, EnvPool": {**MLP, "backend": "envpool", "num_envs": 20},
}

Turn = Callable[[], tuple[int, float]]
"""Trains for a while; returns steps and, where it is known, seconds inside ``env.step``."""


def nothing() -> None:
    pass


def ours(env: str, name: str) -> tuple[Turn, Callable[[], None]]:
    import fastfisher as ff
    from fastfisher.training.progress_log import ProgressLog

    agent = ff.NPG(env, seed=0, **OURS[name])
    log = ProgressLog(Path(tempfile.mkdtemp(prefix="fastfisher-benchmark-")))

    def turn() -> tuple[int, float]:
        before, inside = agent.steps, 0.0

        def on_iteration(info: ff.training.IterationInfo) -> None:
            nonlocal inside
            inside += info.seconds_env_step
            log.append(info)

        agent.learn(TURN_STEPS, callback=on_iteration)
        return agent.steps - before, inside

    def close() -> None:
        agent.close()
        log.close()

    return turn, close


def peer(env: str, threads: int) -> tuple[Turn, Callable[[], None]]:
    import torch
    from sb3_contrib import TRPO
    from stable_baselines3.common.env_util import make_vec_env

    torch.set_num_threads(threads)
    model = TRPO(
        "MlpPolicy", make_vec_env(env, 8, seed=0), policy_kwargs={"net_arch": [64, 64]}, device="cpu", seed=0
    )

    def turn() -> tuple[int, float]:
        before = model.num_timesteps
        model.learn(TURN_STEPS, reset_num_timesteps=False)
        return model.num_timesteps - before, float("nan")

    return turn, nothing


def serve(pipe: Connection, env: str, name: str, threads: int) -> None:
    """A contender's process: one turn for each message."""
    turn, close = peer(env, threads) if name == PEER else ours(env, name)
    turn()  # compiles, imports, fills caches
    pipe.send(None)
    while pipe.recv():
        start = time.perf_counter()
        steps, inside = turn()
        pipe.send((steps, time.perf_counter() - start, inside))
    close()


def measure(
    env: str, names: list[str], rounds: int, threads: int
) -> dict[str, list[tuple[int, float, float]]]:
    context = multiprocessing.get_context("spawn")
    pipes: dict[str, Any] = {}
    for name in names:
        pipes[name], theirs = context.Pipe()
        context.Process(target=serve, args=(theirs, env, name, threads), daemon=False).start()
        pipes[name].recv()
    turns: dict[str, list[tuple[int, float, float]]] = {name: [] for name in names}
    for number in range(rounds):
        for name in names if number % 2 == 0 else reversed(names):
            pipes[name].send(True)
            turns[name].append(pipes[name].recv())
    for pipe in pipes.values():
        pipe.send(False)
    return turns


def summary(turns: dict[str, list[tuple[int, float, float]]]) -> list[dict[str, Any]]:
    rates = {name: [steps / wall for steps, wall, _ in own] for name, own in turns.items()}
    rows = []
    for name, own in turns.items():
        wall, inside = sum(w for _, w, _ in own), sum(i for _, _, i in own)
        row = {"contender": name, "steps_per_second": round(statistics.median(rates[name]))}
        if name != PEER:
            row["outside"] = round(1.0 - inside / wall, 4)
            if PEER in rates:
                ratios = [a / b for a, b in zip(rates[name], rates[PEER], strict=True)]
                row["ratio"] = round(statistics.median(ratios), 2)
                row["ratios"] = [round(ratio, 2) for ratio in ratios]
        rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--env", default="HalfCheetah-v5")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--contenders", nargs="+", choices=[*OURS, PEER], default=[*OURS, PEER])
    parser.add_argument("--out", type=Path, default=RESULTS / "rollouts.json")
    options = parser.parse_args()

    import fastfisher as ff
    from fastfisher.training.cores import usable_cores

    head = record.header({"env": options.env, "rounds": options.rounds}, ff.show_config())
    rows = summary(measure(options.env, options.contenders, options.rounds, usable_cores()))
    for row in rows:
        print("  ".join(f"{name} {value}" for name, value in row.items()))
    record.write(options.out, head, rows)


if __name__ == "__main__":
    main()
