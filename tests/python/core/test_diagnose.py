"""Each mistake about F is built, and must be named; a healthy Fisher matrix must trigger none."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastfisher as ff
from fastfisher.diagnosis.causes import CAUSES

from .helpers import Array, DlpackOnly, layouts, same_bits

N, D = 300, 12
RNG = np.random.default_rng(0)
S = RNG.standard_normal((N, D))
S -= S.mean(axis=0) * 0.9  # the mean score is small, not zero
A = RNG.standard_normal(N)
G = S.T @ A / N
F = S.T @ S / N
OTHER = RNG.standard_normal((N, D))
EPS = np.finfo(np.float64).eps


def only(report: ff.FisherReport, code: str) -> bool:
    """Whether this is the one cause, but for what numpy.linalg.eigvals makes of its zero eigenvalues."""
    return set(report.causes) - {"eigvals"} == {code}


def sentence(report: ff.FisherReport, code: str) -> str:
    return report.findings[report.causes.index(code)]


def as_wide(scores: Array, factor: float) -> Array:
    """The same scores with columns from 1 to `factor`."""
    return scores * np.geomspace(1.0, factor, scores.shape[1])


def gaussian_policy(states: int, dimension: int, seed: int = 0) -> tuple[Array, Array, Array]:
    """Scores and Hessians of log N(a; phi^T w, exp(2 r)) at r = 0 for (w, r), and the features."""
    rng = np.random.default_rng(seed)
    phi, error = rng.standard_normal((states, dimension)), rng.standard_normal(states)
    scores = np.concatenate([phi * error[:, None], error[:, None] ** 2 - 1.0], axis=1)
    hessians = np.zeros((states, dimension + 1, dimension + 1))
    hessians[:, :-1, :-1] = -phi[:, :, None] * phi[:, None, :]
    hessians[:, :-1, -1] = hessians[:, -1, :-1] = -2.0 * error[:, None] * phi
    hessians[:, -1, -1] = -2.0 * error**2
    return scores, hessians, phi


# --- healthy ---


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
def test_a_healthy_matrix_has_no_cause(dtype: type) -> None:
    for name, matrix in layouts(F.astype(dtype)):
        report = ff.diagnose(matrix)
        assert (report.verdict, report.causes, report.findings, report.damping) == (
            "healthy",
            (),
            (),
            None,
        ), name
        assert report.symmetric
        assert report.positive_semidefinite
        assert (report.size, report.samples, report.rank, report.rank_limit) == (D, None, D, D)


def test_the_numbers_of_a_report() -> None:
    values = np.linalg.eigvalsh(F)
    for report in (ff.diagnose(F, count=N), ff.diagnose(S)):
        assert report.smallest == pytest.approx(values[0], rel=1e-10)
        assert report.largest == pytest.approx(values[-1], rel=1e-12)
        assert report.condition == pytest.approx(values[-1] / values[0], rel=1e-10)
        assert report.trace == pytest.approx(np.trace(F), rel=1e-12)
        assert report.bound == pytest.approx((D + np.sqrt(N)) * EPS * values[-1])
        assert (report.samples, report.asymmetry) == (N, 0.0)
    single = ff.diagnose(F.astype(np.float32), count=N)
    assert single.bound == pytest.approx((D + np.sqrt(N)) * np.finfo(np.float32).eps * values[-1], rel=1e-5)


def test_whatever_is_taken_healthy_is_healthy() -> None:
    fisher = ff.Fisher(D)
    fisher.update(S)
    blocks = [S[:, :5], S[:, 5:]]
    cases: list[object] = [
        fisher,
        S,
        S.astype(np.float32),
        S.tolist(),
        F.tolist(),
        DlpackOnly(S),
        DlpackOnly(F),
    ]
    for case in [*cases, ff.Scores(S), blocks, tuple(blocks), (S[:, :3], S[:, 3:])]:
        assert ff.diagnose(case).verdict == "healthy"  # type: ignore[arg-type]
    assert ff.diagnose(F, scores=S).notes == ("F is S^T S / N of these scores.",)
    assert ff.diagnose(fisher, scores=S, advantages=A, gradient=G).causes == ()
    assert ff.diagnose(F.astype(np.float32), scores=S.astype(np.float32)).causes == ()


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 20), st.integers(1, 5), st.integers(0, 1000), st.booleans(), st.integers(-60, 60))
def test_healthy_batches_of_any_size(d: int, factor: int, seed: int, single: bool, exponent: int) -> None:
    scores = np.random.default_rng(seed).standard_normal((d * factor + 10 * d, d)) * 2.0**exponent
    scores = scores.astype(np.float32) if single else scores
    assert ff.diagnose(scores).verdict == "healthy"
    assert ff.diagnose(scores.T @ scores / len(scores), scores=scores).verdict == "healthy"


def test_weights_and_a_pair_of_factors() -> None:
    left, right = RNG.standard_normal((N, 4)), RNG.standard_normal((N, 3))
    dense = (left[:, :, None] * right[:, None, :]).reshape(N, -1)
    weights = RNG.exponential(size=N)
    weights[::3] = 0.0
    expected = dense.T @ (weights[:, None] * dense) / weights.sum()
    report = ff.diagnose([(left, right)], weights=weights)
    assert (report.verdict, report.samples) == ("healthy", N - N // 3)
    assert report.trace == pytest.approx(np.trace(expected), rel=1e-12)
    assert ff.diagnose(expected, scores=[(left, right)], weights=weights).causes == ()
    assert ff.diagnose(expected, scores=dense).verdict == "not_these_scores"


# --- rank one ---


def test_the_outer_product_of_the_mean_score() -> None:
    mean = S.mean(axis=0)
    alone = ff.diagnose(np.outer(mean, mean))
    assert only(alone, "rank_one")
    assert (alone.rank, alone.damping, alone.positive_semidefinite) == (1, None, True)
    assert "np.outer(g, g)" in alone.findings[0]
    assert "np.outer(S, S)" in alone.findings[0]
    assert only(ff.diagnose(np.outer(mean, mean), scores=S), "outer_of_mean")
    assert only(ff.diagnose(np.outer(G, G), scores=S, advantages=A), "outer_of_mean")
    assert "policy gradient" in ff.diagnose(np.outer(G, G), scores=S, advantages=A).findings[0]
    assert only(ff.diagnose(np.outer(G, G), scores=S), "rank_one")


def test_the_outer_product_that_flattens() -> None:
    few = S[:6, :5]
    flat = np.outer(few, few)
    assert flat.shape == (30, 30)
    assert only(ff.diagnose(flat), "rank_one")
    assert "np.outer(S, S)" in ff.diagnose(flat, count=6).findings[0]
    assert "np.outer(S, S)" not in ff.diagnose(flat, count=7).findings[0]  # 30 is no multiple of 7
    for scores in (few, few.astype(np.float32), [few[:, :2], few[:, 2:]]):
        report = ff.diagnose(flat, scores=scores)
        assert only(report, "outer_flattened")
    assert ff.diagnose(flat, scores=few[::-1]).verdict == "rank_one"


def test_rank_one_may_be_right() -> None:
    one = ff.diagnose(np.outer(S[0], S[0]), count=1)
    assert only(one, "few_samples")
    assert ff.diagnose(np.outer(S[0], S[0]), scores=S[:1]).notes == ("F is S^T S / N of these scores.",)
    assert ff.diagnose([[2.0]]).verdict == "healthy"
    only_one_alive = np.zeros((4, 4))
    only_one_alive[2, 2] = 3.0
    assert only(ff.diagnose(only_one_alive), "dead_parameters")
    fisher = ff.Fisher(D)
    fisher.update(np.tile(S[0], (20, 1)))
    assert ff.diagnose(fisher).verdict == "dependent_parameters"


# --- really indefinite ---


def test_advantage_weighted_outer_products() -> None:
    weighted = (S * A[:, None]).T @ S / N
    alone = ff.diagnose(weighted)
    assert only(alone, "indefinite")
    assert (alone.positive_semidefinite, alone.damping) == (False, None)
    assert alone.smallest < -1e6 * alone.bound
    for candidate in ("advantages", "hessian log pi", "KL divergence"):
        assert candidate in alone.findings[0]
    named = ff.diagnose(weighted, scores=S, advantages=A)
    assert only(named, "advantage_weighted")
    standardised = (A - A.mean()) / A.std()
    assert only(ff.diagnose(weighted, scores=S, advantages=standardised), "advantage_weighted")
    assert only(ff.diagnose(-3.0 * N * weighted, scores=S, advantages=A), "advantage_weighted")
    single = ff.diagnose(weighted.astype(np.float32), scores=S, advantages=A)
    assert only(single, "advantage_weighted")
    assert only(ff.diagnose(weighted, scores=S, advantages=RNG.standard_normal(N)), "indefinite")


def test_positive_advantages_do_not_hide_it() -> None:
    positive = np.abs(A) + 0.1
    weighted = (S * positive[:, None]).T @ S / N
    assert ff.diagnose(weighted).verdict == "healthy"  # nothing in the matrix says otherwise
    assert ff.diagnose(weighted, scores=S).verdict == "not_these_scores"
    report = ff.diagnose(weighted, scores=S, advantages=positive)
    assert report.verdict == "advantage_weighted"
    assert report.positive_semidefinite


def test_the_observed_hessian_of_a_sample() -> None:
    scores, hessians, _ = gaussian_policy(400, 3)
    assert only(ff.diagnose(-hessians[0]), "indefinite")
    advantages = RNG.standard_normal(1)
    compared = ff.diagnose(-hessians[0], scores=scores[:1], advantages=advantages)
    assert only(compared, "indefinite")
    assert "hessian log pi" in compared.findings[0]
    assert "advantages" not in compared.findings[0]  # these are ruled out
    mean = -hessians.mean(axis=0)  # over many samples it comes near F, and is positive definite
    assert ff.diagnose(mean).verdict == "healthy"
    beside = ff.diagnose(mean, scores=scores)
    assert beside.verdict == "not_these_scores"
    assert "hessian log pi" in beside.findings[0]
    assert "Hessian of a KL divergence" in beside.findings[0]
    assert ff.diagnose(scores.T @ scores / 400, scores=scores).verdict == "healthy"


@pytest.mark.parametrize("distance", [0.0, 2.0])
def test_the_hessian_of_a_kl_divergence(distance: float) -> None:
    """KL(old || new) = r + (1 + delta^2) / (2 exp(2 r)) - 1/2 with delta the change of the mean."""
    phi = gaussian_policy(400, 3)[2]
    delta = phi @ np.full(3, distance)
    hessian = np.zeros((4, 4))
    hessian[:3, :3] = phi.T @ phi / 400
    hessian[:3, 3] = hessian[3, :3] = -2.0 * phi.T @ delta / 400
    hessian[3, 3] = 2.0 * (1.0 + (delta**2).mean())
    report = ff.diagnose(hessian)
    if distance:
        assert only(report, "indefinite")
        assert "KL divergence away from theta_old" in report.findings[0]
    else:
        assert report.verdict == "healthy"


def test_a_wrong_sign() -> None:
    assert ff.diagnose(-F).causes == ("wrong_sign",)
    assert ff.diagnose(-F, scores=S).causes == ("wrong_sign",)
    assert only(ff.diagnose(-S[:5].T @ S[:5]), "wrong_sign")
    assert ff.diagnose([[-1.0]]).verdict == "wrong_sign"


def test_what_large_parameters_hide() -> None:
    hidden = np.diag([1.0, 1e-20, 1e-20])
    hidden[1, 2] = hidden[2, 1] = 2e-20
    report = ff.diagnose(hidden)
    assert report.verdict == "indefinite_when_scaled"
    assert report.positive_semidefinite
    hidden[1, 2] = hidden[2, 1] = 0.5e-20
    assert ff.diagnose(hidden).verdict == "badly_scaled"


# --- the wrong matrix ---


def test_a_gram_matrix() -> None:
    assert ff.diagnose(S[:40] @ S[:40].T, scores=S[:40]).verdict == "gram_matrix"
    square = S[:D]
    assert ff.diagnose(square @ square.T / D, scores=square).verdict == "gram_matrix"
    assert ff.diagnose(square.T @ square / D, scores=square).causes == ()


def test_a_sum_for_a_mean() -> None:
    report = ff.diagnose(S.T @ S, scores=S)
    assert report.causes == ("unnormalised",)
    assert "sum over samples" in report.findings[0]
    assert "a multiple" in ff.diagnose(7.0 * F, scores=S).findings[0]
    assert ff.diagnose(7.0 * F, scores=S, count=N / 7.0).causes == ()


def test_damped_and_centred_are_no_mistakes() -> None:
    damped = ff.diagnose(F + 0.125 * np.eye(D), scores=S)
    assert (damped.verdict, len(damped.notes)) == ("healthy", 1)
    assert "+ 0.125 I" in damped.notes[0]
    shifted = S + 0.5
    centred = ff.diagnose(np.cov(shifted, rowvar=False, bias=True), scores=shifted)
    assert centred.causes == ()
    assert "mean was subtracted" in centred.notes[0]
    assert "count=" in ff.diagnose(F, count=3).notes[0]


def test_other_scores() -> None:
    report = ff.diagnose(F, scores=OTHER)
    assert report.causes == ("not_these_scores",)
    assert "another batch" in report.findings[0]


def test_a_matrix_that_is_not_symmetric() -> None:
    crossed = S.T @ OTHER / N
    assert ff.diagnose(crossed, kind="matrix").causes == ("not_symmetric",)
    lopsided = F.copy()
    lopsided[0, 1] += 0.01
    report = ff.diagnose(lopsided)
    assert report.causes == ("not_symmetric",)
    assert (report.symmetric, report.damping) == (False, None)
    assert report.asymmetry == pytest.approx(0.01 / np.abs(lopsided).max())


def test_zero() -> None:
    assert ff.diagnose(np.zeros((3, 3))).causes == ("zero",)
    assert ff.diagnose(np.zeros((7, 3))).causes == ("zero",)
    assert (
        ff.diagnose(np.full((7, 3), 1e-200), count=7).causes == ff.diagnose(np.ones((7, 3)), count=7).causes
    )


# --- different batches ---


def test_a_gradient_of_another_batch() -> None:
    few, advantages = S[:6], A[:6]
    fisher, right = few.T @ few / 6, few.T @ advantages / 6
    wrong = OTHER[:6].T @ advantages / 6
    for subject in (fisher, few, fisher.astype(np.float32)):
        assert only(ff.diagnose(subject, gradient=right, count=6), "few_samples")
        assert ff.diagnose(subject, gradient=wrong, count=6).verdict == "gradient_elsewhere"
        assert ff.diagnose(subject, gradient=0.0 * wrong, count=6).verdict == "few_samples"
    # With F of full rank everything is in its range: the advantages tell.
    assert ff.diagnose(S, gradient=OTHER.T @ A / N).causes == ()
    assert ff.diagnose(S, gradient=OTHER.T @ A / N, advantages=A).causes == ("gradient_elsewhere",)
    assert ff.diagnose(F, gradient=OTHER.T @ A / N, scores=S, advantages=A).causes == ("gradient_elsewhere",)
    assert ff.diagnose(S, gradient=S.T @ (A - A.mean()) / A.std(), advantages=A).causes == ()


def test_a_weighted_gradient_is_in_the_range() -> None:
    weights = RNG.exponential(size=6)
    weights[2] = 0.0
    right = S[:6].T @ (weights * A[:6]) / weights.sum()
    report = ff.diagnose(S[:6], weights=weights, gradient=right, advantages=A[:6])
    assert only(report, "few_samples")
    assert report.rank == report.samples == 5
    assert ff.diagnose(S[:6], weights=weights, gradient=S[2]).verdict == "gradient_elsewhere"


# --- F is right, and yet ---


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
    noise = RNG.standard_normal((D, D))
    nearly = 0.5 * np.eye(D) + 1e-17 * (noise - noise.T)  # equal eigenvalues, and not quite symmetric
    assert np.iscomplexobj(np.linalg.eigvals(nearly))
    report = ff.diagnose(nearly)
    assert report.causes == ("eigvals",)
    assert "eigvalsh" in report.findings[0]
    assert (report.symmetric, report.asymmetry > 0.0) == (True, True)
    values, vectors = np.linalg.eig(nearly)
    rebuilt = vectors @ np.diag(values) @ np.linalg.inv(vectors)
    assert "eigvals" in ff.diagnose(rebuilt).causes
    assert "complex" in sentence(ff.diagnose(F.astype(np.complex64)), "eigvals")
    assert "eigvals" in ff.diagnose(np.outer(G, G)).causes
    lopsided = F * (1.0 + EPS * noise)
    assert ff.diagnose(lopsided).causes == ()  # eigvals is right about well separated eigenvalues


def test_float32_sums_of_badly_scaled_scores() -> None:
    mixed = as_wide(S, 1e4) @ np.linalg.qr(RNG.standard_normal((D, D)))[0]
    single = mixed.astype(np.float32)
    low = single.T @ single / np.float32(N)
    assert np.linalg.eigvalsh(low).min() < 0.0
    report = ff.diagnose(low)
    assert report.verdict == "float32_rounding"
    assert report.positive_semidefinite
    assert "float64" in report.findings[0]
    assert ff.diagnose(low, scores=mixed).verdict == "float32_rounding"
    upstream = ff.diagnose(low.astype(np.float64) * 1.1)
    if np.linalg.eigvalsh(low.astype(np.float64)).min() < -1e-13 * np.trace(low):
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


# --- matrix or scores ---


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


def test_every_verdict_is_in_the_guide() -> None:
    guide = Path(__file__).parents[3] / "docs" / "why-f-looks-indefinite.md"
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
