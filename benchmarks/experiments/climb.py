"""How much better can a trained policy's weights be?  Climbs on the mean policy's return itself.

    python -m pip install ".[bench]"
    python benchmarks/experiments climb benchmarks/results/learning/paper/Swimmer-v5-linear/seed0.npz

Training climbs on discounted returns of noisy actions.  This takes the weights of the policy's last layer
(all of a linear policy's) and searches around them, and around multiples of them, by CMA-ES (the library
`cma`), for the undiscounted return of the most likely actions.  Where it finds little, what is short of a
published return is the gait, or the simulator, and no longer the step.  Where it finds much, training was.

It plays the same few episodes for every candidate; beginning and end are compared over episodes that neither
saw.  Writes benchmarks/results/climb/<environment>-<policy>-seed<seed>.json.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from suites.results import BENCHMARKS
from versus import record

import fastfisher
from fastfisher.exported import NumpyPolicy
from fastfisher.runs.folder import file_name
from fastfisher.training import UserError

from .trained import Trained, load, play

RESULTS = BENCHMARKS / "results" / "climb"
SCALES = (0.3, 0.5, 0.7, 1.0, 1.5)
"""Multiples of the weights, of which the search begins at the best: actions are clipped, so it matters."""
FIRST_SEED, FRESH_SEED = 2_000_000, 3_000_000
"""The first seeds of the episodes that the search plays, and of those that judge it."""

Array = NDArray[np.float64]


class LastLayer:
    """The return of a policy as a function of its last layer's weights, one vector."""

    def __init__(self, trained: Trained) -> None:
        policy = trained.policy
        self._header, self._arrays = policy.header, policy.arrays
        self._name = f"layer{policy.header['layers'] - 1}"
        self._env = trained.environment()

    def weights(self) -> Array:
        """Return the weights that training ended with."""
        return self._arrays[self._name].ravel().copy()

    def policy(self, weights: Array) -> NumpyPolicy:
        """Return the policy of other weights."""
        layer = weights.reshape(self._arrays[self._name].shape)
        return NumpyPolicy(self._header, {**self._arrays, self._name: layer})

    def returns(self, weights: Array, seeds: Sequence[int]) -> Array:
        """Return the undiscounted return of each seed's episode."""
        policy = self.policy(weights)
        return np.array([play(self._env, policy, seed)[0] for seed in seeds])


def climb(layer: LastLayer, evaluations: int, seeds: Sequence[int], seed: int) -> tuple[float, Array]:
    """Return the multiple of the weights that the search began at, and the best weights it found."""
    import cma

    trained = layer.weights()
    scale = max(SCALES, key=lambda scale: layer.returns(scale * trained, seeds).mean())
    start = scale * trained
    spread = float(np.sqrt(np.mean(start**2)))
    # CMA-ES draws its seed from the time where it is 0.
    options = {"seed": seed + 1, "maxfevals": evaluations, "verbose": -9}
    search = cma.CMAEvolutionStrategy(start, 0.1 * spread, options)
    while not search.stop():
        candidates = search.ask()
        search.tell(candidates, [-layer.returns(weights, seeds).mean() for weights in candidates])
        print(f"{search.countevals:>7,} policies   {-search.best.f:,.1f}", end="\r", flush=True)
    print()
    # The distribution's mean is less of a lucky draw than the best candidate.
    return scale, np.asarray(search.result.xfavorite)


def summary(returns: Array) -> dict[str, float]:
    """Return what a record has of some episodes."""
    return {name: float(getattr(returns, name)()) for name in ("mean", "std", "min", "max")}


def parser() -> argparse.ArgumentParser:
    words = argparse.ArgumentParser(
        prog="python benchmarks/experiments climb",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    words.add_argument("policies", nargs="+", type=Path, metavar="PATH", help="run folder, .zip or .npz")
    words.add_argument("--evaluations", type=int, default=3_000, help="policies tried")
    words.add_argument("--episodes", type=int, default=2, help="of each policy tried")
    words.add_argument("--fresh", type=int, default=50, help="episodes that compare beginning and end")
    words.add_argument("--seed", type=int, default=0, help="of the search")
    words.add_argument("--out", type=Path, default=RESULTS)
    return words


def main(arguments: Sequence[str]) -> int:
    options = parser().parse_args(arguments)
    try:
        for name in ("evaluations", "episodes", "fresh"):
            if getattr(options, name) < 1:
                raise UserError(f"--{name}: expected at least 1, got {getattr(options, name)}")
        if importlib.util.find_spec("cma") is None:
            raise UserError('the library cma is not installed: python -m pip install ".[bench]"')
        policies = [load(path) for path in options.policies]
    except (UserError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    seen = range(FIRST_SEED, FIRST_SEED + options.episodes)
    fresh = range(FRESH_SEED, FRESH_SEED + options.fresh)
    for trained in policies:
        config, layer = trained.config, LastLayer(trained)
        scale, best = climb(layer, options.evaluations, seen, options.seed)
        before, after = layer.returns(layer.weights(), fresh), layer.returns(best, fresh)
        row = {
            "weights": len(best), "began_at": scale, "trained": summary(before), "climbed": summary(after)
        }  # fmt: skip
        facts = {
            "env": config.env, "policy": config.policy, "seed": config.seed, "steps": trained.steps,
            "evaluations": options.evaluations, "episodes": options.episodes, "fresh": options.fresh,
        }  # fmt: skip
        out = options.out / f"{file_name(config.env)}-{config.policy}-seed{config.seed}.json"
        record.write(out, record.header(facts, fastfisher.show_config()), [row])
        print(f"{config.env} {config.policy} seed {config.seed}, {len(best)} weights:")
        print(f"  trained {before.mean():,.1f} ± {before.std():,.1f}")
        print(f"  climbed {after.mean():,.1f} ± {after.std():,.1f} from {scale:g} times those weights")
        print(f"  {out}")
    return 0
