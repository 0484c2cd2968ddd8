"""The factors of benchmarks/ablations.py: what is varied, one at a time, and why it may matter.

A variant changes fields of a task's config, or a rule of the code (rules.py).  One that changes nothing of
the preset, or for which there is no place in it, is left out: see :func:`plan`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastfisher.training.config import TrainConfig

from .results import differences

Where = Callable[[TrainConfig], bool]

PRESET = "preset"


def _everywhere(_: TrainConfig) -> bool:
    return True


def _policy(name: str) -> Where:
    return lambda config: config.policy == name


def _ridge(config: TrainConfig) -> bool:
    return config.baseline != "mlp"


def _network(config: TrainConfig) -> bool:
    return config.baseline == "mlp"


def _decaying(config: TrainConfig) -> bool:
    return config.final_max_kl is not None


def _falling(config: TrainConfig) -> bool:
    return config.final_min_log_std is not None


@dataclass(frozen=True)
class Variant:
    """One value of a factor."""

    label: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    """What the variant changes: fields of the config."""
    rule: str | None = None
    """The rule of rules.py that the variant breaks, if any."""
    where: Where = _everywhere
    """Whether this is a variant of a preset, given its config."""


@dataclass(frozen=True)
class Factor:
    """What is varied while all else is the preset's."""

    name: str
    why: str
    fields: tuple[str, ...]
    """The config's fields whose values say where the preset stands; none where a rule is varied."""
    variants: tuple[Variant, ...]


def _factor(name: str, why: str, *variants: Variant, fields: tuple[str, ...] | None = None) -> Factor:
    return Factor(name, why, (name,) if fields is None else fields, variants)


def _values(name: str, *values: Any, where: Where = _everywhere, **also: Any) -> list[Variant]:
    return [Variant(_words(value), {name: value, **also}, where=where) for value in values]


def _words(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:g}"
    return "-".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


_UNTIL_THE_TOLERANCE = 10_000
"""Iterations of CG that none needs; None would be 10 for a network."""

FACTORS: tuple[Factor, ...] = (
    _factor(
        "solver",
        "A truncated step keeps sqrt(1 - error^2) of the gain at equal KL: is the rest worth its time?",
        Variant(
            "exact",
            {"solver": "auto", "cg_iterations": _UNTIL_THE_TOLERANCE, "cg_tolerance": 1e-8},
            where=lambda base: base.cg_iterations is not None,
        ),
        *(
            Variant(f"CG, {count} iterations", {"solver": "cg", "cg_iterations": count})
            for count in (5, 10, 20)
        ),
        *(
            Variant(
                f"CG to {tol:g}", {"solver": "cg", "cg_iterations": _UNTIL_THE_TOLERANCE, "cg_tolerance": tol}
            )
            for tol in (0.1, 0.01)
        ),
        fields=("solver", "cg_iterations"),
    ),
    _factor(
        "fisher",
        "The exact one has less noise where a batch is small for the parameters, and costs a row an action.",
        *_values("fisher", "empirical", "exact"),
    ),
    _factor(
        "damping",
        "Between the natural gradient (0) and the plain one; it also holds back directions known from noise.",
        *_values("damping", 1e-4, 1e-3, 1e-2, 1e-1, 1.0, damping_rule="fixed"),
        Variant("adaptive", {"damping_rule": "adaptive"}),
        fields=("damping", "damping_rule"),
    ),
    _factor(
        "max_kl",
        "The length of every step: too short learns slowly, too long goes by what the batch does not know.",
        *_values("max_kl", 0.01, 0.02, 0.05, 0.1, final_max_kl=None),
        Variant("decaying to 0.005", {"final_max_kl": 0.005}),
        Variant("the preset's, not decaying", {"final_max_kl": None}, where=_decaying),
        fields=("max_kl", "final_max_kl"),
    ),
    _factor(
        "batch_steps",
        "For a number of environment steps: many noisy iterations, or few good ones.",
        *_values("batch_steps", 2_000, 5_000, 10_000, 20_000),
    ),
    _factor(
        "gamma",
        "How far ahead counts, against how noisy the returns are and how well V at the time limit is known.",
        *_values("gamma", 0.98, 0.99, 0.995, 0.999),
    ),
    _factor(
        "gae_lambda",
        "The bias of the baseline's errors (small) against the variance of whole returns (1).",
        *_values("gae_lambda", 0.9, 0.95, 0.97, 0.99, 1.0),
    ),
    _factor(
        "baseline",
        "What it explains of the returns is no noise of the gradient; more features also fit the noise.",
        *_values("baseline", "linear", "quadratic", "mlp"),
    ),
    _factor(
        "ridge",
        "How closely the ridge baseline is fitted to one batch, where it is to predict the next one.",
        *_values("ridge", 1e-7, 1e-5, 1e-3, 1e-1, where=_ridge),
    ),
    _factor(
        "baseline_steps",
        "How closely the network baseline is fitted to one batch.",
        *_values("baseline_steps", 1, 2, 4, 8, where=_network),
    ),
    _factor(
        "baseline_batches",
        "A small batch is a few episodes, whose luck V follows; older ones are of other policies.",
        *_values("baseline_batches", 1, 2, 5, 10),
    ),
    _factor(
        "baseline_lambda",
        "Whole returns (1) have no guess in them and much noise; shorter ones trust V.",
        *_values("baseline_lambda", 0.9, 0.95, 0.98, 1.0),
    ),
    _factor(
        "baseline_hidden",
        "Sizes of the value network: what V can say, against what it may make of noise.",
        *_values("baseline_hidden", (32, 32), (64, 64), where=_network),
    ),
    _factor(
        "previous-batch rule",
        "V of the batches before leaves the gradient unbiased; V of this batch knows it, and biases it.",
        Variant("baseline of the same batch", rule="same batch"),
        fields=(),
    ),
    _factor(
        "time features",
        "Near the time limit V depends on t; but V there is its own guess, which t lets it go on believing.",
        Variant("without powers of t", rule="without time", where=_ridge),
        Variant("with t", rule="with time", where=_network),
        fields=(),
    ),
    _factor(
        "normalize_observations",
        "Per-dimension units, by running statistics: what is far from a standard deviation says little.",
        *_values("normalize_observations", False, True),
    ),
    _factor(
        "normalize_rewards",
        "Advantages are standardized anyway: what is left is the units of the baseline's fit.",
        *_values("normalize_rewards", False, True),
    ),
    _factor(
        "initial_log_std",
        "How widely the first batches search, and how much that costs where wide actions fall.",
        *_values("initial_log_std", -1.5, -1.0, -0.5, 0.0),
    ),
    _factor(
        "min_log_std",
        "A floor keeps the search alive, at the price of noise to the end; one that falls, for a while.",
        *_values("min_log_std", -3.0, -2.0, -1.0, final_min_log_std=None),
        Variant("-1, falling to -3", {"min_log_std": -1.0, "final_min_log_std": -3.0}),
        Variant("the preset's, not falling", {"final_min_log_std": None}, where=_falling),
        fields=("min_log_std", "final_min_log_std"),
    ),
    _factor(
        "momentum",
        "The last direction estimates this one from another batch: a larger batch for nothing, or stale.",
        *_values("momentum", 0.0, 0.5, 0.9),
    ),
    _factor(
        "algorithm",
        "What the line search is worth, and what TRPO is as published: with the exact Fisher, too.",
        *_values("algorithm", "npg", "trpo"),
        Variant("trpo, exact Fisher", {"algorithm": "trpo", "fisher": "exact"}),
        fields=("algorithm", "fisher"),
    ),
    _factor(
        "hidden",
        "Sizes of the network: what it can say, against how many parameters a batch has to tell of.",
        *_values("hidden", (32, 32), (64, 64), (128, 64), where=_policy("mlp")),
    ),
    _factor(
        "rbf_features",
        "As for the network's sizes; the paper takes 100 to 500 by the task.",
        *_values("rbf_features", 100, 250, 500, where=_policy("rbf")),
    ),
    _factor(
        "rbf_bandwidth_scale",
        "Narrow features tell near observations apart, wide ones say the same of all that are near.",
        *_values("rbf_bandwidth_scale", 0.5, 1.0, 2.0, 4.0, 8.0, where=_policy("rbf")),
    ),
    _factor(
        "init_noise",
        "Diverse initial states are the paper's way to policies that know more than one trajectory.",
        *_values("init_noise", 0.0, 0.1, 0.3),
    ),
)
NAMES = tuple(factor.name for factor in FACTORS)


@dataclass(frozen=True)
class Planned:
    """A variant of one task: the preset, and what is different."""

    factor: str
    label: str
    changes: Mapping[str, Any]
    """What differs from the preset, as JSON has it."""
    rule: str | None
    config: TrainConfig

    @property
    def key(self) -> str:
        """Tell the variants of a task apart."""
        words = [f"{name}={_words(value)}" for name, value in self.changes.items()]
        return " ".join([*words, *([self.rule] if self.rule else [])]) or PRESET


def plan(base: TrainConfig, names: Sequence[str] = NAMES) -> tuple[list[Planned], list[str]]:
    """Return the variants of a preset, itself first, and a sentence for each that there cannot be.

    Parameters
    ----------
    base
        The preset, everything filled in.
    names
        The factors' names.

    Raises
    ------
    ValueError
        Where there is no factor of a name.
    """
    if unknown := [name for name in names if name not in NAMES]:
        raise ValueError(f"factors: expected some of {', '.join(NAMES)}, got {', '.join(unknown)}")
    chosen = {PRESET: Planned(PRESET, PRESET, {}, None, base)}
    refused = []
    for factor in FACTORS:
        for variant in factor.variants if factor.name in names else ():
            if not variant.where(base):
                continue
            try:
                config = base.replace(**variant.changes)
            except ValueError as error:
                refused.append(f"{factor.name}, {variant.label}: {error}")
                continue
            differing = differences(base.to_dict(), config.to_dict())
            changes = {name: after for name, (_, after) in differing.items()}
            planned = Planned(factor.name, variant.label, changes, variant.rule, config)
            chosen.setdefault(planned.key, planned)
    return list(chosen.values()), refused


def is_own(variant: Variant, base: TrainConfig) -> bool:
    """Whether a variant is what a preset does anyway."""
    if variant.rule is not None or not variant.where(base):
        return False
    values = base.to_dict()
    return all(values[name] == _json(value) for name, value in variant.changes.items())


def _json(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def of_the_preset(factor: Factor, config: Mapping[str, Any]) -> str:
    """Say where a preset stands in a factor; nothing where it is a rule, or left to the data."""
    values = [config[name] for name in factor.fields if config.get(name) is not None]
    return ", ".join(map(_words, values))
