"""Policies of many architectures, drawn by hypothesis, against `torch.func`'s vmap(grad)."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.func import functional_call, grad, vmap  # noqa: E402

from .helpers import assert_close, captured  # noqa: E402

N = 9


class Drawn(NamedTuple):
    """A module and a batch for it; the module gives (N, k)."""

    module: nn.Module
    inputs: tuple[Any, ...]


class WithInputs(nn.Module):
    """A dict of observations, each with an extractor of its own, as SB3's MultiInputPolicy has them."""

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.image = nn.Sequential(nn.Conv2d(2, 3, 3, stride=2), activation, nn.Flatten())
        self.vector = nn.Linear(4, 5)
        self.kind = nn.Embedding(3, 2)
        self.head = nn.Linear(3 * 3 * 2 + 5 + 2, 4)

    def forward(self, image: Any, vector: Any, kind: Any) -> Any:
        parts = self.image(image), self.vector(vector), self.kind(kind)
        return self.head(torch.cat(parts, dim=1))


class Elman(nn.Module):
    """A recurrent network of linear layers, each used at every step."""

    def __init__(self, width: int, activation: nn.Module) -> None:
        super().__init__()
        self.enter, self.again = nn.Linear(3, width), nn.Linear(width, width, bias=False)
        self.activation, self.head = activation, nn.Linear(width, 4)

    def forward(self, x: Any) -> Any:
        state = self.activation(self.enter(x[:, 0]))
        for t in range(1, x.shape[1]):
            state = self.activation(self.enter(x[:, t]) + self.again(state))
        return self.head(state)


class Attentive(nn.Module):
    """Attention over tokens, of linear layers, with a residual connection and norms."""

    def __init__(self, width: int, norm: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.embed = nn.Linear(3, width)
        self.query, self.key, self.value = (nn.Linear(width, width, bias=k < 2) for k in range(3))
        self.norm, self.head = norm(width), nn.Linear(width, 4)
        self.place = nn.Parameter(torch.randn(5, width))

    def forward(self, x: Any) -> Any:
        x = self.embed(x) + self.place
        scores = self.query(x) @ self.key(x).transpose(1, 2)
        x = self.norm(x + torch.softmax(scores, dim=2) @ self.value(x))
        return self.head(x.mean(1))


class Tied(nn.Module):
    """A language model's kind of tie: the table of tokens is the last layer's weight."""

    def __init__(self, width: int, activation: nn.Module) -> None:
        super().__init__()
        self.table = nn.Embedding(6, width)
        self.middle = nn.Linear(width, width)
        self.again = self.middle
        self.head = nn.Linear(width, 6)
        self.head.weight = self.table.weight
        self.activation = activation

    def forward(self, tokens: Any) -> Any:
        return self.head(self.again(self.activation(self.middle(self.table(tokens))).sum(1)))


class Shared(nn.Module):
    """An extractor that is called once for two heads, one of which the log-probability does not reach."""

    def __init__(self, width: int, activation: nn.Module) -> None:
        super().__init__()
        self.extractor = nn.Sequential(nn.Linear(3, width), activation)
        self.critic, self.actor = nn.Linear(width, 1), nn.Linear(width, 4)
        self.frozen = nn.Linear(4, 4).requires_grad_(False)

    def forward(self, x: Any) -> Any:
        features = self.extractor(x)
        self.value = self.critic(features)
        return self.frozen(self.actor(features))


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "relu in place": lambda: nn.ReLU(inplace=True),
    "elu": nn.ELU,
    "gelu": nn.GELU,
}
NORMS = {"layer": nn.LayerNorm, "rms": nn.RMSNorm, "none": lambda width: nn.Identity()}


@st.composite
def architectures(draw: st.DrawFn) -> Drawn:
    """Draw a policy and a batch of inputs."""
    torch.manual_seed(draw(st.integers(0, 1000)))
    activation = ACTIVATIONS[draw(st.sampled_from(sorted(ACTIVATIONS)))]
    norm = NORMS[draw(st.sampled_from(sorted(NORMS)))]
    width = draw(st.sampled_from([1, 4, 8, 9]))
    kind = draw(st.sampled_from(["mlp", "cnn", "dict", "elman", "attention", "tied", "shared", "upwards"]))
    if kind == "mlp":
        layers: list[nn.Module] = []
        size = 3
        for _ in range(draw(st.integers(1, 3))):
            layers += [nn.Linear(size, width, bias=draw(st.booleans())), norm(width), activation()]
            size = width
        return Drawn(nn.Sequential(*layers, nn.Linear(size, 4)), (torch.randn(N, 3),))
    if kind == "cnn":
        mode = draw(st.sampled_from(["zeros", "circular", "reflect"]))
        first = nn.Conv2d(2, 4, 3, stride=draw(st.integers(1, 2)), padding=1, padding_mode=mode)
        second = nn.Conv2d(4, 4, (2, 3), groups=draw(st.sampled_from([1, 2, 4])))
        middle = nn.GroupNorm(2, 4) if draw(st.booleans()) else nn.Identity()
        network = nn.Sequential(first, activation(), middle, second, activation(), nn.AdaptiveAvgPool2d(1))
        return Drawn(nn.Sequential(network, nn.Flatten(), nn.Linear(4, 4)), (torch.randn(N, 2, 7, 8),))
    if kind == "dict":
        batch = torch.randn(N, 2, 7, 5), torch.randn(N, 4), torch.randint(3, (N,))
        return Drawn(WithInputs(activation()), batch)
    if kind == "elman":
        return Drawn(Elman(width, activation()), (torch.randn(N, draw(st.integers(1, 4)), 3),))
    if kind == "attention":
        return Drawn(Attentive(width, norm), (torch.randn(N, 5, 3),))
    if kind == "tied":
        return Drawn(Tied(width, activation()), (torch.randint(6, (N, draw(st.integers(1, 4)))),))
    if kind == "upwards":
        up = nn.ConvTranspose2d(2, 3, 3, stride=2, padding=1)
        return Drawn(
            nn.Sequential(up, activation(), nn.Flatten(), nn.Linear(3 * 5 * 3, 4)), (torch.randn(N, 2, 3, 2),)
        )
    return Drawn(Shared(width, activation()), (torch.randn(N, 3),))


def log_prob_of(output: Any, actions: Any) -> Any:
    """Return the log-probability of one of several actions."""
    return torch.log_softmax(output, dim=1).gather(1, actions[:, None]).squeeze(1)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(drawn=architectures(), double=st.booleans())
def test_scores_are_those_of_vmap_grad(drawn: Drawn, double: bool) -> None:
    module, inputs = drawn
    if double:
        module = module.double()
        inputs = tuple(x.double() if x.is_floating_point() else x for x in inputs)
    actions = torch.randint(4, (N,))
    # functional_call leaves a module that is in two places, as `Tied` has one, with tensors for parameters.
    copied = copy.deepcopy(module)
    parameters = {name: p.detach() for name, p in module.named_parameters() if p.requires_grad}

    def of_one(parameters: Any, action: Any, *sample: Any) -> Any:
        output = functional_call(copied, parameters, tuple(x.unsqueeze(0) for x in sample))
        return torch.log_softmax(output, dim=1)[0].gather(0, action.unsqueeze(0)).squeeze(0)

    each = vmap(grad(of_one), in_dims=(None, 0, *(0 for _ in inputs)))(parameters, actions, *inputs)
    scores = captured(lambda *batch: log_prob_of(module(*batch), actions), module, *inputs)
    expected = np.hstack([each[name].flatten(1).double().numpy() for name in scores.names])
    left_out = [name for name in parameters if name not in scores.names]
    assert all(not each[name].any() for name in left_out)
    # vmap(grad) itself is off by a few roundings, so that 1e-6 is of the largest entry.
    assert_close(scores.scores.to_dense(), expected, module, 1e-6 if not double else 1e-13)


def test_rows_of_a_flattened_batch_are_added_up() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    scale = nn.Parameter(torch.rand(2).double())
    module.register_parameter("scale", scale)
    x = torch.randn(N, 5, 3).double()

    def log_prob(x: Any) -> Any:
        return (module(x.reshape(-1, 3)) * module.scale).view(len(x), -1).cos().sum(1)

    with_positions = captured(log_prob, module, x)
    each = [torch.autograd.grad(log_prob(x[n : n + 1]).sum(), list(module.parameters())) for n in range(N)]
    expected = np.stack([torch.cat([g.flatten() for g in gradients]).numpy() for gradients in each])
    assert_close(with_positions.scores.to_dense(), expected, module)
