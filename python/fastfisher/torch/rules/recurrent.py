"""Recurrent layers: the forward pass once more, step by step, for the errors of the gates.

A weight of the gates is used at every step, with that step's input or state: its scores are products summed
over the steps.  torch's own layers run as a whole and show no gates, so that the steps are repeated here from
the inputs that were noted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import UnsupportedModuleError
from .table import Call, Factor, Pair, rule

State = tuple[Tensor, ...]


@rule(nn.RNN, nn.LSTM, nn.GRU, batch_first=False, evaluates=True)
def recurrent(module: Any, call: Call) -> dict[str, Factor]:
    """Return the scores of all layers' weights, both directions and projections included."""
    inputs = call.argument("input", 0)
    name = type(module).__name__
    if inputs.ndim != 3:
        raise UnsupportedModuleError(
            f"{name}: expected an input (N, T, p) or (T, N, p), got shape {tuple(inputs.shape)}"
        )
    if module.training and module.dropout > 0 and module.num_layers > 1:
        raise UnsupportedModuleError(f"{name}: its dropout would be drawn again: call eval(), or set it to 0")
    outputs_errors, state_errors = call.errors
    if not module.batch_first:
        inputs = inputs.transpose(0, 1)
        outputs_errors = None if outputs_errors is None else outputs_errors.transpose(0, 1)
    given = _as_state(call.argument("hx", 1))
    directions = 2 if module.bidirectional else 1
    with torch.enable_grad():
        unrolled: list[_Unrolled] = []
        finals: list[State] = []
        values = inputs
        for layer in range(module.num_layers):
            sides = []
            for direction in range(directions):
                place = layer * directions + direction
                start = None if given is None else tuple(part[place] for part in given)
                suffix = f"_l{layer}{'_reverse' if direction else ''}"
                steps = _Unrolled(module, suffix, values, start, backwards=bool(direction))
                unrolled.append(steps)
                sides.append(steps.outputs)
                finals.append(steps.state)
            values = torch.cat(sides, dim=2)
        results = [values, *(torch.stack(parts) for parts in zip(*finals, strict=True))]
    return _scores(unrolled, results, [outputs_errors, *_as_errors(state_errors)])


@rule(nn.RNNCell, nn.LSTMCell, nn.GRUCell, evaluates=True)
def cell(module: Any, call: Call) -> dict[str, Factor]:
    """Return the scores of a single step's weights."""
    inputs = call.argument("input", 0)
    if inputs.ndim != 2:
        raise UnsupportedModuleError(
            f"{type(module).__name__}: expected an input (N, p), got shape {tuple(inputs.shape)}"
        )
    with torch.enable_grad():
        step = _Unrolled(module, "", inputs.unsqueeze(1), _as_state(call.argument("hx", 1)), backwards=False)
    return _scores([step], list(step.state), _as_errors(call.errors))


class _Unrolled:
    """One direction of one layer, step by step; inputs are (N, T, p)."""

    def __init__(
        self, module: Any, suffix: str, inputs: Tensor, start: State | None, *, backwards: bool
    ) -> None:
        def parameter(name: str) -> Tensor | None:
            value = getattr(module, name + suffix, None)
            return None if value is None else value.detach()

        self.suffix, self.inputs = suffix, inputs
        weight, recurrent = parameter("weight_ih"), parameter("weight_hh")
        assert weight is not None
        assert recurrent is not None
        self.projection = parameter("weight_hr")
        self.has_bias = bool(module.bias)
        kind = _kind(module)
        self.from_inputs = _leaf(functional.linear(inputs, weight, parameter("bias_ih")))
        self.from_states: list[Tensor] = []
        self.projected: list[Tensor] = []
        self.before: list[Tensor] = []
        self.unprojected: list[Tensor] = []
        samples, steps = inputs.shape[:2]
        if start is None:
            hidden = inputs.new_zeros(samples, recurrent.shape[1])
            start = (hidden, inputs.new_zeros(samples, module.hidden_size)) if kind == "LSTM" else (hidden,)
        state: State = start
        outputs: list[Tensor] = [inputs] * steps
        for t in reversed(range(steps)) if backwards else range(steps):
            self.before.append(state[0])
            gates = _leaf(functional.linear(state[0], recurrent, parameter("bias_hh")))
            self.from_states.append(gates)
            state = _step(kind, self.from_inputs[:, t], gates, state)
            if self.projection is not None:
                self.unprojected.append(state[0])
                hidden = _leaf(functional.linear(state[0], self.projection))
                self.projected.append(hidden)
                state = (hidden, *state[1:])
            outputs[t] = state[0]
        self.outputs, self.state = torch.stack(outputs, dim=1), state

    @property
    def watched(self) -> list[Tensor]:
        """The tensors whose errors the scores are made of."""
        return [self.from_inputs, *self.from_states, *self.projected]

    def factors(self, errors: Sequence[Tensor | None]) -> dict[str, Factor]:
        """Return the factors of this direction's parameters from the errors of `watched`."""
        found = [
            torch.zeros_like(value) if error is None else error
            for value, error in zip(self.watched, errors, strict=True)
        ]
        of_inputs = found[0]
        of_states = torch.stack(found[1 : 1 + len(self.from_states)], dim=1)
        before = torch.stack([state.detach() for state in self.before], dim=1)
        factors: dict[str, Factor] = {
            f"weight_ih{self.suffix}": Pair(of_inputs, self.inputs.detach()),
            f"weight_hh{self.suffix}": Pair(of_states, before),
        }
        if self.has_bias:
            factors[f"bias_ih{self.suffix}"] = of_inputs.sum(1)
            factors[f"bias_hh{self.suffix}"] = of_states.sum(1)
        if self.projected:
            of_projected = torch.stack(found[1 + len(self.from_states) :], dim=1)
            states = torch.stack([state.detach() for state in self.unprojected], dim=1)
            factors[f"weight_hr{self.suffix}"] = Pair(of_projected, states)
        return factors


def _scores(
    unrolled: Sequence[_Unrolled], results: Sequence[Tensor], errors: Sequence[Tensor | None]
) -> dict[str, Factor]:
    given = [(result, error) for result, error in zip(results, errors, strict=True) if error is not None]
    watched = [tensor for steps in unrolled for tensor in steps.watched]
    outputs, weights = zip(*given, strict=True)
    found = iter(torch.autograd.grad(outputs, watched, weights, allow_unused=True))
    factors: dict[str, Factor] = {}
    for steps in unrolled:
        factors |= steps.factors([next(found) for _ in steps.watched])
    return factors


def _step(kind: str, from_input: Tensor, from_state: Tensor, state: State) -> State:
    """Return the state after one step, before any projection."""
    if kind == "GRU":
        reset_i, update_i, new_i = from_input.chunk(3, dim=1)
        reset_h, update_h, new_h = from_state.chunk(3, dim=1)
        update = torch.sigmoid(update_i + update_h)
        new = torch.tanh(new_i + torch.sigmoid(reset_i + reset_h) * new_h)
        return (new + update * (state[0] - new),)
    gates = from_input + from_state
    if kind == "LSTM":
        enter, forget, new, output = gates.chunk(4, dim=1)
        memory = torch.sigmoid(forget) * state[1] + torch.sigmoid(enter) * torch.tanh(new)
        return torch.sigmoid(output) * torch.tanh(memory), memory
    return (torch.tanh(gates) if kind == "tanh" else torch.relu(gates),)


def _kind(module: Any) -> str:
    if isinstance(module, (nn.LSTM, nn.LSTMCell)):
        return "LSTM"
    if isinstance(module, (nn.GRU, nn.GRUCell)):
        return "GRU"
    return str(module.nonlinearity)


def _leaf(value: Tensor) -> Tensor:
    """Return a tensor that a derivative can be taken by: a leaf, where nothing before it needs one."""
    return value if value.requires_grad else value.requires_grad_()


def _as_state(value: Any) -> State | None:
    return value if value is None or isinstance(value, tuple) else (value,)


def _as_errors(value: Any) -> list[Tensor | None]:
    return list(value) if isinstance(value, (list, tuple)) else [value]
