"""The line search of NaturalGradient: each step that is kept is measured anew."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402
from torch.distributions import (  # noqa: E402
    Bernoulli,
    Categorical,
    Independent,
    Normal,
    TanhTransform,
    TransformedDistribution,
)

import fastfisher.torch as fft  # noqa: E402

from .problem import Gaussian, N, Problem, event, values  # noqa: E402


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("kind", "fisher"), [("sampled", "empirical"), ("exact", "empirical"), ("exact", "exact")]
)
def test_every_step_keeps_within_the_kl_and_improves(dtype: Any, kind: str, fisher: str) -> None:
    """Measured anew here, from the policy before and after."""
    problem = Problem(dtype=dtype)
    optimizer = fft.NaturalGradient(problem.policy, max_kl=0.05, damping=1e-3, fisher=fisher)
    halvings = 0.0
    for seed in range(8):
        problem.renewed(seed)
        before, theta = copy.deepcopy(problem.policy), values(problem.policy)
        result = optimizer.step(getattr(problem, kind))
        assert event(result).code == "line_search"
        with torch.no_grad():
            old, new = before(problem.observations), problem.policy(problem.observations)
            change = (new.log_prob(problem.actions) - old.log_prob(problem.actions)).double()
            kl = torch.distributions.kl_divergence(old, new).double().mean()
        if kind == "sampled":
            kl = (change.exp() - 1.0 - change).mean()
        improvement = ((change.exp() - 1.0) * problem.advantages.double()).mean()
        tolerance = 1e-5 if dtype == torch.float32 else 1e-12
        assert float(kl) <= 0.05
        assert float(improvement) > 0.0
        assert event(result).numbers["kl"] == pytest.approx(float(kl), abs=tolerance)
        assert event(result).numbers["improvement"] == pytest.approx(float(improvement), abs=tolerance)
        torch.testing.assert_close(
            values(problem.policy), theta + torch.from_numpy(result.step).to(theta), rtol=0, atol=tolerance
        )
        halvings += event(result).numbers["halvings"]
    assert halvings > 0.0  # or nothing was searched


DISTRIBUTIONS: dict[str, Callable[[Tensor], Any]] = {
    "squashed": lambda z: TransformedDistribution(
        Independent(Normal(z[:, :3], z[:, 3:].exp()), 1), TanhTransform(cache_size=1)
    ),
    "multi-discrete": lambda z: [Categorical(logits=part) for part in z.split([2, 4], 1)],
    "multi-binary": lambda z: Independent(Bernoulli(logits=z), 1),
    "mixed": lambda z: (Categorical(logits=z[:, :3]), Independent(Normal(z[:, 3:], 0.5), 1)),
}


@pytest.mark.parametrize("make", DISTRIBUTIONS.values(), ids=DISTRIBUTIONS.keys())
@pytest.mark.parametrize("fisher", ["empirical", "exact"])
def test_the_kl_of_any_distribution_is_measured(make: Callable[[Tensor], Any], fisher: str) -> None:
    torch.manual_seed(0)
    network, x = nn.Linear(3, 6), torch.randn(N, 3)

    def members(pi: Any) -> Any:
        return pi if isinstance(pi, (list, tuple)) else [pi]

    actions, advantages = [member.sample() for member in members(make(network(x)))], torch.randn(N)

    def closure() -> Any:
        pi = make(network(x))
        log_prob = sum(d.log_prob(a) for d, a in zip(members(pi), actions, strict=True))
        return log_prob, advantages, pi

    optimizer = fft.NaturalGradient(network, max_kl=1e-4, damping=1e-6, fisher=fisher, line_search=True)
    result = optimizer.step(closure)
    scale = 0.25 ** event(result).numbers["halvings"]
    assert event(result).code == "line_search"
    assert result.predicted_kl == pytest.approx(1e-4 * scale, rel=0.05)
    if fisher == "exact":  # the quadratic model of the very number
        assert event(result).numbers["kl"] == pytest.approx(result.predicted_kl, rel=0.05)


def test_a_halved_step_says_so() -> None:
    problem, twin = Problem(), Problem()
    whole = fft.NaturalGradient(twin.policy, max_kl=0.01, lr=4.0, line_search=False).step(twin.sampled)
    result = fft.NaturalGradient(problem.policy, max_kl=0.01, lr=4.0).step(problem.sampled)
    halvings = int(event(result).numbers["halvings"])
    assert halvings >= 2  # four times as far is sixteen times the KL
    np.testing.assert_array_equal(result.step, whole.step * 0.5**halvings)
    assert result.predicted_kl == pytest.approx(whole.predicted_kl * 0.25**halvings)
    assert result.notes[-1].startswith(
        f"The line search took the step after {halvings} halvings, the first since KL "
    )
    np.testing.assert_array_equal(result.step, result.step_size * result.direction)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_where_no_halving_does_the_parameters_are_restored_to_the_bit(dtype: Any) -> None:
    problem = Problem(dtype=dtype)
    before = values(problem.policy)
    optimizer = fft.NaturalGradient(problem.policy, lr=1e6, max_halvings=3, momentum=0.9)
    result = optimizer.step(problem.sampled)
    assert torch.equal(values(problem.policy), before)
    assert event(result).code == "line_search_failed"
    assert event(result).numbers == {"halvings": 3.0, "improvement": 0.0, "kl": 0.0}
    assert result.notes[-1].startswith("The line search took no step: after 3 halvings ")
    assert (result.step_size, result.predicted_kl, result.predicted_improvement) == (0.0, 0.0, 0.0)
    assert not result.step.any()
    assert "previous" not in optimizer.state  # a direction that was not taken draws nobody
    optimizer.param_groups[0].update(lr=1.0, max_halvings=10)
    assert event(optimizer.step(problem.sampled)).code == "line_search"


def likelihood(line_search: bool, max_kl: float | None, steps: int, lr: float = 1.0) -> list[float]:
    """Fit a Gaussian to data that it was not drawn from, by natural gradients of the log-likelihood."""
    torch.manual_seed(0)
    x = torch.linspace(-2.0, 2.0, 60, dtype=torch.float64)[:, None]
    y = torch.sin(2.0 * x) + 0.1 * torch.randn(60, 1, dtype=torch.float64)
    policy = Gaussian(1, 1).double()
    ones = torch.ones(60)
    optimizer = fft.NaturalGradient(policy, lr=lr, max_kl=max_kl, damping=1e-3, line_search=line_search)
    history = [float(policy(x).log_prob(y).detach().mean())]
    for _ in range(steps):
        optimizer.step(lambda: (policy(x).log_prob(y), ones))
        history.append(float(policy(x).log_prob(y).detach().mean()))
    return history


def test_the_log_likelihood_never_falls_with_a_line_search() -> None:
    """For advantages of one the surrogate less KL is the mean log-likelihood, which cannot fall then."""
    without, measured = likelihood(False, None, 25), likelihood(True, None, 25)
    assert min(np.diff(without)) < -1.0
    assert min(np.diff(measured)) >= 0.0
    assert measured[-1] > measured[0] + 0.5
    assert min(np.diff(likelihood(True, None, 25, lr=0.5))) >= 0.0


def test_an_error_of_the_closure_leaves_the_parameters() -> None:
    problem = Problem()
    before = values(problem.policy)
    calls = 0

    def closure() -> Any:
        nonlocal calls
        calls += 1
        if calls == 3:
            assert not torch.equal(values(problem.policy), before)
            raise OSError("the disk is full")
        return problem.sampled()

    with pytest.raises(OSError, match="the disk is full"):
        fft.NaturalGradient(problem.policy, max_kl=0.01).step(closure)
    assert torch.equal(values(problem.policy), before)


def test_numbers_that_are_not_finite_reject_a_candidate() -> None:
    problem = Problem()
    start = values(problem.policy)

    def closure() -> Any:
        log_prob, advantages = problem.sampled()
        if (values(problem.policy) - start).norm() > 1e-3:
            log_prob = log_prob * torch.nan
        return log_prob, advantages

    result = fft.NaturalGradient(problem.policy, max_kl=0.01, max_halvings=30).step(closure)
    assert np.linalg.norm(result.step) <= 1e-3
    assert event(result).numbers["halvings"] > 0
    assert "not finite" in result.notes[-1]


def test_a_closure_that_draws_anew_is_refused() -> None:
    problem = Problem()

    def closure() -> Any:
        pi = problem.policy(problem.observations)
        return pi.log_prob(pi.sample()), problem.advantages

    before = values(problem.policy)
    with pytest.raises(
        ValueError, match=r"^closure: expected the same log_prob .*, got .* at row \d+: draw act"
    ):
        fft.NaturalGradient(problem.policy).step(closure)
    assert torch.equal(values(problem.policy), before)
    fft.NaturalGradient(problem.policy, line_search=False, max_kl=0.01).step(closure)


def test_dropout_in_training_is_refused_by_name() -> None:
    policy = nn.Sequential(nn.Linear(3, 8), nn.Sequential(nn.Dropout(0.5)), nn.Linear(8, 2))
    x, actions, ones = torch.randn(N, 3), torch.randint(2, (N,)), torch.ones(N)
    optimizer = fft.NaturalGradient(policy)

    def closure() -> Any:
        return Categorical(logits=policy(x)).log_prob(actions), ones

    with pytest.raises(ValueError, match=r"^1\.0: expected Dropout in evaluation mode, since a line search"):
        optimizer.step(closure)
    policy.eval()
    assert event(optimizer.step(closure))
    policy.train()
    policy[1][0].p = 0.0
    assert event(optimizer.step(closure))
    policy[1][0].p = 0.5
    optimizer.param_groups[0].update(line_search=False, max_kl=0.01)
    optimizer.step(closure)
