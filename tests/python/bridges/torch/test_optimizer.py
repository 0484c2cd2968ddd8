"""NaturalGradient: steps against the definition, and its manners as an optimizer."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402
from torch.distributions import Normal  # noqa: E402
from torch.optim.lr_scheduler import LambdaLR, LinearLR, StepLR  # noqa: E402

import fastfisher.torch as fft  # noqa: E402

from .problem import N, Problem, values  # noqa: E402

# --- the step ---


def test_a_step_without_line_search_is_that_of_the_scores() -> None:
    """To the bit, whatever option is passed on."""
    problem, twin = Problem(), Problem()
    with fft.capture(twin.policy) as tape:
        log_prob, advantages = twin.sampled()
    scores = tape.scores(log_prob)
    options: dict[str, Any] = {"max_kl": 0.02, "damping": 0.01, "solver": "gram", "center": True, "tol": 1e-4}
    expected = scores.natural_step(advantages, **options)
    scores.add_(expected.step)
    result = fft.NaturalGradient(problem.policy, line_search=False, **options).step(problem.sampled)
    np.testing.assert_array_equal(result.step, expected.step)
    assert (result.solver, result.step_size) == ("gram", expected.step_size)
    assert torch.equal(values(problem.policy), values(twin.policy))


def test_the_exact_fisher_is_the_hessian_of_the_kl() -> None:
    problem = Problem()
    parameters = list(problem.policy.parameters())
    log_prob, advantages, pi = problem.exact()
    old = Normal(pi.base_dist.loc.detach(), pi.base_dist.scale.detach())
    kl = torch.distributions.kl_divergence(old, pi.base_dist).sum(1).mean()

    def flat_gradient(value: Tensor, **options: Any) -> Tensor:
        options |= {"allow_unused": True, "materialize_grads": True}
        return torch.cat([p.flatten() for p in torch.autograd.grad(value, parameters, **options)])

    g = flat_gradient((log_prob * advantages).mean(), retain_graph=True)
    first = flat_gradient(kl, create_graph=True)
    H = torch.stack([flat_gradient(entry, retain_graph=True) for entry in first])
    x = torch.linalg.solve(H + 0.01 * torch.eye(len(H), dtype=torch.float64), g)
    optimizer = fft.NaturalGradient(
        problem.policy, damping=0.01, fisher="exact", solver="cholesky", line_search=False
    )
    before = values(problem.policy)
    result = optimizer.step(problem.exact)
    np.testing.assert_allclose(result.direction, x, rtol=0, atol=1e-10 * float(x.abs().max()))
    torch.testing.assert_close(values(problem.policy), before + torch.from_numpy(result.step))


def test_frozen_parameters_and_those_that_are_not_used_stay() -> None:
    problem = Problem()
    problem.policy.mean[0].weight.requires_grad_(False)
    problem.policy.unused = nn.Linear(2, 2).double()
    before = {name: p.detach().clone() for name, p in problem.policy.named_parameters()}
    fft.NaturalGradient(problem.policy, max_kl=0.01).step(problem.sampled)
    stayed = {name for name, p in problem.policy.named_parameters() if torch.equal(p, before[name])}
    assert stayed == {"mean.0.weight", "unused.weight", "unused.bias"}


@pytest.mark.parametrize("lr", [0.25, 0.5, torch.tensor(0.5)])
def test_lr_scales_the_step(lr: Any) -> None:
    whole = fft.NaturalGradient((a := Problem()).policy, max_kl=0.01, line_search=False).step(a.sampled)
    optimizer = fft.NaturalGradient((b := Problem()).policy, lr=lr, max_kl=0.01, line_search=False)
    before = values(b.policy)
    part = optimizer.step(b.sampled)
    np.testing.assert_array_equal(part.step, float(lr) * whole.step)
    assert part.predicted_kl == pytest.approx(float(lr) ** 2 * whole.predicted_kl)
    assert part.predicted_improvement == pytest.approx(float(lr) * whole.predicted_improvement)
    assert part.step_size == float(lr) * whole.step_size
    assert torch.equal(values(b.policy), before + torch.from_numpy(part.step))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (lambda o: StepLR(o, 2, gamma=0.5), [1.0, 1.0, 0.5, 0.5, 0.25]),
        (lambda o: LinearLR(o, 1.0, 0.0, 4), [1.0, 0.75, 0.5, 0.25, 0.0]),
        (lambda o: LambdaLR(o, lambda k: 1.0 / (1 + k)), [1.0, 1 / 2, 1 / 3, 1 / 4, 1 / 5]),
    ],
)
def test_schedulers_set_the_learning_rate(schedule: Callable[[Any], Any], expected: list[float]) -> None:
    problem = Problem()
    optimizer = fft.NaturalGradient(problem.policy, max_kl=1e-4, damping=1e-8, line_search=False)
    scheduler = schedule(optimizer)
    kls = []
    for _ in expected:
        kls.append(optimizer.step(problem.sampled).predicted_kl)
        scheduler.step()
    np.testing.assert_allclose(np.sqrt(np.array(kls) / 1e-4), expected, rtol=1e-2)


def test_a_learning_rate_of_zero_moves_nothing() -> None:
    problem = Problem()
    before = values(problem.policy)
    result = fft.NaturalGradient(problem.policy, lr=0.0, max_kl=0.01).step(problem.sampled)
    assert torch.equal(values(problem.policy), before)
    assert not result.step.any()
    assert result.direction.any()


def test_settings_may_change_between_steps() -> None:
    problem = Problem()
    optimizer = fft.NaturalGradient(problem.policy, max_kl=0.01, damping=0.1)
    assert optimizer.step(problem.sampled).damping == 0.1
    optimizer.param_groups[0]["damping"] = 0.2
    assert optimizer.step(problem.sampled).damping == 0.2
    optimizer.param_groups[0]["damping"] = -1.0
    with pytest.raises(ValueError, match=r"^damping: expected a finite number >= 0, got -1"):
        optimizer.step(problem.sampled)


# --- momentum, and what is saved ---


def test_momentum_is_that_of_natural_step() -> None:
    problem, twin = Problem(), Problem()
    optimizer = fft.NaturalGradient(
        problem.policy, momentum=0.9, damping=0.01, max_kl=0.01, line_search=False
    )
    previous = None
    for seed in range(4):
        result = optimizer.step(problem.renewed(seed).sampled)
        with fft.capture(twin.policy) as tape:
            log_prob, advantages = twin.renewed(seed).sampled()
        scores = tape.scores(log_prob)
        expected = scores.natural_step(advantages, momentum=0.9, previous=previous, damping=0.01, max_kl=0.01)
        previous = expected.direction
        scores.add_(expected.step)
        np.testing.assert_array_equal(result.step, expected.step)


def test_momentum_goes_by_name_where_a_parameter_is_frozen_on_the_way() -> None:
    problem = Problem()
    optimizer = fft.NaturalGradient(problem.policy, momentum=0.5, max_kl=0.01)
    optimizer.step(problem.sampled)
    problem.policy.log_std.requires_grad_(False)
    assert len(optimizer.step(problem.sampled).direction) == len(values(problem.policy)) - 2
    problem.policy.log_std.requires_grad_(True)
    assert len(optimizer.step(problem.sampled).direction) == len(values(problem.policy))


def through_pickle(problem: Problem, optimizer: Any) -> tuple[Problem, Any]:
    return pickle.loads(pickle.dumps((problem, optimizer)))


def through_deepcopy(problem: Problem, optimizer: Any) -> tuple[Problem, Any]:
    return copy.deepcopy((problem, optimizer))


def through_state_dict(problem: Problem, optimizer: Any) -> tuple[Problem, Any]:
    file = io.BytesIO()
    torch.save({"policy": problem.policy.state_dict(), "optimizer": optimizer.state_dict()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    fresh = Problem(dtype=problem.observations.dtype)
    fresh.policy.load_state_dict(saved["policy"])
    loaded = fft.NaturalGradient(fresh.policy)
    loaded.load_state_dict(saved["optimizer"])
    return fresh, loaded


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("way", [through_pickle, through_deepcopy, through_state_dict])
def test_what_is_saved_goes_on_with_the_same_bits(way: Callable[..., Any], dtype: Any) -> None:
    problem = Problem(dtype=dtype)
    optimizer = fft.NaturalGradient(
        problem.policy, lr=0.7, max_kl=0.02, damping=0.03, momentum=0.8, fisher="exact", precision="double"
    )
    scheduler = StepLR(optimizer, 1, gamma=0.9)
    for seed in range(3):
        optimizer.step(problem.renewed(seed).exact)
        scheduler.step()
    other, loaded = way(problem, optimizer)
    assert loaded.module is other.policy
    settings = [{k: v for k, v in o.param_groups[0].items() if k != "params"} for o in (optimizer, loaded)]
    assert settings[0] == settings[1]
    for seed in range(3, 6):
        expected = optimizer.step(problem.renewed(seed).exact)
        result = loaded.step(other.renewed(seed).exact)
        np.testing.assert_array_equal(result.step, expected.step)
    assert torch.equal(values(problem.policy), values(other.policy))


# --- what is refused ---


def test_zero_grad_and_hooks_are_torchs_own() -> None:
    problem = Problem()
    optimizer = fft.NaturalGradient(problem.policy, max_kl=0.01)
    problem.sampled()[0].sum().backward()
    assert problem.policy.log_std.grad is not None
    optimizer.zero_grad()
    assert problem.policy.log_std.grad is None
    seen = []
    optimizer.register_step_post_hook(lambda *_: seen.append(1))
    optimizer.step(problem.sampled)
    assert seen == [1]
    assert problem.policy.log_std.grad is None
    assert "max_kl: 0.01" in repr(optimizer)


def test_a_second_parameter_group_is_refused() -> None:
    optimizer = fft.NaturalGradient(Problem().policy)
    with pytest.raises(ValueError, match=r"^param_group: expected none besides that of the module"):
        optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(2))]})


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"lr": -1.0}, ValueError, r"^lr: expected a finite number >= 0, got -1"),
        ({"lr": "fast"}, TypeError, r"^lr: expected a finite number"),
        ({"max_kl": 0.0}, ValueError, r"^max_kl: expected a finite number > 0, got 0"),
        ({"damping": float("nan")}, ValueError, r"^damping: expected a finite number >= 0, got nan"),
        ({"line_search": 1}, TypeError, r"^line_search: expected True or False, got 1"),
        ({"max_halvings": -1}, ValueError, r"^max_halvings: expected a whole number"),
        ({"fisher": "true"}, ValueError, r"^fisher: expected one of 'empirical', 'exact', got 'true'"),
        ({"momentum": 1.0}, ValueError, r"^momentum: expected a finite number >= 0 and < 1, got 1"),
        ({"check": "no"}, TypeError, r"^check: expected True or False"),
        ({"weight_decay": 0.1}, TypeError, r"^weight_decay: expected one of center, .* as a further option"),
        ({"initial": None}, TypeError, r"^initial: expected one of center, "),
    ],
)
def test_arguments_are_checked(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        fft.NaturalGradient(Problem().policy, **arguments)


def test_parameters_in_place_of_the_module_are_refused() -> None:
    with pytest.raises(TypeError, match=r"^module: expected an nn\.Module, whose forward .*, got generator$"):
        fft.NaturalGradient(Problem().policy.parameters())


def spoilt(which: int, value: float) -> Callable[[Problem], Any]:
    def returned(problem: Problem) -> Any:
        items = [item.clone() for item in problem.sampled()]
        items[which][7] = value
        return tuple(items)

    return returned


@pytest.mark.parametrize(
    ("returned", "error", "message"),
    [
        (lambda p: -p.sampled()[0].mean(), TypeError, r": expected .*, got a tensor of shape \(\) of"),
        (lambda p: None, TypeError, r": expected it to return \(log_prob, advantages\) .*, got NoneType$"),
        (lambda p: (*p.exact(), 1), TypeError, r": expected it to return .*, got a tuple of 4$"),
        (
            lambda p: (p.sampled()[0].mean(), p.advantages),
            TypeError,
            r", log_prob: .*, got a tensor of shape",
        ),
        (lambda p: (p.sampled()[0].tolist(), p.advantages), TypeError, r", log_prob: .*, got a list of 40$"),
        (
            lambda p: (p.components(), p.advantages),
            TypeError,
            r", log_prob: .* \(N,\), .*, summed over its com",
        ),
        (lambda p: (p.sampled()[0], p.advantages[1:]), ValueError, r", advantages: .* \(40,\), .* \(39,\)$"),
        (lambda p: (p.sampled()[0], p.advantages[:, None]), ValueError, r", advantages: .*, got \(40, 1\)$"),
        (spoilt(0, float("nan")), ValueError, r", log_prob: expected finite values, got nan at row 7$"),
        (spoilt(0, float("-inf")), ValueError, r", log_prob: expected finite values, got -inf at row 7$"),
        (spoilt(1, float("inf")), ValueError, r", advantages: expected finite values, got inf at row 7$"),
    ],
)
def test_what_a_closure_returns_is_checked(
    returned: Callable[[Problem], Any], error: type[Exception], message: str
) -> None:
    problem = Problem()
    before = values(problem.policy)
    with pytest.raises(error, match=f"^closure{message}"):
        fft.NaturalGradient(problem.policy).step(lambda: returned(problem))
    assert torch.equal(values(problem.policy), before)


def test_a_log_prob_without_a_graph_is_refused() -> None:
    problem = Problem()
    with pytest.raises(ValueError, match=r"^log_prob: expected a tensor of autograd's graph"):
        fft.NaturalGradient(problem.policy).step(lambda: (problem.sampled()[0].detach(), problem.advantages))


def test_a_step_needs_a_closure_and_exact_a_distribution() -> None:
    problem = Problem()
    with pytest.raises(TypeError, match=r"^closure: expected a function that returns .*, got None"):
        fft.NaturalGradient(problem.policy).step()
    with pytest.raises(TypeError, match=r"^closure: .* distribution\), since fisher is 'exact', got two$"):
        fft.NaturalGradient(problem.policy, fisher="exact").step(problem.sampled)


def test_a_distribution_that_log_prob_is_not_of_is_refused() -> None:
    problem = Problem()

    def too_few() -> Any:
        log_prob, advantages = problem.sampled()
        return log_prob, advantages, problem.policy(problem.observations[:10])

    with pytest.raises(ValueError, match=r"^closure, distribution: .* begins with 40, .*, got \(10, 2\)$"):
        fft.NaturalGradient(problem.policy, fisher="exact", line_search=False).step(too_few)

    def closure() -> Any:
        pi = problem.policy(problem.observations)
        return pi.log_prob(problem.actions), problem.advantages, Normal(pi.base_dist.loc, 1.0)

    with pytest.raises(ValueError, match=r"^closure, distribution: .* parameters: log_std is behind one"):
        fft.NaturalGradient(problem.policy, fisher="exact").step(closure)


def test_advantages_may_be_any_array() -> None:
    steps = []
    for convert in (
        list,
        np.array,
        lambda a: torch.tensor(a, requires_grad=True),
        lambda a: torch.tensor(a).half(),
    ):
        problem = Problem()
        given = convert([float(k % 4) for k in range(N)])
        optimizer = fft.NaturalGradient(problem.policy, max_kl=0.01)
        steps.append(optimizer.step(lambda problem=problem, given=given: (problem.sampled()[0], given)).step)
    for step in steps[1:]:
        np.testing.assert_array_equal(step, steps[0])
