"""Backtracking: what is accepted, what is rejected and why, and that a failure leaves no trace."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from learners import make_batch, make_learner, make_policy

from fastfisher.policies import GaussianHead, LinearPolicy, Policy
from fastfisher.training.move import Move, Walk, backtrack, rejection


def test_the_longest_fit_step_is_taken() -> None:
    # KL 0.02 f^2 <= 0.01 from f = 0.707 down; the gain f - 1.5 f^2 > 0 from f = 0.667 down.
    asked: list[float] = []

    def measure(fraction: float) -> tuple[float, float]:
        asked.append(fraction)
        return 0.02 * fraction**2, fraction - 1.5 * fraction**2

    tried = backtrack(measure, max_kl=0.01, factor=0.9, tries=20)
    assert asked == [c.fraction for c in tried] == pytest.approx([1.0, 0.9, 0.81, 0.729, 0.6561])
    assert [c.rejection.partition(":")[0] for c in tried] == ["KL too large"] * 4 + [""]
    assert (tried[-1].kl, tried[-1].improvement) == measure(tried[-1].fraction)


@pytest.mark.parametrize(
    ("kl", "improvement", "reason"),
    [
        (0.01, 1e-300, ""),
        (math.nextafter(0.01, 1.0), 1.0, "KL too large: 0.01 > 0.01"),
        (0.0123456, 1.0, "KL too large: 0.0123456 > 0.01"),
        (0.005, 0.0, "surrogate not improved: 0"),
        (0.005, -0.25, "surrogate not improved: -0.25"),
        (math.nan, 1.0, "not finite: KL nan, improvement 1"),
        (math.inf, 1.0, "not finite: KL inf, improvement 1"),
        (0.005, math.nan, "not finite: KL 0.005, improvement nan"),
        (0.005, math.inf, "not finite: KL 0.005, improvement inf"),
    ],
)
def test_each_rejection_has_its_reason(kl: float, improvement: float, reason: str) -> None:
    assert rejection(kl, improvement, 0.01) == reason


def test_the_tries_are_all_there_are() -> None:
    tried = backtrack(lambda fraction: (fraction, 1.0), max_kl=1e-9, factor=0.5, tries=7)
    assert len(tried) == 7
    assert all(candidate.rejection for candidate in tried)


class Restless(LinearPolicy):
    """Its `constrain` moves theta and a constant that the features depend on."""

    def constrain(self) -> None:
        super().constrain()
        self.shift += 0.25
        self._parameters[0] += 0.0625


def search(policy: Policy, sign: float = 1.0, scale: float = 1.0, **options: Any) -> Move:
    """Run a line search on a step made for the batch; a negative sign turns its advantages round."""
    learner = make_learner(policy)
    batch = make_batch(policy)
    before, A = policy.at(batch.observations), batch.rewards - batch.rewards.mean()
    step = learner.stepper.step(policy, before, batch.observations, batch.actions, A, 0.01)
    assert step is not None
    object.__setattr__(step, "step", scale * step.step)
    arguments: dict[str, Any] = {"max_kl": 0.01, "factor": 0.8, "tries": 5, **options}
    with np.errstate(over="ignore"):
        return Walk(policy, before, step, batch.actions, sign * A).within(**arguments)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"sign": -1.0, "max_kl": 1.0}, "surrogate not improved"),
        ({"max_kl": 1e-12}, "KL too large"),
        ({"scale": 1e307}, "not finite"),
        ({"scale": np.finfo(float).max}, "not finite"),
    ],
)
def test_a_failed_search_leaves_no_trace(options: dict[str, Any], reason: str) -> None:
    policy = Restless(3, GaussianHead(2, -0.5), np.random.default_rng(0))
    policy.parameters += 0.1 * np.random.default_rng(1).standard_normal(policy.parameters.shape)
    policy.parameters[1] = -0.0
    policy.set_input_transform(np.full(3, 0.1), np.full(3, 1.7), np.zeros((1, 3)))
    theta, constants = policy.parameters.tobytes(), {k: v.tobytes() for k, v in policy.constants().items()}
    move = search(policy, **options)
    assert policy.parameters.tobytes() == theta
    assert {k: v.tobytes() for k, v in policy.constants().items()} == constants
    assert (move.fraction, move.kl, move.improvement) == (0.0, 0.0, 0.0)
    assert np.isnan(move.ratio)
    assert len(move.candidates) == 5
    assert reason in move.notes[0]
    assert move.notes[-1] == "line search: every candidate was rejected; the policy stays"


def test_what_is_taken_is_what_was_measured() -> None:
    policy = make_policy()
    old = policy.copy()
    move = search(policy, scale=1.4)
    obs = make_batch(old).observations
    assert move.kl == pytest.approx(old.kl(policy, obs), rel=1e-12)
    assert move.kl <= 0.01
    assert move.entropy == pytest.approx(policy.entropy(obs), rel=1e-12)
    # The first length that fits is taken, and the longer ones are accounted for.
    assert [c.fraction for c in move.candidates] == pytest.approx(
        [0.8**k for k in range(len(move.candidates))]
    )
    assert move.fraction == move.candidates[-1].fraction < 1.0
    assert all(c.kl > 0.01 for c in move.candidates[:-1])
    assert [note.partition(", ")[0] for note in move.notes] == [
        f"line search: step x {c.fraction:.3g} rejected" for c in move.candidates[:-1]
    ]


def test_the_ratio_is_of_the_full_step() -> None:
    policy, twin = make_policy(), make_policy()
    whole, short = search(policy, max_kl=1.0), search(twin, max_kl=0.002, tries=20)
    assert short.fraction < whole.fraction == 1.0
    assert short.ratio == whole.ratio
