"""``fastfisher evaluate``."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from ..arguments import Bounds
from .words import Switch, check_flags

if TYPE_CHECKING:
    from ..training.evaluation import Evaluation


@dataclass(frozen=True)
class Evaluate:
    """Returns of a run's policy, with its most likely actions and with sampled ones."""

    run_folder: Annotated[Positional[Path], arg(metavar="RUN")]
    """Run folder."""

    episodes: Annotated[int, Bounds(at_least=1)] = 20
    """Episodes of each kind."""

    seed: Annotated[int, Bounds(at_least=0)] = 0
    """Seed of the episodes and of the sampled actions."""

    init_noise: Annotated[
        float | None,
        Bounds(at_least=0.0),
        arg(metavar="SCALE", help_behavior_hint="(default: the run's)"),
    ] = None
    """Noise of the initial states, for MuJoCo's robots; 0: the environment's own states."""

    video: Annotated[
        Path | None, arg(metavar="DIR", help_behavior_hint="(default: no video; needs fastfisher[video])")
    ] = None
    """Record the first episodes of each kind into this folder, as MP4."""

    video_episodes: Annotated[int, Bounds(at_least=1)] = 1
    """Episodes of each kind to record."""

    json: Switch = False
    """Print JSON."""

    def run(self, _: Sequence[str]) -> int:
        """Evaluate and print a table or JSON."""
        from ..runs.folder import RunFolder

        check_flags(self)
        folder = RunFolder.open(self.run_folder)
        with contextlib.ExitStack() as stack:
            recorder = None
            if self.video is not None:
                from ..training.environments.drawing import Recorder

                recorder = stack.enter_context(
                    Recorder(folder.read_config(), self.video, self.video_episodes)
                )
            agent = stack.enter_context(folder.load_trained(None if recorder is None else recorder.env))
            results = {}
            for kind, deterministic in (("deterministic", True), ("stochastic", False)):
                if recorder is not None:
                    recorder.begin(kind)
                evaluation = agent.evaluate(
                    self.episodes,
                    deterministic=deterministic,
                    seed=self.seed,
                    init_noise=self.init_noise,
                )
                results[kind] = statistics(evaluation)
        videos = [] if recorder is None else [str(path) for path in recorder.videos]
        config, steps = agent.config, agent.steps
        if self.json:
            noise = config.init_noise if self.init_noise is None else self.init_noise
            facts: dict[str, Any] = {"env": config.env, "policy": config.policy, "steps": steps}
            facts |= {"episodes": self.episodes, "seed": self.seed, "init_noise": noise, **results}
            print(json.dumps(facts | ({"videos": videos} if videos else {}), indent=2))
            return 0
        print(f"{config.env}, {config.policy} policy after {steps:,} steps, {self.episodes} episodes each")
        _print_table(results)
        for video in videos:
            print(f"video  {video}")
        return 0


def statistics(evaluation: Evaluation) -> dict[str, float]:
    """Return the mean return, its standard error, the sample standard deviation (0 for one episode), ..."""
    returns, count = evaluation.returns, len(evaluation.returns)
    std = float(returns.std(ddof=1)) if count > 1 else 0.0
    return {
        "return_mean": float(returns.mean()),
        "return_standard_error": std / count**0.5,
        "return_std": std,
        "return_min": float(returns.min()),
        "return_max": float(returns.max()),
        "length_mean": float(evaluation.lengths.mean()),
    }


def _print_table(results: Mapping[str, Mapping[str, float]]) -> None:
    from rich.console import Console
    from rich.table import Table

    from ..runs.views.columns import number

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    table.add_column("actions")
    for title in ("return", "std error", "std", "least", "most", "length"):
        table.add_column(title, justify="right")
    for kind, values in results.items():
        table.add_row(kind, *map(number, values.values()))
    Console(highlight=False).print(table)
