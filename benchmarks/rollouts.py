"""Training, all included, against Stable-Baselines3-contrib's TRPO; and the time outside ``env.step``.

    python benchmarks/rollouts.py [--env HalfCheetah-v5] [--rounds 5] [--contenders linear mlp ...]

Writes benchmarks/results/rollouts.json and prints a table.  Each contender trains in a process of its own.
They take turns of about 16,384 environment steps, in an order that is reversed every round, so a machine
that changes its speed changes it for all; the others sleep meanwhile.  A turn is everything: rollouts,
advantages, update, value function, and for ours the line of progress.csv, progress.jsonl and the event
file.  `ratio` is the median over rounds of steps a second over the peer's of the same round;
`cores_busy_with_others` is what else the machine did meanwhile, in mean processors.

`outside` is (wall - inside) / wall over all turns, inside being the seconds in ``env.step`` averaged over the
workers: what waits for the other worker, resets, chooses, copies or learns is outside.  EnvPool's threads
simulate while the policy acts: there, inside is the time that the caller waits for them.

TRPO has its defaults: 2,048 steps of each of 8 environments an iteration, 15 CG steps, 10 epochs on the value
network.  All policies that are networks, and value networks, have two hidden layers of 64 (17-64-64-6 where
the environment is HalfCheetah), and iterations of ours as many steps, 15 CG steps and single precision.

mlp                   NPG: the step of the empirical Fisher matrix, as it is
mlp, TRPO             what the peer does: the exact Fisher matrix and a line search
mlp, EnvPool          as mlp, 20 environments
mlp, quadratic value  as mlp, but no value network, 10 CG steps and 10,000 steps an iteration
linear                the preset
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from versus import record
from versus.options import destination, positive
from versus.pairs import SETTLE_SECONDS
from versus.quiet import Bystanders, tree_seconds

RESULTS = Path(__file__).resolve().parent / "results" / "rollouts.json"
PEER = "sb3-contrib TRPO"
ENV = "HalfCheetah-v5"
ROUNDS = 5
TURN_STEPS = 16_384
# Spelled out where a default could move what the record means.
MLP: dict[str, Any] = {
    "policy": "mlp",
    "hidden": (64, 64),
    "batch_steps": TURN_STEPS,
    "solver": "cg",
    "cg_iterations": 15,
    "precision": "single",  # as in PyTorch
    "damping": 0.1,
    "baseline": "mlp",
    "baseline_hidden": (64, 64),
    "baseline_steps": 4,
    "momentum": 0.0,
    "initial_log_std": -1.0,
    "normalize_observations": False,
}
OURS: dict[str, dict[str, Any]] = {
    "linear": {"policy": "linear"},
    "mlp": MLP,
    "mlp, TRPO": {**MLP, "algorithm": "trpo", "fisher": "exact"},
    "mlp, EnvPool": {**MLP, "backend": "envpool", "num_envs": 20},
    "mlp, quadratic value": {**MLP, "baseline": "quadratic", "cg_iterations": 10, "batch_steps": 10_000},
}

Turn = Callable[[], tuple[int, float]]
"""Trains for a while; returns steps and, where it is known, seconds inside ``env.step``."""


def nothing() -> None:
    pass


def ours(env: str, name: str, folder: Path) -> tuple[Turn, Callable[[], None]]:
    import fastfisher as ff
    from fastfisher.runs.log import ProgressLog

    settings = dict(OURS[name])
    kind = ff.TRPO if settings.pop("algorithm", "npg") == "trpo" else ff.NPG
    agent = kind(env, seed=0, **settings)
    folder.mkdir()
    log = ProgressLog(folder)

    def turn() -> tuple[int, float]:
        before, inside = agent.steps, 0.0

        def on_iteration(info: ff.training.IterationInfo) -> None:
            nonlocal inside
            inside += info.seconds_env_step
            log.append(info)

        agent.learn(TURN_STEPS, callback=on_iteration)
        return agent.steps - before, inside

    return turn, agent.close


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


def serve(pipe: Connection, env: str, name: str, threads: int, folder: Path) -> None:
    """A contender's process: one turn for each message."""
    turn, close = peer(env, threads) if name == PEER else ours(env, name, folder)
    try:
        turn()  # compiles, imports, fills caches
        pipe.send(None)
        while pipe.recv():
            start = time.perf_counter()
            steps, inside = turn()
            pipe.send((steps, time.perf_counter() - start, inside))
    finally:
        close()


@dataclass(frozen=True)
class Contender:
    """The parent's end of a contender's process."""

    name: str
    process: BaseProcess
    pipe: Connection

    def receive(self) -> Any:
        """Return its answer.

        Raises
        ------
        SystemExit
            Where it has ended instead; its own message is on the terminal.
        """
        try:
            # Its workers may hold its end of the pipe open: the end of the process is looked for as well.
            while not self.pipe.poll(1.0):
                if self.process.exitcode is not None:
                    raise EOFError
            return self.pipe.recv()
        except (EOFError, OSError):
            self.process.join(10.0)
            raise SystemExit(f"{self.name} ended with exit code {self.process.exitcode}") from None

    def take_turn(self, bystanders: Bystanders) -> tuple[int, float, float]:
        """Have it train while the others sleep; return steps, seconds and those in ``env.step``."""
        time.sleep(SETTLE_SECONDS)
        own = tree_seconds(self.process.pid)
        bystanders.start()
        with suppress(OSError):  # it has ended, as `receive` will say
            self.pipe.send(True)
        turn: tuple[int, float, float] = self.receive()
        bystanders.stop(tree_seconds(self.process.pid) - own)
        return turn


@contextmanager
def contenders(env: str, names: Sequence[str], threads: int) -> Iterator[list[Contender]]:
    """Start the contenders' processes, one after another; end them, whatever happens."""
    context = multiprocessing.get_context("spawn")
    started: list[Contender] = []
    with tempfile.TemporaryDirectory(prefix="fastfisher-benchmark-") as scratch:
        try:
            for number, name in enumerate(names):
                mine, its = context.Pipe()
                arguments = (its, env, name, threads, Path(scratch) / str(number))
                process = context.Process(target=serve, args=arguments)
                process.start()
                its.close()
                started.append(Contender(name, process, mine))
                started[-1].receive()
            yield started
            for contender in started:
                with suppress(OSError):
                    contender.pipe.send(False)
                contender.process.join(10.0)
        finally:
            for contender in started:
                contender.process.terminate()
                contender.process.join()


@dataclass(frozen=True)
class Turns:
    """What a contender did: steps, seconds and those in ``env.step`` of each turn."""

    own: list[tuple[int, float, float]]
    bystanders: Bystanders


def measure(env: str, names: Sequence[str], rounds: int, threads: int) -> dict[str, Turns]:
    """Have all contenders take their turns."""
    turns = {name: Turns([], Bystanders()) for name in names}
    with contenders(env, names, threads) as started:
        for number in range(rounds):
            for contender in started if number % 2 == 0 else reversed(started):
                of_contender = turns[contender.name]
                of_contender.own.append(contender.take_turn(of_contender.bystanders))
    return turns


def summary(turns: dict[str, Turns]) -> list[record.Row]:
    """Return a row for each contender."""
    rates = {name: [steps / wall for steps, wall, _ in of_one.own] for name, of_one in turns.items()}
    rows = []
    for name, of_one in turns.items():
        wall, inside = sum(w for _, w, _ in of_one.own), sum(i for _, _, i in of_one.own)
        row: record.Row = {"contender": name, "steps_per_second": round(statistics.median(rates[name]))}
        if name != PEER:
            row["outside"] = round(1.0 - inside / wall, 4)
            if PEER in rates:
                ratios = [a / b for a, b in zip(rates[name], rates[PEER], strict=True)]
                row["ratio"] = round(statistics.median(ratios), 2)
                row["ratios"] = [round(ratio, 2) for ratio in ratios]
        others = of_one.bystanders.cores()
        row["cores_busy_with_others"] = None if others is None else round(others, 3)
        rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--env", default=ENV)
    parser.add_argument("--rounds", type=positive, default=ROUNDS)
    parser.add_argument("--contenders", nargs="+", choices=[*OURS, PEER], default=[*OURS, PEER])
    parser.add_argument("--out", type=Path, help=f"default {RESULTS.relative_to(record.ROOT)}")
    options = parser.parse_args()
    less = {
        "--env": options.env != ENV,
        "--rounds": options.rounds < ROUNDS,
        "--contenders": not set(options.contenders) >= {*OURS, PEER},
    }
    out = destination(parser, options.out, RESULTS, less)

    import fastfisher as ff
    from fastfisher.training.rollouts.cores import usable_cores

    facts = {"env": options.env, "rounds": options.rounds, "settings": OURS}
    head = record.header(facts, ff.show_config())
    names = list(dict.fromkeys(options.contenders))
    rows = summary(measure(options.env, names, options.rounds, usable_cores()))
    for row in rows:
        print("  ".join(f"{name} {value}" for name, value in row.items() if name != "ratios"))
    record.write(out, head, rows)


if __name__ == "__main__":
    main()
