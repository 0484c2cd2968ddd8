"""The batch of a policy update, read from a rollout buffer without copies where it can be."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import torch
from gymnasium import spaces
from stable_baselines3.common.buffers import DictRolloutBuffer, RolloutBuffer
from torch import Tensor

Observations: TypeAlias = Tensor | dict[str, Tensor]


class Batch(NamedTuple):
    """N samples of a rollout, as the policy takes them."""

    observations: Observations
    """(N, ...), of the buffer's dtype; the policy itself scales images and encodes whole numbers."""
    actions: Tensor
    """(N, m), or (N,) whole numbers where the action space is Discrete."""
    old_log_prob: Tensor
    """(N,) log-probabilities of the actions when they were drawn."""
    advantages: Tensor
    """(N,), as the buffer has them."""
    returns: Tensor
    """(N,), what the critic is fitted to."""

    def some(self, which: slice | Tensor) -> Batch:
        """Return some of the samples."""
        observations = self.observations
        if isinstance(observations, dict):
            observations = {name: tensor[which] for name, tensor in observations.items()}
        else:
            observations = observations[which]
        return Batch(observations, *(tensor[which] for tensor in self[1:]))


def whole_rollout(buffer: RolloutBuffer) -> Batch:
    """Return all samples of a full buffer.

    The two buffers of Stable-Baselines3 keep their samples as arrays, which the tensors share where they are
    on the CPU: the samples come in the arrays' order.  Any other class is asked by its `get`.
    """
    if type(buffer) not in (RolloutBuffer, DictRolloutBuffer):
        return _of_samples(next(buffer.get(batch_size=None)), buffer.action_space)
    # Asking for a sample lays the arrays out by environment, as `get` does before anything is drawn.
    next(buffer.get(batch_size=1))

    def tensor(array: Any) -> Tensor:
        return torch.as_tensor(array, device=buffer.device)

    observations: Any = buffer.observations
    if isinstance(observations, dict):
        observations = {name: tensor(array) for name, array in observations.items()}
    else:
        observations = tensor(observations)
    vectors = (buffer.log_probs, buffer.advantages, buffer.returns)
    return Batch(
        observations,
        _as_drawn(tensor(buffer.actions), buffer.action_space),
        *(tensor(vector.reshape(-1)) for vector in vectors),
    )


def drawn_rollout(buffer: RolloutBuffer, keep_one_of: int) -> Batch:
    """Return one of so many samples of a full buffer, drawn without replacement."""
    samples = next(buffer.get(batch_size=None))  # in an order that is drawn anew
    return _of_samples(samples, buffer.action_space).some(slice(None, None, keep_one_of))


def _of_samples(samples: Any, space: spaces.Space[Any]) -> Batch:
    return Batch(
        samples.observations,
        _as_drawn(samples.actions, space),
        samples.old_log_prob.flatten(),
        samples.advantages.flatten(),
        samples.returns.flatten(),
    )


def _as_drawn(actions: Tensor, space: spaces.Space[Any]) -> Tensor:
    """Return actions as the distribution of this space takes them."""
    if isinstance(space, spaces.Discrete):
        return actions.long().flatten()
    return actions.to(torch.float32)
