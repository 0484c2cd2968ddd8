"""Each rule, in both precisions: the scores of a layer are autograd's gradients of the samples one by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.nn.utils import prune  # noqa: E402

import fastfisher.torch as fft  # noqa: E402

from .helpers import any_log_prob, assert_scores, weighted  # noqa: E402

N = 5


def normal(*shape: int) -> Callable[[Any], Any]:
    return lambda dtype: torch.randn(N, *shape, dtype=dtype)


def tokens(*shape: int) -> Callable[[Any], Any]:
    return lambda dtype: torch.randint(7, (N, *shape))


LAYERS = {
    "linear": (lambda: nn.Linear(3, 4), [normal(3)]),
    "linear without bias": (lambda: nn.Linear(3, 4, bias=False), [normal(3)]),
    "linear over positions": (lambda: nn.Linear(3, 4), [normal(6, 3)]),
    "linear over two axes of positions": (lambda: nn.Linear(3, 4), [normal(2, 6, 3)]),
    "bilinear": (lambda: nn.Bilinear(3, 4, 2), [normal(3), normal(4)]),
    "conv1d": (lambda: nn.Conv1d(3, 4, 3), [normal(3, 9)]),
    "conv1d same": (lambda: nn.Conv1d(3, 4, 4, padding="same", dilation=2), [normal(3, 12)]),
    "conv2d": (lambda: nn.Conv2d(3, 4, 3, bias=False), [normal(3, 7, 6)]),
    "conv2d strided": (lambda: nn.Conv2d(3, 4, (3, 2), stride=(2, 3), padding=(1, 2)), [normal(3, 8, 7)]),
    "conv2d dilated": (lambda: nn.Conv2d(2, 4, 3, dilation=(2, 1), padding=1), [normal(2, 8, 7)]),
    "conv2d grouped": (lambda: nn.Conv2d(4, 6, 3, groups=2), [normal(4, 6, 6)]),
    "conv2d depthwise": (lambda: nn.Conv2d(4, 8, 3, groups=4, padding="valid"), [normal(4, 6, 6)]),
    "conv2d circular": (
        lambda: nn.Conv2d(3, 4, 3, padding=(1, 2), padding_mode="circular"),
        [normal(3, 6, 5)],
    ),
    "conv2d reflect same": (
        lambda: nn.Conv2d(3, 4, (4, 3), padding="same", padding_mode="reflect"),
        [normal(3, 6, 5)],
    ),
    "conv2d replicate": (lambda: nn.Conv2d(3, 4, 3, padding=1, padding_mode="replicate"), [normal(3, 6, 5)]),
    "conv3d": (lambda: nn.Conv3d(2, 4, 2, stride=(1, 2, 1), groups=2, padding=1), [normal(2, 4, 5, 3)]),
    "transposed conv1d": (lambda: nn.ConvTranspose1d(3, 4, 3, stride=2), [normal(3, 5)]),
    "transposed conv2d": (
        lambda: nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2, dilation=2),
        [normal(4, 4, 5)],
    ),
    "transposed conv3d": (lambda: nn.ConvTranspose3d(2, 3, 2, bias=False), [normal(2, 3, 2, 2)]),
    "embedding of one": (lambda: nn.Embedding(7, 3), [tokens()]),
    "embedding of several": (lambda: nn.Embedding(7, 3), [tokens(4)]),
    "embedding with padding": (lambda: nn.Embedding(7, 3, padding_idx=2), [tokens(2, 4)]),
    "embedding with sparse gradients": (lambda: nn.Embedding(7, 3, sparse=True), [tokens(4)]),
    "embedding bag": (lambda: nn.EmbeddingBag(7, 3), [tokens(4)]),
    "layer norm": (lambda: nn.LayerNorm(4), [normal(4)]),
    "layer norm over positions": (lambda: nn.LayerNorm((3, 4), bias=False), [normal(2, 3, 4)]),
    "rms norm": (lambda: nn.RMSNorm(4), [normal(3, 4)]),
    "group norm": (lambda: nn.GroupNorm(2, 4), [normal(4, 3, 2)]),
    "group norm of vectors": (lambda: nn.GroupNorm(2, 12), [normal(12)]),
    "instance norm": (lambda: nn.InstanceNorm2d(3, affine=True), [normal(3, 4, 4)]),
    "instance norm, tracking, eval": (
        lambda: nn.InstanceNorm1d(3, affine=True, track_running_stats=True).eval(),
        [normal(3, 4)],
    ),
    "batch norm, eval": (lambda: nn.BatchNorm2d(3).eval(), [normal(3, 4, 4)]),
    "batch norm of vectors, eval": (lambda: nn.BatchNorm1d(3).eval(), [normal(3)]),
    "prelu": (lambda: nn.PReLU(4), [normal(4, 3)]),
    "weight norm": (lambda: nn.utils.parametrizations.weight_norm(nn.Linear(3, 4)), [normal(3)]),
    "weight norm by hooks": (lambda: _old_weight_norm(nn.Linear(3, 4)), [normal(3)]),
    "spectral norm, eval": (
        lambda: nn.utils.parametrizations.spectral_norm(nn.Linear(3, 4)).eval(),
        [normal(3)],
    ),
    "orthogonal": (lambda: nn.utils.parametrizations.orthogonal(nn.Linear(3, 3)), [normal(3)]),
    "pruned": (lambda: prune.l1_unstructured(nn.Linear(3, 4), "weight", 0.5), [normal(3)]),
    "encoder layer": (lambda: nn.TransformerEncoderLayer(4, 2, 8, 0.0, batch_first=True), [normal(6, 4)]),
    "decoder layer": (
        lambda: nn.TransformerDecoderLayer(4, 2, 8, 0.0, batch_first=True),
        [normal(6, 4), normal(3, 4)],
    ),
    "encoder, eval": (
        lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), 2).eval(),
        [normal(6, 4)],
    ),
    "rnn cell": (lambda: nn.RNNCell(3, 4, nonlinearity="relu"), [normal(3), normal(4)]),
    "gru cell": (lambda: nn.GRUCell(3, 4), [normal(3)]),
}


def _old_weight_norm(module: nn.Module) -> nn.Module:
    with pytest.warns(FutureWarning):
        return nn.utils.weight_norm(module)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", LAYERS)
def test_the_scores_of_a_layer_are_those_of_its_samples(name: str, dtype: Any) -> None:
    torch.manual_seed(0)
    make, inputs = LAYERS[name]
    module = make().to(dtype)
    assert_scores(any_log_prob(module), module, *(make(dtype) for make in inputs))


RECURRENT = {
    "rnn": lambda: nn.RNN(3, 4, 2),
    "relu rnn without bias": lambda: nn.RNN(3, 4, nonlinearity="relu", bias=False),
    "gru": lambda: nn.GRU(3, 4, 2, bidirectional=True),
    "lstm": lambda: nn.LSTM(3, 4, 2, bidirectional=True),
    "lstm with a projection": lambda: nn.LSTM(3, 4, 2, proj_size=2, bidirectional=True),
    "lstm without bias": lambda: nn.LSTM(3, 4, bias=False),
}


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("name", RECURRENT)
def test_the_scores_of_a_recurrent_layer(name: str, batch_first: bool) -> None:
    torch.manual_seed(0)
    module = RECURRENT[name]().double()
    module.batch_first = batch_first

    def outputs_and_states(x: Any, *states: Any) -> Any:
        states = tuple(state.transpose(0, 1).contiguous() for state in states)
        hx = states if len(states) > 1 else states[0]
        output, state = module(x if batch_first else x.transpose(0, 1), hx)
        output = output if batch_first else output.transpose(0, 1)
        hidden = state if isinstance(state, tuple) else (state,)
        return weighted(output) + sum(weighted(part.transpose(0, 1).cos()) for part in hidden)

    layers = module.num_layers * (2 if module.bidirectional else 1)
    sizes = [module.proj_size or 4, 4] if isinstance(module, nn.LSTM) else [4]
    states = [torch.randn(N, layers, size).double() for size in sizes]
    assert_scores(outputs_and_states, module, torch.randn(N, 6, 3).double(), *states)

    def last_state(x: Any) -> Any:
        state = module(input=x if batch_first else x.transpose(0, 1))[1]
        return weighted((state[-1] if isinstance(state, tuple) else state)[-1])

    # The outputs of the backward direction, but for its last state, are then not reached.
    assert_scores(last_state, module, torch.randn(N, 6, 3).double())


def test_the_scores_of_an_lstm_cell_that_is_called_step_by_step() -> None:
    torch.manual_seed(0)
    module = nn.LSTMCell(3, 4).double()

    def log_prob(x: Any) -> Any:
        state = None
        for t in range(x.shape[1]):
            state = module(x[:, t], state)
        return weighted(state[0]) + weighted(state[1].cos())

    assert_scores(log_prob, module, torch.randn(N, 6, 3).double())


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize(
    "options", [{}, {"bias": False}, {"kdim": 3, "vdim": 2}, {"add_zero_attn": True}], ids=str
)
def test_the_scores_of_attention(options: dict[str, Any], batch_first: bool) -> None:
    torch.manual_seed(0)
    module = nn.MultiheadAttention(4, 2, batch_first=batch_first, **options).double()

    def turned(x: Any) -> Any:
        return x if batch_first else x.transpose(0, 1)

    def log_prob(query: Any, key: Any, value: Any, padding: Any) -> Any:
        output, attended = module(
            turned(query), turned(key), turned(value), key_padding_mask=padding, average_attn_weights=False
        )
        return weighted(turned(output)) + weighted(attended)

    padding = torch.zeros(N, 6, dtype=torch.bool)
    padding[:, 4:] = True
    sides = [torch.randn(N, 6, size).double() for size in (module.kdim, module.vdim)]
    assert_scores(log_prob, module, torch.randn(N, 5, 4).double(), *sides, padding)


def test_self_attention_with_a_causal_mask_keeps_pairs() -> None:
    torch.manual_seed(0)
    module = nn.MultiheadAttention(4, 2, batch_first=True).double()
    mask = nn.Transformer.generate_square_subsequent_mask(6, dtype=torch.float64)

    def log_prob(x: Any) -> Any:
        return weighted(module(x, x, x, attn_mask=mask, need_weights=False, is_causal=True)[0])

    assert_scores(log_prob, module, torch.randn(N, 6, 4).double())


def test_a_layers_inputs_and_errors_are_handed_over_where_they_lie() -> None:
    torch.manual_seed(0)
    module = nn.Linear(3, 4)
    x = torch.randn(N, 3)
    with fft.capture(module) as tape:
        log_prob = weighted(module(x))
    scores = tape.scores(log_prob)
    (errors, inputs), bias = scores.blocks
    assert inputs.ctypes.data == x.data_ptr()
    assert bias.ctypes.data == errors.ctypes.data
