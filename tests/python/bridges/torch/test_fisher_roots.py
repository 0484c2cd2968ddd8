"""Roots of the Fisher matrices of torch's distributions, against the Hessian of the KL divergence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402
from torch import distributions as D  # noqa: E402, N812

import fastfisher.torch as fft  # noqa: E402
from fastfisher.torch.fisher import fisher_roots, frozen, kl_from  # noqa: E402

N, INPUTS = 7, 3
KEEP = {"retain_graph": True, "allow_unused": True, "materialize_grads": True}


class Network(nn.Module):
    """A small policy: features, a head, a second head, and loose parameters."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(INPUTS, 4), nn.Tanh())
        self.first, self.second = nn.Linear(4, outputs), nn.Linear(4, outputs)
        self.loose = nn.Parameter(0.3 * torch.randn(outputs))


def tril(network: Network, x: Tensor, size: int) -> Tensor:
    L = network.second(x)[:, : size * size].reshape(-1, size, size).tril(-1)
    return L + torch.diag_embed(network.first(x)[:, :size].exp())


Make = Callable[[Network, Tensor], Any]
CASES: dict[str, Make] = {
    "normal, one action": lambda net, x: D.Normal(net.first(x)[:, 0], net.second(x)[:, 0].exp()),
    "normal, diagonal": lambda net, x: D.Normal(net.first(x), net.second(x).exp()),
    "normal, loose log_std": lambda net, x: D.Independent(D.Normal(net.first(x), net.loose.exp()), 1),
    "normal, fixed scale": lambda net, x: D.Normal(net.first(x), 0.7),
    "normal, matrix of actions": lambda net, x: D.Independent(D.Normal(net.first(x).view(N, 3, 2), 0.7), 2),
    "categorical, logits": lambda net, x: D.Categorical(logits=net.first(x)),
    "categorical, probs": lambda net, x: D.Categorical(probs=net.first(x).softmax(-1)),
    "categorical, two": lambda net, x: D.Categorical(logits=net.first(x)[:, :2]),
    "categorical, components": lambda net, x: D.Categorical(logits=net.first(x).view(N, 2, 3)),
    "one-hot": lambda net, x: D.OneHotCategorical(logits=net.first(x)),
    "multi-discrete": lambda net, x: [D.Categorical(logits=z) for z in net.first(x).split([2, 3, 1], 1)],
    "bernoulli, logits": lambda net, x: D.Bernoulli(logits=net.first(x)),
    "bernoulli, probs": lambda net, x: D.Independent(D.Bernoulli(probs=net.first(x).sigmoid()), 1),
    "beta": lambda net, x: D.Independent(D.Beta(net.first(x).exp(), 1.0 + net.second(x).exp()), 1),
    "beta, stretched": lambda net, x: D.TransformedDistribution(
        D.Beta(net.first(x).exp(), net.loose.exp()), D.AffineTransform(-1.0, 2.0)
    ),
    "dirichlet": lambda net, x: D.Dirichlet(net.first(x).exp()),
    "multivariate, fixed": lambda net, x: D.MultivariateNormal(
        net.first(x)[:, :2], scale_tril=torch.tensor([[0.5, 0.0], [0.3, 0.9]])
    ),
    "multivariate, scale_tril": lambda net, x: D.MultivariateNormal(
        net.first(x)[:, :2], scale_tril=tril(net, x, 2)
    ),
    "multivariate, covariance": lambda net, x: D.MultivariateNormal(
        net.first(x)[:, 2:4], tril(net, x, 2) @ tril(net, x, 2).mT
    ),
    "multivariate, loose": lambda net, x: D.MultivariateNormal(
        net.first(x)[:, :3],
        precision_matrix=torch.diag(net.loose[:3].exp()) + torch.outer(net.loose[3:], net.loose[3:]),
    ),
    "squashed": lambda net, x: D.TransformedDistribution(
        D.Normal(net.first(x), net.second(x).exp()),
        [D.TanhTransform(cache_size=1), D.AffineTransform(torch.ones(6), 2.0)],
    ),
    "mixed": lambda net, x: (
        D.Categorical(logits=net.first(x)[:, :3]),
        [
            D.Independent(D.Normal(net.first(x)[:, 3:], net.loose[3:].exp()), 1),
            D.Bernoulli(logits=net.second(x)),
        ],
    ),
}

by_case = pytest.mark.parametrize("make", CASES.values(), ids=CASES.keys())


@pytest.fixture(autouse=True)
def float64() -> Any:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(before)


def example() -> tuple[Network, Tensor]:
    network = Network(6)
    return network, network.body(torch.randn(N, INPUTS))


def pulled_back(network: Network, distribution: Any) -> Tensor:
    """J^T F_z J / N by one backward pass for each factor and sample."""
    parameters = list(network.parameters())
    total = torch.zeros(())
    for parameter, factors in fisher_roots(distribution):
        assert factors.shape[1:] == parameter.shape
        assert not factors.requires_grad
        for factor in factors:
            for n in range(N):
                gradients = torch.autograd.grad(parameter[n], parameters, factor[n], **KEEP)
                row = torch.cat([g.flatten() for g in gradients])
                total = total + torch.outer(row, row)
    return total / N


def hessian_of_kl(network: Network, old: Any, new: Any) -> Tensor:
    """The definition: the mean over the samples of the Hessian of KL(pi_old || pi), at pi_old."""
    parameters = list(network.parameters())
    kl = kl_from(old, new).mean()
    assert kl.item() == pytest.approx(0.0, abs=1e-12)
    first = torch.autograd.grad(kl, parameters, create_graph=True, allow_unused=True, materialize_grads=True)
    rows = [
        torch.autograd.grad(entry, parameters, **KEEP)
        if entry.requires_grad
        else [torch.zeros_like(p) for p in parameters]
        for entry in torch.cat([g.flatten() for g in first])
    ]
    return torch.stack([torch.cat([g.flatten() for g in row]) for row in rows])


@by_case
def test_the_fisher_matrix_is_the_hessian_of_the_kl(make: Make) -> None:
    network, x = example()
    distribution = make(network, x)
    F = pulled_back(network, distribution)
    H = hessian_of_kl(network, frozen(distribution), distribution)
    assert H.abs().max() > 1e-3
    torch.testing.assert_close(F, H, rtol=0, atol=1e-10)


@by_case
def test_frozen_copies_do_not_move(make: Make) -> None:
    network, x = example()
    old = frozen(make(network, x))
    kept = [
        tensor.clone() for member in old for tensor in vars(member).values() if isinstance(tensor, Tensor)
    ]
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1)
    after = [tensor for member in old for tensor in vars(member).values() if isinstance(tensor, Tensor)]
    for a, b in zip(kept, after, strict=True):
        assert torch.equal(a, b)
        assert not b.requires_grad
    assert kl_from(old, make(network, network.body(torch.randn(N, INPUTS)))).shape == (N,)


@pytest.mark.parametrize(
    "probabilities", [[0.2, 0.5, 0.3], [1.0, 0.0, 0.0], [0.0, 0.5, 0.5], [0.0, 0.0, 1.0]]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_categorical_has_k_minus_one_factors(probabilities: list[float], dtype: Any) -> None:
    """Also where a probability is zero, and where what is left after it is."""
    p = torch.tensor(probabilities, dtype=dtype)
    ((z, factors),) = fisher_roots(D.Categorical(logits=p.log()[None].requires_grad_()))
    assert factors.shape == (2, 1, 3)
    assert factors.dtype == z.dtype == dtype
    E = factors[:, 0].double()
    expected = torch.diag(p) - torch.outer(p, p)
    torch.testing.assert_close(
        E.T @ E, expected.double(), rtol=0, atol=1e-7 if dtype == torch.float32 else 1e-15
    )


def test_small_probabilities_keep_their_digits() -> None:
    """p (1 - p) of a near-certain action is that of the other one: 1 - p would have lost it."""
    for make in (
        lambda z: D.Bernoulli(logits=z),
        lambda z: D.Categorical(logits=torch.stack([z, torch.zeros_like(z)], 1)),
    ):
        z = torch.tensor([50.0, -50.0], requires_grad=True)
        ((parameter, factors),) = fisher_roots(make(z))
        (row,) = (torch.autograd.grad(parameter, z, f, retain_graph=True)[0] for f in factors)
        torch.testing.assert_close(row**2, torch.full((2,), -50.0).exp(), rtol=1e-12, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_concentrations_large_and_small(dtype: Any) -> None:
    """F's smallest eigenvalue is about 1 / a^2 where its entries are about 1 / a."""
    a = torch.tensor([[1e-2, 2e-2], [1.0, 50.0], [3e3, 5e3]], dtype=dtype, requires_grad=True)
    ((_, factors),) = fisher_roots(D.Beta(a[:, 0], a[:, 1]))
    F = torch.einsum("knj,kni->nji", factors.double(), factors.double())
    exact = a.detach().double()
    expected = torch.polygamma(1, exact).diag_embed() - torch.polygamma(1, exact.sum(1))[:, None, None]
    torch.testing.assert_close(F, expected, rtol=1e-6 if dtype == torch.float32 else 1e-14, atol=0)


def test_a_fixed_scale_has_no_factors() -> None:
    loc = torch.zeros(4, 2, requires_grad=True)
    ((z, factors),) = fisher_roots(D.Normal(loc, torch.full((4, 2), 0.5)))
    assert z.shape == (4, 2)
    torch.testing.assert_close(factors, 2.0 * torch.eye(2)[:, None, :].expand(2, 4, 2))


def grown(*shape: int) -> Tensor:
    return torch.ones(shape, requires_grad=True)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: D.Poisson(grown(3)), r"^distribution: expected Normal, .*; got Poisson$"),
        (
            lambda: [D.Normal(grown(3), 1.0), (D.Bernoulli(logits=grown(3)), D.Gamma(grown(3), 1.0))],
            r"^distribution\[1\]\[1\]: expected Normal, .*; got Gamma$",
        ),
        (lambda: D.Independent(D.Laplace(grown(3, 2), 1.0), 1), r"^distribution: .*; got Laplace$"),
        (lambda: grown(3), r"^distribution: expected a torch distribution, .*; got Tensor$"),
        (lambda: None, r"^distribution: expected a torch distribution, .*; got NoneType$"),
        (lambda: D.HalfNormal(grown(3)), r"^distribution, AbsTransform: expected a bijection"),
        (
            lambda: D.TransformedDistribution(D.Normal(grown(3), 1.0), D.AffineTransform(grown(3), 1.0)),
            r"^distribution, AffineTransform: expected a fixed bijection, got one with parameters",
        ),
        (
            lambda: D.TransformedDistribution(
                D.Normal(grown(3), 1.0),
                D.ComposeTransform([D.ExpTransform(), D.AffineTransform(0.0, grown(3)).inv]),
            ),
            r"^distribution, ComposeTransform: expected a fixed bijection",
        ),
    ],
)
def test_what_has_no_root_is_named(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        fisher_roots(make())


def test_wrong_shapes_are_named() -> None:
    with pytest.raises(
        ValueError, match=r"^distribution: expected parameters that need a gradient, got none"
    ):
        fisher_roots(D.Normal(torch.zeros(3), 1.0))
    with pytest.raises(ValueError, match=r"^distribution: expected at least one distribution, got an empty"):
        fisher_roots([])
    for make in (
        lambda: D.Normal(grown(), 1.0),
        lambda: D.Categorical(logits=grown(3)),
        lambda: D.Independent(D.Normal(grown(), 1.0), 0),
        lambda: D.MultivariateNormal(grown(2), torch.eye(2)),
    ):
        with pytest.raises(
            ValueError, match=r"^distribution: expected a batch_shape \(N, \.\.\.\), one .* got"
        ):
            fisher_roots(make())
    with pytest.raises(ValueError, match=r"as many samples each, got 3 of .*\[0\], 4 of distribution\[1\]$"):
        fisher_roots([D.Normal(grown(3), 1.0), D.Normal(grown(4), 1.0)])
    old = frozen(D.Normal(grown(3), 1.0))
    with pytest.raises(ValueError, match=r"^distribution: expected Normal as the first time, got Bernoulli$"):
        kl_from(old, D.Bernoulli(logits=grown(3)))


def test_the_kl_of_a_list_is_the_sum() -> None:
    old = [D.Normal(torch.zeros(4, 2), 1.0), D.Categorical(logits=torch.zeros(4, 3))]
    new = [D.Normal(torch.ones(4, 2), 1.0), D.Categorical(logits=torch.eye(4, 3))]
    expected = D.kl_divergence(old[0], new[0]).sum(1) + D.kl_divergence(old[1], new[1])
    torch.testing.assert_close(kl_from(frozen(old), new), expected)


@by_case
def test_natural_steps_through_a_tape_are_those_of_the_hessian(make: Make) -> None:
    """(H + lambda I) x = g, of the parameters that the distribution depends on, in torch's own order."""
    torch.manual_seed(0)
    network, observations = Network(6), torch.randn(N, INPUTS)
    with fft.capture(network) as tape:
        distribution = make(network, network.body(observations))
    scores = tape.fisher_scores(distribution, check=True)
    assert scores.count == N
    distribution = make(network, network.body(observations))
    H = hessian_of_kl(network, frozen(distribution), distribution)
    sizes = [(name, parameter.numel()) for name, parameter in network.named_parameters()]
    has_columns = torch.cat([torch.full((size,), name in scores.names) for name, size in sizes])
    assert not H[~has_columns].any()
    H = H[has_columns][:, has_columns]
    g = torch.randn(len(H))
    expected = torch.linalg.solve(H + 0.1 * torch.eye(len(H)), g)
    result = scores.natural_step(gradient=g, damping=0.1, solver="cholesky", precision="double")
    torch.testing.assert_close(torch.from_numpy(result.direction), expected, rtol=0, atol=1e-10)
