"""The step against its equations in dense NumPy: Fisher rows, damping rule, momentum."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from learners import make_batch, make_learner

from fastfisher.natural import NaturalStep
from fastfisher.scores import Scores
from fastfisher.training.learner import Learner
from fastfisher.training.stepper import adapted_damping, fisher_rows


def step_of(learner: Learner, seed: int = 0) -> tuple[NaturalStep, np.ndarray, np.ndarray]:
    """Return the step of a batch, its dense scores and its advantages."""
    batch = make_batch(learner.policy, seed)
    before, A = learner.policy.at(batch.observations), batch.rewards - batch.rewards.mean()
    S = Scores(before.scores(batch.actions)).to_dense()
    step = learner.stepper.step(learner.policy, before, batch.observations, batch.actions, A, 0.01)
    assert step is not None
    return step, S, A


@pytest.mark.parametrize(("count", "fraction"), [(1000, 0.25), (997, 0.1), (10, 0.99), (7, 0.5), (3, 0.01)])
def test_rows_are_evenly_spread(count: int, fraction: float) -> None:
    rows = fisher_rows(count, fraction)
    assert len(rows) == max(1, round(count * fraction))
    assert rows[0] >= 0
    assert rows[-1] < count
    gaps = np.diff(rows)
    assert gaps.size == 0 or (gaps.min() >= 1 and gaps.max() - gaps.min() <= 1)
    # The middle of the rows is the middle of the batch.
    assert abs(rows.mean() - (count - 1) / 2) <= 0.5
    np.testing.assert_array_equal(fisher_rows(count, 1.0), np.arange(count))


@pytest.mark.parametrize("solver", ["cholesky", "gram", "cg"])
@pytest.mark.parametrize("fisher", ["empirical", "exact"])
@pytest.mark.parametrize("discrete", [False, True])
def test_a_subset_makes_f_and_the_whole_batch_g(solver: str, fisher: str, discrete: bool) -> None:
    learner = make_learner(
        discrete=discrete, hidden=(4,), fisher=fisher, solver=solver, fisher_fraction=0.3, damping=0.05
    )
    step, S, A = step_of(learner)
    rows = fisher_rows(len(A), 0.3)
    assert len(rows) == 60
    if fisher == "empirical":
        F = S[rows].T @ S[rows] / 60
    else:
        obs = make_batch(learner.policy).observations[rows]
        R = Scores(learner.policy.fisher_scores(obs)).to_dense()
        F = R.T @ R / 60
    g = S.T @ A / len(A)
    np.testing.assert_allclose(step.gradient, g, rtol=1e-10, atol=1e-12)
    x = np.linalg.solve(F + 0.05 * np.eye(len(g)), g)
    np.testing.assert_allclose(step.direction, x, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(
    ("ratio", "factor"),
    [(0.9, 1 / 1.5), (0.76, 1 / 1.5), (0.75, 1.0), (0.25, 1.0), (0.24, 1.5), (-3.0, 1.5), (np.nan, 1.5)],
)
def test_damping_follows_the_ratio(ratio: float, factor: float) -> None:
    assert adapted_damping(0.1, ratio, least=1e-9, most=1e9) == pytest.approx(0.1 * factor, rel=1e-15)
    assert adapted_damping(0.1, ratio, least=0.1, most=0.1) == 0.1


@pytest.mark.parametrize("algorithm", ["npg", "trpo"])
def test_the_next_step_has_the_adapted_damping(algorithm: str) -> None:
    options: dict[str, Any] = {"algorithm": algorithm, "damping_rule": "adaptive"}
    learner = make_learner(max_kl=1e-4, damping=1.0, **options)
    updates = [learner.update(make_batch(learner.policy, seed)) for seed in range(3)]
    # So small a step is as good as its linear model.
    assert all(update.move.ratio > 0.9 for update in updates)
    assert [update.damping for update in updates] == pytest.approx([1.0, 1 / 1.5, 1 / 1.5**2])
    assert [update.step.damping for update in updates if update.step] == [
        update.damping for update in updates
    ]


@pytest.mark.parametrize("algorithm", ["npg", "trpo"])
def test_the_kl_of_steps_decays_over_the_run(algorithm: str) -> None:
    options: dict[str, Any] = {"algorithm": algorithm, "max_kl": 0.01, "final_max_kl": 1e-4}
    updates = [
        (learner := make_learner(**options)).update(make_batch(learner.policy), progress)
        for progress in (0.0, 0.5, 1.0)
    ]
    assert [update.max_kl for update in updates] == pytest.approx([0.01, 0.001, 1e-4], rel=1e-12)
    for update in updates:
        assert update.step is not None
        assert update.step.predicted_kl == pytest.approx(update.max_kl, rel=0.05)
        assert update.move.kl <= update.max_kl * (1.5 if algorithm == "npg" else 1.0)
    assert make_learner(max_kl=0.01).max_kl(0.7) == 0.01


def test_a_refused_step_raises_the_damping() -> None:
    learner = make_learner(
        algorithm="trpo", damping_rule="adaptive", damping=1.0, line_search_steps=1, max_kl=5.0
    )
    update = learner.update(make_batch(learner.policy))
    assert update.move.fraction == 0.0
    assert learner.stepper.damping == 1.5


def test_a_fixed_damping_stays() -> None:
    learner = make_learner(damping=0.3, max_kl=1e-4)
    for seed in range(3):
        assert learner.update(make_batch(learner.policy, seed)).damping == 0.3
    assert learner.stepper.state() == {}


@pytest.mark.parametrize("fisher", ["empirical", "exact"])
def test_momentum_draws_to_the_direction_before(fisher: str) -> None:
    learner = make_learner(fisher=fisher, momentum=0.8, damping=0.05)
    first = learner.update(make_batch(learner.policy, 0)).step
    assert first is not None
    batch = make_batch(learner.policy, 1)
    S = Scores(learner.policy.scores(batch.observations, batch.actions)).to_dense()
    R = S if fisher == "empirical" else Scores(learner.policy.fisher_scores(batch.observations)).to_dense()
    second = learner.update(batch).step
    assert second is not None
    F = R.T @ R / len(S)
    right = second.gradient + 0.05 * 0.8 * first.direction
    np.testing.assert_allclose(
        second.direction, np.linalg.solve(F + 0.05 * np.eye(len(F)), right), rtol=1e-8, atol=1e-10
    )
    np.testing.assert_array_equal(learner.stepper.state()["previous"], second.direction)


@pytest.mark.parametrize("hidden", [(), (5,)])
def test_the_direction_moves_with_the_input_transform(hidden: tuple[int, ...]) -> None:
    learner = make_learner(hidden=hidden, momentum=0.9)
    learner.update(make_batch(learner.policy))
    assert learner.stepper.previous is not None
    batch, policy = make_batch(learner.policy, 1), learner.policy
    before = Scores(policy.scores(batch.observations, batch.actions)) @ learner.stepper.previous
    shift, scale = np.array([0.5, -2.0, 1.0]), np.array([2.0, 0.1, 3.0])
    kept = policy.parameters.copy()
    learner.stepper.carry(policy, shift, scale, batch.observations)
    np.testing.assert_array_equal(policy.parameters, kept)
    policy.set_input_transform(shift, scale, batch.observations)
    assert not np.array_equal(policy.parameters, kept)
    after = Scores(policy.scores(batch.observations, batch.actions)) @ learner.stepper.previous
    np.testing.assert_allclose(after, before, rtol=1e-9, atol=1e-9)


def test_momentum_against_the_gradient_is_forgotten() -> None:
    plain, _, _ = step_of(make_learner(momentum=0.9))
    learner = make_learner(momentum=0.9)
    learner.stepper.previous = -1e4 * plain.direction
    step, _, _ = step_of(learner)
    assert step.direction.tobytes() == plain.direction.tobytes()
    assert step.notes[-1] == "the momentum pointed against the gradient and was forgotten"
    # Along the gradient it is kept, and the step is another one.
    learner.stepper.previous = 10.0 * plain.direction
    step, _, _ = step_of(learner)
    assert not np.allclose(step.direction, plain.direction)
    assert not any("momentum" in note for note in step.notes)


def test_momentum_is_forgotten_where_the_line_search_fails() -> None:
    options: dict[str, Any] = {"algorithm": "trpo", "momentum": 0.9, "max_kl": 5.0}
    learner = make_learner(line_search_steps=40, **options)
    assert learner.update(make_batch(learner.policy)).move.fraction > 0.0
    assert learner.stepper.previous is not None
    learner = make_learner(line_search_steps=1, **options)
    learner.stepper.previous = np.zeros(len(learner.policy.parameters))
    assert learner.update(make_batch(learner.policy)).move.fraction == 0.0
    assert learner.stepper.previous is None


def test_without_advantages_nothing_is_forgotten() -> None:
    learner = make_learner(momentum=0.9, damping_rule="adaptive")
    learner.update(make_batch(learner.policy))
    kept = {name: array.tobytes() for name, array in learner.stepper.state().items()}
    assert kept.keys() == {"damping", "previous"}
    batch = make_batch(learner.policy, 1)
    policy = learner.policy
    before = policy.at(batch.observations)
    zeros = np.zeros(len(batch.rewards))
    assert learner.stepper.step(policy, before, batch.observations, batch.actions, zeros, 0.01) is None
    assert {name: array.tobytes() for name, array in learner.stepper.state().items()} == kept


def test_a_cap_on_cg_that_the_config_sets_is_not_news() -> None:
    """Iterations and residual have columns; a solver that fell short of what was asked of it is told."""
    capped = make_learner(hidden=(8,), solver="cg", cg_iterations=2)
    update = capped.update(make_batch(capped.policy))
    assert update.step is not None
    assert any("CG stopped at 2 iterations" in note for note in update.step.notes)
    assert not update.notes
    hopeless = make_learner(hidden=(8,), solver="cg", cg_tolerance=1e-30)
    update = hopeless.update(make_batch(hopeless.policy))
    assert any("CG met the limit" in note for note in update.notes)
