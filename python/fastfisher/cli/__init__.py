"""The ``fastfisher`` command: training in :mod:`.train`, what follows it in :mod:`.results`, ``info`` here.

Every hyper-parameter is a flag, made by tyro from :class:`~fastfisher.training.config.TrainConfig`.  Modules
that are slow to import (MuJoCo, matplotlib, TensorBoard) are imported by the command that needs them, so that
``--help`` is quick.
"""

from __future__ import annotations

import importlib.metadata
import io
import json
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

try:
    import tyro

    from ..runs.views.guarded import discard_output
    from ..training.errors import UserError, exit_code_of, show_stacks_at_crashes
    from .results import Evaluate, Export, Plot
    from .train import Train, spelled_out
    from .words import KINDS, Switch
except ModuleNotFoundError as error:
    if (error.name or "").startswith("fastfisher"):
        raise
    print(f"error: {error.name} is not installed: pip install 'fastfisher[train]'", file=sys.stderr)
    raise SystemExit(2) from None

DESCRIPTION = """Natural-gradient training of policies, exact and fast on a CPU.

  fastfisher train HalfCheetah-v5             train the paper's linear policy into runs/
  fastfisher train HalfCheetah-v5 --seeds 5   five seeds of it side by side
  fastfisher evaluate runs/HalfCheetah-v5-... returns of the trained policy, videos
  fastfisher plot runs/*                      learning curves
  fastfisher export runs/HalfCheetah-v5-...   the policy as a file for NumPy alone
  fastfisher info                             versions, instruction set, threads

`fastfisher COMMAND --help` lists a command's options; `fastfisher --version` prints the version.
"""


@dataclass(frozen=True)
class Info:
    """Versions, instruction set, threads and processor: what to paste into a bug report."""

    json: Switch = False
    """Print JSON."""

    def run(self, _: Sequence[str]) -> int:
        """Print the facts."""
        import fastfisher

        facts: dict[str, Any] = {"fastfisher": version_of("fastfisher"), **fastfisher.show_config()}
        facts.pop("version", None)
        facts["python"] = f"{platform.python_implementation()} {platform.python_version()}"
        facts["platform"] = platform.platform()
        for name in ("numpy", "gymnasium", "mujoco"):
            facts[name] = version_of(name)
        if self.json:
            print(json.dumps(facts, indent=2, default=str))
            return 0
        width = max(map(len, facts))
        for name, value in facts.items():
            print(f"{name.replace('_', ' '):<{width}}  {_words(value)}")
        return 0


COMMANDS: dict[str, Any] = {
    "train": Train,
    "evaluate": Evaluate,
    "plot": Plot,
    "export": Export,
    "info": Info,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        The words after the program's name; by default those of the process.

    Returns
    -------
    int
        The exit code: 0, 2 for a request that cannot be served, 1 for a failed rollout worker or a
        failed seed among several, 130 after Ctrl-C, 143 after SIGTERM during training, 141 where the
        reader of the output left.

    Raises
    ------
    SystemExit
        From the parser: after ``--help`` with 0, for words that it does not understand with 2.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if arguments is None:
        show_stacks_at_crashes()

    if isinstance(sys.stdout, io.TextIOWrapper):
        # A name that the terminal's encoding does not have is spelled out: \u6f22.
        sys.stdout.reconfigure(errors="backslashreplace")

    def program() -> int:
        try:
            return _run(words)
        finally:
            _flush()

    try:
        return exit_code_of(program)
    except BrokenPipeError:
        discard_output()  # the reader (`| head`) left, and nobody is there to be told
        return 141


def _flush() -> None:
    """Write out what was printed; at exit it would be too late to see that it cannot be."""
    try:
        print(end="", flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        discard_output()
        raise UserError(f"cannot write the output: {error.strerror}") from error


def _run(words: Sequence[str]) -> int:
    if words in (["--version"], ["-V"]):
        print(f"fastfisher {version_of('fastfisher')}")
        return 0
    words = spelled_out(words)
    command = tyro.extras.subcommand_cli_from_dict(
        COMMANDS, prog="fastfisher", description=DESCRIPTION, args=words or ["--help"], registry=KINDS
    )
    code: int = command.run(words[1:])
    return code


def _words(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {_words(v)}" for k, v in value.items())
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def version_of(package: str) -> str:
    """Return a package's version without importing it."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
