"""The unit and the offset of observations are nothing to training, or a note says what to do about them."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from learners import make_batch, make_learner

from fastfisher import NPG
from fastfisher.policies import GaussianHead, MLPPolicy
from fastfisher.policies.rbf import mean_pairwise_distance
from fastfisher.training.batch import Batch
from fastfisher.training.moments import RunningMoments, standardization

SMALL = 2.0**-10
"""A power of two, by which numbers are scaled without rounding."""


def rows() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((500, 3)) * [1.0, 5.0, 0.1] + [0.0, 30.0, -2.0]


@pytest.mark.parametrize("scale", [1e-100, 1e-12, 1e-3, 1.0, 1e9])
def test_deviations_follow_the_unit(scale: float) -> None:
    moments = RunningMoments(3)
    for part in np.split(scale * rows(), 5):
        moments.update(part)
    expected = scale * rows().std(axis=0)
    np.testing.assert_allclose(moments.std(), expected, rtol=1e-9)
    np.testing.assert_allclose(standardization(scale * rows())[1], expected, rtol=1e-9)


def test_a_small_entry_beside_large_ones_counts_and_rounding_does_not() -> None:
    noise = np.random.default_rng(1).standard_normal((500, 5))
    entries = np.column_stack(
        [
            1e-7 * noise[:, 0],  # small beside the others
            1e6 + noise[:, 1],  # a large offset
            1.0 + 1e-12 * noise[:, 2],  # a constant, as a physics engine rounds one
            1e-18 * noise[:, 3],  # zero, as rounded beside entries of size one
            np.full(500, 0.1),
        ]
    )
    moments = RunningMoments(5)
    for part in np.split(entries, 10):
        moments.update(part)
    for std in (moments.std(), standardization(entries)[1]):
        np.testing.assert_allclose(std[:2], entries[:, :2].std(axis=0), rtol=1e-6)
        np.testing.assert_array_equal(std[2:], 1.0)


def in_small_units(batch: Batch) -> Batch:
    observations, last = SMALL * batch.observations, SMALL * batch.final_observations
    return Batch(**{**vars(batch), "observations": observations, "final_observations": last})


@pytest.mark.parametrize("baseline", ["linear", "quadratic", "mlp"])
def test_an_update_is_the_same_to_the_bit_in_small_units(baseline: str) -> None:
    one, two = (
        make_learner(
            MLPPolicy(3, (8,), GaussianHead(2), np.random.default_rng(0)),
            normalize_observations=True,
            baseline=baseline,
        )
        for _ in range(2)
    )
    for seed in range(3):
        batch = make_batch(one.policy, seed)
        updates = one.update(batch), two.update(in_small_units(batch))
        assert updates[0].explained_variance == updates[1].explained_variance
        np.testing.assert_array_equal(one.policy.parameters, two.policy.parameters)


class Scaled(gymnasium.ObservationWrapper):  # type: ignore[type-arg]
    """Pendulum-v1 whose observations come in another unit, float64."""

    def __init__(self, scale: float, offset: float = 0.0) -> None:
        super().__init__(gymnasium.make("Pendulum-v1"))
        self._scale, self._offset = scale, offset
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (3,), np.float64)

    def observation(self, observation: Any) -> Any:
        return observation.astype(np.float64) * self._scale + self._offset


@pytest.mark.parametrize("policy", ["mlp", "rbf"])
def test_pendulum_in_small_units_is_pendulum(policy: str) -> None:
    trained = []
    for scale in (1.0, SMALL):
        with NPG(lambda scale=scale: Scaled(scale), policy=policy, workers=1, batch_steps=1_000) as agent:
            agent.learn(3_000)
            trained.append(agent)
    np.testing.assert_array_equal(trained[0].policy.parameters, trained[1].policy.parameters)


@pytest.mark.parametrize(
    ("scale", "offset", "noted"),
    [(1.0, 0.0, False), (0.1, 3.0, False), (1e-3, 0.0, True), (1.0, 1e4, True)],
)
def test_raw_observations_far_from_unit_scale_are_noted_once(
    scale: float, offset: float, noted: bool
) -> None:
    for normalize in (False, True):
        notes: list[tuple[str, ...]] = []
        env = Scaled(scale, offset)
        with NPG(env, policy="linear", batch_steps=400, normalize_observations=normalize) as agent:
            agent.learn(800, lambda info: notes.append(info.notes))  # noqa: B023 - called within the loop
        first, second = (any("normalize_observations=True" in note for note in each) for each in notes)
        assert (first, second) == (noted and not normalize, False)


def test_the_note_names_an_entry_and_counts_the_others() -> None:
    learner, batch = make_learner(), in_small_units(make_batch(make_learner().policy))
    (note, *_) = learner.update(batch).notes
    assert note.startswith("raw observations far from unit scale are hardly learned from: entry 0 (mean ")
    assert "and 2 more" in note
    assert not any("raw observations" in note for note in learner.update(batch).notes)


@pytest.mark.parametrize("scale", [1e-60, 1e-3, 1.0, 1e9])
def test_the_bandwidth_follows_the_unit_and_rounding_is_no_distance(scale: float) -> None:
    distance = mean_pairwise_distance(rows())
    assert mean_pairwise_distance(scale * rows()) == pytest.approx(scale * distance, rel=1e-9)
    assert mean_pairwise_distance(np.full((50, 3), 0.1 * scale)) == 1.0
