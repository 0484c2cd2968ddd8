"""Parameters on another device, played by tensors whose numbers NumPy cannot read.

The device holds its tensors' numbers out of reach, refuses to mix them with the host's, as a GPU does, and
counts the numbers that go over.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402
from torch.distributions import Categorical  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402
from torch.utils._pytree import tree_flatten, tree_map  # noqa: E402

import fastfisher.torch as fft  # noqa: E402
from fastfisher.torch.devices import add_step_, sends_weights  # noqa: E402

ELSEWHERE = torch.device("meta")  # The name of a device without memory of its own; the numbers are `held`.


class Remote(Tensor):
    """A tensor on the device."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> Remote:
        return Tensor._make_wrapper_subclass(
            cls, held.shape, strides=held.stride(), dtype=held.dtype, device=ELSEWHERE
        )

    def __init__(self, held: Tensor) -> None:
        self.held = held

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return Device.current.run(func, args, kwargs or {})


class Device(TorchDispatchMode):
    """The device, while it is there."""

    current: Device

    def __init__(self) -> None:
        super().__init__()
        self.sent = self.fetched = 0
        Device.current = self

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self.run(func, args, kwargs or {})

    def run(self, func: Any, args: Any, kwargs: Any) -> Any:
        tensors = [value for value in tree_flatten((args, kwargs))[0] if isinstance(value, Tensor)]
        remote = [value for value in tensors if isinstance(value, Remote)]
        there = bool(remote)
        name = func.overloadpacket.__name__
        if name == "_to_copy" and kwargs.get("device") is not None:
            there = torch.device(kwargs["device"]) == ELSEWHERE
            self.sent += tensors[0].numel() * (there and not remote)
            self.fetched += tensors[0].numel() * (bool(remote) and not there)
        elif not tensors and kwargs.get("device") is not None:
            there = torch.device(kwargs["device"]) == ELSEWHERE
        elif there and any(value.ndim and not isinstance(value, Remote) for value in tensors):
            raise RuntimeError(f"{name}: expected all tensors to be on the same device")
        if name == "_local_scalar_dense":
            self.fetched += there
        kwargs = {key: torch.device("cpu") if key == "device" else value for key, value in kwargs.items()}
        inner_args, inner_kwargs = tree_map(lambda v: v.held if isinstance(v, Remote) else v, (args, kwargs))
        result = func(*inner_args, **inner_kwargs)
        if func._schema.is_mutable:
            return args[0]
        return tree_map(lambda v: Remote(v) if there and isinstance(v, Tensor) else v, result)


@pytest.fixture
def device() -> Iterator[Device]:
    with Device() as device:
        yield device


def policy(width: int, *, bias: bool = True) -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(5, width, bias=bias), nn.Tanh(), nn.Linear(width, 3)).double()


def batch(rows: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    return (
        torch.randn(rows, 5, generator=generator, dtype=torch.float64),
        torch.randint(3, (rows,), generator=generator),
        torch.randn(rows, generator=generator, dtype=torch.float64),
    )


def on_device(module: nn.Module) -> nn.Module:
    for part in module.modules():
        for name, parameter in list(part.named_parameters(recurse=False)):
            setattr(part, name, nn.Parameter(Remote(parameter.detach().clone())))
    return module


def values(module: nn.Module) -> np.ndarray:
    return torch.cat(
        [(p.held if isinstance(p, Remote) else p).detach().flatten() for p in module.parameters()]
    ).numpy()


def test_the_device_is_out_of_reach(device: Device) -> None:
    """Else the tests below would show nothing."""
    there = Remote(torch.ones(3))
    assert there.device.type != "cpu"
    with pytest.raises((TypeError, RuntimeError)):
        there.numpy()
    with pytest.raises(RuntimeError, match="same device"):
        there + torch.ones(3)
    assert (there + there).cpu().tolist() == [2.0, 2.0, 2.0]
    assert isinstance(torch.ones(2).to(ELSEWHERE), Remote)
    assert (device.sent, device.fetched) == (2, 3)


@pytest.mark.parametrize(("rows", "width"), [(20, 16), (300, 4)], ids=["weights", "step"])
@pytest.mark.parametrize(
    "options", [{}, {"momentum": 0.5}, {"fisher": "exact"}, {"line_search": True}], ids=str
)
def test_steps_on_the_device_are_those_on_the_host(
    device: Device, rows: int, width: int, options: dict[str, Any]
) -> None:
    settings = {"max_kl": 0.01, "damping": 0.01, "line_search": False, "solver": "gram", **options}
    moved = []
    for module in (policy(width), on_device(policy(width))):
        obs, act, advantages = batch(rows)
        if isinstance(next(module.parameters()), Remote):
            obs, act, advantages = Remote(obs), Remote(act), Remote(advantages)
        before = values(module)
        optimizer = fft.NaturalGradient(module, **settings)

        def closure(module=module, obs=obs, act=act, advantages=advantages) -> Any:  # type: ignore[no-untyped-def]
            pi = Categorical(logits=module(obs), validate_args=False)
            return pi.log_prob(act), advantages, pi

        for _ in range(3):
            optimizer.step(closure)
        moved.append(values(module) - before)
    assert np.linalg.norm(moved[0]) > 1e-3
    np.testing.assert_allclose(moved[1], moved[0], rtol=0, atol=1e-10)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("rows", "width"), [(20, 16), (300, 4)], ids=["weights", "step"])
def test_the_fewer_numbers_go_over(device: Device, rows: int, width: int, bias: bool) -> None:
    """Few rows: each row's weight.  Few parameters: the step.  On the host: nothing goes anywhere."""
    for module in (policy(width, bias=bias), on_device(policy(width, bias=bias))):
        obs, act, advantages = batch(rows)
        there = isinstance(next(module.parameters()), Remote)
        if there:
            obs, act = Remote(obs), Remote(act)
        with fft.capture(module) as tape:
            log_prob = Categorical(logits=module(obs), validate_args=False).log_prob(act)
        scores = tape.scores(log_prob)
        device.fetched = 0
        result = scores.natural_step(advantages, max_kl=0.01, damping=0.01)
        factors = sum(5 + width + (width + 3) + width * bias + 3 for _ in range(rows))
        assert device.fetched <= factors * there
        before = values(module)
        device.sent = 0
        add_step_(scores, result, 0.5)
        columns = scores.shape[1]
        assert sends_weights(scores, result) == (there and rows < columns)
        # The weights go to each block's device; a layer's two blocks take them from there.
        assert device.sent == (min(rows, columns) if there else 0)
        np.testing.assert_allclose(values(module) - before, 0.5 * result.step, rtol=0, atol=1e-12)


def test_without_sample_weights_the_step_goes_over(device: Device) -> None:
    module = on_device(policy(16))
    obs, act, advantages = batch(20)
    with fft.capture(module) as tape:
        log_prob = Categorical(logits=module(Remote(obs)), validate_args=False).log_prob(Remote(act))
    scores = tape.scores(log_prob)
    for result, momentum in (
        (scores.natural_step(gradient=scores.mean_gradient(advantages)), False),
        (scores.natural_step(advantages, sample_weights=False), False),
        (scores.natural_step(advantages, momentum=0.5, previous=np.ones(scores.shape[1])), True),
    ):
        before = values(module)
        device.sent = 0
        add_step_(scores, result, momentum=momentum)
        assert device.sent == scores.shape[1]
        np.testing.assert_allclose(values(module) - before, result.step, rtol=0, atol=1e-12)
