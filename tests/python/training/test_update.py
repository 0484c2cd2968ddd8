"""What one update does: advantages of the batches before, the KL asked for, the schedules of a run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from environments import Countdown
from learners import OBSERVATION_SIZE, make_batch, make_learner
from numpy.typing import NDArray

from fastfisher.policies import GaussianHead, MLPPolicy
from fastfisher.training import NPG, IterationInfo
from fastfisher.training import learner as learner_module
from fastfisher.training.baselines.ridge import RidgeBaseline

SMALL: dict[str, Any] = {"batch_steps": 300, "workers": 1}


def test_values_come_from_the_batches_before(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    advantages = learner_module.generalized_advantages

    def recorded(batch: Any, values: Any, *rest: Any) -> Any:
        calls.append("zero values" if not values.any() else "values")
        return advantages(batch, values, *rest)

    class Recorded(RidgeBaseline):
        def fit(self, *arguments: Any) -> None:
            calls.append("fit")
            super().fit(*arguments)

    monkeypatch.setattr(learner_module, "generalized_advantages", recorded)
    monkeypatch.setattr(learner_module, "make_baseline", lambda *_: Recorded("linear", 4, 1e-5))
    NPG("CartPole-v1", **SMALL).learn(900)
    assert calls == ["zero values", "fit", "values", "fit", "values", "fit"]


@pytest.mark.parametrize("baseline_lambda", [0.0, 0.7, 1.0])
def test_the_baseline_is_fitted_to_lambda_returns(
    monkeypatch: pytest.MonkeyPatch, baseline_lambda: float
) -> None:
    gamma, fits, batches = 0.9, [], []

    class Recorded(RidgeBaseline):
        def fit(self, observations: Any, times: Any, targets: Any) -> None:
            values, batch = self.predict(observations, times), batches[-1]
            fits.append((batch, values, self.predict(batch.final_observations, batch.lengths), targets))
            super().fit(observations, times, targets)

    update = learner_module.Learner.update

    def seen(self: Any, batch: Any, progress: float = 0.0) -> Any:
        batches.append(batch)
        return update(self, batch, progress)

    monkeypatch.setattr(learner_module.Learner, "update", seen)
    monkeypatch.setattr(learner_module, "make_baseline", lambda *_: Recorded("linear", 4, 1e-5))
    NPG("CartPole-v1", **SMALL, gamma=gamma, baseline_lambda=baseline_lambda).learn(900)
    assert len(fits) == 3
    for batch, values, last, targets in fits:
        # R_t = r_t + gamma ((1 - lambda) V_{t+1} + lambda R_{t+1}), and R of the last state is its value.
        for k, (start, end) in enumerate(zip(batch.ends - batch.lengths, batch.ends, strict=True)):
            following = value = 0.0 if batch.terminated[k] else last[k]
            for t in range(end - 1, start - 1, -1):
                following = batch.rewards[t] + gamma * (
                    (1.0 - baseline_lambda) * value + baseline_lambda * following
                )
                value = values[t]
                assert targets[t] == pytest.approx(following, rel=1e-9, abs=1e-9)


def test_learns_to_push_the_one_lever_there_is() -> None:
    agent = NPG(Countdown, batch_steps=500, workers=1, gamma=0.9)
    returns: list[float] = []
    agent.learn(15_000, callback=lambda info: returns.append(info.return_mean / info.episode_length_mean))
    assert abs(returns[0]) < 0.1
    assert returns[-1] > 0.8


@pytest.mark.parametrize("fisher", ["empirical", "exact"])
def test_the_kl_is_the_one_asked_for(fisher: Any) -> None:
    infos: list[IterationInfo] = []
    NPG("Pendulum-v1", policy="linear", fisher=fisher, batch_steps=2_000, workers=1, max_kl=0.01).learn(
        6_000, callback=infos.append
    )
    for info in infos:
        assert info.fisher == fisher
        # The damping takes its share of the direction, so the predicted KL is a little under.
        assert 0.9 * info.kl_asked < info.kl_predicted <= info.kl_asked * (1 + 1e-9)
        assert info.kl_achieved == pytest.approx(info.kl_asked, rel=0.2)
        assert info.improvement_achieved == pytest.approx(info.improvement_predicted, rel=0.3)
        assert info.residual < 1e-8


def test_the_kl_goes_by_the_share_of_the_runs_steps() -> None:
    infos: list[IterationInfo] = []
    with NPG("Pendulum-v1", **SMALL, policy="linear", max_kl=0.02, final_max_kl=0.002, steps=800) as agent:
        agent.learn(callback=infos.append)
        agent.learn(400, callback=infos.append)
    done = [0, *(info.steps for info in infos[:-1])]
    expected = [0.02 * 0.1 ** min(1.0, steps / 800) for steps in done]
    assert [info.kl_asked for info in infos] == pytest.approx(expected, rel=1e-12)
    assert expected[0] == 0.02
    assert expected[-1] == 0.002


def test_the_floor_of_the_deviation_goes_by_the_share_of_the_runs_steps() -> None:
    # From far below the floor every step ends on it.
    config: dict[str, Any] = {"initial_log_std": -1.0, "min_log_std": -1.0, "final_min_log_std": -3.0}
    infos: list[IterationInfo] = []
    with NPG("Pendulum-v1", **SMALL, **config, policy="linear", max_kl=1e-9, steps=800) as agent:
        own = agent.policy.parameters[-1:]
        floors = []

        def see(info: IterationInfo) -> None:
            infos.append(info)
            floors.append(own[0])
            own[0] = -9.0

        agent.learn(callback=see)
        agent.learn(400, callback=see)
    done = [0, *(info.steps for info in infos[:-1])]
    expected = [-1.0 - 2.0 * min(1.0, steps / 800) for steps in done]
    assert floors[1:] == pytest.approx(expected[1:], rel=1e-12)
    assert floors[-1] == -3.0
    assert floors[0] == pytest.approx(-1.0, abs=1e-3)


def test_equal_rewards_leave_the_policy_alone() -> None:
    class Indifferent(Countdown):
        def step(self, action: np.ndarray) -> Any:
            observation, _, *rest = super().step(action)
            return observation, 0.0, *rest

    infos: list[IterationInfo] = []
    agent = NPG(Indifferent, policy="linear", batch_steps=100, workers=1).learn(100, callback=infos.append)
    assert infos[0].notes == ("all advantages are zero: the policy stays",)
    assert infos[0].solver == "none"
    np.testing.assert_array_equal(agent.policy.parameters, [0.0, 0.0, 0.0, agent.config.initial_log_std])


@pytest.mark.parametrize("hidden", [(), (6, 5)])
def test_what_is_learned_does_not_depend_on_the_units_of_observations(hidden: tuple[int, ...]) -> None:
    """Degrees or radians, metres or millimetres: the hidden weights are drawn for standardized inputs."""

    def learned(units: list[float]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        policy = MLPPolicy(OBSERVATION_SIZE, hidden, GaussianHead(2), np.random.default_rng(0))
        learner = make_learner(policy, normalize_observations=True, baseline="mlp")

        class InUnits:
            """The policy as it sees the observations."""

            def act(self, obs: NDArray[np.float64], rng: np.random.Generator) -> NDArray[Any]:
                return policy.act(obs * units, rng)

        for seed in range(3):
            batch = make_batch(InUnits(), seed)  # type: ignore[arg-type]
            seen = batch.observations * units, batch.final_observations * units
            learner.update(replace(batch, observations=seen[0], final_observations=seen[1]))
        obs = np.random.default_rng(9).standard_normal((10, OBSERVATION_SIZE))
        return policy.parameters, policy.mode(obs * units)

    (theta, actions), (theta_scaled, actions_scaled) = learned([1.0, 1.0, 1.0]), learned([64.0, 0.125, 8.0])
    assert abs(actions).max() > 0.01
    np.testing.assert_allclose(theta_scaled, theta, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(actions_scaled, actions, rtol=1e-6, atol=1e-9)
