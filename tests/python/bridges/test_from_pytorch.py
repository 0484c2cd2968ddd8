"""The page "From PyTorch": its blocks run one after the other, and give what they say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[3] / "docs" / "from-pytorch.md"


def code_blocks() -> list[str]:
    """Return the page's code, each block on the lines on which it stands there."""
    text = PAGE.read_text("utf-8")
    return [
        "\n" * text.count("\n", 0, found.start(1)) + found[1]
        for found in re.finditer(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    ]


@pytest.fixture(scope="module")
def pages() -> list[dict[str, Any]]:
    """What is named after each block."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    names: dict[str, Any] = {}
    after = []
    for block in code_blocks():
        exec(compile(block, PAGE, "exec"), names)
        after.append(dict(names))
    return after


def test_the_blocks_run(pages: list[dict[str, Any]]) -> None:
    first, *_, last = pages
    assert len(pages) >= 5
    assert first["scores"].shape == (2_000, 17 * 64 + 64 + 64 * 6 + 6)
    assert first["scores"].names == ("0.weight", "0.bias", "2.weight", "2.bias")
    assert all(page["result"].residual < 1e-6 for page in pages)
    assert last["scale"] is not None


def test_the_step_is_that_of_the_fisher_matrix_written_out(pages: list[dict[str, Any]]) -> None:
    """By scores from `torch.func`, at the parameters of the last block, which it leaves alone."""
    torch = pytest.importorskip("torch")
    names = pages[-1]
    policy, result = names["policy"], names["result"]
    parameters = {name: value.detach().double() for name, value in policy.named_parameters()}

    def log_prob(values: Any, observation: Any, action: Any) -> Any:
        logits = torch.func.functional_call(policy, values, (observation,))
        return torch.log_softmax(logits, -1).gather(-1, action[None])[0]

    each = torch.func.vmap(torch.func.grad(log_prob), in_dims=(None, 0, 0))
    rows = each(parameters, names["observations"].double(), names["actions"])
    S = torch.cat([rows[name].flatten(1) for name in parameters], dim=1)
    A = names["advantages"].double()
    matrix = S.T @ S / len(S) + result.damping * torch.eye(S.shape[1])
    expected = torch.linalg.solve(matrix, S.T @ A / len(S))
    direction = torch.as_tensor(result.direction).double()
    assert torch.linalg.norm(direction - expected) < 1e-4 * torch.linalg.norm(expected)


def test_one_weighted_backward_pass_gives_the_direction(pages: list[dict[str, Any]]) -> None:
    torch = pytest.importorskip("torch")
    scores, result, direction = (pages[-1][name] for name in ("scores", "result", "direction"))
    expected = torch.as_tensor(result.direction)
    difference = scores.flatten(direction) - expected
    assert torch.linalg.norm(difference) < 1e-4 * torch.linalg.norm(expected)
