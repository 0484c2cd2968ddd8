"""Every hyper-parameter of a training run, in one place.

The docstring under a field is the help text of its command-line flag, so each is one line.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np

AlgorithmName = Literal["npg", "trpo"]
PolicyName = Literal["linear", "rbf", "mlp"]
BaselineName = Literal["auto", "linear", "quadratic", "mlp"]
StdName = Literal["independent", "dependent"]
FisherName = Literal["empirical", "exact"]
BackendName = Literal["gymnasium", "envpool"]
SolverName = Literal["auto", "cholesky", "gram", "cg", "lsmr"]
DampingRuleName = Literal["fixed", "adaptive"]
PrecisionName = Literal["auto", "single", "double", "mixed"]

_SIZES = ("hidden", "baseline_hidden")
"""Fields that are tuples here and lists in JSON."""


@dataclass(frozen=True)
class TrainConfig:
    """The hyper-parameters of one run.

    Together with the seed that it holds, a config determines a run to the bit: see
    :mod:`fastfisher.training`.

    Raises
    ------
    ValueError
        Where a value is out of range; the message names the field, the expectation and the value.
    TypeError
        Where a value has the wrong type.
    """

    env: str
    """Gymnasium environment id, e.g. HalfCheetah-v5."""

    algorithm: AlgorithmName = "npg"
    """Natural step as it is (arXiv 1703.02660), or shortened until KL and gain hold (TRPO, 1502.05477)."""

    policy: PolicyName = "mlp"
    """Actions linear in the observation, linear in random Fourier features of it, or from a tanh network."""

    steps: int = 2_500_000
    """Environment steps of the whole run, all workers together; the last iteration is not cut."""

    target_return: float | None = None
    """Stop after an iteration whose batch has a mean return of at least this (None: train all steps)."""

    seed: int = 0
    """Seed of everything random in the run."""

    batch_steps: int | None = None
    """Steps per iteration, at least (None: 10 episodes at their limit, 1,000, mlp 5,000, to 10,000)."""

    gamma: float | None = None
    """Discount factor (None: exp(-2.5 / limit) where an episode has a limit below 500 steps, else 0.995)."""

    gae_lambda: float = 0.95
    """Lambda of generalised advantage estimation (arXiv 1506.02438); 1: Monte Carlo returns less baseline."""

    max_kl: float | None = None
    """KL divergence of one step, half arXiv 1703.02660's delta (None: 0.05; 0.025 for discrete actions)."""

    final_max_kl: float | None = None
    """KL at the end of the run: max_kl decays to it, exponentially in environment steps (None: it stays)."""

    fisher: FisherName | None = None
    """Fisher of the sampled actions (equation 4), or its mean over all (None: empirical; exact for trpo)."""

    fisher_fraction: float = 1.0
    """Share of the batch's rows, evenly spread, that the Fisher matrix is made of; the gradient uses all."""

    damping: float = 1e-2
    """Lambda of (F + lambda I)^-1 g; where the rule is adaptive, that of the first step."""

    relative_damping: bool = False
    """Measure the damping in units of the Fisher matrix's mean eigenvalue."""

    damping_rule: DampingRuleName = "fixed"
    """Keep the damping, or adapt it by achieved over predicted improvement (Levenberg-Marquardt)."""

    min_damping: float = 1e-3
    """Least damping of the adaptive rule, in the units of damping."""

    max_damping: float = 10.0
    """Largest damping of the adaptive rule, in the units of damping."""

    momentum: float = 0.0
    """Share of the last direction kept (SPRING, arXiv 2401.10190), below 1."""

    line_search_factor: float = 0.8
    """TRPO: what a rejected step is shortened by."""

    line_search_steps: int = 10
    """TRPO: step lengths to try before the policy stays as it is."""

    solver: SolverName = "auto"
    """Algebra of the step: parameters x parameters, samples x samples, matrix-free, or the cheapest."""

    cg_tolerance: float = 1e-8
    """Relative residual at which CG stops."""

    cg_iterations: int | None = None
    """Most iterations of CG (None: 10 for mlp, as arXiv 1502.05477 takes, else until the tolerance)."""

    precision: PrecisionName = "auto"
    """Arithmetic of the natural step; single is that of the policy's passes over a batch, too."""

    baseline: BaselineName = "auto"
    """Value baseline; auto is mlp for mlp, else quadratic up to 40 observation entries, linear above."""

    baseline_hidden: tuple[int, ...] = (32, 32)
    """Hidden layer sizes of the mlp baseline."""

    baseline_steps: int = 4
    """Gauss-Newton steps that fit the mlp baseline to a batch, from where the batch before left it."""

    baseline_batches: int = 1
    """Batches that the baseline is fitted to together: the last one, and those just before it."""

    baseline_lambda: float = 1.0
    """Lambda of the returns that the baseline is fitted to; 1: whole returns, without a guess by V."""

    ridge: float = 1e-5
    """Ridge of the linear and quadratic baselines' least-squares fit, per sample."""

    normalize_observations: bool | None = None
    """Standardise by running statistics, made up for by weights (None: but for linear, Box actions)."""

    normalize_advantages: bool = True
    """Centre advantages and divide them by their standard deviation."""

    normalize_rewards: bool = False
    """Divide rewards by the running standard deviation of discounted returns."""

    initial_log_std: float | None = None
    """Initial log standard deviation of Gaussian actions (None: 0.25 for mlp, else -1)."""

    min_log_std: float = -3.0
    """Floor of the log standard deviation."""

    final_min_log_std: float | None = None
    """Floor at the end of the run: min_log_std falls to it, linearly in environment steps (None: stays)."""

    max_log_std: float = 2.0
    """Ceiling of a log standard deviation that depends on the observation."""

    std: StdName = "independent"
    """Standard deviation of Gaussian actions: the same everywhere, or dependent on the observation."""

    squash: bool = False
    """Squash Gaussian actions into their bounds by tanh, where they are clipped otherwise."""

    hidden: tuple[int, ...] = (32, 32)
    """Hidden layer sizes of the mlp policy."""

    rbf_features: int = 250
    """Number of random Fourier features of the rbf policy."""

    rbf_bandwidth: float | None = None
    """Bandwidth nu of the rbf features (None: mean distance between the first observations, scaled)."""

    rbf_bandwidth_scale: float = 1.0
    """What that mean distance is multiplied by: wider features are smoother policies."""

    workers: int | None = None
    """Rollout processes, or EnvPool's threads (None: one per usable core); the result is the same."""

    worker_timeout: float = 600.0
    """Seconds without a step after which a rollout process counts as hung, and the run stops."""

    backend: BackendName = "gymnasium"
    """Who simulates during training: gymnasium, or EnvPool on its own threads (extra fastfisher[envpool])."""

    num_envs: int = 0
    """Copies to step together, in gymnasium (0, 1: one by one) or EnvPool (0: to 10, for whole episodes)."""

    max_episode_steps: int | None = None
    """Cut episodes after this many steps, as a time limit (None: the environment's own limit)."""

    env_kwargs: dict[str, Any] = field(default_factory=dict)
    """Keyword arguments of the environment."""

    init_noise: float = 0.0
    """Start MuJoCo robots in diverse states: 0 as the environment does, 1 any pose (docs/perturbation.md)."""

    checkpoint_every: int = 10
    """Iterations between checkpoints of the command line's run folder."""

    preset: bool = False
    """Whether fields that nobody set come from the environment's preset (fastfisher/training/presets.py)."""

    def __post_init__(self) -> None:
        """Check every field."""
        _check_types(self)
        _check_range(self, "steps", at_least=1)
        _check_range(self, "seed", at_least=0)
        _check_range(self, "batch_steps", at_least=1)
        _check_range(self, "gamma", at_least=0.0, at_most=1.0)
        _check_range(self, "gae_lambda", at_least=0.0, at_most=1.0)
        _check_range(self, "max_kl", above=0.0)
        _check_range(self, "final_max_kl", above=0.0)
        _check_range(self, "fisher_fraction", above=0.0, at_most=1.0)
        _check_range(self, "damping", at_least=0.0)
        _check_range(self, "min_damping", above=0.0)
        _check_range(self, "max_damping", at_least=self.min_damping)
        _check_range(self, "momentum", at_least=0.0, below=1.0)
        _check_range(self, "line_search_factor", above=0.0, below=1.0)
        _check_range(self, "line_search_steps", at_least=1)
        _check_range(self, "cg_tolerance", above=0.0, at_most=1.0)
        _check_range(self, "cg_iterations", at_least=1)
        _check_range(self, "ridge", above=0.0)
        _check_range(self, "baseline_steps", at_least=1)
        _check_range(self, "baseline_batches", at_least=1)
        _check_range(self, "baseline_lambda", at_least=0.0, at_most=1.0)
        _check_range(self, "rbf_features", at_least=1)
        _check_range(self, "rbf_bandwidth", above=0.0)
        _check_range(self, "rbf_bandwidth_scale", above=0.0)
        _check_range(self, "workers", at_least=1)
        _check_range(self, "worker_timeout", above=0.0)
        _check_range(self, "num_envs", at_least=0)
        _check_range(self, "max_episode_steps", at_least=1)
        _check_range(self, "init_noise", at_least=0.0)
        if self.init_noise and self.backend == "envpool":
            raise ValueError(
                f"init_noise: expected 0 with backend = 'envpool', whose states are out of reach, "
                f"got {self.init_noise}"
            )
        _check_range(self, "checkpoint_every", at_least=1)
        bound = f"initial_log_std = {self.initial_log_std}"
        if self.initial_log_std is not None and self.min_log_std > self.initial_log_std:
            raise ValueError(f"min_log_std: expected at most {bound}, got {self.min_log_std}")
        if self.damping_rule == "adaptive":
            _check_range(self, "damping", at_least=self.min_damping, at_most=self.max_damping)
        if self.final_min_log_std is not None and self.std == "dependent":
            raise ValueError(
                "final_min_log_std: expected None with std = 'dependent', whose floor is in its formula, "
                f"got {self.final_min_log_std}"
            )
        _check_range(self, "max_log_std", above=self.min_log_std)
        if self.std == "dependent" and self.initial_log_std is not None:
            # Floor and ceiling are approached and never reached: see StateDependentGaussianHead.
            if self.min_log_std == self.initial_log_std:
                raise ValueError(f"min_log_std: expected below {bound} with std = 'dependent'")
            if self.max_log_std <= self.initial_log_std:
                raise ValueError(
                    f"max_log_std: expected above {bound} with std = 'dependent', got {self.max_log_std}"
                )
        for name in _SIZES:
            sizes = getattr(self, name)
            if any(size < 1 for size in sizes):
                raise ValueError(f"{name}: expected positive layer sizes, got {sizes}")

    def replace(self, **changes: Any) -> TrainConfig:
        """Return a copy with these fields changed; an unknown name is a ValueError."""
        _refuse_unknown(changes)
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Return the config as JSON-serialisable values, in the order of the fields."""
        values = dataclasses.asdict(self)
        values.update({name: list(values[name]) for name in _SIZES})
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrainConfig:
        """Build a config from :meth:`to_dict`'s values; missing keys take their defaults.

        Raises
        ------
        ValueError
            Where a key is not the name of a field.
        """
        _refuse_unknown(values)
        return cls(**values)


def _refuse_unknown(values: Mapping[str, Any]) -> None:
    known = [f.name for f in dataclasses.fields(TrainConfig)]
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ValueError(
            f"unknown configuration keys {', '.join(unknown)}; expected some of {', '.join(known)}"
        )


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_real(value: object) -> bool:
    return isinstance(value, float) or _is_integer(value)


def _choices(hint: object) -> list[Any]:
    """Return the values of a Literal, and None where the field may be it."""
    parts = (hint, *get_args(hint))
    names = [name for part in parts if get_origin(part) is Literal for name in get_args(part)]
    return [*names, None] if NoneType in parts else names


def _is_sizes(value: object) -> bool:
    return isinstance(value, (tuple, list)) and all(_is_integer(size) for size in value)


_TYPES: dict[Any, tuple[str, Callable[[Any], bool]]] = {
    str: ("a string", lambda value: isinstance(value, str)),
    bool: ("True or False", lambda value: isinstance(value, bool)),
    bool | None: ("True, False or None", lambda value: value is None or isinstance(value, bool)),
    int: ("an integer", _is_integer),
    float: ("a real number", _is_real),
    int | None: ("an integer or None", lambda value: value is None or _is_integer(value)),
    float | None: ("a real number or None", lambda value: value is None or _is_real(value)),
    tuple[int, ...]: ("a tuple of integers", _is_sizes),
    dict[str, Any]: ("a mapping", lambda value: isinstance(value, Mapping)),
}


def _check_types(config: TrainConfig) -> None:
    """Refuse wrong types; integers may stand for reals, NumPy's numbers for Python's, lists for tuples."""
    for name, hint in get_type_hints(TrainConfig).items():
        value = getattr(config, name)
        if isinstance(value, np.generic):
            value = value.item()
            object.__setattr__(config, name, value)
        if hint not in _TYPES:
            choices = _choices(hint)
            if value not in choices:
                raise ValueError(f"{name}: expected one of {', '.join(map(str, choices))}, got {value!r}")
            continue
        expected, fits = _TYPES[hint]
        if not fits(value):
            raise TypeError(f"{name}: expected {expected}, got {value!r} ({type(value).__name__})")
        if float in (hint, *get_args(hint)) and value is not None:
            if not math.isfinite(value):
                raise ValueError(f"{name}: expected a finite number, got {value}")
            object.__setattr__(config, name, float(value))
    for name in _SIZES:
        object.__setattr__(config, name, tuple(getattr(config, name)))
    object.__setattr__(config, "env_kwargs", dict(config.env_kwargs))
    try:
        json.dumps(config.env_kwargs)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"env_kwargs: expected values that JSON has, got {config.env_kwargs!r} ({error}); "
            "a function that makes the environment can hold any others"
        ) from error


def _check_range(
    config: TrainConfig,
    name: str,
    *,
    at_least: float = -math.inf,
    above: float = -math.inf,
    at_most: float = math.inf,
    below: float = math.inf,
) -> None:
    value = getattr(config, name)
    if value is None or (
        at_least <= value <= at_most
        and (value > above or above == -math.inf)
        and (value < below or below == math.inf)
    ):
        return
    bounds = [
        f"at least {at_least}" if at_least > -math.inf else "",
        f"above {above}" if above > -math.inf else "",
        f"at most {at_most}" if at_most < math.inf else "",
        f"below {below}" if below < math.inf else "",
    ]
    raise ValueError(f"{name}: expected a number {' and '.join(b for b in bounds if b)}, got {value}")
