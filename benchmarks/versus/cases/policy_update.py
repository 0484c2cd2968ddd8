"""A whole policy update: scores, gradient, direction, KL line search, against TRPO's."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.random import Generator

from ..case import Answer, Case, Contender, Inputs, Measures
from ..contenders import ours_policy, sb3_trpo
from ..gaussian_mlp import (
    Array,
    GaussianMLP,
    conjugate_gradient,
    empirical_fisher,
    exact_fisher,
    multiply_transposed,
)

OBSERVATIONS, ACTIONS = 17, 6
DAMPING, MAX_KL, ITERATIONS = 0.1, 0.01, 15
# `direction_error` is of unit vectors, since line searches may stop at different lengths; `loss` is minus the
# gain.
KL_LIMIT = MAX_KL * 1.001
LIMITS = {
    "f32": {"direction_error": 1e-3, "kl": KL_LIMIT, "loss": 0.0},
    "f64": {"direction_error": 1e-7, "kl": KL_LIMIT, "loss": 0.0},
}
TRPO_LIMITS = {**LIMITS["f32"], "direction_error": 1e-2}  # 15 double-backward products of 70,000 parameters
EXACT_LIMITS = {"residual": 1e-8, "kl": KL_LIMIT, "loss": 0.0}
SAME_FISHER = "float32; F is the exact Fisher (the KL Hessian) on both sides"
OTHER_FISHER = (
    "float32; its F is the exact Fisher (the KL Hessian), ours the empirical (arXiv 1703.02660, eq. 4)"
)


def batch(rng: Generator, samples: int, hidden: Sequence[int]) -> Inputs:
    """A policy, observations, its actions, and advantages that the actions explain in part."""
    policy = GaussianMLP.random((OBSERVATIONS, *hidden, ACTIONS), rng)
    obs = rng.standard_normal((samples, OBSERVATIONS))
    noise = rng.standard_normal((samples, ACTIONS))
    act = policy.forward(obs)[1] + noise * np.exp(policy.log_std)
    wanted = np.tanh(obs @ rng.standard_normal((OBSERVATIONS, ACTIONS)) / 4.0)
    advantages = (noise * wanted).sum(axis=1) + rng.standard_normal(samples)
    return {
        "policy": policy,
        "obs": obs,
        "act": act,
        "advantages": advantages,
        "damping": DAMPING,
        "max_kl": MAX_KL,
        "iterations": ITERATIONS,
    }


def references(inputs: Inputs) -> dict[str, Any]:
    """The gradient, and of both Fisher matrices F + lambda I as a function and its CG direction."""
    policy, obs, act = (inputs[name] for name in ("policy", "obs", "act"))
    A = standardized(inputs["advantages"])
    pairs, own = policy.scores(obs, act)
    g = multiply_transposed(pairs, own, A) / len(A)

    def damped(product: Any) -> Any:
        return lambda v: product(v) + inputs["damping"] * v

    systems = {
        "empirical": damped(empirical_fisher(policy, obs, act)),
        "exact": damped(exact_fisher(policy, obs)),
    }
    directions = {
        name: conjugate_gradient(system, g, inputs["iterations"]) for name, system in systems.items()
    }
    return {"g": g, "systems": systems, "directions": directions}


def standardized(advantages: Array) -> Array:
    """As Stable-Baselines3 does it."""
    return (advantages - advantages.mean()) / (advantages.std(ddof=1) + 1e-8)


def check(fisher: str, inputs: Inputs, reference: dict[str, Any], answer: Answer) -> Measures:
    """Error of the step's direction, KL divergence, surrogate gain, recomputed; ours' residual.

    `fisher` is ours; only ours answers with the direction itself.
    """
    policy, obs, act = (inputs[name] for name in ("policy", "obs", "act"))
    step = answer["step"]
    after = policy.with_parameters(policy.parameters + step)
    ratio = np.exp(after.log_prob(obs, act) - policy.log_prob(obs, act))
    gain = float(((ratio - 1.0) * standardized(inputs["advantages"])).mean())
    wanted = reference["directions"][fisher if "direction" in answer else "exact"]
    length = np.linalg.norm(step)
    unit = step / length if length > 0.0 else step
    measures = {
        "direction_error": float(np.linalg.norm(unit - wanted / np.linalg.norm(wanted))),
        "kl": policy.kl(after, obs),
        "gain": gain,
        "loss": -gain,
    }
    if "direction" in answer:
        g = reference["g"]
        residual = g - reference["systems"][fisher](answer["direction"])
        measures["residual"] = float(np.linalg.norm(residual) / np.linalg.norm(g))
    return measures


def _update(samples: int, hidden: Sequence[int], kind: str, fisher: str) -> Case:
    options = {
        "solver": "cg",
        "precision": "single" if kind == "f32" else "double",
        "max_iterations": ITERATIONS,
        "tol": 0.0,
    }
    return Case(
        name=f"policy update {_shape(hidden)} N={samples} {kind}, {fisher} Fisher, {ITERATIONS} CG steps",
        inputs=partial(batch, samples=samples, hidden=hidden),
        reference=references,
        check=partial(check, fisher),
        ours=Contender(
            "fastfisher", partial(ours_policy.update_task, fisher, kind == "f32", options), LIMITS[kind]
        ),
        peers=[_trpo(SAME_FISHER if fisher == "exact" else OTHER_FISHER)],
        precision="single" if kind == "f32" else "double",
    )


def _exact(samples: int, hidden: Sequence[int]) -> Case:
    return Case(
        name=f"policy update {_shape(hidden)} N={samples} f64, empirical Fisher, residual <= 1e-8",
        inputs=partial(batch, samples=samples, hidden=hidden),
        reference=references,
        check=partial(check, "empirical"),
        ours=Contender("fastfisher", partial(ours_policy.update_task, "empirical", False, {}), EXACT_LIMITS),
        peers=[_trpo(f"{ITERATIONS} CG steps in {OTHER_FISHER}")],
    )


def _trpo(gives: str) -> Contender:
    return Contender("TRPO (SB3-contrib)", sb3_trpo.policy_update, TRPO_LIMITS, gives=gives)


def _shape(hidden: Sequence[int]) -> str:
    return "-".join(map(str, (OBSERVATIONS, *hidden, ACTIONS)))


def cases(quick: bool) -> list[Case]:
    """Return the cases of this module."""
    samples, exact_samples = (500, 300) if quick else (10_000, 2048)
    variants = [("f32", "empirical"), ("f64", "empirical"), ("f32", "exact")]
    widths = [(16, 16), (32, 32)] if quick else [(64, 64), (256, 256)]
    return [
        *(_update(samples, hidden, *variant) for hidden in widths for variant in variants),
        _exact(exact_samples, widths[0]),
    ]
