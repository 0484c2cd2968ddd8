"""What diagnose takes, refuses and prints."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from step.helpers import Array, same_bits

import fastfisher as ff
from fastfisher.diagnosis.report import CAUSES

N, D = 300, 12
RNG = np.random.default_rng(0)
S = RNG.standard_normal((N, D))
S -= S.mean(axis=0) * 0.9  # the mean score is small, not zero
A = RNG.standard_normal(N)
G = S.T @ A / N
F = S.T @ S / N


def test_a_square_array_is_told_by_its_symmetry() -> None:
    square = S[:D]
    report = ff.diagnose(square)
    assert report.samples == D
    assert 'kind="matrix"' in report.notes[0]
    assert ff.diagnose(square, kind="scores").notes == ()
    assert ff.diagnose(square, kind="matrix").verdict == "not_symmetric"
    assert ff.diagnose(F, kind="scores").samples == D
    assert ff.diagnose(square, scores=S).verdict == "not_symmetric"


def test_extreme_sizes() -> None:
    for factor in (1e-300, 1e-150, 1e150, 1e300):
        report = ff.diagnose(F * factor)
        assert report.verdict == "healthy"
        assert report.largest == pytest.approx(np.linalg.eigvalsh(F)[-1] * factor)
    for factor in (1e-150, 1e-100, 1e100, 1e150):
        for subject in (S * factor, [S[:, :3] * factor, S[:, 3:] * factor]):
            report = ff.diagnose(subject)
            assert report.verdict == "healthy"
            assert report.trace == pytest.approx(np.trace(F) * factor * factor)
    pair = (S[:, :3] * 1e150, S[:, 3:6] * 1e100)
    assert ff.diagnose([pair]).verdict == "healthy"
    assert ff.diagnose(F * 1e200, scores=S * 1e100).causes == ()


# --- the report ---


def test_the_report_is_a_readable_table() -> None:
    report = ff.diagnose(S[:5])
    text = repr(report)
    assert text.splitlines()[0] == "FisherReport"
    assert max(map(len, text.splitlines())) <= 110
    for word in ("few_samples", "rank", "5 of at most 5", "suggested damping", "finding"):
        assert word in text
    with pytest.raises(dataclasses.FrozenInstanceError):
        report.rank = 3  # type: ignore[misc]
    assert len(report.causes) == len(report.findings)
    assert report.causes[0] == report.verdict


def test_arguments_are_left_as_they_were() -> None:
    scores, matrix = S.copy(), F.copy()
    ff.diagnose(matrix, scores=scores, advantages=A, gradient=G)
    ff.diagnose(scores * 1.0)
    assert same_bits(scores, S)
    assert same_bits(matrix, F)


@pytest.mark.parametrize(
    "imports",
    [
        "import fastfisher.diagnosis.diagnose",
        "import fastfisher; import fastfisher.diagnosis.diagnose",
        "import fastfisher.diagnosis.diagnose as module; assert module.__name__.endswith('sis.diagnose')",
        "from fastfisher.diagnosis import diagnose as module; assert module.diagnose is not module",
        "from fastfisher import diagnose; import fastfisher.diagnosis; assert callable(diagnose)",
    ],
)
def test_neither_the_function_nor_its_module_hides_the_other(imports: str) -> None:
    says = """
import sys, types, fastfisher
module = sys.modules["fastfisher.diagnosis.diagnose"]
assert isinstance(fastfisher.diagnosis, types.ModuleType) and fastfisher.diagnosis.diagnose is module
assert fastfisher.diagnose is module.diagnose and isinstance(fastfisher.diagnose, types.FunctionType)
"""
    subprocess.run([sys.executable, "-c", imports + says], check=True)


def test_every_verdict_is_in_the_guide() -> None:
    guide = Path(__file__).parents[3] / "docs" / "explanation" / "why-f-looks-indefinite.md"
    listed = re.findall(r"^\| `(\w+)` ", guide.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert listed == [*(cause.__name__ for cause in CAUSES), "healthy"]


# --- wrong calls ---


@pytest.mark.parametrize(
    ("F", "message"),
    [
        (np.linalg.eigvals(F), r"^F: expected a matrix .* got shape \(12,\) .*not its eigenvalues"),
        (np.ones((2, 2, 2)), r"^F: expected a matrix .* got shape \(2, 2, 2\)"),
        (np.zeros((0, 0)), r"^F: expected at least one row"),
        (np.zeros((0, 3)), r"^scores: expected at least one row"),
        (np.where(np.arange(9).reshape(3, 3) == 5, np.nan, 1.0), r"^F: .* got nan at row 1, column 2$"),
        (np.where(np.arange(12).reshape(4, 3) == 5, np.inf, 1.0), r"^scores: .* at row 1$"),
    ],
)
def test_wrong_values(F: Array, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ff.diagnose(F)


@pytest.mark.parametrize(
    ("F", "message"),
    [
        ("matrix", r"^F: expected an array of real numbers"),
        (None, r"^F: expected an array of real numbers"),
        ([[1.0, 2.0], [1.0]], r"^F: expected an array of real numbers"),
        (F + 1j * F, r"^F: expected real numbers, got imaginary parts"),
        (np.array([["a"]]), r"^F: expected an array of real numbers, got shape \(1, 1\) of <U1"),
    ],
)
def test_wrong_types(F: object, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        ff.diagnose(F)  # type: ignore[arg-type]


def test_wrong_combinations() -> None:
    fisher = ff.Fisher(D)
    with pytest.raises(RuntimeError):
        ff.diagnose(fisher)
    fisher.update(S)
    for error, message, call in [
        (ValueError, "^kind: expected one of", lambda: ff.diagnose(F, kind="gram")),  # type: ignore[arg-type]
        (ValueError, "^F: expected a square matrix", lambda: ff.diagnose(S, kind="matrix")),
        (ValueError, "^F: expected a square matrix", lambda: ff.diagnose(S, scores=S)),
        (TypeError, "^F: expected scores", lambda: ff.diagnose(fisher, kind="scores")),
        (TypeError, "^F: expected matrix, got a Scores", lambda: ff.diagnose(ff.Scores(S), kind="matrix")),
        (TypeError, "^F: expected matrix, got a Scores", lambda: ff.diagnose(ff.Scores(S), scores=S)),
        (TypeError, "^scores: expected only beside", lambda: ff.diagnose(S, scores=S, kind="scores")),
        (TypeError, "^count: expected none", lambda: ff.diagnose(fisher, count=3)),
        (TypeError, "^weights: expected only with", lambda: ff.diagnose(F, weights=np.ones(N))),
        (TypeError, "^advantages: expected only with", lambda: ff.diagnose(F, advantages=A)),
        (TypeError, "^advantages: .* gradient", lambda: ff.diagnose(S, advantages=A)),
        (ValueError, "^scores: expected 12 columns", lambda: ff.diagnose(F, scores=S[:, :5])),
        (ValueError, r"^gradient: expected shape \(12,\)", lambda: ff.diagnose(F, gradient=A)),
        (ValueError, r"^advantages: expected shape", lambda: ff.diagnose(F, scores=S, advantages=G)),
        (ValueError, r"^weights: expected values >= 0", lambda: ff.diagnose(S, weights=-np.ones(N))),
        (
            ValueError,
            r"^weights: expected a positive finite sum",
            lambda: ff.diagnose(S, weights=np.full(N, 1e308)),
        ),
        (ValueError, r"^count: expected a finite number > 0", lambda: ff.diagnose(F, count=0.0)),
        (ValueError, r"^num_threads: expected", lambda: ff.diagnose(F, num_threads=0)),
    ]:
        with pytest.raises(error, match=message):
            call()
