"""Stable-Baselines3-contrib's TRPO: the policy part of one train().

Its KL divergence is the mean over samples and over action dimensions too, the m-th part of the policies' KL
divergence; so it is given the m-th part of damping and max_kl, and solves the system that the case means.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..case import Inputs, Missing, Task
from ..gaussian_mlp import GaussianMLP


def policy_update(inputs: Inputs, threads: int) -> Task:
    """train() without critic updates, on the inputs' policy and batch; both put back before each run."""
    try:
        import torch
        from sb3_contrib import TRPO
        from stable_baselines3.common.logger import configure
    except ImportError as error:
        raise Missing(f"sb3-contrib is not installed ({error})") from None

    torch.set_num_threads(threads)
    reference: GaussianMLP = inputs["policy"]
    hidden = [layer.shape[1] for layer in reference.layers[:-1]]
    samples, actions = inputs["act"].shape
    model = TRPO(
        "MlpPolicy",
        _environment(inputs),
        n_steps=samples,
        batch_size=samples,
        cg_max_steps=inputs["iterations"],
        cg_damping=inputs["damping"] / actions,
        target_kl=inputs["max_kl"] / actions,
        n_critic_updates=0,
        sub_sampling_factor=1,
        policy_kwargs={"net_arch": {"pi": hidden, "vf": hidden}},
        device="cpu",
        seed=0,
    )
    model.set_logger(configure(None, []))
    linear = [module for module in model.policy.mlp_extractor.policy_net if hasattr(module, "weight")]
    linear.append(model.policy.action_net)
    _load(linear, model.policy.log_std, reference)
    _fill(model, inputs)
    start = {name: tensor.clone() for name, tensor in model.policy.state_dict().items()}

    def reset() -> None:
        model.policy.load_state_dict(start)
        torch.manual_seed(0)  # its CG starts at random
        np.random.seed(0)  # noqa: NPY002 - its buffer shuffles with the global generator

    def answer(_: None) -> dict[str, Any]:
        return {"step": _parameters(linear, model.policy.log_std) - reference.parameters}

    return Task(model.train, answer, reset)


def _environment(inputs: Inputs) -> Any:
    import gymnasium

    class Dummy(gymnasium.Env[Any, Any]):
        observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (inputs["obs"].shape[1],))
        action_space = gymnasium.spaces.Box(-10.0, 10.0, (inputs["act"].shape[1],))

    return Dummy()


def _fill(model: Any, inputs: Inputs) -> None:
    """Put the batch into the rollout buffer, as collect_rollouts would."""
    import torch

    buffer = model.rollout_buffer
    buffer.reset()
    obs, act = inputs["obs"].astype(np.float32), inputs["act"].astype(np.float32)
    with torch.no_grad():
        distribution = model.policy.get_distribution(torch.from_numpy(obs))
        log_prob = distribution.log_prob(torch.from_numpy(act)).numpy()
    buffer.observations[:, 0] = obs
    buffer.actions[:, 0] = act
    buffer.log_probs[:, 0] = log_prob
    buffer.advantages[:, 0] = inputs["advantages"]
    buffer.returns[:, 0] = inputs["advantages"]
    buffer.pos, buffer.full = len(obs), True


def _load(linear: list[Any], log_std: Any, reference: GaussianMLP) -> None:
    import torch

    with torch.no_grad():
        for module, layer in zip(linear, reference.layers, strict=True):
            module.weight.copy_(torch.from_numpy(layer[:-1].T.copy()))
            module.bias.copy_(torch.from_numpy(layer[-1]))
        log_std.copy_(torch.from_numpy(reference.log_std))


def _parameters(linear: list[Any], log_std: Any) -> Any:
    parts = []
    for module in linear:
        parts += [module.weight.detach().numpy().T.ravel(), module.bias.detach().numpy()]
    return np.concatenate([*parts, log_std.detach().numpy()]).astype(np.float64)
