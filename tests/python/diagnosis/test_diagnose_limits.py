"""F is right, and yet short of rank, rounded or odd: each case is built and must be named."""

from __future__ import annotations

import numpy as np
from step.helpers import Array, same_bits

import fastfisher as ff

N, D = 300, 12
RNG = np.random.default_rng(0)
S = RNG.standard_normal((N, D))
S -= S.mean(axis=0) * 0.9  # the mean score is small, not zero
F = S.T @ S / N
EPS = np.finfo(np.float64).eps


def only(report: ff.FisherReport, code: str) -> bool:
    """Whether this is the one cause, but for what numpy.linalg.eigvals makes of its zero eigenvalues."""
    return set(report.causes) - {"eigvals"} == {code}


def sentence(report: ff.FisherReport, code: str) -> str:
    return report.findings[report.causes.index(code)]


def as_wide(scores: Array, factor: float) -> Array:
    """The same scores with columns from 1 to `factor`."""
    return scores * np.geomspace(1.0, factor, scores.shape[1])


def test_fewer_samples_than_parameters() -> None:
    few = S[:5]
    fisher = few.T @ few / 5
    for report in (ff.diagnose(few), ff.diagnose(fisher, count=5), ff.diagnose(fisher, scores=few)):
        assert only(report, "few_samples")
        assert (report.rank, report.rank_limit, report.positive_semidefinite) == (5, 5, True)
        assert abs(report.smallest) <= report.bound
        assert "F is right" in report.findings[0]
        assert report.damping is not None
        assert np.linalg.cond(fisher + report.damping * np.eye(D)) < 1e8
    alone = ff.diagnose(fisher)
    assert only(alone, "rank_deficient")
    assert "5 samples (N < d)" in alone.findings[0]
    assert "linear combinations" in alone.findings[0]
    streamed = ff.Fisher(D)
    streamed.update(few)
    assert only(ff.diagnose(streamed), "few_samples")
    assert same_bits(ff.diagnose(few, num_threads=1).largest, ff.diagnose(few, num_threads=2).largest)


def test_eigvals_for_eigvalsh() -> None:
    turn = np.kron(np.eye(D // 2), [[0.0, 1.0], [-1.0, 0.0]])
    nearly = 0.5 * np.eye(D) + 1e-15 * turn  # equal eigenvalues, and not quite symmetric
    assert np.iscomplexobj(np.linalg.eigvals(nearly))
    report = ff.diagnose(nearly)
    assert report.causes == ("eigvals",)
    assert "eigvalsh" in report.findings[0]
    assert (report.symmetric, report.asymmetry > 0.0) == (True, True)
    values, vectors = np.linalg.eig(nearly)
    rebuilt = vectors @ np.diag(values) @ np.linalg.inv(vectors)
    assert "eigvals" in ff.diagnose(rebuilt).causes
    assert "complex" in sentence(ff.diagnose(F.astype(np.complex64)), "eigvals")
    few = RNG.standard_normal((5, 60))
    assert "eigvals" in ff.diagnose(few.T @ few).causes
    lopsided = F * (1.0 + EPS * RNG.standard_normal((D, D)))
    assert ff.diagnose(lopsided).causes == ()  # eigvals is right about well separated eigenvalues


def test_float32_sums_of_badly_scaled_scores() -> None:
    scores, turn = RNG.standard_normal((N, 50)), np.linalg.qr(RNG.standard_normal((50, 50)))[0]
    mixed = as_wide(scores, 1e6) @ turn  # no column is small, and yet half of the eigenvalues are
    single = mixed.astype(np.float32)
    low = single.T @ single / np.float32(N)
    assert np.linalg.eigvalsh(low).min() < 0.0
    report = ff.diagnose(low)
    assert report.verdict == "float32_rounding"
    assert report.positive_semidefinite
    assert "float64" in report.findings[0]
    assert ff.diagnose(low, scores=mixed).verdict == "float32_rounding"
    upstream = ff.diagnose(low.astype(np.float64) * 1.1)
    assert upstream.verdict == "float32_rounding"
    assert "some step before" in upstream.findings[0]
    assert "float32_rounding" not in ff.diagnose(mixed.T @ mixed / N).causes
    assert "float32_rounding" not in ff.diagnose(single).causes  # fastfisher sums in float64


def test_float32_noise_in_a_float64_matrix() -> None:
    noise = RNG.standard_normal((D, D)).astype(np.float32)
    lopsided = F * (1.0 + 1e-7 * noise)
    report = ff.diagnose(lopsided)
    assert report.causes == ("float32_rounding",)
    assert report.symmetric
    few = S[:5].T @ S[:5] / 5
    negative = few - 1e-8 * np.eye(D)
    assert ff.diagnose(negative).verdict == "float32_rounding"
    assert ff.diagnose(few - 1e-3 * np.eye(D)).verdict == "indefinite"


def test_badly_scaled_scores() -> None:
    wide = as_wide(S, 1e5)
    for subject in (wide, wide.astype(np.float32), wide.T @ wide / N, wide[:6]):
        report = ff.diagnose(subject)
        assert "badly_scaled" in report.causes
        assert "a factor of" in sentence(report, "badly_scaled")
    assert ff.diagnose(wide).causes == ("badly_scaled",)
    assert ff.diagnose(as_wide(S, 300.0)).causes == ()
    extreme = as_wide(S, 1e12)
    for subject in (extreme, extreme.T @ extreme / N, extreme[:10]):
        report = ff.diagnose(subject)
        assert report.rank < min(D, len(subject))
        assert "hiding" in sentence(report, "badly_scaled")
        assert not {"rank_deficient", "dependent_parameters"} & set(report.causes)


def test_dead_parameters() -> None:
    dead = S.copy()
    dead[:, [1, 4, 7]] = 0.0
    for subject in (dead, dead.T @ dead / N):
        report = ff.diagnose(subject)
        assert only(report, "dead_parameters")
        assert "3 of 12 parameters (1, 4, 7)" in report.findings[0]
        assert report.rank == D - 3
    many = np.zeros((N, 20))
    many[:, :8] = S[:, :8]
    assert "(8, 9, 10, 11, 12, ...)" in ff.diagnose(many).findings[0]
    assert set(ff.diagnose(dead[:5]).causes) == {"few_samples", "dead_parameters"}


def test_duplicated_parameters() -> None:
    double = S.copy()
    double[:, 5] = double[:, 2]
    double[:, [8, 9]] = double[:, [3]]
    for subject in (double, double.astype(np.float32), double.T @ double / N):
        report = ff.diagnose(subject)
        assert only(report, "duplicated_parameters")
        assert "(2, 5)" in report.findings[0]
        assert "(3, 8, 9)" in report.findings[0]
        assert report.rank == D - 3
    assert set(ff.diagnose(double[:5]).causes) == {"few_samples", "duplicated_parameters"}
    right = S[:, :3]
    pair = (S[:, [0, 1, 0]], right)
    assert "(0, 6)" in sentence(ff.diagnose([pair]), "duplicated_parameters")


def test_dependent_parameters() -> None:
    logits = S - S.mean(axis=1, keepdims=True)  # softmax: the scores of all logits sum to zero
    assert only(ff.diagnose(logits), "dependent_parameters")
    assert only(ff.diagnose(logits.T @ logits / N), "rank_deficient")
    assert only(ff.diagnose(logits.T @ logits / N, count=N), "dependent_parameters")
    repeated = np.concatenate([S[:4], S[:4]])
    assert set(ff.diagnose(repeated).causes) == {"few_samples", "dependent_parameters"}


def test_scores_without_mean_zero() -> None:
    constant = S.copy()
    constant[:, 3] = 0.7
    assert ff.diagnose(constant).causes == ("constant_columns",)
    assert ff.diagnose(constant, count=N).causes == ()  # rows of an exact Fisher matrix may be constant
    assert ff.diagnose(constant.astype(np.float32)).causes == ("constant_columns",)
    far = S.copy()
    far[:, 3] += 50.0
    assert ff.diagnose(far).causes == ("large_mean",)
    assert ff.diagnose(S + 1.0).causes == ()
