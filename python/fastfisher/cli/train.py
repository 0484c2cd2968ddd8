"""``fastfisher train``."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import tyro
from tyro.conf import Positional, arg

from ..arguments import Bounds
from ..training.config import TrainConfig
from ..training.presets import completed
from .words import KINDS, JsonObject, Switch, check_flags


@dataclass(frozen=True)
class Train(TrainConfig):
    """Train a policy on a gymnasium environment; every hyper-parameter is a flag."""

    env: Annotated[Positional[str], arg(metavar="ENV")]
    """Gymnasium environment id, e.g. HalfCheetah-v5."""

    env_kwargs: JsonObject = field(default_factory=dict)
    """Keyword arguments of the environment, e.g. '{"ctrl_cost_weight": 0.05}'."""

    preset: bool = True
    """Where the environment has a measured preset, take from it what no flag says."""

    seeds: Annotated[int, Bounds(at_least=1)] = 1
    """Runs side by side, with seeds --seed, --seed + 1, ..., in folders below one."""

    out: Annotated[
        Path | None,
        arg(
            metavar="DIR",
            help_behavior_hint="(default: runs/<ENV>-<algorithm>-<policy>-seed<seed>; several: no seed)",
        ),
    ] = None
    """Run folder: config, progress, TensorBoard events, checkpoints, curve."""

    resume: Switch = False
    """Continue the run of the folder, or its runs, bit for bit from checkpoints, e.g. with more --steps."""

    quiet: Switch = False
    """Print nothing but errors."""

    @property
    def config(self) -> TrainConfig:
        """The hyper-parameters without the fields of the command."""
        return TrainConfig(**_fields_of_config(self))

    def new_config(self, words: Sequence[str]) -> TrainConfig:
        """Return the hyper-parameters of a new run: these words' flags over the environment's preset."""
        asked: dict[str, Any] = {"preset": self.preset}
        # The words are parsed once for the policy, which is the preset's where no flag names one, and once
        # for its preset.  The first time leaves out the preset's other fields: flags need not fit those of a
        # policy that they do not ask for.
        unnamed = completed(self.env, asked).get("policy", self.policy)
        asked["policy"] = _parse_over(TrainConfig(self.env, policy=unnamed), words).policy
        preset = TrainConfig(self.env, **completed(self.env, asked))
        return _parse_over(preset, words).config.replace(preset=preset.preset)

    def run(self, words: Sequence[str]) -> int:
        """Train; ``words`` are those of the command line after ``train``."""
        from ..runs import train
        from ..runs.folder import default_folder

        check_flags(self)
        seeds = range(self.seed, self.seed + self.seeds)
        if not self.resume:
            return train.start(self.new_config(words), seeds, self.out, quiet=self.quiet)
        where = self.out or default_folder(self.new_config(words), several=self.seeds > 1)
        return train.resume(lambda stored: _parse_over(stored, words).config, seeds, where, quiet=self.quiet)


def config_of(words: Sequence[str]) -> TrainConfig:
    """Return the hyper-parameters that ``fastfisher train`` begins with, given these words after it.

    What depends on the environment itself is still open: ``NPG.from_config(config).config`` has it.

    Raises
    ------
    SystemExit
        From the parser, for words that it does not understand.
    """
    words = spelled_out(words)
    train = tyro.cli(Train, prog="fastfisher train", args=words, registry=KINDS)
    return train.new_config(words)


def spelled_out(words: Sequence[str]) -> list[str]:
    """Return words in which a flag that may be true, false or None has its value, as the parser wants it.

    ``--normalize-observations`` alone is true, and ``--no-normalize-observations`` false, as those of the
    flags that are true or false.
    """
    spelled: list[str] = []
    for word, following in zip(words, [*words[1:], ""], strict=False):
        flag = word.replace("_", "-")
        if flag in _OPTIONAL and following not in ("True", "False", "None"):
            spelled += [word, "True"]
        elif flag.startswith("--no-") and f"--{flag[5:]}" in _OPTIONAL:
            spelled += [f"--{flag[5:]}", "False"]
        else:
            spelled.append(word)
    return spelled


_OPTIONAL = frozenset(
    f"--{name.replace('_', '-')}" for name, kind in get_type_hints(TrainConfig).items() if kind == bool | None
)


def _fields_of_config(config: TrainConfig) -> dict[str, Any]:
    return {f.name: getattr(config, f.name) for f in dataclasses.fields(TrainConfig)}


def _parse_over(config: TrainConfig, words: Sequence[str]) -> Train:
    """Parse again with this config as the default: a flag left out keeps its value."""
    default = Train(**_fields_of_config(config))
    return tyro.cli(Train, prog="fastfisher train", args=list(words), default=default, registry=KINDS)
