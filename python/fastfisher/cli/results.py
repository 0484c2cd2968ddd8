"""What is made of a trained run: ``fastfisher evaluate``, ``fastfisher plot`` and ``fastfisher export``."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, UseAppendAction, arg

from ..arguments import Bounds
from ..training.errors import UserError
from .words import Switch, check_flags

if TYPE_CHECKING:
    from ..training.evaluation import Evaluation

EXPORTED = "policy.npz"


@dataclass(frozen=True)
class Evaluate:
    """Returns of a run's policy, with its most likely actions and with sampled ones."""

    run_folder: Annotated[Positional[Path], arg(metavar="RUN")]
    """Run folder."""

    best: Switch = False
    """The policy of the best evaluation in training (--evaluate-every), and not the last one."""

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
            agent = stack.enter_context(
                folder.load_trained(None if recorder is None else recorder.env, best=self.best)
            )
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


@dataclass(frozen=True)
class Plot:
    """Learning curves; runs that differ in the seed alone become one, with a confidence interval."""

    runs: Annotated[
        Positional[tuple[Path, ...]], arg(metavar="RUN [RUN ...]", help_behavior_hint="(required)")
    ]
    """Run folders, or folders of such."""

    x: Literal["steps", "seconds"] = "steps"
    """Environment steps, or the wall time of the iterations."""

    reference: Annotated[
        UseAppendAction[tuple[str, ...]], arg(metavar="NAME=VALUE", help_behavior_hint="(repeatable)")
    ] = ()
    """Horizontal line at a return to compare with, e.g. paper=3810."""

    out: Annotated[
        Path | None,
        arg(metavar="FILE", help_behavior_hint="(default: curve.png in the folder, or curves.png here)"),
    ] = None
    """Image to write, .png, .pdf or .svg."""

    def run(self, _: Sequence[str]) -> int:
        """Draw the curves and print the file's name."""
        from ..runs.curves import plot_runs
        from ..runs.folder import CURVE

        # An earlier plot may have left its image among the runs: `plot runs/*` is to work again.
        given = [path for path in self.runs if not (path.name == CURVE and path.is_file())]
        if not given:
            raise UserError("no run given: fastfisher plot RUN [RUN ...]")
        out = self.out or (given[0] / CURVE if len(given) == 1 else Path("curves.png"))
        references = dict(map(_reference, self.reference))
        plot_runs(given, out, x=self.x, references=references)
        print(out)
        return 0


@dataclass(frozen=True)
class Export:
    """Write a run's policy to one file that acts with NumPy alone (fastfisher.exported.NumpyPolicy)."""

    run_folder: Annotated[Positional[Path], arg(metavar="RUN")]
    """Run folder."""

    best: Switch = False
    """The policy of the best evaluation in training (--evaluate-every), and not the last one."""

    out: Annotated[
        Path | None, arg(metavar="FILE", help_behavior_hint=f"(default: {EXPORTED} in the run folder)")
    ] = None
    """File to write."""

    def run(self, _: Sequence[str]) -> int:
        """Write the file and print its name."""
        from ..runs.export import export_policy
        from ..runs.folder import RunFolder

        out = self.out or self.run_folder / EXPORTED
        with RunFolder.open(self.run_folder).load_trained(best=self.best) as agent:
            try:
                export_policy(agent, out)
            except OSError as error:
                raise UserError(f"cannot write {out}: {error.strerror}; choose another --out") from error
        print(out)
        return 0


def statistics(evaluation: Evaluation) -> dict[str, float]:
    """Return what is printed of the episodes; the sample standard deviation of a single one is 0."""
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

    from ..runs.views.base import number

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    table.add_column("actions")
    for title in ("return", "std error", "std", "least", "most", "length"):
        table.add_column(title, justify="right")
    for kind, values in results.items():
        table.add_row(kind, *map(number, values.values()))
    Console(highlight=False).print(table)


def _reference(words: str) -> tuple[str, float]:
    name, _, value = words.rpartition("=")
    try:
        if name:
            return name, float(value)
    except ValueError:
        pass
    raise UserError(f"--reference: expected NAME=VALUE, e.g. paper=3810, got {words}")
