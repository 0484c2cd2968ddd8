"""The agents: what a user trains, asks, saves and loads."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING, Any, ClassVar

from gymnasium.spaces.utils import flatdim
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from ..arguments import number
from ..policies import Policy
from .batch import first_not_finite
from .checkpoint import joined, part_of, read_checkpoint, write_checkpoint
from .config import AlgorithmName, PolicyName, TrainConfig
from .defaults import resolve
from .environments.masks import expect_masks, with_masks
from .environments.recipe import EnvLike, OpenEnvironment, episode_limit, prepared
from .environments.spaces import action_converter, observation_rows, outlines, refuse_other_spaces, row_of
from .errors import UserError, exits_told
from .evaluation import Evaluation, EvaluationInTraining, evaluate
from .habits import refuse_two_positions, refuse_unknown_fields
from .learner import Learner
from .make_policy import config_name, make_head, make_policy
from .presets import completed
from .rollouts import Rollouts
from .saved_state import check_arrays, check_header, read_from, refuse_import
from .seeding import Stream, stream
from .trainer import Callback, Trainer

if TYPE_CHECKING:
    from typing_extensions import Never, Self

__all__ = ["NPG", "TRPO", "Callback", "EnvLike"]


class NPG(Trainer):
    """Natural policy gradient, arXiv 1703.02660.

    Parameters
    ----------
    env
        A gymnasium environment id, a function that makes an environment, an environment (training
        then runs in this process alone), or a gymnasium vector environment.
    policy
        "linear", "rbf", "mlp", or a :class:`~fastfisher.policies.Policy`, which takes the defaults of its
        kind, one of the user's own those of "linear"; None: the preset's where one is asked for and has it,
        else "mlp".
    seed
        Seed of everything random.
    **overrides
        Other fields of :class:`~fastfisher.training.config.TrainConfig`; ``preset=True`` takes those not
        given from the environment's preset, if it has one (:mod:`fastfisher.training.presets`).

    Raises
    ------
    UserError
        Where the environment is unknown, lacks a package, or has unsupported spaces.
    ValueError
        Where ``algorithm`` is given and is another class's.
    TypeError
        Where a name is not a field's, or more than the environment is given by position; what
        Stable-Baselines3 calls otherwise is told by its name here.

    Examples
    --------
    >>> agent = NPG("CartPole-v1", workers=1).learn(2_000)
    >>> agent.steps >= 2_000
    True
    """

    algorithm: ClassVar[AlgorithmName] = "npg"
    """What the class calls itself in a config."""

    def __init__(
        self,
        env: EnvLike,
        *misplaced: Never,
        policy: PolicyName | Policy | None = None,
        seed: int = 0,
        **overrides: Any,
    ) -> None:
        refuse_two_positions(type(self).__name__, env, *misplaced)
        refuse_unknown_fields(overrides)
        name = env if isinstance(env, str) else ""
        custom = policy if isinstance(policy, Policy) else None
        if policy is not None:
            overrides["policy"] = config_name(policy) if isinstance(policy, Policy) else policy
        fields = completed(name, {"algorithm": self.algorithm, **overrides})
        config = TrainConfig(**{"env": name, "seed": seed, **fields})
        if config.algorithm != self.algorithm:
            other = _class_of(config.algorithm).__name__
            raise ValueError(
                f"algorithm: expected {self.algorithm} of {type(self).__name__}, got {config.algorithm}; "
                f"that is {other}'s"
            )
        self._set_up(config, env, custom)

    @classmethod
    def from_config(
        cls, config: TrainConfig, env: EnvLike | None = None, policy: Policy | None = None
    ) -> Self:
        """Make the agent of a config; ``env`` and ``policy`` are given where the config cannot name them.

        It is of the class that the config's ``algorithm`` names: NPG's method makes a TRPO, too.

        Raises
        ------
        UserError
            Where that is not a subclass of this one.
        """
        kind = cls if cls.algorithm == config.algorithm else _class_of(config.algorithm)
        if not issubclass(kind, cls):
            raise UserError(
                f"this is an agent of {kind.__name__}, not of {cls.__name__}: use {kind.__name__}"
            )
        agent = kind.__new__(kind)
        agent._set_up(config, config.env if env is None else env, policy)
        return agent

    def _set_up(self, config: TrainConfig, env: EnvLike, policy: Policy | None) -> None:
        self.iteration = 0
        self.steps = 0
        self.episodes = 0
        self.last_return = float("nan")
        """Mean return of the last batch's whole episodes."""
        self._rollouts: Rollouts | None = None
        self._rollouts_state: dict[str, NDArray[Any]] = {}
        with exits_told():
            self._environment = OpenEnvironment.of(env, config)
        self._evaluations = EvaluationInTraining(self._environment)
        self._evaluations.check(config)
        self.observation_space = self._environment.observation_space
        self.action_space = self._environment.action_space
        self._limit = episode_limit(self._environment.env)
        size = flatdim(self.observation_space)
        self.config = config = resolve(config, self.action_space, size, self._limit)
        head = make_head(self.action_space, config)
        self._custom_policy = policy is not None
        if policy is None:
            policy = make_policy(config, size, head, stream(config.seed, Stream.POLICY)[1])
        expect_masks(policy, self._environment.env)
        self._learner = Learner(config, policy, size, self._limit)
        self._prediction_rng = stream(config.seed, Stream.PREDICTION)[1]

    # Acting.

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
        action_masks: Any = None,
    ) -> tuple[Any, Any]:
        """Choose an action for one observation or a batch of them, as Stable-Baselines3 does.

        Parameters
        ----------
        observation
            An observation of the environment's space, or rows of such.
        state, episode_start
            Arguments of recurrent policies, which these are not; ``state`` is returned as it came.
        deterministic
            The most likely action instead of a sample.
        action_masks
            What the environment's ``action_masks()`` returns, or one for each observation; None: all is
            allowed.

        Returns
        -------
        tuple
            Action or actions, within the bounds, and ``state``.

        Raises
        ------
        ValueError
            Where the observation is not of the space, or holds NaN or infinities, or the mask does not fit.
        """
        rows, single = observation_rows(self.observation_space, observation)
        row = first_not_finite(rows)
        if row is not None:
            raise ValueError(f"observation: expected finite values, got {rows[row]} in row {row}")
        rows = with_masks(rows, action_masks, self.action_space, self.policy.mask_size, single)
        actions = self.policy.mode(rows) if deterministic else self.policy.act(rows, self._prediction_rng)
        space = self.action_space
        converted = action_converter(space, batch=True, action_map=self.policy.action_map)(actions)
        return (row_of(space, converted, 0) if single else converted), state

    def evaluate(
        self, episodes: int = 10, *,
        deterministic: bool = True, seed: int = 0, init_noise: float | None = None,
    ) -> Evaluation:  # fmt: skip
        """Run whole episodes without learning.

        The result is a function of the policy and the arguments; training is not affected.  Without a time
        limit episodes are cut as in training, after ``batch_steps`` steps.

        Parameters
        ----------
        episodes
            How many.
        deterministic
            The most likely action instead of a sample.
        seed
            Seed of the episodes; they differ from those of training whatever it is.
        init_noise
            Noise of the initial states, in the place of the config's; 0: the environment's own states.

        Raises
        ------
        UserError
            Where the agent's environment is a vector, or the noise is for other environments.
        ValueError
            Where ``episodes`` is below 1, the seed or the noise negative.
        TypeError
            Where ``episodes`` or ``seed`` is no integer.
        """
        env, bare = self._environment.env, self._environment.bare
        if isinstance(env, VectorEnv) or bare is None:
            raise UserError(
                "evaluate needs a single environment; load the agent with one: NPG.load(path, env=...)"
            )
        noise = self.config.init_noise if init_noise is None else number(init_noise, "init_noise")
        if noise != self.config.init_noise:
            env = prepared(bare, self.config.max_episode_steps, noise, self.config.action_masks)
        with exits_told():
            return evaluate(
                self.policy, env, self._longest, episodes,
                deterministic=deterministic, seed=seed, skip_bad_episodes=self.config.skip_bad_episodes,
            )  # fmt: skip

    # Keeping.

    def save(self, path: str | PathLike[str]) -> None:
        """Write everything that training depends on to one file, whole or not at all."""
        header = {
            "config": self.config.to_dict(),
            "counters": {"iteration": self.iteration, "steps": self.steps, "episodes": self.episodes},
            "last_return": self.last_return,
            "best": {"return": self.best_return, "iteration": self.best_iteration},
            "custom_policy": self._custom_policy,
            "spaces": outlines(self.observation_space, self.action_space),
        }
        write_checkpoint(path, header, self._learner.state() | joined({"rollouts": self._rollouts_state}))

    @classmethod
    def load(
        cls, path: str | PathLike[str], env: EnvLike | None = None, *, policy: Policy | None = None
    ) -> Self:
        """Read an agent back; ``learn`` then continues to the bits of the run that was never stopped.

        It is of the class that was saved: ``NPG.load`` reads a TRPO, too.

        Parameters
        ----------
        path
            What :meth:`save` wrote.
        env
            The environment, where the agent was not made from an id, or another one.  An id of the form
            ``module:Name-v0`` has to be given, or the module imported before: loading runs no code that
            a file names.
        policy
            An object of the agent's own policy, where it was given as an object; its parameters are read
            from the file.

        Raises
        ------
        UserError
            Where the file is truncated, corrupt, edited or no checkpoint, is of an algorithm that is not
            this class's or of other spaces than the environment's, or more than the path is needed.
        """
        header, arrays = read_checkpoint(path)
        with read_from(path):
            config = TrainConfig.from_dict(header["config"])
            check_header(header)
        if env is None:
            if not config.env:
                raise UserError(
                    f"{path} was trained on an environment without an id; pass it: NPG.load(path, env=...)"
                )
            refuse_import(path, config.env)
        if policy is None and header["custom_policy"]:
            raise UserError(
                f"{path} holds a policy of your own; pass one like it: NPG.load(path, policy=...)"
            )
        agent = cls.from_config(config, env, policy)
        here = outlines(agent.observation_space, agent.action_space)
        with read_from(path):
            refuse_other_spaces(header.get("spaces", {}), here, path)
            check_arrays(
                arrays, agent._learner.state(),
                version=header["version"], custom_policy=header["custom_policy"],
            )  # fmt: skip
            agent._learner.load_state(arrays)
        agent._rollouts_state = part_of(arrays, "rollouts")
        for name, value in header["counters"].items():
            setattr(agent, name, int(value))
        agent.last_return = float(header.get("last_return", "nan"))
        agent._evaluations.recall(header.get("best", {}))
        return agent

    def close(self) -> None:
        """Stop the worker processes and close the environment that the agent made."""
        self._close_rollouts()
        self._environment.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class TRPO(NPG):
    """Trust region policy optimization, arXiv 1502.05477: the natural step, checked and shortened.

    As :class:`NPG`, but the step is scaled back until the KL divergence that it has really brought about is
    at most ``max_kl`` and the surrogate objective has improved; where no length does both, the policy stays
    as it was, to the bit, and ``notes`` says why each was rejected.  ``fisher`` is "exact" unless said
    otherwise: what the Hessian-vector products of the paper compute.

    ``max_kl`` is the bound on the KL divergence, this paper's delta (NPG's paper calls twice that delta).

    Parameters
    ----------
    env, policy, seed, **overrides
        The same as :class:`NPG`'s; ``line_search_factor`` and ``line_search_steps`` are this algorithm's own.

    Examples
    --------
    >>> agent = TRPO("CartPole-v1", workers=1).learn(2_000)
    >>> agent.config.fisher
    'exact'
    """

    algorithm = "trpo"


def _class_of(algorithm: AlgorithmName) -> type[NPG]:
    """Return the class that trains by an algorithm."""
    return {kind.algorithm: kind for kind in (NPG, TRPO)}[algorithm]
