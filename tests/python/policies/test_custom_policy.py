"""The example of docs/how-to/custom-policy.md is short, right, and trains."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastfisher import NPG, Policy, Scores

DOCUMENT = Path(__file__).parents[3] / "docs" / "how-to" / "custom-policy.md"


@pytest.fixture(scope="module")
def example() -> Any:
    blocks = re.findall(r"^```python\n(.*?)^```", DOCUMENT.read_text(), re.DOTALL | re.MULTILINE)
    assert len(blocks[0].splitlines()) <= 40
    names: dict[str, Any] = {}
    exec(compile(blocks[0], str(DOCUMENT), "exec"), names)
    return names["BangBang"]


def test_its_methods_agree_with_one_another(example: type[Policy]) -> None:
    policy, other = example(3), example(3)  # type: ignore[call-arg, arg-type]
    rng = np.random.default_rng(0)
    policy.parameters, other.parameters = rng.standard_normal((2, 4))
    obs = rng.standard_normal((5, 3))
    p = []
    F, kl, entropy = 0.0, 0.0, 0.0
    for sign in (1.0, -1.0):
        act = np.full((5, 1), sign)
        log_p = policy.log_prob(obs, act)
        p.append(np.exp(log_p))
        S = Scores(policy.scores(obs, act)).to_dense()
        F = F + (S.T * p[-1]) @ S / 5
        kl += (p[-1] * (log_p - other.log_prob(obs, act))).mean()
        entropy -= (p[-1] * log_p).mean()
        for k, step in enumerate(1e-5 * np.eye(4)):
            ends = []
            for direction in (step, -step):
                moved = policy.copy()
                moved.parameters += direction
                ends.append(moved.log_prob(obs, act))
            np.testing.assert_allclose(S[:, k], (ends[0] - ends[1]) / 2e-5, atol=1e-9)
    R = Scores(policy.fisher_scores(obs)).to_dense()
    np.testing.assert_allclose(sum(p), 1.0, rtol=1e-14)
    np.testing.assert_allclose(R.T @ R / 5, F, rtol=1e-12, atol=1e-14)
    assert policy.kl(other, obs) == pytest.approx(kl, rel=1e-12)
    assert policy.entropy(obs) == pytest.approx(entropy, rel=1e-12)
    sampled = np.array([policy.act(obs, rng)[:, 0] > 0.0 for _ in range(4_000)])
    np.testing.assert_allclose(sampled.mean(axis=0), p[0], atol=0.04)


@pytest.mark.parametrize("fisher", ["empirical", "exact"])
def test_it_trains_and_is_loaded(example: type[Policy], fisher: Any, tmp_path: Path) -> None:
    def agent() -> NPG:
        policy = example(4)  # type: ignore[call-arg, arg-type]
        return NPG("InvertedPendulum-v5", policy=policy, fisher=fisher, batch_steps=1_000, workers=1)

    returns: list[float] = []
    trained = agent().learn(8_000, callback=lambda info: returns.append(info.return_mean))
    assert returns[-1] > 3.0 * returns[0]
    trained.save(tmp_path / "run.zip")
    again = NPG.load(tmp_path / "run.zip", policy=example(4))  # type: ignore[call-arg, arg-type]
    assert again.policy.parameters.tobytes() == trained.policy.parameters.tobytes()
