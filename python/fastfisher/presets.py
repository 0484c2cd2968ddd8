"""Presets: what to change for an environment where a measurement says that the defaults do badly.

They are of an environment and a policy; the policy that is named first is the one for who names none.
``fastfisher train ENV`` takes from the preset what no flag says, and names those fields; ``--no-preset``
leaves it out.  From Python, ``NPG(env)`` is the config that its arguments spell out, and ``NPG(env,
preset=True)`` asks for the preset: a script means the same whatever this file learns.  A field that equals
today's default is in a preset where the measurement needs that value, whatever the default becomes.
Nothing is here without a measurement: docs/what-matters.md has most of them, seed by seed.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from .config import TrainConfig

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "HalfCheetah-v5": {
        # The paper's policy: 3,810 on three of three seeds, 2.5M steps in 80 seconds.
        "policy": "linear",
    },
    "Swimmer-v5": {
        # What the next line was measured with.
        "policy": "linear",
        # A stroke pays off over hundreds of steps: at 0.995 the return settles between 30 and 95.
        "gamma": 0.9995,
    },
    "Hopper-v5": {
        # What the rest was measured with.
        "policy": "linear",
        # Standardised by statistics of the first falls, returns stayed at 215-270 however long it ran.
        "normalize_observations": False,
        # With raw observations and the next three: 1,975 at 1.1M steps, 2,400 at 5M.
        "initial_log_std": 0.0,
        # The paper's delta is twice this.
        "max_kl": 0.01,
        # Even this batch is small: the return stays noisy.
        "batch_steps": 10_000,
    },
    "Walker2d-v5": {
        # What the next line was measured with.
        "policy": "linear",
        # As Hopper's: raw observations reached 2,300 at 2M steps and 3,045 at 4.2M.
        "normalize_observations": False,
    },
}


def preset_of(env: str, policy: str | None = None) -> Mapping[str, Any]:
    """Return the fields of a preset, ``policy`` among them; none where there is no preset.

    Parameters
    ----------
    env
        Gymnasium id.
    policy
        Whose; None for the environment's first.
    """
    policies = PRESETS.get(env, {})
    if policy is None:
        policy = next(iter(policies), None)
    return MappingProxyType({"policy": policy, **policies[policy]} if policy in policies else {})


def completed(env: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields, completed by the preset where ``fields["preset"]`` asks for it.

    Parameters
    ----------
    env
        Gymnasium id.
    fields
        Of :class:`~fastfisher.config.TrainConfig`; those given win over the preset, and ``policy`` says which
        one.  ``preset`` is true in the result only where there is one.
    """
    if not fields.get("preset", False):
        return dict(fields)
    preset = preset_of(env, fields.get("policy"))
    return {**preset, **fields, "preset": bool(preset)}


def taken_from_preset(config: TrainConfig) -> dict[str, Any]:
    """Return the fields in which a config follows its preset; none where it was made without."""
    preset = preset_of(config.env, config.policy) if config.preset else {}
    return {name: value for name, value in preset.items() if getattr(config, name) == value}
