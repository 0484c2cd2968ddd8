"""What the certificate of one batch says of the next: nothing, where it could not have failed."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.distributions import Categorical  # noqa: E402

import fastfisher.torch as fft  # noqa: E402

OBSERVATIONS = torch.randn(12, 5, generator=torch.Generator().manual_seed(1))
ACTIONS = torch.arange(12) % 3


class Doubled(nn.Linear):
    """A layer with a rule that is wrong by a factor of two."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x)


@fft.register(Doubled)
def doubled(module: Doubled, inputs: tuple[torch.Tensor, ...], errors: torch.Tensor) -> dict:
    return {"weight": (2.0 * errors, inputs[0]), "bias": errors}


def policy(layer: type[nn.Linear] = nn.Linear) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(layer(5, 8), nn.Tanh(), nn.Linear(8, 3))


def test_a_head_of_zeros_hides_what_is_behind_it_for_one_batch() -> None:
    module = policy(Doubled)
    nn.init.zeros_(module[2].weight)
    with fft.capture(module) as tape:
        log_prob = Categorical(logits=module(OBSERVATIONS)).log_prob(ACTIONS)
    tape.scores(log_prob)
    nn.init.eye_(module[2].weight)
    with fft.capture(module) as tape:
        log_prob = Categorical(logits=module(OBSERVATIONS)).log_prob(ACTIONS)
    with pytest.raises(fft.ScoresMismatchError, match=r"0\.weight"):
        tape.scores(log_prob)


def test_the_same_of_the_rows_of_a_fisher_matrix() -> None:
    module = policy(Doubled)
    nn.init.zeros_(module[2].weight)
    with fft.capture(module) as tape:
        pi = Categorical(logits=module(OBSERVATIONS))
    tape.fisher_scores(pi)
    nn.init.eye_(module[2].weight)
    with fft.capture(module) as tape:
        pi = Categorical(logits=module(OBSERVATIONS))
    with pytest.raises(fft.ScoresMismatchError, match=r"0\.weight"):
        tape.fisher_scores(pi)


def test_a_use_that_goes_around_a_layer_behind_zeros() -> None:
    module = policy()
    nn.init.zeros_(module[2].weight)

    def log_prob() -> torch.Tensor:
        hidden = nn.functional.linear(OBSERVATIONS, module[0].weight, module[0].bias)
        return Categorical(logits=module[2](hidden)).log_prob(ACTIONS)

    with fft.capture(module) as tape:
        value = log_prob()
    tape.scores(value)
    nn.init.eye_(module[2].weight)
    with fft.capture(module) as tape:
        value = log_prob()
    with pytest.raises(fft.ScoresMismatchError, match=r"0\.weight"):
        tape.scores(value)


def test_a_batch_with_nan_is_not_the_first() -> None:
    module = policy(Doubled)
    bad = OBSERVATIONS.clone()
    bad[4] = float("nan")
    with fft.capture(module) as tape:
        log_prob = Categorical(logits=module(bad), validate_args=False).log_prob(ACTIONS)
    tape.scores(log_prob)
    with fft.capture(module) as tape:
        log_prob = Categorical(logits=module(OBSERVATIONS), validate_args=False).log_prob(ACTIONS)
    with pytest.raises(fft.ScoresMismatchError, match=r"0\.weight"):
        tape.scores(log_prob)


@pytest.mark.parametrize(
    "change", [lambda value: value.flip(0), lambda value: value - value.mean()], ids=["rows", "mean"]
)
def test_what_comes_after_the_module_may_change_between_batches(change) -> None:
    module = policy()
    with fft.capture(module) as tape:
        log_prob = Categorical(logits=module(OBSERVATIONS)).log_prob(ACTIONS)
    tape.scores(log_prob)
    with fft.capture(module) as tape:
        log_prob = change(Categorical(logits=module(OBSERVATIONS)).log_prob(ACTIONS))
    with pytest.raises(fft.ScoresMismatchError):
        tape.scores(log_prob)


def test_a_parameter_whose_scores_stay_zero_costs_no_more_comparisons(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from fastfisher.torch import tape as of_tape

    module = policy()
    nn.init.zeros_(module[2].weight)
    calls: list[int] = []
    certify = of_tape.certify
    monkeypatch.setattr(of_tape, "certify", lambda *args, **kw: calls.append(1) or certify(*args, **kw))
    for _ in range(3):
        with fft.capture(module) as tape:
            log_prob = Categorical(logits=module(OBSERVATIONS)).log_prob(ACTIONS)
        tape.scores(log_prob)
    assert len(calls) == 1
    nn.init.eye_(module[2].weight)
    for _ in range(3):
        with fft.capture(module) as tape:
            log_prob = Categorical(logits=module(OBSERVATIONS)).log_prob(ACTIONS)
        tape.scores(log_prob)
    assert len(calls) == 2
