"""Scores and the way back: vectors are in torch's order, steps reach the parameters and their gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.distributions import Normal  # noqa: E402
from torch.nn.utils import parameters_to_vector, vector_to_parameters  # noqa: E402

import fastfisher as ff  # noqa: E402
import fastfisher.torch as fft  # noqa: E402

from .helpers import any_log_prob, captured, weighted  # noqa: E402

N = 40


class Policy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.log_std = nn.Parameter(torch.zeros(1, 2))
        self.body = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2))

    def distribution(self, x: Any) -> Any:
        return Normal(self.body(x), self.log_std.exp())


def captured_policy(dtype: Any = None) -> Any:
    torch.manual_seed(0)
    policy = Policy().to(dtype or torch.float32)
    x, actions = torch.randn(N, 3, dtype=dtype), torch.randn(N, 2, dtype=dtype)
    scores = captured(lambda x, a: policy.distribution(x).log_prob(a).sum(1), policy, x, actions)
    return policy, scores, x, actions


def test_columns_are_in_the_order_of_the_parameters() -> None:
    policy, scores, x, actions = captured_policy(torch.float64)
    advantages = torch.randn(N).double()
    (policy.distribution(x).log_prob(actions).sum(1) * advantages).mean().backward()
    gradient = parameters_to_vector([p.grad for p in policy.parameters()]).numpy()
    np.testing.assert_allclose(scores.mean_gradient(advantages), gradient, atol=1e-15)
    result = scores.natural_step(advantages)
    np.testing.assert_allclose(result.gradient, gradient, atol=1e-15)
    assert scores.names == tuple(name for name, _ in policy.named_parameters())
    assert scores.shape == (N, len(gradient)) == (len(scores), scores.scores.shape[1])
    assert scores.parameters[0] is policy.log_std


def test_a_step_goes_back_as_vector_to_parameters_does_it() -> None:
    policy, scores, _, _ = captured_policy()
    result = scores.natural_step(np.random.default_rng(0).standard_normal(N), max_kl=0.01)
    before = parameters_to_vector(policy.parameters()).detach().clone()
    other = Policy()
    vector_to_parameters(before + 0.5 * torch.from_numpy(result.step), other.parameters())
    pointers = [p.data_ptr() for p in policy.parameters()]
    assert scores.add_(result.step, scale=0.5) is scores
    for mine, theirs in zip(policy.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs.float(), rtol=1e-6, atol=1e-7)
    assert [p.data_ptr() for p in policy.parameters()] == pointers
    assert all(p.requires_grad for p in policy.parameters())


def test_a_direction_becomes_gradients_for_any_optimizer() -> None:
    policy, scores, _, _ = captured_policy()
    direction = scores.natural_step(torch.randn(N)).direction
    for p in policy.parameters():
        p.grad = torch.ones_like(p)
    before = parameters_to_vector(policy.parameters()).detach().clone()
    assert scores.to_grad_(direction) is scores
    assert all(p.grad.dtype == p.dtype for p in policy.parameters())
    torch.optim.SGD(policy.parameters(), lr=0.1).step()
    moved = parameters_to_vector(policy.parameters()).detach() - before
    torch.testing.assert_close(moved.double(), 0.1 * torch.from_numpy(direction), rtol=1e-4, atol=1e-6)
    scores.to_grad_(direction, scale=2.0)
    np.testing.assert_allclose(policy.log_std.grad[0], 2.0 * direction[:2], rtol=1e-6)


def test_vectors_and_tensors_by_name() -> None:
    policy, scores, _, _ = captured_policy()
    vector = np.arange(float(scores.shape[1]))
    parts = scores.unflatten(vector)
    assert {name: part.shape for name, part in parts.items()} == {
        name: p.shape for name, p in policy.named_parameters()
    }
    for form in (parts, list(parts.values()), vector, torch.from_numpy(vector), {**parts, "other": 3}):
        np.testing.assert_array_equal(scores.flatten(form), vector)
    assert parts["body.0.weight"].dtype == torch.float64
    assert scores.unflatten(np.arange(len(vector)))["log_std"].tolist() == [[0.0, 1.0]]
    with pytest.raises(ValueError, match=r"vector: expected shape \(34,\), one entry a column, got \(3,\)"):
        scores.unflatten(np.zeros(3))
    with pytest.raises(KeyError, match="tensors: expected a tensor for each parameter, got none for log_std"):
        scores.flatten({})
    with pytest.raises(ValueError, match=r"tensors: expected 5 tensors, one a parameter, got 1"):
        scores.flatten([parts["log_std"]])
    with pytest.raises(ValueError, match=r"expected shape \(1, 2\) for log_std, got \(3,\)"):
        scores.flatten({**parts, "log_std": torch.zeros(3)})
    with pytest.raises(TypeError, match=r"step: expected a vector, such as result\.step"):
        scores.add_(scores.natural_step(torch.randn(N)))
    with pytest.raises(ValueError, match="scale: expected a finite number, got nan"):
        scores.add_(vector, float("nan"))


def test_advantages_of_any_kind_and_options() -> None:
    _, scores, _, _ = captured_policy()
    advantages = torch.randn(N, requires_grad=True)
    result = scores.natural_step(advantages, damping=1e-2, max_kl=0.01)
    for same in (advantages.detach().numpy(), advantages.bfloat16().float(), advantages.double()):
        again = scores.natural_step(same, damping=1e-2, max_kl=0.01)
        np.testing.assert_allclose(again.step, result.step, atol=0.05 * np.abs(result.step).max())
    several = scores.natural_step(advantages, damping=[1e-1, 1e-2], max_kl=0.01)
    assert len(several) == 2
    np.testing.assert_allclose(several[1].step, result.step, rtol=1e-5, atol=1e-9)
    given = scores.natural_step(gradient=scores.unflatten(result.gradient), damping=1e-2, max_kl=0.01)
    np.testing.assert_allclose(given.step, result.step, rtol=1e-5, atol=1e-9)
    plain = ff.natural_step(scores.scores, advantages.detach().numpy(), damping=1e-2, max_kl=0.01)
    np.testing.assert_array_equal(plain.step, result.step)
    with pytest.raises(ValueError, match="advantages: expected shape"):
        scores.natural_step(torch.randn(N, 1))


def test_sample_weights_are_one_weighted_backward_pass() -> None:
    policy, scores, x, actions = captured_policy(torch.float64)
    result = scores.natural_step(torch.randn(N), damping=1e-2)
    weights = torch.from_numpy(result.sample_weights)
    (policy.distribution(x).log_prob(actions).sum(1) * weights).sum().backward()
    direction = parameters_to_vector([p.grad for p in policy.parameters()]).numpy()
    np.testing.assert_allclose(direction, result.direction, rtol=1e-9, atol=1e-10)


def test_scores_of_two_modules_side_by_side() -> None:
    torch.manual_seed(0)
    actor, critic = nn.Linear(3, 2), nn.Linear(3, 1)
    x = torch.randn(N, 3)
    left, right = (captured(any_log_prob(module), module, x) for module in (actor, critic))
    both = left + right
    assert both.names == ("0.weight", "0.bias", "1.weight", "1.bias")
    assert both.shape == (N, 12)
    result = both.natural_step(torch.randn(N))
    both.add_(result.step)
    assert both.unflatten(result.step)["1.weight"].shape == (1, 3)
    with pytest.raises(ValueError, match="scores: expected no parameter in both, got weight"):
        left + left
    with pytest.raises(TypeError):
        left + 3
    _, scores, _, _ = captured_policy()
    assert (scores + left).names == (*scores.names, "weight", "bias")


def test_actor_and_critic_of_one_capture() -> None:
    torch.manual_seed(0)
    module = nn.ModuleDict({"body": nn.Linear(3, 4), "pi": nn.Linear(4, 2), "v": nn.Linear(4, 1)})
    with fft.capture(module, check=True) as tape:
        features = torch.tanh(module["body"](torch.randn(N, 3)))
        log_prob, value = weighted(module["pi"](features)), module["v"](features).squeeze(1)
    first = tape.scores(log_prob, retain_graph=True)
    second = tape.scores(value)
    assert first.names == ("body.weight", "body.bias", "pi.weight", "pi.bias")
    assert second.names == ("body.weight", "body.bias", "v.weight", "v.bias")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision(dtype: Any) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 5), nn.LayerNorm(5), nn.Tanh(), nn.Linear(5, 2))
    x = torch.randn(N, 3)
    exact = captured(any_log_prob(module), module, x).scores.to_dense()
    scores = captured(any_log_prob(module.to(dtype)), module, x.to(dtype))
    assert all(side.dtype == np.float32 for block in scores.blocks for side in np.atleast_1d(block[0]))
    coarse = 20 * torch.finfo(dtype).eps * np.abs(exact).max()
    np.testing.assert_allclose(scores.scores.to_dense(), exact, atol=coarse)
    result = scores.natural_step(torch.randn(N, dtype=dtype), max_kl=0.01)
    scores.add_(result.step)
    scores.to_grad_(result.direction)
    assert module[0].weight.grad.dtype == dtype


def test_autocast() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2))
    x = torch.randn(N, 3)
    exact = captured(any_log_prob(module), module, x).scores.to_dense()

    def log_prob(x: Any) -> Any:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            output = module(x)
        return weighted(output.float())

    scores = captured(log_prob, module, x).scores.to_dense()
    np.testing.assert_allclose(scores, exact, atol=0.1 * np.abs(exact).max())


def test_inputs_that_are_not_contiguous() -> None:
    torch.manual_seed(0)
    module = nn.Linear(3, 2)
    x = torch.randn(3, 2 * N)[:, ::2].T
    scores = captured(any_log_prob(module), module, x)
    expected = captured(any_log_prob(module), module, x.contiguous())
    np.testing.assert_array_equal(scores.scores.to_dense(), expected.scores.to_dense())


def test_hooks_of_others_run_as_before() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    x = torch.randn(N, 3)
    seen = []
    module[0].register_forward_hook(lambda _, args, output: output * 2.0)
    module[0].register_forward_pre_hook(lambda _, args: (args[0] + 1.0,))
    module[1].register_forward_hook(lambda _, args, output: seen.append(output))
    scores = captured(any_log_prob(module), module, x)
    assert len(seen) == 1
    gradient = torch.autograd.grad(any_log_prob(module)(x).mean(), list(module.parameters()))
    np.testing.assert_allclose(
        scores.mean_gradient(np.ones(N)), torch.cat([g.flatten() for g in gradient]), rtol=1e-4, atol=1e-6
    )


def test_frozen_parameters_have_no_columns() -> None:
    module = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2))
    module[0].weight.requires_grad_(False)
    module[1].requires_grad_(False)
    scores = captured(any_log_prob(module), module, torch.randn(N, 3))
    assert scores.names == ("0.bias", "2.weight", "2.bias")


def test_two_forward_passes_of_one_block_are_added() -> None:
    torch.manual_seed(0)
    module = nn.Linear(3, 2).double()
    x, y = torch.randn(2, N, 3).double()
    both = captured(lambda x, y: weighted(module(x)) + weighted(module(y).cos()), module, x, y)
    each = captured(any_log_prob(module), module, x).scores.to_dense()
    other = captured(lambda y: weighted(module(y).cos()), module, y).scores.to_dense()
    np.testing.assert_allclose(both.scores.to_dense(), each + other, atol=1e-14)


def test_a_tape_that_is_entered_again_starts_anew() -> None:
    module = nn.Linear(3, 2)
    tape = fft.capture(module, check=True)
    for _ in range(2):
        with tape:
            log_prob = weighted(module(torch.randn(N, 3)))
        assert isinstance(tape.scores(log_prob).blocks[0], tuple)


@pytest.mark.skipif(not hasattr(torch.compiler, "set_stance"), reason="compiled modules need torch 2.6")
@pytest.mark.parametrize("how", ["module", "in place", "function", "part"])
def test_compiled_modules(how: str) -> None:
    torch.manual_seed(0)
    torch._dynamo.reset()
    module: Any = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    x = torch.randn(N, 3).double()
    expected = captured(any_log_prob(module), module, x).scores.to_dense()
    log_prob = any_log_prob(module)
    if how == "module":
        module = torch.compile(module, backend="eager")
        log_prob = any_log_prob(module)
    elif how == "in place":
        module.compile(backend="eager")
    elif how == "function":
        log_prob = torch.compile(log_prob, backend="eager")
    else:
        module[0] = torch.compile(module[0], backend="eager")
    before = log_prob(x)
    scores = captured(log_prob, module, x)
    np.testing.assert_allclose(scores.scores.to_dense(), expected, atol=1e-14)
    torch.testing.assert_close(log_prob(x), before)


@pytest.mark.parametrize(
    ("how", "loose", "message"),
    [
        ("module", False, "log_prob: expected it to depend .* compiled where torch is older than 2.6"),
        ("part", False, "0._orig_mod.weight of .* compiled where torch is older than 2.6"),
        ("module", True, "module: expected one that is not compiled, since torch is older than 2.6"),
    ],
)
def test_compiled_modules_are_refused_where_torch_cannot_run_them_eagerly(
    how: str, loose: bool, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As torch 2.4 and 2.5, which have no stances."""
    monkeypatch.delattr(torch.compiler, "set_stance", raising=False)
    torch._dynamo.reset()
    module = nn.Sequential(Scaled(3) if loose else nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 2))
    if how == "part":
        module[0] = torch.compile(module[0], backend="aot_eager")
    log_prob = any_log_prob(torch.compile(module, backend="aot_eager") if how == "module" else module)
    x = torch.randn(N, 3)
    expected = log_prob(x)
    with pytest.raises((ValueError, fft.UnsupportedModuleError, fft.ScoresMismatchError), match=message):
        captured(log_prob, module, x)
    torch.testing.assert_close(log_prob(x), expected)


class Scaled(nn.Module):
    """Has a parameter that no layer's rule covers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))

    def forward(self, x: Any) -> Any:
        return x * self.scale.exp()


def test_dropout_between_layers_keeps_its_mask() -> None:
    module = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.Linear(8, 2)).train()
    captured(any_log_prob(module), module, torch.randn(N, 3))


@pytest.mark.parametrize("back", ["add_", "to_grad_"])
def test_what_is_not_finite_does_not_reach_the_parameters(back: str) -> None:
    policy, scores, _, _ = captured_policy()
    before = parameters_to_vector(policy.parameters()).detach().clone()
    step = np.zeros(scores.shape[1])
    step[[2, -1]] = np.nan, np.inf  # log_std has the first two columns
    with pytest.raises(ValueError, match=r"expected finite numbers, got nan at body\.0\.weight"):
        getattr(scores, back)(step)
    torch.testing.assert_close(parameters_to_vector(policy.parameters()), before, rtol=0, atol=0)
    assert all(parameter.grad is None for parameter in policy.parameters())
