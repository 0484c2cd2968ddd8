"""Failures that natural-gradient trainers have been found with, each with a test that would catch it here.

CG whose residual vector is its direction, by aliasing: it reports 4e-13 and has 0.5
    test_cg_has_the_residual_it_reports
CG started at random
    test_cg_starts_where_it_always_does
CG stopped by an absolute tolerance
    test_the_scale_of_rewards_changes_no_step, test_cg_has_the_residual_it_reports
|g^T x| in place of g^T x, which hides negative curvature
    test_the_sign_of_the_gain_is_kept
"max KL" that is the multiplier of the step
    test_max_kl_is_a_kl_divergence
advantages divided by their variance
    test_advantages_have_unit_deviation, test_the_scale_of_rewards_changes_no_step
time limits taken for death: in advantages, in Monte Carlo returns, in what the baseline is fitted to
    test_a_time_limit_is_not_death, test_the_baseline_learns_of_an_endless_task
the end by an `assert`, which `python -O` takes out
    test_nothing_is_decided_by_an_assert, test_degenerate_batches_leave_a_policy
resume that forgets the normaliser, the optimiser or the random state
    test_a_resumed_run_has_forgotten_nothing
a failed line search that leaves theta where it was last tried
    test_a_failed_line_search_restores_theta
the user's logging muted
    test_the_users_logging_is_left_alone
a baseline fitted to the returns that it is then subtracted from
    test_agent.py, test_values_come_from_the_batches_before
"""

from __future__ import annotations

import ast
import importlib.util
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from learners import make_batch, make_learner

from fastfisher.natural import NaturalStep
from fastfisher.scores import Scores
from fastfisher.training import NPG, TRPO
from fastfisher.training.advantages import generalized_advantages
from fastfisher.training.batch import Batch
from fastfisher.training.learner import Learner, Update

SCALES = [1e-12, 1e-6, 1e6, 1e12]


def step_of(update: Update) -> NaturalStep:
    assert update.step is not None
    return update.step


@pytest.mark.parametrize("scale", [1.0, *SCALES])
@pytest.mark.parametrize("fisher", ["empirical", "exact"])
def test_cg_has_the_residual_it_reports(fisher: str, scale: float) -> None:
    learner = make_learner(hidden=(6,), solver="cg", fisher=fisher, damping=1e-3, normalize_advantages=False)
    batch = make_batch(learner.policy, reward_scale=scale)
    S = Scores(learner.policy.scores(batch.observations, batch.actions)).to_dense()
    R = S if fisher == "empirical" else Scores(learner.policy.fisher_scores(batch.observations)).to_dense()
    step = step_of(learner.update(batch))
    assert step.solver == "cg"
    assert step.iterations > 5
    g, x = step.gradient, step.direction
    residual = np.linalg.norm(g - (R.T @ (R @ x) / len(S) + 1e-3 * x)) / np.linalg.norm(g)
    assert residual < 2e-8
    assert step.residual == pytest.approx(residual, rel=0.01)


def test_cg_starts_where_it_always_does() -> None:
    steps = []
    for seed in range(2):
        np.random.seed(seed)  # noqa: NPY002 - the state that must not matter
        learner = make_learner(hidden=(6,), solver="cg")
        steps.append(step_of(learner.update(make_batch(learner.policy))).step.tobytes())
    assert steps[0] == steps[1]


@pytest.mark.parametrize("solver", ["cholesky", "gram", "cg"])
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("scale", SCALES)
def test_the_scale_of_rewards_changes_no_step(solver: str, normalize: bool, scale: float) -> None:
    one, two = (make_learner(hidden=(6,), solver=solver, normalize_advantages=normalize) for _ in range(2))
    step = step_of(one.update(make_batch(one.policy)))
    scaled = step_of(two.update(make_batch(two.policy, reward_scale=scale)))
    np.testing.assert_allclose(scaled.step, step.step, rtol=1e-6, atol=1e-9)
    # Rounding may stop one of them an iteration or two before the other.
    assert abs(scaled.iterations - step.iterations) <= 2
    if normalize:
        np.testing.assert_allclose(scaled.gradient, step.gradient, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_the_sign_of_the_gain_is_kept(momentum: float) -> None:
    learner = make_learner(momentum=momentum)
    for seed in range(4):
        step = step_of(learner.update(make_batch(learner.policy, seed)))
        gain = float(step.gradient @ step.step)
        assert gain > 0.0
        assert step.predicted_improvement == pytest.approx(gain, rel=1e-9)
    if momentum:
        # A direction to follow that is all against the gradient would be uphill for |g^T x| alone.
        learner.stepper.previous = -1e6 * step.direction
        update = learner.update(make_batch(learner.policy, 4))
        assert step_of(update).gradient @ step_of(update).step > 0.0
        assert "against the gradient" in update.notes[-1]


@pytest.mark.parametrize("algorithm", ["npg", "trpo"])
@pytest.mark.parametrize("discrete", [False, True])
@pytest.mark.parametrize("max_kl", [1e-6, 1e-4, 1e-2])
def test_max_kl_is_a_kl_divergence(algorithm: str, discrete: bool, max_kl: float) -> None:
    learner = make_learner(
        discrete=discrete, algorithm=algorithm, fisher="exact", max_kl=max_kl, damping=1e-8
    )
    batch, old = make_batch(learner.policy), learner.policy.copy()
    update = learner.update(batch)
    achieved = old.kl(learner.policy, batch.observations)
    assert update.move.kl == pytest.approx(achieved, rel=1e-9)
    assert step_of(update).predicted_kl == pytest.approx(max_kl, rel=1e-3)
    # The quadratic model is off by a share of the order of the step's length.
    assert achieved == pytest.approx(update.move.fraction**2 * max_kl, rel=5 * max_kl**0.5)
    if algorithm == "trpo":
        assert achieved <= max_kl


def test_advantages_have_unit_deviation(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[np.ndarray] = []
    learner = make_learner()
    inner = learner.stepper.step

    def recorded(*arguments: Any) -> Any:
        seen.append(arguments[4])
        return inner(*arguments)

    monkeypatch.setattr(learner.stepper, "step", recorded)
    for scale in (1e-3, 1.0, 1e3):
        learner.update(make_batch(learner.policy, reward_scale=scale))
    for A in seen:
        assert A.std() == pytest.approx(1.0, rel=1e-12)
        assert abs(A.mean()) < 1e-12


def endless(*, terminated: bool, length: int = 10, episodes: int = 20) -> Batch:
    """Return episodes of a task that pays 1 a step and is cut, or ended, after ten."""
    policy, n = make_learner().policy, length * episodes
    rng = np.random.default_rng(0)
    observations = rng.standard_normal((n, 3))
    return Batch(
        observations=observations,
        actions=policy.act(observations, rng),
        rewards=np.ones(n),
        lengths=np.full(episodes, length),
        terminated=np.full(episodes, terminated),
        complete=np.ones(episodes, dtype=bool),
        final_observations=rng.standard_normal((episodes, 3)),
    )


@pytest.mark.parametrize("gae_lambda", [0.0, 0.95, 1.0])
def test_a_time_limit_is_not_death(gae_lambda: float) -> None:
    """With V = 1 / (1 - gamma), the truth of the endless task, no action is better than another."""
    value = 1.0 / (1.0 - 0.9)
    for terminated, last in ((False, 0.0), (True, 1.0 - value)):
        batch = endless(terminated=terminated)
        advantages = generalized_advantages(
            batch, np.full(200, value), np.full(20, value), 0.9, gae_lambda
        ).reshape(20, 10)
        np.testing.assert_allclose(advantages[:, -1], last, atol=1e-12)
        np.testing.assert_allclose(advantages[:, 0], last * (0.9 * gae_lambda) ** 9, atol=1e-12)


@pytest.mark.parametrize("options", [{}, {"normalize_rewards": True}, {"gae_lambda": 1.0}], ids=str)
def test_the_baseline_learns_of_an_endless_task(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its targets go to 1 / (1 - gamma) where a limit cuts the episodes, to what is paid where they die."""
    for terminated, truth in ((False, 10.0), (True, (1.0 - 0.9 ** np.arange(10, 0, -1)) / (1.0 - 0.9))):
        learner, batch = make_learner(gamma=0.9, **options), endless(terminated=terminated)
        targets: list[np.ndarray] = []
        fit = learner.baseline.fit

        def recorded(obs: Any, times: Any, values: Any, fit: Any = fit, targets: Any = targets) -> None:
            targets.append(values)
            fit(obs, times, values)

        monkeypatch.setattr(learner.baseline, "fit", recorded)
        for _ in range(40):
            learner.update(batch)
        in_rewards = learner.reward_unit.value * targets[-1].reshape(20, 10)
        np.testing.assert_allclose(in_rewards - truth, 0.0, atol=1e-12 if terminated else 0.1)


@pytest.mark.parametrize("algorithm", ["npg", "trpo"])
@pytest.mark.parametrize(
    "case",
    ["one step", "one observation", "equal rewards", "one long episode", "huge rewards", "tiny rewards"],
)
def test_degenerate_batches_leave_a_policy(algorithm: str, case: str) -> None:
    learner = make_learner(
        hidden=(8,), algorithm=algorithm, momentum=0.5, damping_rule="adaptive", damping=0.01
    )
    for seed in range(3):
        lengths = {"one step": (1,), "one long episode": (50,)}.get(case, (5, 9))
        batch = make_batch(learner.policy, seed, lengths, [False] * len(lengths))
        if case == "one observation":
            batch.observations[:] = 1.0
        scale = {"equal rewards": 0.0, "huge rewards": 1e150, "tiny rewards": 1e-150}.get(case, 1.0)
        batch.rewards[:] *= scale
        update = learner.update(batch)
        assert np.isfinite(learner.policy.parameters).all()
        assert all(np.isfinite(array).all() for array in learner.state().values())
        assert np.isfinite([update.move.kl, update.move.improvement, update.move.entropy]).all()
        assert update.move.fraction > 0.0 or update.notes


def test_nothing_is_decided_by_an_assert() -> None:
    for name in (
        "learner",
        "stepper",
        "move",
        "advantages",
        "moments",
        "iteration",
    ):
        spec = importlib.util.find_spec(f"fastfisher.training.{name}")
        assert spec is not None
        assert spec.origin is not None
        tree = ast.parse(Path(spec.origin).read_text("utf-8"))
        assert not [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Assert)], name


@pytest.mark.parametrize("kind", [NPG, TRPO])
def test_a_resumed_run_has_forgotten_nothing(tmp_path: Path, kind: type[NPG]) -> None:
    """Everything that has a state at once; test_trpo.py has each alone, test_agent.py the rest."""
    options: dict[str, Any] = {
        "batch_steps": 300, "workers": 1, "seed": 3, "policy": "mlp", "hidden": (5,), "momentum": 0.9,
        "damping_rule": "adaptive", "normalize_rewards": True, "normalize_observations": True,
        "normalize_advantages": False, "fisher_fraction": 0.5,
    }  # fmt: skip
    whole = kind("Pendulum-v1", **options).learn(3_000)
    part = kind("Pendulum-v1", **options)
    while part.steps < whole.steps:
        part.learn(1)
        part.save(tmp_path / "run.zip")
        part = kind.load(tmp_path / "run.zip")
    states = [
        {name: array.tobytes() for name, array in agent._learner.state().items()} for agent in (whole, part)
    ]
    assert states[0] == states[1]
    assert {"stepper/damping", "stepper/previous", "reward_unit/mean", "moments/mean"} <= states[0].keys()


def test_a_failed_line_search_restores_theta() -> None:
    learner = make_learner(algorithm="trpo", max_kl=50.0, line_search_steps=2)
    before = {name: array.tobytes() for name, array in learner.state().items() if name.startswith("policy/")}
    update = learner.update(make_batch(learner.policy))
    assert update.move.fraction == 0.0
    assert len([note for note in update.notes if "rejected, KL too large" in note]) == 2
    after = {name: array.tobytes() for name, array in learner.state().items() if name.startswith("policy/")}
    assert after == before


def test_the_users_logging_is_left_alone() -> None:
    root = logging.getLogger()
    before = root.level, list(root.handlers), logging.root.manager.disable
    TRPO("CartPole-v1", batch_steps=200, workers=1).learn(200)
    assert (root.level, list(root.handlers), logging.root.manager.disable) == before


def test_learners_share_nothing() -> None:
    learners: list[Learner] = [make_learner(momentum=0.9) for _ in range(2)]
    learners[0].update(make_batch(learners[0].policy))
    assert learners[1].stepper.previous is None
    assert learners[1].moments.count == 0
