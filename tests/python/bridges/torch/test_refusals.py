"""What has no per-sample scores, or would give wrong ones, is refused by its name."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

import fastfisher.torch as fft  # noqa: E402

from .helpers import any_log_prob, assert_scores, captured, weighted  # noqa: E402

N = 6


def mlp(*middle: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 3), *middle, nn.Linear(3, 2))


def refused(module: nn.Module, match: str, *batch: Any, error: type[Exception] = TypeError) -> None:
    with pytest.raises(error, match=match):
        captured(any_log_prob(module), module, *(batch or (torch.randn(N, 4),)))


def test_batch_norm_that_trains() -> None:
    module = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    refused(module, r"1 \(BatchNorm1d\): it mixes the samples")
    refused(mlp(nn.BatchNorm1d(3, affine=False)), r"1 \(BatchNorm1d\): it mixes the samples")
    refused(mlp(nn.BatchNorm1d(3, track_running_stats=False)).eval(), "it mixes the samples")
    captured(any_log_prob(module.eval()), module, torch.randn(N, 4))


def test_a_critic_with_batch_norm_may_train_beside_the_actor() -> None:
    module = nn.ModuleDict(
        {"actor": nn.Linear(4, 2), "critic": nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))}
    )

    def log_prob(x: Any) -> Any:
        with torch.no_grad():
            module["critic"](x)
        return weighted(module["actor"](x))

    assert captured(log_prob, module, torch.randn(N, 4)).names == ("actor.weight", "actor.bias")


def test_a_function_that_mixes_samples() -> None:
    class Centred(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 3)

        def forward(self, x: Any) -> Any:
            return nn.functional.batch_norm(self.layer(x), None, None, training=True)

    refused(Centred(), r"layer.weight of layer \(Linear\)", error=fft.ScoresMismatchError)


@pytest.mark.parametrize("make", [nn.LSTM, nn.GRU])
def test_a_packed_sequence(make: Any) -> None:
    module = make(4, 3, batch_first=True)
    lengths = torch.tensor([5, 5, 4, 2, 2, 1])
    packed = nn.utils.rnn.pack_padded_sequence(torch.randn(N, 5, 4), lengths, batch_first=True)
    with pytest.raises(fft.UnsupportedModuleError, match=r"\((LSTM|GRU)\): a PackedSequence"):
        captured(lambda: weighted(module(packed)[1][0]), module)


def test_dropout_within_a_layer_that_is_evaluated_again() -> None:
    x = torch.randn(N, 5, 4)
    lstm = nn.LSTM(4, 3, 2, batch_first=True, dropout=0.5)
    with pytest.raises(fft.UnsupportedModuleError, match="LSTM: its dropout would be drawn again"):
        captured(lambda x: weighted(lstm(x)[0]), lstm, x)
    assert_scores(lambda x: weighted(lstm(x)[0]), lstm.eval(), x)
    attention = nn.MultiheadAttention(4, 2, dropout=0.5, batch_first=True)
    with pytest.raises(fft.UnsupportedModuleError, match="MultiheadAttention: its dropout"):
        captured(lambda x: weighted(attention(x, x, x)[0]), attention, x)


def test_attention_with_biases_of_keys() -> None:
    module = nn.MultiheadAttention(4, 2, add_bias_kv=True, batch_first=True)
    x = torch.randn(N, 5, 4)
    with pytest.raises(fft.UnsupportedModuleError, match="add_bias_kv"):
        captured(lambda x: weighted(module(x, x, x)[0]), module, x)


def test_recurrent_layers_with_parametrized_weights() -> None:
    module = nn.utils.parametrizations.weight_norm(nn.LSTM(4, 3), "weight_hh_l0")
    refused(module, r"\(ParametrizedLSTM\): there is no rule for it with parametrized weights")


def test_embedding_that_scales_by_frequency() -> None:
    refused(nn.Embedding(7, 3, scale_grad_by_freq=True), "scale_grad_by_freq", torch.randint(7, (N, 2)))


def test_parallel_and_scripted_modules() -> None:
    refused(nn.DataParallel(mlp()), r"\(DataParallel\): its batch is spread over replicas")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scripted = torch.jit.script(mlp())
    refused(scripted, "a compiled script hides its layers")


def test_parameters_that_are_not_there_yet_or_not_real() -> None:
    with pytest.raises(ValueError, match=r"got none yet for weight: call it once first"):
        fft.capture(nn.LazyLinear(3))
    module = nn.Linear(4, 3, dtype=torch.complex64)
    refused(module, "weight: expected a real parameter, got one of torch.complex64")


def test_a_module_without_trainable_parameters() -> None:
    with pytest.raises(ValueError, match="module: expected at least one parameter"):
        fft.capture(nn.Tanh())
    with pytest.raises(ValueError, match="module: expected at least one parameter"):
        fft.capture(mlp().requires_grad_(False))
    with pytest.raises(TypeError, match=r"module: expected a torch\.nn\.Module, got list"):
        fft.capture(list(mlp().parameters()))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="check: expected True, False or None, got 1"):
        fft.capture(mlp(), check=1)  # type: ignore[arg-type]


def test_log_prob_of_another_shape() -> None:
    module = mlp()
    with fft.capture(module) as tape:
        output = module(torch.randn(N, 4))
    with pytest.raises(ValueError, match=r"log_prob: expected shape \(N,\).*got \(6, 1\)"):
        tape.scores(output[:, :1])
    with pytest.raises(
        ValueError, match=r"log_prob: expected shape \(N,\).*got \(\): leave it as one a sample"
    ):
        tape.scores(output.sum())
    with pytest.raises(ValueError, match=r"0 \(Linear\): expected a batch of 4 samples"):
        tape.scores(output[:4, 0])
    with pytest.raises(TypeError, match="log_prob: expected a tensor, got ndarray"):
        tape.scores(np.zeros(3))


def test_a_module_that_was_called_outside_of_the_graph() -> None:
    module = mlp()
    for context in (torch.no_grad(), torch.inference_mode()):
        with context, fft.capture(module) as tape:
            output = module(torch.randn(N, 4))
        with pytest.raises(ValueError, match=r"log_prob: .*computed under torch.no_grad\(\)"):
            tape.scores(output.sum(1))
    with fft.capture(module) as tape:
        pass
    log_prob = weighted(module(torch.randn(N, 4)))
    with pytest.raises(ValueError, match="the module was not called within the capture"):
        tape.scores(log_prob)


def test_an_input_that_changed_in_place_afterwards() -> None:
    module = nn.Linear(4, 3)
    x = torch.randn(N, 4)
    with fft.capture(module, check=False) as tape:
        log_prob = weighted(module(x))
    x += 1
    with pytest.raises(RuntimeError, match=r"\(Linear\): expected its input as it was in the forward pass"):
        tape.scores(log_prob)


def test_a_layer_that_is_bypassed() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.enter, self.head = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x: Any) -> Any:
            return nn.functional.linear(self.head(torch.tanh(self.enter(x))), self.enter.weight)

    refused(
        Tied(),
        r"enter.weight of enter \(Linear\): expected scores that add up",
        error=fft.ScoresMismatchError,
    )

    class Bypassed(Tied):
        def forward(self, x: Any) -> Any:
            return nn.functional.linear(self.head(x), self.enter.weight)

    refused(Bypassed(), r"enter.weight of enter \(Linear\): .* got none", error=fft.ScoresMismatchError)


def test_rows_that_changed_places() -> None:
    module = mlp()
    batch_first = nn.LSTM(4, 3, batch_first=True)
    x = torch.randn(N, N, 4)

    def turned(x: Any) -> Any:
        return weighted(batch_first(x)[0].transpose(0, 1))  # the samples are along the second axis

    with pytest.raises(fft.ScoresMismatchError, match="of the module itself"):
        captured(turned, batch_first, x)

    def permuted(x: Any) -> Any:
        return weighted(module(x))[torch.arange(N).flip(0)]

    with pytest.raises(fft.ScoresMismatchError, match=r"0 \(Linear\)"):
        captured(permuted, module, x[0])
    # Their sums over the samples are the same, so that plain sums would not have told.
    with fft.capture(module, check=False) as tape:
        log_prob = permuted(x[0])
    found = tape.scores(log_prob, retain_graph=True).mean_gradient(np.ones(N))
    gradient = torch.autograd.grad(log_prob.mean(), list(module.parameters()))
    np.testing.assert_allclose(found, torch.cat([g.flatten() for g in gradient]), rtol=1e-5, atol=1e-6)


def test_rules_of_ones_own() -> None:
    class Scale(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.factor = nn.Parameter(torch.rand(4))

        def forward(self, x: Any) -> Any:
            return self.factor * x

    class Outer(Scale):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(3, 4))

        def forward(self, x: Any) -> Any:
            return self.factor[:3] * (x @ self.weight.T)

    with pytest.raises(TypeError, match=r"module_type: expected a subclass of torch\.nn\.Module, got 3"):
        fft.register(3)  # type: ignore[arg-type]

    calls = []

    @fft.register(Scale)
    def scale(module: Any, inputs: Any, errors: Any) -> Any:
        calls.append(type(module))
        return {"factor": inputs[0] * errors}

    module = nn.Sequential(Scale(), nn.Linear(4, 4), Scale())
    assert_scores(any_log_prob(module), module, torch.randn(N, 4))
    assert calls == [Scale, Scale]
    outer = Outer()  # has a forward of its own, and so not its parent's rule
    assert_scores(any_log_prob(outer), outer, torch.randn(N, 4))
    assert calls == [Scale, Scale]

    @fft.register(Outer)
    def right(module: Any, inputs: Any, errors: Any) -> Any:
        product = inputs[0] @ module.weight.T
        factor = torch.zeros(len(product), 4)
        factor[:, :3] = product * errors
        return {"factor": factor, "weight": (errors * module.factor[:3], inputs[0])}

    assert isinstance(assert_scores(any_log_prob(outer), outer, torch.randn(N, 4)).blocks[1], tuple)

    @fft.register(Outer)
    def wrong(module: Any, inputs: Any, errors: Any) -> Any:
        return {**right(module, inputs, errors), "weight": (errors, inputs[0])}

    refused(outer, r"weight of the module itself \(Outer\): expected scores that add up", error=RuntimeError)

    @fft.register(Outer)
    def lacking(module: Any, inputs: Any, errors: Any) -> Any:
        return {"weight": right(module, inputs, errors)["weight"]}

    refused(outer, r"factor of the module itself \(Outer\): .* got none", error=fft.ScoresMismatchError)

    @fft.register(Outer)
    def reduced(module: Any, inputs: Any, errors: Any) -> Any:
        return {"factor": (right(module, inputs, errors)["factor"]).sum(0, keepdim=True)}

    refused(outer, r"\(Outer\): expected scores of 6 rows from its rule, got 1")


def test_the_first_batch_is_certified_and_each_new_way_of_calling() -> None:
    class Shaky(nn.Linear):
        wrong = False

    @fft.register(Shaky)
    def rule(module: Any, inputs: Any, errors: Any) -> Any:
        scale = 2.0 if Shaky.wrong else 1.0
        return {"weight": (scale * errors.flatten(0, -2), inputs[0].flatten(0, -2)), "bias": errors}

    module = Shaky(4, 3)
    x = torch.randn(N, 4)

    def scores(check: bool | None = None) -> Any:
        with fft.capture(module) as tape:
            log_prob = weighted(module(x))
        return tape.scores(log_prob, check=check)

    scores()
    Shaky.wrong = True
    scores()
    with pytest.raises(fft.ScoresMismatchError):
        scores(check=True)
    module.eval()
    with pytest.raises(fft.ScoresMismatchError):
        scores()
    scores(check=False)
