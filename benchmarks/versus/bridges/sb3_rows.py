"""fastfisher.sb3 against the TRPO of SB3-contrib: the policy's update, and whole iterations.

Both are models of Stable-Baselines3 with the same hyper-parameters, the same rollout and the same weights.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ..case import Missing, Task
from .row import Row, compared

PEER = "SB3-contrib TRPO"
OBSERVATIONS, ACTIONS, PIXELS = 17, 6, (4, 84, 84)
KL_LIMIT = 0.01
LIMITS = {"kl": KL_LIMIT, "loss": 0.0}
EMPIRICAL = (
    "float32; its F is the exact Fisher (the KL Hessian), ours the empirical (arXiv 1703.02660, eq. 4)"
)
EXACT = "float32; F is the exact Fisher (the KL Hessian) on both sides"
IMAGES = "its F is the exact Fisher, solved by 15 CG steps; ours the empirical, solved to 1e-8"
WHOLE = "fits its critic by Adam, 10 passes; ours by Gauss-Newton steps"


def rows(quick: bool) -> list[Row]:
    """Return the comparisons; `quick` shrinks the sizes."""
    samples = 256 if quick else 10_000
    widths = (8,) if quick else (64, 256)
    bars = {"empirical": (8.0, 10.0), "exact": (4.0, 5.0)}
    found = [
        compared(
            f"sb3 train() without critic {fisher}, N={samples}, 17-{width}-{width}-6",
            ours=partial(_update, partial(_vectors, samples, width), {"fisher": fisher}),
            peer=partial(_update, partial(_vectors, samples, width), None),
            peer_name=PEER,
            threads=2,
            bar=bars[fisher][widths.index(width)],
            pairs=7 if width < 256 else 5,
            limits=LIMITS,
            peer_limits=LIMITS,
            gives=EMPIRICAL if fisher == "empirical" else EXACT,
        )
        for width in widths
        for fisher in bars
    ]
    samples = 32 if quick else 256
    found.append(
        compared(
            f"sb3 train() without critic, NatureCNN, N={samples}",
            ours=partial(_update, partial(_images, samples), {"tol": 1e-8}),
            peer=partial(_update, partial(_images, samples), None),
            peer_name=PEER,
            threads=1,
            bar=13.0,
            pairs=2,
            limits={**LIMITS, "residual": 1e-8},
            peer_limits=LIMITS,
            gives=IMAGES,
        )
    )
    steps, width = (64, 8) if quick else (2048, 256)
    found.append(
        compared(
            f"sb3 iteration, HalfCheetah-v5 x 8, {steps} steps each, {width}-{width}",
            ours=partial(_iteration, steps, width, {"critic": "natural"}),
            peer=partial(_iteration, steps, width, None),
            peer_name=PEER,
            threads=1,
            bar=3.2,
            pairs=3,
            gives=WHOLE,
        )
    )
    return found


def _model(ours: dict[str, Any] | None, threads: int, *arguments: Any, **options: Any) -> Any:
    """Return a model of ours with these keywords, or SB3-contrib's for None."""
    try:
        import torch
        from sb3_contrib import TRPO as CONTRIB
        from stable_baselines3.common.logger import configure
    except ImportError as error:
        raise Missing(f"sb3-contrib is not installed ({error})") from None
    from fastfisher.sb3 import TRPO

    torch.set_num_threads(threads)
    kind, more = (CONTRIB, {}) if ours is None else (TRPO, ours)
    model = kind(*arguments, **options, **more, device="cpu", seed=0)
    model.set_logger(configure(None, []))
    return model


def _update(
    make: Callable[[dict[str, Any] | None, int], Any], ours: dict[str, Any] | None, threads: int
) -> Task:
    """Time train(), of a model that has no critic updates to make; weights are put back before each run."""
    import torch

    model = make(ours, threads)
    start = {name: tensor.clone() for name, tensor in model.policy.state_dict().items()}

    def reset() -> None:
        model.policy.load_state_dict(start)
        torch.manual_seed(0)  # SB3-contrib's CG starts at random,
        np.random.seed(0)  # noqa: NPY002 - and buffers shuffle with the global generator

    def answer(_: None) -> dict[str, Any]:
        logged = model.logger.name_to_value
        found = {
            "kl": logged["train/kl_divergence_loss"],
            "loss": -logged["train/policy_objective"],
            "residual": logged.get("train/residual", np.nan),
        }
        return {name: np.asarray(value) for name, value in found.items()}

    return Task(model.train, answer, reset)


def _vectors(samples: int, width: int, ours: dict[str, Any] | None, threads: int) -> Any:
    """Return an MLP policy and a rollout whose advantages can be told from the observations."""
    model = _model(
        ours,
        threads,
        "MlpPolicy",
        _environment((OBSERVATIONS,), np.float32, continuous=True),
        n_steps=samples,
        batch_size=samples,
        n_critic_updates=0,
        policy_kwargs={"net_arch": [width, width]},
    )
    rng = np.random.default_rng(0)
    observations = rng.standard_normal((samples, OBSERVATIONS)).astype(np.float32)
    return _filled(model, observations, rng.standard_normal(samples) + observations[:, 0])


def _images(samples: int, ours: dict[str, Any] | None, threads: int) -> Any:
    """Return a CNN policy and a rollout of noise."""
    model = _model(
        ours,
        threads,
        "CnnPolicy",
        _environment(PIXELS, np.uint8, continuous=False),
        n_steps=samples,
        batch_size=samples,
        n_critic_updates=0,
    )
    rng = np.random.default_rng(0)
    observations = rng.integers(0, 256, (samples, *PIXELS), dtype=np.uint8)
    return _filled(model, observations, rng.standard_normal(samples))


def _environment(shape: tuple[int, ...], dtype: Any, *, continuous: bool) -> Any:
    import gymnasium
    from gymnasium import spaces

    class Dummy(gymnasium.Env[Any, Any]):
        observation_space = (
            spaces.Box(0, 255, shape, dtype)
            if dtype == np.uint8
            else spaces.Box(-np.inf, np.inf, shape, dtype)
        )
        action_space = spaces.Box(-10.0, 10.0, (ACTIONS,)) if continuous else spaces.Discrete(ACTIONS)

    return Dummy()


def _filled(model: Any, observations: Any, advantages: Any) -> Any:
    """Put a batch into the rollout buffer, as collect_rollouts would, with actions that are drawn."""
    import torch

    torch.manual_seed(0)
    buffer = model.rollout_buffer
    buffer.reset()
    with torch.no_grad():
        distribution = model.policy.get_distribution(torch.from_numpy(observations))
        actions = distribution.sample()
        log_prob = distribution.log_prob(actions).numpy()
    buffer.observations[:, 0] = observations
    buffer.actions[:, 0] = actions.numpy().reshape(len(observations), -1)
    buffer.log_probs[:, 0] = log_prob
    buffer.advantages[:, 0] = advantages
    buffer.returns[:, 0] = advantages
    buffer.pos, buffer.full = len(observations), True
    return model


def _iteration(steps: int, width: int, ours: dict[str, Any] | None, threads: int) -> Task:
    """Time a whole iteration: rollout, policy and critic; each goes on from the one before."""
    import torch

    torch.set_num_threads(threads)
    try:
        from stable_baselines3.common.env_util import make_vec_env
    except ImportError as error:
        raise Missing(f"stable-baselines3 is not installed ({error})") from None
    model = _model(
        ours,
        threads,
        "MlpPolicy",
        make_vec_env("HalfCheetah-v5", 8, seed=0),
        n_steps=steps,
        policy_kwargs={"net_arch": [width, width]},
    )

    def run() -> None:
        model.learn(8 * steps, reset_num_timesteps=False)

    def answer(_: None) -> dict[str, Any]:
        return {"kl": np.asarray(model.logger.name_to_value.get("train/kl_divergence_loss", np.nan))}

    return Task(run, answer)
