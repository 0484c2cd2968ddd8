"""What users of Stable-Baselines3 write by habit, and what it is called here.

The agents have its ``learn`` and its ``predict``.  Its other names would be refused as unknown ones, so the
refusal says which name, or which way, takes their place.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Collection, Mapping, Sequence
from typing import get_args

from ..policies import Policy
from .config import PolicyName, TrainConfig

_CALLED: Mapping[str, str] = {
    "n_steps": "batch_steps",
    "n_envs": "num_envs",
    "learning_rate": "max_kl, the length of a step",
    "target_kl": "max_kl",
    "cg_max_steps": "cg_iterations",
    "cg_damping": "damping",
    "line_search_shrinking_factor": "line_search_factor",
    "line_search_max_iter": "line_search_steps",
    "sub_sampling_factor": "fisher_fraction, a share",
    "n_critic_updates": "baseline_steps",
    "normalize_advantage": "normalize_advantages",
    "policy_kwargs": "hidden, the sizes of the hidden layers, and the other fields of TrainConfig",
    "total_timesteps": "steps, or an argument of learn",
}
"""Names of its TRPO, and what takes a like value here."""

_DONE_BY: Mapping[str, str] = {
    "verbose": "learn(..., callback=print) prints each iteration, and `fastfisher train` shows a table",
    "progress_bar": "learn(..., callback=print) prints each iteration, and `fastfisher train` shows a table",
    "log_interval": "learn(..., callback=...) gets every iteration",
    "tensorboard_log": "`fastfisher train` writes TensorBoard's events into its run folder",
    "tb_log_name": "`fastfisher train` writes TensorBoard's events into its run folder",
    "reset_num_timesteps": "learn goes on from where the agent stands; a new agent begins",
    "device": "everything runs on the processor",
}
"""Names without a like value here, and what does the same."""

_POLICIES = {"MlpPolicy": "mlp", "CnnPolicy": "mlp", "MultiInputPolicy": "mlp"}


def refuse_unknown_fields(names: Collection[str]) -> None:
    """Raise a TypeError that says of the first name that is no hyper-parameter's what is meant."""
    known = [field.name for field in dataclasses.fields(TrainConfig)]
    _refuse([name for name in names if name not in known], known, "hyper-parameter")


def refuse_unknown_arguments(names: Collection[str], known: Sequence[str]) -> None:
    """Raise a TypeError that says of the first name, which is no argument of ``learn``, what is meant."""
    _refuse(list(names), known, "argument of learn")


def _refuse(unknown: Sequence[str], known: Sequence[str], kind: str) -> None:
    for name in unknown:
        if name in _CALLED:
            hint = f"it is called {_CALLED[name]}"
        elif name in _DONE_BY:
            hint = _DONE_BY[name]
        elif close := difflib.get_close_matches(name, known, n=1):
            hint = f"did you mean {close[0]}?"
        else:
            hint = f"expected one of {', '.join(known)}"
        raise TypeError(f"{name}: not a{'n' * (kind[0] == 'a')} {kind}; {hint}")


def refuse_two_positions(kind: str, first: object, *others: object) -> None:
    """Raise a TypeError where an agent is given more than its environment by position.

    Its ``policy`` comes first in Stable-Baselines3, and is a word here.
    """
    if not others:
        return
    env, policy = (others[0], first) if _is_policy(first) else (first, others[0])
    name = _POLICIES.get(policy, policy) if isinstance(policy, str) else policy
    raise TypeError(
        f"{kind}: expected the environment alone by position, got {1 + len(others)} arguments; "
        f"write {kind}({_shown(env)}, policy={_shown(name)})"
    )


def _is_policy(value: object) -> bool:
    return isinstance(value, Policy) or value in (*_POLICIES, *get_args(PolicyName))


def _shown(value: object) -> str:
    return repr(value) if isinstance(value, str) else "..."
