"""The ``fastfisher`` command.

Every hyper-parameter is a flag, made by tyro from :class:`~fastfisher.config.TrainConfig`.  Modules
that are slow to import (MuJoCo, matplotlib, TensorBoard) are imported by the command that needs
them, so that ``--help`` is quick.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

try:
    import tyro
    from tyro.conf import FlagCreatePairsOff, Positional, arg
    from tyro.constructors import PrimitiveConstructorSpec

    from .config import TrainConfig
    from .training.errors import UserError, WorkerError
except ModuleNotFoundError as error:
    if (error.name or "").startswith("fastfisher"):
        raise
    print(f"error: {error.name} is not installed: pip install 'fastfisher[train]'", file=sys.stderr)
    raise SystemExit(2) from None

if TYPE_CHECKING:
    from .training.agent import Evaluation

DESCRIPTION = """Natural-gradient training of policies, exact and fast on a CPU.

  fastfisher train HalfCheetah-v5             train the paper's linear policy into runs/
  fastfisher evaluate runs/HalfCheetah-v5-... returns of the trained policy
  fastfisher plot runs/*                      learning curves
  fastfisher info                             versions, instruction set, threads

`fastfisher COMMAND --help` lists a command's options; `fastfisher --version` prints the version.
"""

Switch = Annotated[bool, FlagCreatePairsOff]


def _json_object(words: list[str]) -> dict[str, Any]:
    value = json.loads(words[0])
    if not isinstance(value, dict):
        raise ValueError(f"expected a JSON object, got {words[0]}")
    return value


JsonObject = Annotated[
    dict[str, Any],
    PrimitiveConstructorSpec(
        nargs=1,
        metavar="JSON",
        instance_from_str=_json_object,
        is_instance=lambda value: isinstance(value, dict),
        str_from_instance=lambda value: [json.dumps(value)],
    ),
]


@dataclass(frozen=True)
class Train(TrainConfig):
    """Train a policy on a gymnasium environment; every hyper-parameter is a flag."""

    env: Annotated[Positional[str], arg(metavar="ENV")]
    """Gymnasium environment id, e.g. HalfCheetah-v5."""

    env_kwargs: JsonObject = field(default_factory=dict)
    """Keyword arguments of the environment, e.g. '{"ctrl_cost_weight": 0.05}'."""

    out: Annotated[
        Path | None, arg(metavar="DIR", help_behavior_hint="(default: runs/<ENV>-<policy>-seed<seed>)")
    ] = None
    """Run folder: config, progress, TensorBoard events, checkpoints, curve."""

    resume: Switch = False
    """Continue the run of the folder bit for bit from its checkpoint, e.g. with more --steps."""

    quiet: Switch = False
    """Print nothing but errors."""

    @property
    def config(self) -> TrainConfig:
        """The hyper-parameters alone."""
        return TrainConfig(**{f.name: getattr(self, f.name) for f in dataclasses.fields(TrainConfig)})


@dataclass(frozen=True)
class Evaluate:
    """Returns of a run's policy, with its most likely actions and with sampled ones."""

    run: Annotated[Positional[Path], arg(metavar="RUN")]
    """Run folder."""

    episodes: int = 20
    """Episodes of each kind."""

    seed: int = 0
    """Seed of the episodes and of the sampled actions."""

    json: Switch = False
    """Print JSON."""


@dataclass(frozen=True)
class Plot:
    """Learning curves of runs; runs that differ in the seed alone become their mean and its spread."""

    runs: Annotated[
        Positional[tuple[Path, ...]], arg(metavar="RUN [RUN ...]", help_behavior_hint="(required)")
    ]
    """Run folders."""

    out: Annotated[
        Path | None,
        arg(metavar="FILE", help_behavior_hint="(default: curve.png in the run, or curves.png here)"),
    ] = None
    """Image to write, .png, .pdf or .svg."""


@dataclass(frozen=True)
class Info:
    """Versions, instruction set, threads and processor: what to paste into a bug report."""

    json: Switch = False
    """Print JSON."""


COMMANDS: dict[str, Any] = {"train": Train, "evaluate": Evaluate, "plot": Plot, "info": Info}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments
        Words after the program's name; None for those of the process.

    Returns
    -------
    int
        The exit code: 0, 2 for a request that cannot be served, 1 for a failed rollout worker,
        130 after Ctrl-C.

    Raises
    ------
    SystemExit
        From the parser: after ``--help`` with 0, for words that it does not understand with 2.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words in (["--version"], ["-V"]):
        print(f"fastfisher {_version('fastfisher')}")
        return 0
    try:
        command = _parse(words)
        if isinstance(command, Train):
            return _train(command, words)
        if isinstance(command, Evaluate):
            return _evaluate(command)
        if isinstance(command, Plot):
            return _plot(command)
        return _info(command)
    except UserError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "fastfisher":
            raise
        print(f"error: {error.name} is not installed: pip install 'fastfisher[train]'", file=sys.stderr)
        return 2
    except WorkerError as error:
        print(f"error: {error}", *getattr(error, "__notes__", ()), sep="\n", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader (`| head`) left; nobody is there to be told.  Python would complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _parse(words: Sequence[str]) -> Any:
    return tyro.extras.subcommand_cli_from_dict(
        COMMANDS, prog="fastfisher", description=DESCRIPTION, args=words or ["--help"]
    )


def _train(command: Train, words: Sequence[str]) -> int:
    from . import runs
    from .training.run_folder import RunFolder, default_folder

    if not command.resume:
        return runs.start(command.config, command.out, quiet=command.quiet)
    path = command.out or default_folder(command.config)
    if not path.exists():
        raise UserError(f"there is no run to resume in {path}: leave --resume out to start one")
    stored = RunFolder.open(path).read_config()
    # Parsed again over the stored config: a flag left out keeps the run's value, not the default.
    flags = tyro.cli(
        Train,
        prog="fastfisher train",
        args=words[1:],
        default=Train(**{f.name: getattr(stored, f.name) for f in dataclasses.fields(stored)}),
    )
    return runs.resume(flags.config, path, quiet=command.quiet)


def _evaluate(command: Evaluate) -> int:
    from .training.run_folder import RunFolder

    for name, value, least in (("episodes", command.episodes, 1), ("seed", command.seed, 0)):
        if value < least:
            raise UserError(f"--{name}: expected at least {least}, got {value}")
    agent = RunFolder.open(command.run).load_agent()
    if agent is None:
        raise UserError(f"{command.run} has no checkpoint yet: let it train for longer")
    with agent:
        results = {
            kind: _statistics(
                agent.evaluate(command.episodes, deterministic=deterministic, seed=command.seed)
            )
            for kind, deterministic in (("deterministic", True), ("stochastic", False))
        }
    config = agent.config
    if command.json:
        facts = {"env": config.env, "policy": config.policy, "steps": agent.steps}
        print(json.dumps({**facts, "episodes": command.episodes, "seed": command.seed, **results}, indent=2))
        return 0
    print(
        f"{config.env}, {config.policy} policy after {agent.steps:,} steps, {command.episodes} episodes each"
    )
    _print_statistics(results)
    return 0


def _statistics(evaluation: Evaluation) -> dict[str, float]:
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


def _print_statistics(results: Mapping[str, Mapping[str, float]]) -> None:
    from rich.console import Console
    from rich.table import Table

    from .training.live_view import number

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    table.add_column("actions")
    for title in ("return", "std error", "std", "least", "most", "length"):
        table.add_column(title, justify="right")
    for kind, statistics in results.items():
        table.add_row(kind, *map(number, statistics.values()))
    Console(highlight=False).print(table)


def _plot(command: Plot) -> int:
    from . import plots
    from .training.run_folder import CURVE

    if not command.runs:
        raise UserError("no run given: fastfisher plot RUN [RUN ...]")
    # Not beside the runs: `plot runs/*` is to work the next time, too.
    out = command.out or (command.runs[0] / CURVE if len(command.runs) == 1 else Path("curves.png"))
    plots.plot_runs(command.runs, out)
    print(out)
    return 0


def _info(command: Info) -> int:
    import fastfisher

    facts: dict[str, Any] = {"fastfisher": _version("fastfisher"), **fastfisher.show_config()}
    facts.pop("version", None)
    facts["python"] = f"{platform.python_implementation()} {platform.python_version()}"
    facts["platform"] = platform.platform()
    for name in ("numpy", "gymnasium", "mujoco"):
        facts[name] = _version(name)
    if command.json:
        print(json.dumps(facts, indent=2, default=str))
        return 0
    width = max(map(len, facts))
    for name, value in facts.items():
        print(f"{name.replace('_', ' '):<{width}}  {_words(value)}")
    return 0


def _words(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {_words(v)}" for k, v in value.items())
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _version(package: str) -> str:
    """Return a package's version without importing it."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
