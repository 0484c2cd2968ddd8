"""A policy with a batch of its own, which the optimizer's tests step on."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402
from torch.distributions import Independent, Normal  # noqa: E402

import fastfisher as ff  # noqa: E402

N = 40


class Gaussian(nn.Module):
    """A policy with a state-independent log_std."""

    def __init__(self, inputs: int = 3, actions: int = 2) -> None:
        super().__init__()
        self.mean = nn.Sequential(nn.Linear(inputs, 8), nn.Tanh(), nn.Linear(8, actions))
        self.log_std = nn.Parameter(torch.full((actions,), -0.5))

    def forward(self, observations: Tensor) -> Independent:
        mean = self.mean(observations)
        return Independent(Normal(mean, self.log_std.exp().expand_as(mean)), 1)


class Problem:
    """A policy with a batch of its own: observations, actions and advantages."""

    def __init__(self, seed: int = 0, dtype: Any = torch.float64) -> None:
        torch.manual_seed(seed)
        self.policy = Gaussian().to(dtype)
        self.observations = torch.randn(N, 3, dtype=dtype)
        with torch.no_grad():
            self.actions = self.policy(self.observations).sample()
        self.advantages = torch.randn(N, dtype=dtype)

    def sampled(self) -> tuple[Tensor, Tensor]:
        return self.policy(self.observations).log_prob(self.actions), self.advantages

    def exact(self) -> tuple[Tensor, Tensor, Any]:
        pi = self.policy(self.observations)
        return pi.log_prob(self.actions), self.advantages, pi

    def components(self) -> Tensor:
        return self.policy(self.observations).base_dist.log_prob(self.actions)

    def renewed(self, seed: int) -> Problem:
        """Draw another batch for the same policy."""
        torch.manual_seed(seed)
        self.observations = torch.randn_like(self.observations)
        with torch.no_grad():
            self.actions = self.policy(self.observations).sample()
        self.advantages = torch.randn_like(self.advantages)
        return self


def values(module: nn.Module) -> Tensor:
    return nn.utils.parameters_to_vector(module.parameters()).detach().clone()


def event(result: ff.NaturalStep) -> Any:
    assert result.events[-1].code in ("line_search", "line_search_failed")
    return result.events[-1]
