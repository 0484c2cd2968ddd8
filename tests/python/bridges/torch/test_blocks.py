"""What users do within a block of `capture`, between it and the scores, and with several blocks."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402
from torch.distributions import Categorical  # noqa: E402
from torch.utils.checkpoint import checkpoint  # noqa: E402

import fastfisher.torch as fft  # noqa: E402

OBSERVATIONS = torch.randn(12, 5, generator=torch.Generator().manual_seed(1))
ACTIONS = torch.arange(12) % 3


class Scaled(nn.Module):
    """A policy with a layer and a parameter of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.scale = nn.Linear(5, 3), nn.Parameter(torch.ones(3))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.layer(x) * self.scale
        return logits


def log_prob(module: nn.Module, observations: Tensor = OBSERVATIONS) -> Tensor:
    value: Tensor = Categorical(logits=module(observations)).log_prob(ACTIONS[: len(observations)])
    return value


def is_itself(module: nn.Module) -> bool:
    pickle.dumps(module)
    return all(type(parameter) is nn.Parameter for parameter in module.parameters())


def test_blocks_of_one_module_that_overlap_are_refused_and_leave_no_trace() -> None:
    module = Scaled()
    first, second = fft.capture(module), fft.capture(module)
    with first:
        for other in (second, first):
            with pytest.raises(RuntimeError, match="block"):
                other.__enter__()
        value = log_prob(module)
    assert first.scores(value, check=True).shape == (12, 21)
    assert is_itself(module)


def test_a_copy_that_was_made_within_a_block() -> None:
    module = Scaled()
    with fft.capture(module, check=True) as tape:
        value = log_prob(module)
        copied = copy.deepcopy(module)
        log_prob(copied)
    assert is_itself(copied)
    assert copied.scale is not module.scale
    assert tape.scores(value).shape == (12, 21)


def test_a_module_that_is_converted_within_a_block_is_converted_as_a_whole() -> None:
    module = Scaled()
    with fft.capture(module):
        module.double()
    assert {parameter.dtype for parameter in module.parameters()} == {torch.float64}
    assert is_itself(module)


def test_parameters_that_are_frozen_or_replaced_before_the_block() -> None:
    module = Scaled()
    tape = fft.capture(module, check=True)
    module.scale.requires_grad_(False)
    module.layer.weight = nn.Parameter(torch.ones(3, 5))
    with tape:
        value = log_prob(module)
    assert tape.scores(value).names == ("layer.weight", "layer.bias")


@pytest.mark.parametrize("kind", ["lstm", "prelu"])
def test_a_layer_that_is_evaluated_again_and_changed_in_between(kind: str) -> None:
    class Policy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.LSTM(5, 3, batch_first=True) if kind == "lstm" else nn.PReLU(5)

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.layer(x[:, None])[0][:, 0] if kind == "lstm" else self.layer(x)
            return logits

    module = Policy()
    with fft.capture(module, check=False) as tape:
        value = log_prob(module)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(-1.0)
    with pytest.raises(RuntimeError, match="changed in place"):
        tape.scores(value)


def test_no_samples() -> None:
    module = Scaled()
    with fft.capture(module) as tape:
        value = module(OBSERVATIONS[:0]).sum(1)
    with pytest.raises(ValueError, match="log_prob: expected at least one sample"):
        tape.scores(value)
    with pytest.raises(ValueError, match="log_prob: expected at least one sample"):
        fft.NaturalGradient(module).step(lambda: (module(OBSERVATIONS[:0]).sum(1), torch.zeros(0)))
    with pytest.raises(TypeError, match="advantages: expected a tensor"):
        fft.NaturalGradient(module).step(lambda: (log_prob(module), None))


class Projected(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(5, 3))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight


def _image(x: Tensor) -> Tensor:
    return x[:, :4].reshape(-1, 1, 2, 2)


AUTOCAST: dict[str, Any] = {
    "convolution": lambda: nn.Sequential(nn.Conv2d(1, 3, 2), nn.Flatten(), nn.Linear(3, 3)),
    "attention": lambda: nn.TransformerEncoderLayer(5, 1, 7, dropout=0.0, batch_first=True),
    "bilinear": lambda: nn.Sequential(nn.Linear(5, 4), nn.PReLU(4), nn.LayerNorm(4), nn.Linear(4, 3)),
    "loose": Projected,
}


@pytest.mark.parametrize("within", [False, True], ids=["after", "within"])
@pytest.mark.parametrize("name", AUTOCAST)
def test_autocast(name: str, within: bool) -> None:
    torch.manual_seed(0)
    module = AUTOCAST[name]()
    inputs = {"convolution": _image, "attention": lambda x: x[:, None]}.get(name, lambda x: x)(OBSERVATIONS)
    with fft.capture(module, check=True) as tape:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            output = module(inputs)
        value = output.float().flatten(1).sin().sum(1)
    expected = []
    for n in range(len(value)):
        row = torch.autograd.grad(value[n], list(module.parameters()), retain_graph=True)
        expected.append(torch.cat([part.flatten() for part in row]).double().numpy())
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=within):
        found = tape.scores(value).scores.to_dense()
    assert np.abs(found - np.stack(expected)).max() <= 0.02 * np.abs(expected).max()


def test_a_checkpointed_module_within_the_block() -> None:
    module = Scaled()
    with fft.capture(module, check=True) as tape:
        logits = checkpoint(module, OBSERVATIONS, use_reentrant=False)
        found = tape.scores(Categorical(logits=logits).log_prob(ACTIONS))
    with fft.capture(module) as tape:
        value = log_prob(module)
    expected = tape.scores(value)
    np.testing.assert_allclose(found.scores.to_dense(), expected.scores.to_dense(), rtol=0, atol=1e-6)
