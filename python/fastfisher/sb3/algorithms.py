"""NPG and TRPO as algorithms of Stable-Baselines3."""

from __future__ import annotations

import inspect
import math
import warnings
from typing import Any, ClassVar, TypeVar, get_args

import torch
from gymnasium import spaces
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.policies import (
    ActorCriticCnnPolicy,
    ActorCriticPolicy,
    BasePolicy,
    MultiInputActorCriticPolicy,
)
from stable_baselines3.common.type_aliases import GymEnv, MaybeCallback, Schedule
from stable_baselines3.common.utils import explained_variance

from ..arguments import POSITIVE, Bounds, choice, number, whole
from ..natural import Solver
from .critic import CriticName, fit_critic
from .rollout import drawn_rollout, whole_rollout
from .trust_region import FisherName, PolicyUpdate, Settings, threads, update_policy

Self = TypeVar("Self", bound="NaturalPolicyGradient")


class NaturalPolicyGradient(OnPolicyAlgorithm):
    """What NPG and TRPO have in common: all but how far they go along a step.

    Arguments up to ``_init_setup_model`` have the names, the order and the defaults of SB3-contrib's TRPO,
    and mean what they mean there; the others are keywords.

    Parameters
    ----------
    policy : str or type
        "MlpPolicy", "CnnPolicy", "MultiInputPolicy" or a subclass of ActorCriticPolicy.
    env : environment, vector environment or str
        Actions are Box, Discrete, MultiDiscrete or MultiBinary.
    learning_rate : float or schedule
        Adam's, for the critic.  The policy has none: ``target_kl`` decides the length of its step.
    n_steps : int
        Steps of each environment between two updates.
    batch_size : int
        Samples of a step of Adam for the critic.
    gamma, gae_lambda : float
        Discount, and the weight of later residuals in the advantages (GAE).
    cg_max_steps : int
        The most iterations where ``solver="cg"``; the others end by ``tol``.
    cg_damping : float
        lambda, added to the Hessian of the KL divergence as SB3-contrib measures it (see ``target_kl``).
    line_search_shrinking_factor, line_search_max_iter : float, int
        TRPO's backtracking: the factor from one step tried to the next, and the most that are tried (0 leaves
        the policy as it is).  NPG takes the same arguments and has no use for them.
    n_critic_updates : int
        Passes of Adam over the batch, for the critic; 0 leaves it as it is.  ``critic="natural"`` takes a
        fifth as many, rounded up.
    use_sde : bool
        gSDE, noise that is a function of the state; ``fisher="empirical"`` only.
    sde_sample_freq : int
        Steps between draws of gSDE's noise; -1 draws once a rollout.
    rollout_buffer_class, rollout_buffer_kwargs : type, dict
        As in Stable-Baselines3.
    normalize_advantage : bool
        Shift and scale each batch's advantages to mean 0 and standard deviation 1.
    target_kl : float
        The mean KL divergence that a step may bring: as in SB3-contrib averaged over action dimensions too,
        for Box and MultiBinary actions.
    sub_sampling_factor : int
        Use one of so many samples, drawn at random, for the policy's step.
    stats_window_size, tensorboard_log, policy_kwargs, verbose, seed, device, _init_setup_model
        As in Stable-Baselines3.
    fisher : {"empirical", "exact"}
        F from the actions that were taken (arXiv 1703.02660, equation 4), or its expectation over actions,
        which is the Hessian that SB3-contrib multiplies with.
    tol : float
        The relative residual at which the solution of (F + lambda I) x = g is good enough.
    solver : {"auto", "cholesky", "gram", "cg", "lsmr"}
        As in `fastfisher.natural_step`.
    critic : {"adam", "natural"}
        How the critic is fitted: SB3-contrib's way, or by stochastic Gauss-Newton steps.

    Raises
    ------
    TypeError, ValueError
        If a keyword that SB3-contrib does not have, or a number of the update, is not as above.
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        "MlpPolicy": ActorCriticPolicy,
        "CnnPolicy": ActorCriticCnnPolicy,
        "MultiInputPolicy": MultiInputActorCriticPolicy,
    }
    _line_search: ClassVar[bool]

    def __init__(
        self,
        policy: str | type[ActorCriticPolicy],
        env: GymEnv | str,
        learning_rate: float | Schedule = 1e-3,
        n_steps: int = 2048,
        batch_size: int = 128,
        gamma: float = 0.99,
        cg_max_steps: int = 15,
        cg_damping: float = 0.1,
        line_search_shrinking_factor: float = 0.8,
        line_search_max_iter: int = 10,
        n_critic_updates: int = 10,
        gae_lambda: float = 0.95,
        use_sde: bool = False,
        sde_sample_freq: int = -1,
        rollout_buffer_class: type[RolloutBuffer] | None = None,
        rollout_buffer_kwargs: dict[str, Any] | None = None,
        normalize_advantage: bool = True,
        target_kl: float = 0.01,
        sub_sampling_factor: int = 1,
        stats_window_size: int = 100,
        tensorboard_log: str | None = None,
        policy_kwargs: dict[str, Any] | None = None,
        verbose: int = 0,
        seed: int | None = None,
        device: torch.device | str = "auto",
        _init_setup_model: bool = True,
        *,
        fisher: FisherName = "empirical",
        tol: float = 1e-3,
        solver: Solver = "auto",
        critic: CriticName = "adam",
    ) -> None:
        super().__init__(
            policy,
            env,
            learning_rate=learning_rate,
            n_steps=n_steps,
            gamma=gamma,
            gae_lambda=gae_lambda,
            ent_coef=0.0,  # The surrogate has no entropy bonus,
            vf_coef=0.0,  # no value loss, which is the critic's own,
            max_grad_norm=0.0,  # and no gradient to clip.
            use_sde=use_sde,
            sde_sample_freq=sde_sample_freq,
            rollout_buffer_class=rollout_buffer_class,
            rollout_buffer_kwargs=rollout_buffer_kwargs,
            stats_window_size=stats_window_size,
            tensorboard_log=tensorboard_log,
            policy_kwargs=policy_kwargs,
            verbose=verbose,
            device=device,
            seed=seed,
            _init_setup_model=False,
            supported_action_spaces=(
                spaces.Box,
                spaces.Discrete,
                spaces.MultiDiscrete,
                spaces.MultiBinary,
            ),
        )
        self.batch_size = batch_size
        self.cg_max_steps = cg_max_steps
        self.cg_damping = cg_damping
        self.line_search_shrinking_factor = line_search_shrinking_factor
        self.line_search_max_iter = line_search_max_iter
        self.n_critic_updates = n_critic_updates
        self.normalize_advantage = normalize_advantage
        self.target_kl = target_kl
        self.sub_sampling_factor = sub_sampling_factor
        self.fisher = fisher
        self.tol = tol
        self.solver = solver
        self.critic = critic
        self._check_arguments()
        if self.env is not None:
            _check_sizes(self.env.num_envs, n_steps, batch_size, normalize_advantage, sub_sampling_factor)
        if _init_setup_model:
            self._setup_model()

    def _setup_model(self) -> None:
        # `load` puts the arguments of a file, and those that it is given, in place before it comes here.
        self._check_arguments()
        super()._setup_model()

    def _check_arguments(self) -> None:
        """Refuse what an update would fail by, or take for something else."""
        choice(self.fisher, "fisher", get_args(FisherName))
        choice(self.solver, "solver", get_args(Solver))
        choice(self.critic, "critic", get_args(CriticName))
        number(self.tol, "tol", POSITIVE)
        number(self.target_kl, "target_kl", POSITIVE)
        number(self.cg_damping, "cg_damping")
        whole(self.batch_size, "batch_size", Bounds(at_least=1))
        whole(self.sub_sampling_factor, "sub_sampling_factor", Bounds(at_least=1))
        for name in ("cg_max_steps", "line_search_max_iter", "n_critic_updates"):
            whole(getattr(self, name), name)
        if self.use_sde and self.fisher == "exact":
            raise ValueError(
                'fisher: expected "empirical" with use_sde=True, whose noise is a function of the state, '
                'got "exact"'
            )

    def train(self) -> None:
        """Update the policy and then the critic by the rollout that was collected last."""
        # The scores are those of the policy that acted: without dropout, by the running statistics of
        # normalisation layers.
        self.policy.set_training_mode(False)
        update = self._update_policy()
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        value_loss = fit_critic(
            self.policy,
            self.rollout_buffer,
            update.names,
            how=self.critic,
            updates=self.n_critic_updates,
            batch_size=self.batch_size,
            threads=threads(),
        )
        self._n_updates += 1
        self._record(update, value_loss)

    def _update_policy(self) -> PolicyUpdate:
        buffer, one_of = self.rollout_buffer, self.sub_sampling_factor
        batch = drawn_rollout(buffer, one_of) if one_of > 1 else whole_rollout(buffer)
        return update_policy(
            self.policy,
            batch,
            Settings(self.fisher, self.cg_damping, self.target_kl, self.tol, self.solver, self.cg_max_steps),
            normalize_advantage=self.normalize_advantage,
            shrinking=self.line_search_shrinking_factor,
            tries=self.line_search_max_iter if self._line_search else None,
        )

    def _record(self, update: PolicyUpdate, value_loss: float) -> None:
        record = self.logger.record
        values, returns = self.rollout_buffer.values.flatten(), self.rollout_buffer.returns.flatten()
        record("train/policy_objective", update.objective)
        if math.isfinite(value_loss):
            record("train/value_loss", value_loss)
        record("train/kl_divergence_loss", update.kl)
        record("train/explained_variance", explained_variance(values, returns))
        if self._line_search:
            record("train/is_line_search_success", float(update.fraction > 0.0))
        if hasattr(self.policy, "log_std"):
            record("train/std", torch.exp(self.policy.log_std).mean().item())
        record("train/residual", update.result.residual)
        record("train/iterations", update.result.iterations)
        record("train/solver", update.result.solver, exclude="tensorboard")
        record("train/n_updates", self._n_updates, exclude="tensorboard")
        for event in update.result.events:
            if event.code == "untrusted":
                self.logger.warn(event.sentence)

    def learn(
        self: Self,
        total_timesteps: int,
        callback: MaybeCallback = None,
        log_interval: int = 1,
        tb_log_name: str | None = None,
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> Self:
        """Collect rollouts and update policy and critic by them, until so many steps have been made.

        Parameters
        ----------
        total_timesteps : int
            Steps of all environments together.
        callback, log_interval, reset_num_timesteps, progress_bar
            As in Stable-Baselines3.
        tb_log_name : str, optional
            The name of the TensorBoard run; default the class's.
        """
        return super().learn(
            total_timesteps=total_timesteps,
            callback=callback,
            log_interval=log_interval,
            tb_log_name=type(self).__name__ if tb_log_name is None else tb_log_name,
            reset_num_timesteps=reset_num_timesteps,
            progress_bar=progress_bar,
        )


def _with_arguments(words: str | None) -> str:
    """Return a class's docstring with the arguments that both classes have."""
    shared = inspect.cleandoc(NaturalPolicyGradient.__doc__ or "").partition("\n\n")[2]
    return f"{inspect.cleandoc(words or '')}\n\n{shared}"


class TRPO(NaturalPolicyGradient):
    """Trust region policy optimisation: a natural step, shortened until KL divergence and surrogate allow it.

    Schulman, Levine, Moritz, Jordan and Abbeel, arXiv 1502.05477.
    """

    __doc__ = _with_arguments(__doc__)
    _line_search = True


class NPG(NaturalPolicyGradient):
    """Natural policy gradient: the whole of a step that is as long as ``target_kl`` allows it by the model.

    Rajeswaran, Lowrey, Todorov and Kakade, arXiv 1703.02660, equations 3 to 5.  The KL divergence that a step
    brings is measured and logged, but the step is not shortened by it.  A step that leads to no finite policy
    is not taken.
    """

    __doc__ = _with_arguments(__doc__)
    _line_search = False


def _check_sizes(
    environments: int, steps: int, batch_size: int, normalize_advantage: bool, one_of: int
) -> None:
    """Refuse a step by one sample, whose advantages have no standard deviation; warn of odd batches."""
    samples = environments * steps
    # The kinds of exception and of warning are those of Stable-Baselines3.
    assert samples > 1 or not normalize_advantage, (
        f"n_steps: expected n_steps * n_envs > 1 with normalize_advantage=True, got {steps} * {environments}"
    )
    assert samples > one_of or not normalize_advantage, (
        "sub_sampling_factor: expected less than n_steps * n_envs with normalize_advantage=True, got "
        f"{one_of} where they are {steps} * {environments}"
    )
    if samples % batch_size:
        warnings.warn(
            f"batch_size: a factor of the rollout's size, n_steps * n_envs = {steps} * {environments}, makes "
            f"all batches of a pass as large; with {batch_size} the last has {samples % batch_size}",
            stacklevel=4,
        )
