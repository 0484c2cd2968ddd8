"""Presets: what to change for an environment where a measurement says that the defaults do badly.

A preset belongs to an environment and a policy; the policy that is named first is for users who name none.
``fastfisher train ENV`` takes from the preset what no flag says, and names those fields; ``--no-preset``
leaves it out.  From Python, ``NPG(env)`` is the config that its arguments spell out, and ``NPG(env,
preset=True)`` asks for the preset: a script means the same whatever this file learns.  A field that equals
today's default is in a preset where the measurement needs that value, whatever the default becomes.
Nothing is here without a measurement: docs/results/ablations.md and benchmarks/results/search.md have most of
them, seed by seed.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from .config import TrainConfig

_EXACT: Mapping[str, Any] = {
    "hidden": (64, 64),
    # From batches of 10,000 and log std 0.5 Hopper-v5 reached 3,220 at 1M steps and Walker2d-v5 620.
    "batch_steps": 2_048,
    "initial_log_std": -0.5,
    "max_kl": 0.03,
    # By 2,048 samples the empirical matrix of 6,000 parameters is mostly noise: with it Walker2d-v5
    # stayed at 1,250 until 850,000 steps.
    "fisher": "exact",
    "damping": 0.1,
}
"""This is for networks that have more parameters than a batch has samples."""

_VALUE: Mapping[str, Any] = {
    "baseline_hidden": (64, 64),
    # 2,048 steps are a few episodes.  By whole returns of the last batch alone Walker2d-v5 was at 961 after
    # 500,000 steps (five seeds), by these and longer steps at 1,661 (four; see docs/results/ablations.md).
    "baseline_batches": 5,
    "baseline_lambda": 0.95,
}
"""Small batches get a value network with less of the last batch's luck."""

_NETWORK_VALUE: Mapping[str, Any] = {
    **_VALUE,
    # The quadratic baseline explained 0.2 to 0.4 of the returns of a gait that sometimes falls, this 0.9.
    "baseline": "mlp",
    "baseline_batches": 2,
    # By four a batch's fit ends before it has arrived: after 1M steps HalfCheetah-v5's RBF policy was at
    # 2,723 and 3,894 (seeds 0 and 1), Hopper-v5's at 2,971 and 3,351 and Walker2d-v5's at 3,169, by these
    # at 4,206 and 4,014, at 3,323 and 3,388 and at 4,166.
    "baseline_steps": 8,
}
"""Policies without hidden layers, in batches of 10,000, get the value network that networks have."""

_HALF_BATCHES: Mapping[str, Any] = {
    **_NETWORK_VALUE,
    "batch_steps": 5_000,
    # As many steps as two batches of 10,000 have.
    "baseline_batches": 4,
    # By lambda 0.95, batches of 10,000 and KL 0.05 Ant-v5's linear policy was at 2,442 after 1M steps, by
    # these and KL 0.1 at 2,755.
    "gae_lambda": 0.9,
}
"""The same policies get less noise in the advantages, in batches of half the size."""

_DAMPED: Mapping[str, Any] = {
    # 250 features of standardized observations: the directions beyond the linear ones are seen in few
    # samples each.  From damping 0.01 and KL 0.05 HalfCheetah-v5 was at 2,540 after 1M steps, now at 4,003.
    "damping": 0.1,
    "max_kl": 0.1,
}
"""RBF features and standardized observations get longer steps, which are damped more."""

_ENVIRONMENT_UNITS: Mapping[str, Any] = {
    # In units of the bounds, 0.4, log std -1 would be -0.08, the floor -2.08, and no damping the same.
    "action_units": "environment",
}
"""Humanoid-v5 was measured in these; all others have bounds of -1 and 1."""

PRESETS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "Swimmer-v5": {
        "linear": {
            # A stroke pays off over hundreds of steps: at 0.995 the return settles between 30 and 95, at
            # 0.9999 the baseline is mostly told about itself.
            "gamma": 0.999,
            # At 0.95, seed 0 settles at 250.
            "gae_lambda": 0.99,
            # From 0 seed 1 settles at 60, from 0.5 seed 2 at 263; from -1 seed 0 at 120.
            "initial_log_std": 1.0,
            # By 0.05 to the end seed 2 is at 253 after 1M steps, by this over 2M at 355.
            "final_max_kl": 0.002,
        },
        "rbf": {
            "gamma": 0.999,
            "gae_lambda": 0.99,
            # As the linear policy, from a wide beginning, by features that are close to linear: three seeds
            # are at 357, 358 and 326 before 2M steps.  From log std 0 they were at 331, 350 and 302 after 1M,
            # and of twice the mean distance's bandwidth at 294, 358 and 297 after 2M.
            "initial_log_std": 1.0,
            "rbf_bandwidth_scale": 4.0,
            # Standardized, seed 1 stayed at 150 and seed 2 gained 30: the entries have like units anyway.
            "normalize_observations": False,
        },
        "mlp": {"gamma": 0.999, "gae_lambda": 0.99, "initial_log_std": 0.0},
    },
    "HalfCheetah-v5": {
        # The paper's policy by the defaults: 4,977 over three seeds at 2.5M steps; the paper has 3,810.
        "linear": {},
        "mlp": {
            # Seen from wide actions, standing still is the best: 120 at 1M steps from log std 0.5.
            "initial_log_std": -1.0,
            # Half of what the default sees an iteration, and twice the iterations.
            "batch_steps": 4_000,
            "gamma": 0.99,
        },
        # Without a floor the deviation is 0.1 after 5M steps, and the last 2M of them lead nowhere.  One that
        # stays costs: 5M steps led to 5,606, and to 6,289 by the mean policy.  With the quadratic baseline it
        # was at 3,863 between 1M and 1.25M steps, with the network at 4,357.
        "rbf": {
            **_DAMPED,
            **_NETWORK_VALUE,
            "min_log_std": -1.5,
            "final_min_log_std": -2.5,
            # Of the mean distance's bandwidth three seeds ended ten million steps at 6,200, of this at 8,226.
            "rbf_bandwidth_scale": 4.0,
        },
    },
    "Hopper-v5": {
        "mlp": {
            **_EXACT,
            # At 0.99 what lies more than 100 steps ahead hardly counts, a fall among it: after a million
            # steps of three a gait of 4.4 a step that falls after 360 replaced one of 3.4 that does not.
            "gamma": 0.995,
            # By 0.03 to the end one batch returns 3,300 and the next 2,200; one seed of five ended at 445.
            "final_max_kl": 0.005,
        },
        "linear": {
            **_DAMPED,
            **_NETWORK_VALUE,
            # After 1M steps at 2,900 by this and KL 0.03, at 2,767 raw and by 0.05; by the quadratic
            # baseline, raw and by 0.05, at 1,590.
            "normalize_observations": True,
            # From log std -1 it learned to stand still, which is worth 1,000.
            "initial_log_std": 0.0,
            "gae_lambda": 0.97,
            "max_kl": 0.03,
            "final_max_kl": 0.01,
        },
        "rbf": {
            **_DAMPED,
            **_NETWORK_VALUE,
            # After 1M steps at 3,418 and 3,341 (two seeds), with 250 at 2,914 and 3,442.
            "rbf_features": 100,
            # At log std -0.5, exact Fisher, gamma 0.99 it was at 406 after 450,000 steps, by these at 2,200.
            "initial_log_std": 0.0,
            "gae_lambda": 0.97,
            "max_kl": 0.05,
            # For 5M steps.  In 1M it costs: mean policies of 3,404 and 3,407, by 0.05 to the end of 3,566 and
            # 3,518.
            "final_max_kl": 0.01,
        },
    },
    "Walker2d-v5": {
        # The steps of Stable-Baselines3's zoo: its KL, 0.01, is a mean over six actions, and so is its F.
        "mlp": {
            **_EXACT,
            **_VALUE,
            "initial_log_std": 0.0,
            "max_kl": 0.06,
            "damping": 0.6,
            # By 0.99 seeds 0 and 3 stayed in a slow gait that falls: 1,727 and 1,819, seed 0 now 2,772.
            "gamma": 0.995,
        },
        "linear": {
            **_DAMPED,
            **_NETWORK_VALUE,
            # Joints turn fast: velocities of 5 beside angles of 0.3.
            "normalize_observations": True,
            # From -0.5 seed 0 was at 1,217 in its first million steps and at 3,114 from 2M to 3M, from this
            # at 2,133 and 4,029.
            "initial_log_std": 0.0,
            # By 0.1 a step kept a fifth of its promise, and after 2,500 at 6M steps it was at 1,458 at 10M.
            "max_kl": 0.03,
        },
        "rbf": {
            **_DAMPED,
            # With the quadratic baseline and lambda 0.95, 250 features were at 1,891 between 500,000 and 1M
            # steps, 100 by these at 3,180.
            **_HALF_BATCHES,
            # Of the mean distance's bandwidth 100 features are ahead of 250 until 3M steps and stay at 4,000
            # to 4,550 from 2M on; 250 end ten million steps at 5,193, of twice that bandwidth at 5,957.
            "rbf_features": 250,
            "rbf_bandwidth_scale": 2.0,
            # From -0.5 in batches of 2,500 seed 0's mean policy was at 4,318 after 1M steps, now at 5,291.
            "initial_log_std": 0.0,
            "max_kl": 0.05,
        },
    },
    "Ant-v5": {
        "mlp": {
            **_EXACT,
            **_VALUE,
            # Every unit of action costs, and wide ones fall: from log std -1 and by lambda 0.95 seed 4 was at
            # 1,758 between 400,000 and 500,000 steps, from this at 2,913, by this lambda at 2,886.
            "initial_log_std": -1.5,
            "gae_lambda": 0.9,
            # As Walker2d-v5's, for eight actions.
            "max_kl": 0.08,
            "damping": 0.8,
            "gamma": 0.99,
            # By four, five mean policies were at 4,882 after 1M steps, by these at 5,026.
            "baseline_steps": 2,
        },
        # In batches of 10,000, by the quadratic baseline, it was at 1,232 after 1M steps, now at 2,755.
        # Without the floor the deviation was 0.05 after 1.5M, and at 3M it stood at 2,680; with it the mean
        # policy was at 4,576 after 2M.
        "linear": {**_DAMPED, **_HALF_BATCHES, "normalize_observations": True, "min_log_std": -1.75},
        # Between 800,000 and 900,000 steps 250 features of the mean distance's bandwidth were at 1,520, of
        # twice that bandwidth at 3,187, of four times at 3,324.  100 of the mean distance's were at 2,338
        # between 500,000 and 1M, and after 10M no further than 4,037 (mean policy).
        "rbf": {
            **_DAMPED,
            **_HALF_BATCHES,
            "rbf_features": 250,
            "rbf_bandwidth_scale": 2.0,
            # Of 100 features without the floor the mean policy was at 3,790 after 10M steps, with it at 4,315
            # after 2M.
            "min_log_std": -1.75,
        },
    },
    "Humanoid-v5": {
        "mlp": {
            **_EXACT,
            **_ENVIRONMENT_UNITS,
            # What made the linear and the RBF policy walk: wider actions, larger batches, less noise in the
            # advantages.  From log std -2.5, by KL 0.05 and batches of 3,000 it was at 567 from 900,000 to
            # 1M steps, by these at 756.
            "batch_steps": 5_000,
            "baseline_batches": 4,
            "baseline_lambda": 0.95,
            "gae_lambda": 0.9,
            "initial_log_std": -1.0,
            # As many samples as the policies below have: by KL 0.1 and four steps it walked from 6M steps on,
            # by eight from 3M on.
            "baseline_steps": 8,
            # As Walker2d-v5's, for 17 actions.
            "damping": 1.7,
            # By 0.1 it was at 627 from 900,000 to 1M steps, by 0.4 at 764 and no faster before 700,000.
            "max_kl": 0.2,
        },
        "linear": {
            **_DAMPED,
            **_ENVIRONMENT_UNITS,
            # By batches of 10,000, gamma 0.99 and lambda 0.95 it was at 601 after 1M steps, by these at 697.
            **_HALF_BATCHES,
            "normalize_observations": True,
            # Mean policies after 1M steps: from -0.5 595, from this 1,012, from -1.5 512 and 590 (two seeds).
            "initial_log_std": -1.0,
        },
        "rbf": {
            **_DAMPED,
            **_HALF_BATCHES,
            **_ENVIRONMENT_UNITS,
            # Of the mean distance's bandwidth 100 ended ten million steps at 5,360 and 250 at 5,529, of four
            # times that bandwidth 250 at 6,444.
            "rbf_features": 250,
            "rbf_bandwidth_scale": 4.0,
            # From -1.5 100 features were at 800 after 3.5M steps.
            "initial_log_std": -1.0,
        },
    },
}


def preset_of(env: str, policy: str | None = None) -> Mapping[str, Any]:
    """Return the fields of a preset, ``policy`` among them; none where there is no preset.

    ``env`` is a Gymnasium id, and a ``policy`` that is None stands for the environment's first.
    """
    policies = PRESETS.get(env, {})
    chosen = next(iter(policies), "") if policy is None else policy
    return MappingProxyType({"policy": chosen, **policies[chosen]} if chosen in policies else {})


def completed(env: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a config, completed by the preset where ``fields["preset"]`` asks for it.

    The fields that are given win over the preset, and ``policy`` says which one.  ``preset`` is true in the
    result only where there is one.
    """
    if not fields.get("preset", False):
        return dict(fields)
    preset = preset_of(env, fields.get("policy"))
    return {**preset, **fields, "preset": bool(preset)}


def taken_from_preset(config: TrainConfig) -> dict[str, Any]:
    """Return the fields in which a config follows its preset; none where it was made without."""
    preset = preset_of(config.env, config.policy) if config.preset else {}
    return {name: value for name, value in preset.items() if getattr(config, name) == value}
