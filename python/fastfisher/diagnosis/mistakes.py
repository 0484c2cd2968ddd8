"""Causes that make F another matrix than the batch's Fisher matrix: one sentence each, or None."""

from __future__ import annotations

from .evidence import Evidence

# Rounding explains a relative distance of a gradient from S^T A / N up to this.
MISFIT = 1e-3
# float32 may change the factor of S^T S / N in a matrix by this much.
FACTOR = 1e-3


def _formula(e: Evidence) -> str | None:
    return None if e.match is None else e.match.formula


def _how_negative(e: Evidence) -> str:
    """Say how far below zero the eigenvalues reach."""
    return (
        f"{e.spectrum.negative} of {e.size} eigenvalues below -{e.true_size(e.spectrum.bound):.0e}, "
        f"down to {e.true_size(e.spectrum.smallest):.3g}"
    )


def _rounded_below_zero(e: Evidence) -> str:
    """Say how many zeros came out negative."""
    below = int((e.spectrum.values < 0.0).sum())
    return f"rounding puts {below} of {e.size} eigenvalues below zero"


def _distance(e: Evidence) -> str:
    """Say how far the matrix is from the scores' own, where that could be measured."""
    if e.match is None or not e.match.difference >= 0.0:
        return ""
    return f" ({e.match.difference:.0%} of its norm away from S^T S / N)"


def _alternatives(candidates: list[str]) -> str:
    """Join candidates: one, another or a third."""
    return " or ".join([", ".join(candidates[:-1]), candidates[-1]] if len(candidates) > 1 else candidates)


def zero(e: Evidence) -> str | None:
    """Say that no score depends on any parameter."""
    if e.spectrum.norm > 0.0 or e.asymmetry > 0.0:
        return None
    return (
        "All entries are zero: no score depends on any parameter, as after detach() or without requires_grad."
    )


def not_symmetric(e: Evidence) -> str | None:
    """Say that F is no mean of s s^T at all."""
    if e.symmetric:
        return None
    return (
        f"F differs from its transpose by {e.asymmetry:.2g} of its largest entry, which no mean of s s^T "
        "does: it may be a product of two different batches (S1.T @ S2) or vectors (np.outer(g1, g2)); the "
        "eigenvalues here are those of (F + F^T) / 2."
    )


def outer_of_mean(e: Evidence) -> str | None:
    """Recognise np.outer(g, g) by comparison with the scores."""
    vectors = {"outer_mean": "mean score", "outer_gradient": "policy gradient S^T A / N"}
    vector = vectors.get(_formula(e) or "")
    if vector is None:
        return None
    return (
        f"F is the outer product of the {vector} with itself, of rank one ({_rounded_below_zero(e)}): take "
        "the mean of the outer products, S.T @ S / N, and not the outer product of the mean."
    )


def outer_flattened(e: Evidence) -> str | None:
    """Recognise np.outer(S, S) by comparison with the scores."""
    if _formula(e) != "outer_flattened":
        return None
    return (
        f"F is np.outer(S, S), which flattens the scores, and so is of order N d = {e.size} and rank one "
        f"({_rounded_below_zero(e)}): the Fisher matrix is S.T @ S / N, of order d."
    )


def rank_one(e: Evidence) -> str | None:
    """Recognise a matrix of rank one; which of several mistakes made it, a matrix alone cannot say."""
    alive = e.size - len(e.parameters.dead)
    if e.source != "matrix" or e.rank != 1 or alive == 1 or e.samples == 1 or e.indefinite or not e.symmetric:
        return None
    if _formula(e) not in (None, "damped", "standardised"):
        return None
    candidates = ["np.outer(g, g) of a mean gradient g"]
    if e.samples is None or e.size % e.samples == 0:
        candidates.append("np.outer(S, S), which flattens the scores (then its order is N d)")
    if e.samples is None:
        candidates.append("S.T @ S of a single sample")
    return (
        f"F has rank one ({_rounded_below_zero(e)}): it is {_alternatives(candidates)}, where the Fisher "
        "matrix is the mean of outer products over many samples, S.T @ S / N; scores= tells which."
    )


def gram_matrix(e: Evidence) -> str | None:
    """Recognise S S^T, which was taken for S^T S."""
    if _formula(e) != "gram":
        return None
    return (
        f"F is S @ S.T, the Gram matrix of the samples, of order N = {e.size}: the Fisher matrix is S.T @ S "
        "/ N, of order d."
    )


def advantage_weighted(e: Evidence) -> str | None:
    """Recognise the sum of A_n s_n s_n^T."""
    formula = _formula(e)
    if formula not in ("advantage_weighted", "standardised"):
        return None
    advantages = "shifted advantages" if formula == "standardised" else "advantages"
    sign = _how_negative(e) if e.indefinite else "here their signs leave it without negative eigenvalues"
    return (
        f"F is S^T diag(A) S / N, outer products weighted with {advantages} ({sign}), and no Fisher matrix: "
        "advantages belong in the gradient S^T A / N alone."
    )


def wrong_sign(e: Evidence) -> str | None:
    """Recognise -F, which was taken for F."""
    if not e.indefinite or e.spectrum.rank > 0:
        return None
    return (
        "F is negative semi-definite, so its sign is wrong: the Fisher matrix is minus the expected Hessian "
        "of log pi."
    )


def indefinite(e: Evidence) -> str | None:
    """Say that negative eigenvalues are real, and list what could have made them."""
    if not e.indefinite or not e.symmetric or wrong_sign(e) or advantage_weighted(e):
        return None
    candidates = [
        "-hessian log pi of samples (only its expectation is F)",
        "the Hessian of a KL divergence away from theta_old",
    ]
    if e.match is None or not e.advantages_given:
        candidates.insert(0, "outer products weighted with advantages of either sign")
    more = "" if e.advantages_given else "; scores= and advantages= tell more"
    return (
        f"F is really indefinite, with {_how_negative(e)}, which rounding does not explain and no mean of s "
        f"s^T has{_distance(e)}: it may be {_alternatives(candidates)}{more}."
    )


def indefinite_when_scaled(e: Evidence) -> str | None:
    """Find negative eigenvalues hidden in the rounding of large parameters."""
    if e.scaled is None or e.scaled.negative == 0 or e.indefinite:
        return None
    return (
        f"Scaled to unit diagonal F has eigenvalues down to {e.scaled.smallest:.2g}, which the rounding of "
        "its large parameters hides: it is indefinite in its small ones, or was made by subtraction."
    )


def not_these_scores(e: Evidence) -> str | None:
    """Say that F is another matrix than the scores give, by none of the mistakes known."""
    if e.match is None or e.match.formula is not None or e.size == 1:
        return None
    if e.indefinite or rank_one(e) or not_symmetric(e):
        return None
    return (
        f"F is not S^T S / N of these scores{_distance(e)}: it may come from another batch, be an "
        "exact Fisher matrix (expected over actions), -hessian log pi of samples, or the Hessian of a KL "
        "divergence away from theta_old."
    )


def unnormalised(e: Evidence) -> str | None:
    """Recognise a sum, which was taken for a mean."""
    if e.match is None or e.match.formula not in ("fisher", "centred") or e.samples is None:
        return None
    factor = e.match.coefficients[0]
    if factor < 0.0 or abs(factor - 1.0) < FACTOR:
        return None
    is_sum = abs(factor / e.samples - 1.0) < FACTOR
    what = "S^T S, the sum over samples," if is_sum else "a multiple of S^T S / N,"
    return f"F is {what} {factor:.6g} times the mean: damping and step size do not fit it."


def gradient_elsewhere(e: Evidence) -> str | None:
    """Say that F is of one batch and g of another."""
    if e.gradient_misfit is not None:
        if e.gradient_misfit <= MISFIT:
            return None
        return (
            f"The gradient is {e.gradient_misfit:.2g} of its length away from S^T A / N of these scores and "
            "advantages: g and F are from different batches, or g holds another term."
        )
    if e.outside is None or e.outside.part <= e.outside.tolerance:
        return None
    return (
        f"{e.outside.part:.2g} of the gradient's length lies outside the range of F, where S^T A / N of the "
        "same scores has nothing: g and F are from different batches, and the solve divides that part by the "
        "damping alone."
    )
