"""Every hyper-parameter of a training run, in one place.

The bounds of a field stand beside it, and the docstring under it is the help text of its command-line flag,
so each is one line.  What a field means that is left open, None for the most part, is decided once:
:func:`.defaults.resolve`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from types import MappingProxyType
from typing import Annotated, Any, Literal

from ..arguments import Bounds, check_fields, json_value, number
from ..natural import Precision, Solver

AlgorithmName = Literal["npg", "trpo"]
PolicyName = Literal["linear", "rbf", "mlp"]
BaselineName = Literal["auto", "linear", "quadratic", "mlp"]
StdName = Literal["independent", "dependent"]
FisherName = Literal["empirical", "exact"]
BackendName = Literal["gymnasium", "envpool"]
UnitsName = Literal["bounds", "environment"]
DampingRuleName = Literal["fixed", "adaptive"]


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

    steps: Annotated[int, Bounds(at_least=1)] = 2_500_000
    """Environment steps of the whole run, all workers together; the last iteration is not cut."""

    target_return: float | None = None
    """Stop after an iteration whose batch has a mean return of at least this (None: train all steps)."""

    seed: Annotated[int, Bounds(at_least=0)] = 0
    """Seed of everything random in the run."""

    batch_steps: Annotated[int | None, Bounds(at_least=1)] = None
    """Steps per iteration, at least (None: 10 episodes at their limit, 1,000, mlp 5,000, to 10,000)."""

    gamma: Annotated[float | None, Bounds(at_least=0.0, at_most=1.0)] = None
    """Discount factor (None: exp(-2.5 / limit) where an episode has a limit below 500 steps, else 0.995)."""

    gae_lambda: Annotated[float, Bounds(at_least=0.0, at_most=1.0)] = 0.95
    """Lambda of generalised advantage estimation (arXiv 1506.02438); 1: Monte Carlo returns less baseline."""

    max_kl: Annotated[float | None, Bounds(above=0.0)] = None
    """KL divergence of one step, half arXiv 1703.02660's delta (None: 0.05; 0.025 for discrete actions)."""

    final_max_kl: Annotated[float | None, Bounds(above=0.0)] = None
    """KL at the end of the run: max_kl decays to it, exponentially in environment steps (None: it stays)."""

    fisher: FisherName | None = None
    """Fisher of the sampled actions (equation 4), or its mean over all (None: empirical; exact for trpo)."""

    fisher_fraction: Annotated[float, Bounds(above=0.0, at_most=1.0)] = 1.0
    """Share of the batch's rows, evenly spread, that the Fisher matrix is made of; the gradient uses all."""

    damping: Annotated[float, Bounds(at_least=0.0)] = 1e-2
    """Lambda of (F + lambda I)^-1 g; where the rule is adaptive, that of the first step."""

    relative_damping: bool = False
    """Measure the damping in units of the Fisher matrix's mean eigenvalue."""

    damping_rule: DampingRuleName = "fixed"
    """Keep the damping, or adapt it by achieved over predicted improvement (Levenberg-Marquardt)."""

    min_damping: Annotated[float, Bounds(above=0.0)] = 1e-3
    """Least damping of the adaptive rule, in the units of damping."""

    max_damping: float = 10.0
    """Largest damping of the adaptive rule, in the units of damping."""

    momentum: Annotated[float, Bounds(at_least=0.0, below=1.0)] = 0.0
    """Share of the last direction kept (SPRING, arXiv 2401.10190), below 1."""

    line_search_factor: Annotated[float, Bounds(above=0.0, below=1.0)] = 0.8
    """TRPO: what a rejected step is shortened by."""

    line_search_steps: Annotated[int, Bounds(at_least=1)] = 10
    """TRPO: step lengths to try before the policy stays as it is."""

    solver: Solver = "auto"
    """Algebra of the step: parameters x parameters, samples x samples, matrix-free, or the cheapest."""

    cg_tolerance: Annotated[float, Bounds(above=0.0, at_most=1.0)] = 1e-8
    """Relative residual at which CG stops."""

    cg_iterations: Annotated[int | None, Bounds(at_least=1)] = None
    """Most iterations of CG (None: 10 for mlp, as arXiv 1502.05477 takes, else until the tolerance)."""

    precision: Precision = "auto"
    """Arithmetic of the natural step; single is that of the policy's passes over a batch, too."""

    baseline: BaselineName = "auto"
    """Value baseline; auto is mlp for mlp, else quadratic up to 40 observation entries, linear above."""

    baseline_hidden: Annotated[tuple[int, ...], Bounds(at_least=1)] = (32, 32)
    """Hidden layer sizes of the mlp baseline."""

    baseline_steps: Annotated[int, Bounds(at_least=1)] = 4
    """Gauss-Newton steps that fit the mlp baseline to a batch, from where the batch before left it."""

    baseline_batches: Annotated[int, Bounds(at_least=1)] = 1
    """Batches that the baseline is fitted to together: the last one, and those just before it."""

    baseline_lambda: Annotated[float, Bounds(at_least=0.0, at_most=1.0)] = 1.0
    """Lambda of the returns that the baseline is fitted to; 1: whole returns, without a guess by V."""

    ridge: Annotated[float, Bounds(above=0.0)] = 1e-5
    """Ridge of the linear and quadratic baselines' least-squares fit, per sample."""

    normalize_observations: bool | None = None
    """Standardise by running statistics, made up for by weights (None: but for linear, Box actions)."""

    normalize_advantages: bool = True
    """Centre advantages and divide them by their standard deviation."""

    normalize_rewards: bool = False
    """Divide rewards by the running standard deviation of discounted returns."""

    initial_log_std: float | None = None
    """Initial log standard deviation of Gaussian actions, in their units (None: 0.25 for mlp, else -1)."""

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

    action_units: UnitsName = "bounds"
    """Measure Gaussian actions by centre and half range of their bounds, or as the environment does."""

    action_masks: bool = True
    """Choose only what the environment's action_masks() allows, where it has this method."""

    hidden: Annotated[tuple[int, ...], Bounds(at_least=1)] = (32, 32)
    """Hidden layer sizes of the mlp policy."""

    rbf_features: Annotated[int, Bounds(at_least=1)] = 250
    """Number of random Fourier features of the rbf policy."""

    rbf_bandwidth: Annotated[float | None, Bounds(above=0.0)] = None
    """Bandwidth nu of the rbf features (None: mean distance between the first observations, scaled)."""

    rbf_bandwidth_scale: Annotated[float, Bounds(above=0.0)] = 1.0
    """What that mean distance is multiplied by: wider features are smoother policies."""

    workers: Annotated[int | None, Bounds(at_least=1)] = None
    """Rollout processes, or EnvPool's threads (None: one per usable core); the result is the same."""

    worker_timeout: Annotated[float, Bounds(above=0.0)] = 600.0
    """Seconds without a step after which a rollout process counts as hung, and the run stops."""

    backend: BackendName = "gymnasium"
    """Who simulates during training: gymnasium, or EnvPool on its own threads (extra fastfisher[envpool])."""

    num_envs: Annotated[int, Bounds(at_least=0)] = 0
    """Copies to step together, in gymnasium (0, 1: one by one) or EnvPool (0: to 10, for whole episodes)."""

    max_episode_steps: Annotated[int | None, Bounds(at_least=1)] = None
    """Cut episodes after this many steps, as a time limit (None: the environment's own limit)."""

    skip_bad_episodes: bool = False
    """Drop episodes in which the environment gives a NaN or infinity, and count them; else the run stops."""

    env_kwargs: dict[str, Any] = field(default_factory=dict)
    """Keyword arguments of the environment."""

    init_noise: Annotated[float, Bounds(at_least=0.0)] = 0.0
    """Start MuJoCo robots in diverse states: 0 as the environment does, 1 any pose."""

    checkpoint_every: Annotated[int, Bounds(at_least=1)] = 10
    """Iterations between checkpoints of the command line's run folder."""

    evaluate_every: Annotated[int, Bounds(at_least=0)] = 0
    """Iterations between evaluations of the policy's most likely actions, the best kept (0: never)."""

    evaluation_episodes: Annotated[int, Bounds(at_least=1)] = 10
    """Episodes of each of these evaluations, which take no part in training."""

    preset: bool = False
    """Whether fields that nobody set come from the environment's preset (fastfisher/training/presets.py)."""

    def __post_init__(self) -> None:
        check_fields(self, TrainConfig)
        holder = " (a function that makes the environment can hold any other)"
        try:
            object.__setattr__(self, "env_kwargs", json_value(self.env_kwargs, "env_kwargs", ending=holder))
        except RecursionError:
            raise TypeError("env_kwargs: expected values of JSON, got one that contains itself") from None
        number(self.max_damping, "max_damping", Bounds(at_least=self.min_damping))
        if self.damping_rule == "adaptive":
            number(self.damping, "damping", Bounds(at_least=self.min_damping, at_most=self.max_damping))
        number(self.max_log_std, "max_log_std", Bounds(above=self.min_log_std))
        if self.init_noise and self.backend == "envpool":
            raise ValueError(
                f"init_noise: expected 0 with backend = 'envpool', whose states are out of reach, "
                f"got {self.init_noise}"
            )
        if self.skip_bad_episodes and (self.backend == "envpool" or self.num_envs > 1):
            together = "backend = 'envpool'" if self.backend == "envpool" else f"num_envs = {self.num_envs}"
            raise ValueError(
                f"skip_bad_episodes: expected False with {together}, whose copies step together, got True"
            )
        if self.final_min_log_std is not None and self.std == "dependent":
            raise ValueError(
                "final_min_log_std: expected None with std = 'dependent', whose floor is in its formula, "
                f"got {self.final_min_log_std}"
            )
        if self.initial_log_std is not None:
            self._check_floor_and_ceiling(self.initial_log_std)

    def _check_floor_and_ceiling(self, initial: float) -> None:
        bound = f"initial_log_std = {initial}"
        if self.min_log_std > initial:
            raise ValueError(f"min_log_std: expected at most {bound}, got {self.min_log_std}")
        if self.std == "dependent":
            # Floor and ceiling are approached and never reached: see StateDependentGaussianHead.
            if self.min_log_std == initial:
                raise ValueError(f"min_log_std: expected below {bound} with std = 'dependent'")
            if self.max_log_std <= initial:
                raise ValueError(
                    f"max_log_std: expected above {bound} with std = 'dependent', got {self.max_log_std}"
                )

    def replace(self, **changes: Any) -> TrainConfig:
        """Return a copy with these fields changed; an unknown name is a ValueError."""
        _refuse_unknown(changes)
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Return the config as JSON-serialisable values, in the order of the fields."""
        values = dataclasses.asdict(self)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrainConfig:
        """Build a config from :meth:`to_dict`'s values, or from those of an earlier version.

        Missing keys take their defaults, but for fields without which earlier versions trained in another
        way: what was written then goes on as it did.

        Raises
        ------
        ValueError
            Where a key is not the name of a field.
        """
        _refuse_unknown(values)
        return cls(**{**_BEFORE, **values})


_BEFORE: Mapping[str, Any] = MappingProxyType({"action_units": "environment", "action_masks": False})
"""What fields would have said in a file that was written before there were such fields."""


def _refuse_unknown(values: Mapping[str, Any]) -> None:
    known = [f.name for f in dataclasses.fields(TrainConfig)]
    for name in sorted(set(values) - set(known)):
        nearest = get_close_matches(name, known, 1, cutoff=0.0)[0]
        raise ValueError(f"{name}: unknown configuration key; did you mean {nearest}?")
