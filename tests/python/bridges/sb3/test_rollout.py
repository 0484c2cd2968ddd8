"""The batch of an update: a buffer's samples, without copies where it can be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("stable_baselines3")

import torch
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.vec_env import DummyVecEnv

from fastfisher.sb3 import TRPO
from fastfisher.sb3.rollout import Batch, drawn_rollout, whole_rollout

from .helpers import ACTIONS, Drawn, logged, model, with_rollout


def collected(observations: str = "box", actions: str = "box", **options: Any) -> Any:
    policy = {"dict": "MultiInputPolicy", "image": "CnnPolicy"}.get(observations, "MlpPolicy")
    env = DummyVecEnv([lambda: Drawn(observations, actions)] * 2)
    return with_rollout(model(TRPO, env, policy, n_steps=16, batch_size=8, **options))


def in_order(batch: Any) -> list[np.ndarray]:
    """Return a batch's arrays with the samples in the order of their log-probabilities."""
    order = torch.argsort(batch.old_log_prob)
    observations = batch.observations
    if not isinstance(observations, dict):
        observations = {"": observations}
    return [tensor[order].numpy() for tensor in (*observations.values(), *batch[1:])]


@pytest.mark.parametrize("actions", ACTIONS)
@pytest.mark.parametrize("observations", ["box", "double", "dict", "discrete"])
def test_it_is_all_that_the_buffer_gives(observations: str, actions: str) -> None:
    buffer = collected(observations, actions).rollout_buffer
    given = next(buffer.get(None))
    discrete = actions == "discrete"
    wanted = Batch(
        given.observations,
        given.actions.long().flatten() if discrete else given.actions,
        given.old_log_prob,
        given.advantages,
        given.returns,
    )
    for ours, theirs in zip(in_order(whole_rollout(buffer)), in_order(wanted), strict=True):
        assert ours.dtype == theirs.dtype
        if len(set(in_order(wanted)[-3])) == 32:  # else samples of one log-probability change places
            assert np.array_equal(ours, theirs)


def test_the_tensors_share_the_buffers_memory() -> None:
    buffer = collected().rollout_buffer
    batch = whole_rollout(buffer)
    pairs = [
        (batch.observations, buffer.observations), (batch.actions, buffer.actions),
        (batch.advantages, buffer.advantages), (batch.returns, buffer.returns),
    ]  # fmt: skip
    assert all(np.shares_memory(tensor.numpy(), array) for tensor, array in pairs)
    assert all(
        np.shares_memory(a.numpy(), b.numpy()) for a, b in zip(batch, whole_rollout(buffer), strict=True)
    )


def test_a_part_is_drawn_without_repeats() -> None:
    buffer = collected().rollout_buffer
    np.random.seed(0)  # noqa: NPY002 - the buffer draws by the global generator
    first, second = drawn_rollout(buffer, 4), drawn_rollout(buffer, 4)
    every = set(buffer.log_probs.flatten().tolist())
    for part in (first, second):
        assert len(part.returns) == len(part.observations) == len(part.actions) == 8
        assert len(set(part.old_log_prob.tolist())) == 8
        assert set(part.old_log_prob.tolist()) <= every
    assert set(first.old_log_prob.tolist()) != set(second.old_log_prob.tolist())


def test_a_buffer_of_ones_own_is_asked() -> None:
    asked = []

    class Doubled(RolloutBuffer):
        def _get_samples(self, batch_inds: Any, env: Any = None) -> Any:
            samples = super()._get_samples(batch_inds, env)
            asked.append(len(batch_inds))
            return samples._replace(returns=2.0 * samples.returns)

    made = collected(rollout_buffer_class=Doubled)
    returns = torch.as_tensor(made.rollout_buffer.returns).flatten()
    batch = whole_rollout(made.rollout_buffer)
    assert torch.equal(batch.returns.sort().values, (2.0 * returns).sort().values)
    assert asked == [32]
    made.train()
    assert logged(made)["train/is_line_search_success"] == 1.0
