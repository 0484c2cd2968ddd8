"""Parameters that belong to no layer: scores are right whatever is done with them, or an error says why."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.distributions import Independent, Normal  # noqa: E402

import fastfisher.torch as fft  # noqa: E402

from .helpers import any_log_prob, assert_scores, captured, weighted  # noqa: E402

N = 6


class Gaussian(nn.Module):
    """A policy with a log_std of its own, of any shape that broadcasts."""

    def __init__(self, shape: tuple[int, ...], actions: int = 3) -> None:
        super().__init__()
        self.mean = nn.Linear(4, actions)
        self.log_std = nn.Parameter(torch.randn(shape) / 3)

    def distribution(self, observations: Any) -> Any:
        return Normal(self.mean(observations), self.log_std.exp())


def batch(dtype: Any = None) -> Any:
    torch.manual_seed(1)
    return torch.randn(N, 4, dtype=dtype), torch.randn(N, 3, dtype=dtype)


HEADS = {
    "normal": lambda p, o, a: p.distribution(o).log_prob(a).sum(-1),
    "independent": lambda p, o, a: Independent(p.distribution(o), 1).log_prob(a),
    "entropy": lambda p, o, a: p.distribution(o).log_prob(a).sum(-1) + p.distribution(o).entropy().mean(-1),
    "by hand, summed": lambda p, o, a: (
        -0.5 * ((a - p.mean(o)) / p.log_std.exp()).pow(2).sum(1) - p.log_std.expand(1, 3).sum()
    ),
    "expanded to the batch": lambda p, o, a: (
        Normal(p.mean(o), p.log_std.expand(len(o), 3).exp()).log_prob(a).sum(-1)
    ),
    "expanded as": lambda p, o, a: Normal(p.mean(o), p.log_std.expand_as(a).exp()).log_prob(a).sum(-1),
    "times ones": lambda p, o, a: Normal(p.mean(o), torch.ones_like(a) * p.log_std.exp()).log_prob(a).sum(-1),
    "clamped": lambda p, o, a: Normal(p.mean(o), torch.clamp(p.log_std, -0.1, 2).exp()).log_prob(a).sum(-1),
    "softplus": lambda p, o, a: (
        Normal(p.mean(o), nn.functional.softplus(p.log_std) + 1e-3).log_prob(a).sum(-1)
    ),
    "covariance": lambda p, o, a: torch.distributions.MultivariateNormal(
        p.mean(o), torch.diag_embed(p.log_std.flatten().exp().expand(len(o), 3))
    ).log_prob(a),
    "stacked": lambda p, o, a: (
        torch.cat([p.mean(o), p.log_std.expand(len(o), 3)], dim=1).cos().sum(1) + a[:, 0]
    ),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("shape", [(3,), (1, 3), (1,), ()], ids=str)
@pytest.mark.parametrize("name", HEADS)
def test_log_std_of_any_shape_and_use(name: str, shape: tuple[int, ...], dtype: Any) -> None:
    torch.manual_seed(0)
    policy = Gaussian(shape).to(dtype)
    if name == "covariance":
        pytest.skip("of three entries") if shape != (3,) else None

    def log_prob(o: Any, a: Any) -> Any:
        return HEADS[name](policy, o, a)

    scores = assert_scores(log_prob, policy, *batch(dtype))
    assert scores.names == ("log_std", "mean.weight", "mean.bias")


@pytest.mark.parametrize("batch_is", [3, 4], ids=["the actions' size", "the observations' size"])
def test_a_batch_that_is_as_long_as_a_parameter(batch_is: int) -> None:
    torch.manual_seed(0)
    policy = Gaussian((3,)).double()
    o, a = torch.randn(batch_is, 4).double(), torch.randn(batch_is, 3).double()
    assert_scores(lambda o, a: policy.distribution(o).log_prob(a).sum(-1), policy, o, a)


class Own(nn.Module):
    """A layer of one's own, as noisy networks have it: weights of no nn.Linear, and noise as long as they."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs))
        self.sigma = nn.Parameter(torch.rand(outputs, inputs))
        self.bias = nn.Parameter(torch.randn(outputs))
        self.register_buffer("noise", torch.randn(outputs, inputs))

    def forward(self, x: Any) -> Any:
        return nn.functional.linear(x, self.weight + self.sigma * self.noise, self.bias)


@pytest.mark.parametrize("outputs", [3, N])
def test_a_layer_of_ones_own(outputs: int) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(Own(4, outputs), nn.Tanh(), Own(outputs, 2)).double()
    assert_scores(any_log_prob(module), module, torch.randn(N, 4).double())


class Elman(nn.Module):
    """A recurrent layer of one's own, with a start of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Parameter(torch.randn(4, 3) / 2)
        self.again = nn.Parameter(torch.randn(3, 3) / 2)
        self.start = nn.Parameter(torch.randn(3))

    def forward(self, x: Any) -> Any:
        state = self.start.expand(len(x), -1)
        for t in range(x.shape[1]):
            state = torch.tanh(x[:, t] @ self.enter + torch.matmul(state, self.again.T))
        return state


def test_a_recurrent_layer_of_ones_own() -> None:
    torch.manual_seed(0)
    module = Elman().double()
    assert_scores(any_log_prob(module), module, torch.randn(N, 5, 4).double())


class Positions(nn.Module):
    """Tokens with positions and a token of the class, as a transformer has them."""

    def __init__(self) -> None:
        super().__init__()
        self.positions = nn.Parameter(torch.randn(1, 6, 4))
        self.token = nn.Parameter(torch.randn(1, 1, 4))
        self.table = nn.Parameter(torch.randn(7, 4))
        self.scales = nn.ParameterList([torch.rand(4), torch.rand(4)])

    def forward(self, tokens: Any) -> Any:
        x = torch.einsum("ntk,k->ntk", self.table[tokens], self.scales[0])
        x = torch.cat([self.token.repeat(len(tokens), 1, 1), x], dim=1) + self.positions
        return x.cos() * self.scales[1]


def test_tokens_and_positions() -> None:
    torch.manual_seed(0)
    module = Positions().double()
    assert_scores(any_log_prob(module), module, torch.randint(7, (N, 5)))


def test_a_policy_without_any_layer() -> None:
    torch.manual_seed(0)
    module = nn.ParameterDict({"mean": torch.randn(3), "log_std": torch.randn(3)}).double()

    def log_prob(a: Any) -> Any:
        return Normal(module["mean"], module["log_std"].exp()).log_prob(a).sum(-1)

    assert_scores(log_prob, module, batch(torch.float64)[1])


def test_the_module_is_itself_again_after_the_block() -> None:
    policy = Gaussian((3,))
    before = dict(policy.named_parameters())
    o, a = batch()
    with fft.capture(policy) as tape:
        assert policy.log_std is not before["log_std"]
        log_prob = HEADS["normal"](policy, o, a)
    after = dict(policy.named_parameters())
    assert all(after[name] is before[name] for name in before)
    assert not policy.mean._forward_hooks
    tape.scores(log_prob, retain_graph=True)
    log_prob.sum().backward()
    assert policy.log_std.grad is not None


def test_the_module_is_itself_again_after_an_error() -> None:
    policy = Gaussian((3,))
    with pytest.raises(ZeroDivisionError), fft.capture(policy):
        raise ZeroDivisionError
    assert type(policy.log_std) is nn.Parameter
    assert not policy.mean._forward_hooks


def test_a_change_in_place_within_the_block_is_refused() -> None:
    policy = Gaussian((3,))
    with fft.capture(policy), pytest.raises(fft.UnsupportedModuleError, match="log_std: clamp_"):
        policy.log_std.clamp_(-1, 1)
    with fft.capture(policy), torch.no_grad():
        policy.log_std.clamp_(0.0, 0.0)
    assert (policy.log_std == 0).all()


class Custom(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any, scale: Any) -> Any:
        ctx.save_for_backward(x, scale)
        return x * scale

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Any:
        x, scale = ctx.saved_tensors
        return gradient * scale, (gradient * x).sum(0)


def test_a_use_that_goes_around_torch_functions_is_found() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.scale = nn.Linear(4, 3), nn.Parameter(torch.ones(3))

        def forward(self, x: Any) -> Any:
            return Custom.apply(self.layer(x), self.scale)

    module = Scaled()
    with pytest.raises(fft.ScoresMismatchError, match=r"scale of the module itself \(Scaled\)"):
        captured(any_log_prob(module), module, torch.randn(N, 4))


def test_randomness_of_a_parameter_is_refused() -> None:
    policy = Gaussian((3,))
    o, _ = batch()
    with pytest.raises(fft.UnsupportedModuleError, match=r"log_std: .* random"), fft.capture(policy):
        weighted(policy.mean(o) * nn.functional.dropout(policy.log_std, 0.5))
