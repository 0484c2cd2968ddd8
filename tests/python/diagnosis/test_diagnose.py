"""Each mistake about F is built, and must be named; a healthy Fisher matrix must trigger none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from step.helpers import Array, DlpackOnly, layouts

import fastfisher as ff

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
    for case in [*cases, ff.Scores(S), blocks, (S[:, :2], S[:, 2:5], S[:, 5:]), [S[:, :3], S[:, 3:]]]:
        assert ff.diagnose(case).verdict == "healthy"  # type: ignore[arg-type]
    assert ff.diagnose(F, scores=S).notes == ("F is S^T S / N of these scores.",)
    assert ff.diagnose(fisher, scores=S, advantages=A, gradient=G).causes == ()
    assert ff.diagnose(F.astype(np.float32), scores=S.astype(np.float32)).causes == ()


@settings(max_examples=40, deadline=None)
@given(
    st.integers(2, 20),
    st.integers(1, 5),
    st.integers(0, 1000),
    # The squares, of a few hundred rows and several standard deviations, are in the range of the dtype.
    st.one_of(
        st.tuples(st.just(np.float32), st.integers(-50, 50)),
        st.tuples(st.just(np.float64), st.integers(-450, 450)),
    ),
)
def test_healthy_batches_of_any_size(d: int, factor: int, seed: int, kind: tuple[type, int]) -> None:
    dtype, exponent = kind
    scores = np.random.default_rng(seed).standard_normal((d * factor + 10 * d, d)) * 2.0**exponent
    scores = scores.astype(dtype)
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
