"""Does a policy recover from a push?  Policies trained from diverse initial states and from the usual ones.

    fastfisher train Hopper-v5 --seed 0 --out runs/usual-0
    fastfisher train Hopper-v5 --seed 0 --out runs/diverse-0 --init-noise 0.3
    python benchmarks/experiments perturbation usual=runs/usual-0 diverse=runs/diverse-0

Each word is a label and a run folder, a checkpoint or an exported policy; those of one label are pooled.
Each policy plays the same episodes (its most likely actions, the environment's usual initial states) once
for each strength; from second 4 on its torso is pushed for half a second (push.py).

The criterion, fixed before any result was seen: an episode recovers if it is still alive, and earns at least
80% of the reward a second that the policy earns unpushed, from 2 to 3 seconds after the push.  The latter is
the median over its unpushed episodes that live so long.  The row of strength 0 is the control.

Writes benchmarks/results/perturbation/<environment>.json and .png, and prints a table.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from suites.results import BENCHMARKS
from versus import record

import fastfisher
from fastfisher.runs.folder import file_name
from fastfisher.training import UserError
from fastfisher.training.whole_files import replacing

from .push import Push
from .trained import Trained, load

RESULTS = BENCHMARKS / "results" / "perturbation"
STRENGTHS = (0.0, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 4.0)
START, DURATION = 4.0, 0.5
"""The push's, in seconds: the middle of the shortest episodes, Hopper's and Walker2d's of 8 s."""
SETTLE, WINDOW = 2.0, 1.0
"""Seconds from the push's end to the time that is judged, and the length of that time."""
ENOUGH = 0.8
"""Share of the unpushed reward a second."""

Array = NDArray[np.float64]


def rewards_after(trained: Trained, strength: float, seeds: Sequence[int]) -> Array:
    """Return the mean reward a step in the time that is judged, (episodes,); NaN where it is not lived to."""
    config = trained.config
    env = Push(trained.environment(), strength, START, DURATION)
    dt: float = env.get_wrapper_attr("dt")
    begin = env.last + round(SETTLE / dt)
    end = begin + round(WINDOW / dt)
    rates = []
    for seed in seeds:
        observation, _ = env.reset(seed=seed)
        rewards, ended = [], False
        while len(rewards) < end and not ended:
            observation, reward, ended, cut, _ = env.step(trained.policy.predict(observation))
            rewards.append(float(reward))
            if cut and len(rewards) < end:
                raise UserError(
                    f"{config.env}: episodes end before the push can be judged, at {end * dt:.1f} s"
                )
        rates.append(float(np.mean(rewards[begin:end])) if len(rewards) == end and not ended else math.nan)
    env.close()
    return np.array(rates)


def judged(rates: Array, usual: float) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which episodes are alive, and which have recovered."""
    alive = ~np.isnan(rates)
    return alive, alive & (np.nan_to_num(rates, nan=-np.inf) >= ENOUGH * usual)


def usual_rate(trained: Trained, rates: Array) -> float:
    """Return the median of the unpushed episodes' rates.

    Raises
    ------
    UserError
        Where there is nothing to get back to.
    """
    usual = float(np.nanmedian(rates)) if np.isfinite(rates).any() else math.nan
    if not usual > 0.0:
        raise UserError(f"{trained.path}: unpushed the policy earns {usual:.3g} a step: train it for longer")
    return usual


def interval(successes: int, trials: int, z: float = 1.96) -> tuple[float, float]:
    """Return Wilson's 95% interval of a share."""
    share, square = successes / trials, z * z / trials
    middle = (share + square / 2) / (1 + square)
    half = z / (1 + square) * math.sqrt(share * (1 - share) / trials + square / (4 * trials))
    return max(0.0, middle - half), min(1.0, middle + half)


def measure(
    label: str, policies: Sequence[Trained], strengths: Sequence[float], episodes: int
) -> list[record.Row]:
    """Return a row for each strength."""
    seeds = range(1_000_000, 1_000_000 + episodes)
    usual = [usual_rate(p, rewards_after(p, 0.0, seeds)) for p in policies]
    rows = []
    for strength in strengths:
        outcomes = [
            judged(rewards_after(p, strength, seeds), u) for p, u in zip(policies, usual, strict=True)
        ]
        alive = sum(int(a.sum()) for a, _ in outcomes)
        recovered = [int(r.sum()) for _, r in outcomes]
        trials = episodes * len(policies)
        low, high = interval(sum(recovered), trials)
        rows.append(
            {
                "label": label, "strength": strength, "policies": len(policies), "episodes": trials,
                "alive": alive / trials, "recovered": sum(recovered) / trials, "low": low, "high": high,
                "recovered_of_each": [n / episodes for n in recovered], "usual_reward_a_step": usual,
            }
        )  # fmt: skip
        print(
            f"{label:<16} push {strength:<5g} weights   alive {alive / trials:4.0%}   "
            f"recovered {sum(recovered) / trials:4.0%} ({low:.0%} to {high:.0%})",
            flush=True,
        )
    return rows


def draw(env: str, rows: Sequence[record.Row], out: Path) -> None:
    """Draw the share of recovered episodes against the strength."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from fastfisher.runs.curves import COLORS

    figure, axes = plt.subplots(figsize=(6.0, 3.6), layout="constrained")
    labels = list(dict.fromkeys(row["label"] for row in rows))
    for label, color in zip(labels, COLORS * len(labels), strict=False):
        of_label = sorted((row for row in rows if row["label"] == label), key=lambda row: row["strength"])
        x = range(len(of_label))
        axes.fill_between(
            x, *([row[end] for row in of_label] for end in ("low", "high")), color=color, alpha=0.15, lw=0
        )
        axes.plot(x, [row["recovered"] for row in of_label], "o-", color=color, label=label)
        axes.set_xticks(x, [f"{row['strength']:g}" for row in of_label])
    axes.set(ylim=(-0.03, 1.03), xlabel="push of 0.5 s, in weights of the robot", ylabel="share recovered")
    axes.set_title(env, loc="left", fontweight="bold")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#e6e6e6")
    axes.legend(frameon=False, title="trained from initial states")
    with replacing(out) as temporary:
        figure.savefig(temporary, dpi=110)
    plt.close(figure)


def parser() -> argparse.ArgumentParser:
    words = argparse.ArgumentParser(
        prog="python benchmarks/experiments perturbation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    words.add_argument("policies", nargs="+", metavar="LABEL=PATH")
    words.add_argument(
        "--strengths", type=float, nargs="+", default=STRENGTHS, help="in weights of the robot"
    )
    words.add_argument("--episodes", type=int, default=50, help="of each policy and strength")
    words.add_argument("--out", type=Path, default=RESULTS)
    return words


def main(arguments: Sequence[str]) -> int:
    options = parser().parse_args(arguments)
    groups: dict[str, list[Trained]] = {}
    try:
        if options.episodes < 1:
            raise UserError(f"--episodes: expected at least 1, got {options.episodes}")
        for word in options.policies:
            label, found, path = word.partition("=")
            if not found:
                raise UserError(f"expected LABEL=PATH, got {word}")
            groups.setdefault(label, []).append(load(Path(path)))
        envs = {trained.config.env for group in groups.values() for trained in group}
        if len(envs) > 1:
            raise UserError(f"expected policies of one environment, got {', '.join(sorted(envs))}")
        (env,) = envs
        rows: list[record.Row] = []
        for label, group in groups.items():
            rows += measure(label, group, options.strengths, options.episodes)
    except (UserError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    facts: dict[str, Any] = {
        "env": env,
        "criterion": {
            "push_starts": START, "push_lasts": DURATION, "settle": SETTLE, "window": WINDOW, "share": ENOUGH
        },
        "training": {
            label: [{"seed": t.config.seed, "steps": t.steps, "config": t.config.to_dict()} for t in group]
            for label, group in groups.items()
        },
    }  # fmt: skip
    out = options.out / f"{file_name(env)}.json"
    record.write(out, record.header(facts, fastfisher.show_config()), rows)
    draw(env, rows, out.with_suffix(".png"))
    print(out, out.with_suffix(".png"), sep="\n")
    return 0
