"""Rows of roots of a Fisher matrix: their Gram matrix is J^T F_z J for any layers and parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

import fastfisher.torch as fft  # noqa: E402

N = 7


class Policy(nn.Module):
    """A mean of two outputs and a log_std, of the state or of its own."""

    def __init__(self, body: nn.Module, of_the_state: bool = False) -> None:
        super().__init__()
        self.body = body
        self.log_std = nn.Linear(2, 2) if of_the_state else nn.Parameter(torch.randn(2))

    def forward(self, x: Any) -> Any:
        mean = self.body(x)
        log_std = self.log_std(mean.tanh()) if isinstance(self.log_std, nn.Module) else self.log_std
        return mean, torch.ones_like(mean) * log_std


BODIES: dict[str, Callable[[], nn.Module]] = {
    "mlp": lambda: nn.Sequential(nn.Linear(6, 3), nn.Tanh(), nn.Linear(3, 2)),
    "without bias": lambda: nn.Sequential(
        nn.Linear(6, 3, bias=False), nn.Tanh(), nn.Linear(3, 2, bias=False)
    ),
    "norm": lambda: nn.Sequential(nn.Linear(6, 3), nn.LayerNorm(3), nn.ReLU(inplace=True), nn.Linear(3, 2)),
    "frozen bias": lambda: _frozen(nn.Sequential(nn.Linear(6, 3), nn.Tanh(), nn.Linear(3, 2)), "0.bias"),
    "frozen weight": lambda: _frozen(nn.Sequential(nn.Linear(6, 3), nn.Tanh(), nn.Linear(3, 2)), "2.weight"),
    "positions": lambda: nn.Sequential(nn.Unflatten(1, (2, 3)), nn.Linear(3, 1), nn.Tanh(), nn.Flatten()),
    "cnn": lambda: nn.Sequential(
        nn.Unflatten(1, (1, 2, 3)), nn.Conv2d(1, 2, 2), nn.Tanh(), nn.Flatten(), nn.Linear(4, 2)
    ),
    "reused": lambda: _reused(),
}


def _frozen(module: nn.Module, name: str) -> nn.Module:
    module.get_parameter(name).requires_grad_(False)
    return module


def _reused() -> nn.Module:
    layer = nn.Linear(6, 6)
    return nn.Sequential(layer, nn.Tanh(), layer, nn.Linear(6, 2))


def roots(z: tuple[Any, Any], m: int = 2) -> list[tuple[Any, Any]]:
    """Return a root for each of mean and log_std, of N matrices of rank m each."""
    generator = torch.Generator().manual_seed(1)
    mean, log_std = z
    constant = torch.randn(3, 1, 2, generator=generator, dtype=torch.float64).expand(3, N, 2)
    return [(mean, torch.randn(m, N, 2, generator=generator, dtype=torch.float64)), (log_std, constant)]


def fisher_by_jacobians(policy: nn.Module, x: Any, pairs: list[tuple[Any, Any]]) -> Any:
    """Return sum over z, n and k of J^T E E^T J / N, in torch's order."""
    rows = []
    named = [p for p in policy.parameters() if p.requires_grad]
    for place, (_, factors) in enumerate(pairs):
        for k in range(len(factors)):
            for n in range(N):
                z = policy(x[n : n + 1])[place]
                found = torch.autograd.grad(z, named, factors[k, n : n + 1], allow_unused=True)
                parts = [torch.zeros_like(p) if g is None else g for g, p in zip(found, named, strict=True)]
                rows.append(torch.cat([part.flatten() for part in parts]).numpy())
    S = np.stack(rows)
    return S.T @ S / N


@pytest.mark.parametrize("of_the_state", [False, True])
@pytest.mark.parametrize("name", BODIES)
def test_the_gram_matrix_of_the_rows_is_the_fisher_matrix(name: str, of_the_state: bool) -> None:
    torch.manual_seed(0)
    policy = Policy(BODIES[name](), of_the_state).double()
    x = torch.randn(N, 6).double()
    with fft.capture(policy, check=True) as tape:
        z = policy(x)
    pairs = roots(z)
    scores = tape.root_scores(pairs)
    F = fisher_by_jacobians(policy, x, pairs)
    assert scores.count == N
    assert scores.names == tuple(name for name, p in policy.named_parameters() if p.requires_grad)
    # Natural steps show all of it, in torch's order, for gradients that are unit vectors.
    damping = 1e-2
    inverse = np.linalg.inv(F + damping * np.eye(len(F)))
    for k in range(len(F)):
        unit = np.eye(len(F))[k]
        result = scores.natural_step(gradient=unit, damping=damping, tol=1e-13)
        np.testing.assert_array_equal(result.gradient, unit)
        np.testing.assert_allclose(result.direction, inverse[:, k], atol=1e-9 * np.abs(inverse).max())


def test_a_layers_inputs_are_shared_by_the_rows_of_a_sample() -> None:
    torch.manual_seed(0)
    policy = Policy(BODIES["mlp"]()).double()
    with fft.capture(policy) as tape:
        z = policy(torch.randn(N, 6).double())
    scores = tape.root_scores(roots(z))
    shapes = [tuple(side.shape for side in b) if isinstance(b, tuple) else b.shape for b in scores.blocks]
    # Two rows a sample, and two samples of zeros for the three rows that all samples share.
    assert shapes == [(18, 2), ((9, 7), (9, 2, 3)), ((9, 4), (9, 2, 2))]


def test_only_parameters_that_do_not_depend_on_the_state() -> None:
    torch.manual_seed(0)
    policy = Policy(nn.Linear(6, 2)).double()
    with fft.capture(policy, check=True) as tape:
        z = policy(torch.randn(N, 6).double())
    (pair,) = roots(z)[1:]
    scores = tape.root_scores([pair])
    assert scores.shape == (3, 2)
    E = pair[1][:, 0].numpy()
    np.testing.assert_allclose(scores.scores.fisher(count=N), E.T @ E, atol=1e-12)


def test_an_operation_whose_backward_pass_torch_cannot_batch() -> None:
    class Doubled(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return 2 * x

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> Any:
            return torch.from_numpy(2 * gradient.numpy())

    class Body(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(6, 2)

        def forward(self, x: Any) -> Any:
            return Doubled.apply(self.layer(x))

    torch.manual_seed(0)
    policy = Policy(Body()).double()
    x = torch.randn(N, 6).double()
    with fft.capture(policy, check=True) as tape:
        z = policy(x)
    pairs = roots(z)
    scores = tape.root_scores(pairs)
    found = scores.natural_step(gradient=np.ones(scores.shape[1]), damping=1e-2).direction
    F = fisher_by_jacobians(policy, x, pairs)
    np.testing.assert_allclose(found, np.linalg.solve(F + 1e-2 * np.eye(len(F)), np.ones(len(F))), rtol=1e-6)


def test_sums_of_exact_scores_and_the_gradient_of_a_batch() -> None:
    torch.manual_seed(0)
    policies = [Policy(BODIES["mlp"]()).double() for _ in range(2)]
    x = torch.randn(N, 6).double()
    each = []
    for policy in policies:
        with fft.capture(policy) as tape:
            z = policy(x)
        each.append(tape.root_scores(roots(z), retain_graph=True))
    both = each[0] + each[1]
    assert both.count == N
    gradient = torch.randn(both.shape[1]).double()
    result = both.natural_step(gradient=gradient, damping=1e-2)
    np.testing.assert_array_equal(result.gradient, gradient)
    residual = both.scores.fisher(count=N)
    order = both._order
    assert order is not None
    x_ = result.direction
    np.testing.assert_allclose(residual[np.ix_(order, order)] @ x_ + 1e-2 * x_, gradient, atol=1e-6)
    with fft.capture(policies[0]) as tape:
        plain = tape.scores(policies[0](x)[0].sum(1))
    with pytest.raises(ValueError, match="count: expected that of the left side, 7, got None"):
        each[1] + plain
