"""Causes that leave F right, but rank-deficient, inaccurate or odd: one sentence each, or None."""

from __future__ import annotations

from .evidence import WIDE_SPREAD, Evidence
from .samples import Indices
from .spectrum import DOUBLE, SINGLE


def _first(indices: Indices) -> str:
    """List the first five indices."""
    return ", ".join(str(index) for index in indices[:5]) + ", ..." * (len(indices) > 5)


def _plural(noun: str, number: int) -> str:
    """Return the noun, with an s unless there is one of it."""
    return noun if number == 1 else noun + "s"


def _columns(indices: Indices) -> str:
    return f"{len(indices)} score {_plural('column', len(indices))} ({_first(indices)})"


def _possible_rank(e: Evidence) -> int:
    return min(e.size if e.samples is None else e.samples, e.size - e.parameters.redundant)


def few_samples(e: Evidence) -> str | None:
    """Say that N < d."""
    if e.samples is None or e.samples >= e.size or e.rank > e.samples:
        return None
    zeros = e.true_size(e.declared_eps * e.spectrum.norm)
    return (
        f"{e.samples} {_plural('sample', e.samples)} span at most {e.samples} of {e.size} directions, so "
        f"{e.size - e.samples} eigenvalues are zero, and computed they are about +-{zeros:.0e}: F is right, "
        "and damping makes it invertible."
    )


def _beyond_float64(e: Evidence) -> str | None:
    """Name what float64 rounding does not explain in F, and the arithmetic that made F does."""
    double = e.spectrum.rounding(DOUBLE)
    if e.spectrum.smallest < -double or e.single_smallest < 0.0:
        smallest = e.true_size(min(e.spectrum.smallest, e.single_smallest))
        return f"eigenvalues down to {smallest:.1e} where float64 rounds by {e.true_size(double):.0e}"
    if e.scaled is not None and e.scaled.smallest < -e.scaled.rounding(DOUBLE):
        return f"eigenvalues down to {e.scaled.smallest:.1e} when scaled to unit diagonal"
    if e.declared_eps == DOUBLE and e.asymmetry > e.spectrum.terms * DOUBLE:
        return f"an asymmetry of {e.asymmetry:.1e}"
    return None


def float32_rounding(e: Evidence) -> str | None:
    """Blame float32 arithmetic for what float64 would not have done."""
    zeros_expected = e.samples is not None and e.rank == _possible_rank(e) < e.size
    seen = _beyond_float64(e)
    if e.source != "matrix" or e.spectrum.eps == DOUBLE or zeros_expected or seen is None:
        return None
    kind = "float32" if e.spectrum.eps == SINGLE else "low-precision"
    where = "" if e.declared_eps > DOUBLE else f"some step before was probably {kind}, so "
    return (
        f"F has {seen}, as {kind} rounding leaves them (up to {e.true_size(e.spectrum.bound):.0e}): "
        f"{where}sum the products, keep F and take eigenvalues in float64, above all where scores are badly "
        "scaled."
    )


def dead_parameters(e: Evidence) -> str | None:
    """Count the zero rows of F."""
    dead = e.parameters.dead
    if not 0 < len(dead) < e.size:
        return None
    return (
        f"{len(dead)} of {e.size} parameters ({_first(dead)}) have score zero in every sample, such as "
        "weights behind a ReLU that never opens, before an output layer that is zero, or from an input that "
        "is, and each makes an eigenvalue zero."
    )


def duplicated_parameters(e: Evidence) -> str | None:
    """List the parameters whose columns are equal."""
    groups = e.parameters.duplicates
    if not groups:
        return None
    listed = ", ".join(f"({_first(group)})" for group in groups[:3]) + ", ..." * (len(groups) > 3)
    zeros = sum(len(group) - 1 for group in groups)
    return (
        f"Parameters {listed} have the same score in every sample, so that only their sum matters to the "
        f"policy and {zeros} {_plural('eigenvalue', zeros)} vanish."
    )


def dependent_parameters(e: Evidence) -> str | None:
    """Find a rank below what N and the columns one by one allow."""
    if e.samples is None or e.rank >= _possible_rank(e):
        return None
    return (
        f"Rank {e.rank} is below the {_possible_rank(e)} that the samples and single parameters allow: some "
        "parameters are linear combinations of others in every sample (all logits shifted together, a bias "
        "beside one-hot features), or samples repeat."
    )


def rank_deficient(e: Evidence) -> str | None:
    """Find a rank below what the columns one by one allow, where N is not known."""
    if e.samples is not None or e.rank >= _possible_rank(e):
        return None
    return (
        f"F has rank {e.rank} of {e.size}, its other eigenvalues being zero to rounding and of either sign: "
        f"it is right if it was made of only {e.rank} {_plural('sample', e.rank)} (N < d), or if parameters "
        "are linear combinations of others; count= or scores= tells which."
    )


def badly_scaled(e: Evidence) -> str | None:
    """Find column norms of the scores that differ by a thousand and more."""
    if e.parameters.spread <= WIDE_SPREAD:
        return None
    hidden = 0 if e.scaled is None else e.scaled.rank - e.spectrum.rank
    lost = f", hiding {hidden} {_plural('eigenvalue', hidden)} in the rounding of the largest" * (hidden > 0)
    return (
        f"Column norms of the scores span a factor of {e.parameters.spread:.0e}, and F's diagonal its "
        f"square{lost}: in float32 small parameters are lost, and one damping is too large for them or too "
        "small for the rest."
    )


def eigvals(e: Evidence) -> str | None:
    """Recognise numpy.linalg.eigvals where eigvalsh is meant."""
    if e.complex_dtype:
        return (
            "F came as complex numbers whose imaginary parts are rounding: numpy.linalg.eig or eigvals had a "
            "part in it, where eigh and eigvalsh keep a symmetric matrix real."
        )
    if e.eigvals is None:
        return None
    complex_, negative = e.eigvals
    seen = [f"{complex_} complex"] * (complex_ > 0) + [f"{negative} negative"] * (negative > 0)
    why = "F is symmetric only to rounding" if e.asymmetry else "it does not use symmetry"
    return (
        f"numpy.linalg.eigvals finds {' and '.join(seen)} eigenvalues here that are rounding ({why}): "
        "use numpy.linalg.eigvalsh."
    )


def constant_columns(e: Evidence) -> str | None:
    """List scores that do not depend on the sample."""
    if len(e.constant) == 0:
        return None
    return (
        f"{_columns(e.constant)} never change, where scores of the policy's own actions have mean zero: "
        "these are not grad log pi(a | s) of the actions taken, or are rows of an exact Fisher matrix "
        "(say so with count=)."
    )


def large_mean(e: Evidence) -> str | None:
    """List scores far from mean zero."""
    if len(e.large_mean) == 0:
        return None
    return (
        f"{_columns(e.large_mean)} have a mean beyond ten standard deviations, where scores of the policy's "
        "own actions have mean zero: the actions may be another policy's, or the rows gradients of something "
        "else."
    )
