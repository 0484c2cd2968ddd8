"""Calls of the step and of `Fisher` against their definitions in long double."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
from calls import Array, Call, Long, OneWay, chance, one_of, random_call
from driver import BrokenPromiseError, hold
from numpy.random import Generator

import fastfisher as ff

EPS, TINY = np.finfo(np.float64).eps, np.nextafter(0.0, 1.0)
MODERATE = 60.0
"""The power of ten up to which nothing may leave the range of float64."""
UNDERFLOW = 1e-150
"""Products of what is smaller than this may be zero."""
ORDINARY = {
    "chosen",
    "chosen_for_sums",
    "preconditioned",
    "reduced_to_band",
    "residual_of_matrix",
    "outside_span",
}
"""Events that take nothing from what a step promises."""
ARGUMENTS = (
    "scores", "advantages", "gradient", "weights", "count", "center", "damping", "max_kl", "solver",
    "precision", "tol", "max_iterations", "initial", "momentum", "previous", "memory_limit",
)  # fmt: skip


def run(rng: Generator) -> str:
    """Run a case: one call, right or wrong, or the life of a `Fisher`."""
    hold(
        np.finfo(Long).eps < 1e-18, "long double has no more digits than double here: nothing can be measured"
    )
    with np.errstate(all="ignore"):
        draw = rng.random()
        if draw < 0.1:
            return _wrong_call(rng)
        return _life_of_a_fisher(rng) if draw < 0.2 else _right_call(rng)


def _take(call: Call, threads: int) -> tuple[ff.NaturalStep, ...] | Exception:
    """Return the steps of a call, or how it was refused."""
    arguments = call.arguments()
    if isinstance(call.scores, OneWay):
        arguments["scores"] = call.scores.items()
    try:
        result = ff.natural_step(**arguments, num_threads=threads)
    except (ValueError, OverflowError, MemoryError) as error:  # LinAlgError is a ValueError
        return error
    return result if isinstance(result, tuple) else (result,)


def _right_call(rng: Generator) -> str:
    call = random_call(rng)
    before = [array.tobytes() for array in call.given]
    results = _take(call, 1)
    for threads in (1, int(rng.integers(2, 4))):
        words = f"of {_describe(call)}\n{results!r}"
        hold(_bits(_take(call, threads)) == _bits(results), f"{threads} threads: not the same {words}")
    hold(before == [array.tobytes() for array in call.given], f"an argument has changed {words}")
    if isinstance(results, Exception):
        hold(_may_be_refused(call, results), f"refused {words}")
        hold(any(name in str(results) for name in ARGUMENTS), f"the message names no argument: {results}")
        return type(results).__name__
    dampings = call.options["damping"]
    dampings = dampings if isinstance(dampings, list) else [dampings]
    hold(len(results) == len(dampings), "one step a damping")
    for damping, result in zip(dampings, results, strict=True):
        try:
            _check(call, damping, result)
        except BrokenPromiseError as broken:
            raise BrokenPromiseError(f"{broken}\nof {_describe(call)}\n{result}") from None
    return "untrusted" if any(_noted(result, "untrusted") for result in results) else "solved"


def _noted(result: ff.NaturalStep, words: str) -> bool:
    return any(words in event.code for event in result.events)


def _bits(value: Any) -> Any:
    """Return what is equal for two values of the same bits alone."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, (tuple, list)):
        return tuple(map(_bits, value))
    return _bits(tuple(vars(value).values())) if isinstance(value, ff.NaturalStep) else repr(value)


def _describe(call: Call) -> str:
    options = {k: v for k, v in call.options.items() if not isinstance(v, np.ndarray)}
    arrays = [k for k, v in call.options.items() if isinstance(v, np.ndarray)]
    kind = "stream" if call.stream else type(call.scores).__name__
    return (
        f"{kind} {call.S.shape}, scores to {float(np.abs(call.S).max()):.1e}, 10^{call.exponent:.0f}, "
        f"{'gradient' if call.advantages is None else 'advantages'}, weights {call.weights is not None}, "
        f"{', '.join(arrays)} {options}"
    )


def _may_be_refused(call: Call, error: Exception) -> bool:
    """Tell whether a call is one that the documentation says is refused in this way."""
    options, solver = call.options, call.options.get("solver", "auto")
    largest, refused = np.abs(call.S).max(), isinstance(error, np.linalg.LinAlgError)
    deviation = np.abs(call.S - call.mean).max()
    if refused and EPS * largest < deviation and deviation**2 * call.S.size < np.finfo(np.float64).tiny:
        return "rescale" in str(error)
    if refused and options.get("precision") == "single" and largest > np.finfo(np.float32).max:
        return "use double" in str(error)
    dampings = np.atleast_1d(options["damping"])
    if isinstance(error, MemoryError):
        return "memory_limit" in options
    if isinstance(error, OverflowError):
        return call.exponent > MODERATE
    if isinstance(error, np.linalg.LinAlgError):
        eps = np.finfo(np.float32).eps if options.get("precision") in ("single", "mixed") else EPS
        least = 1e3 * eps * sum(call.S.shape) * _trace(call, np.abs(call.S) + np.abs(call.mean))
        return bool(min(_damping(call, float(damping)) for damping in dampings) <= least)
    if options.get("center") and options.get("momentum"):
        return str(error).startswith("center")
    needs_rows = solver in ("gram", "cg", "lsmr") or options.get("precision") in ("single", "mixed")
    if call.stream and (needs_rows or options.get("center")):
        return True
    zero = bool((dampings == 0.0).any()) or options.get("relative_damping", False)
    return bool(solver == "gram" and call.advantages is None and zero) or call.exponent > MODERATE


def _trace(call: Call, rows: Array) -> Any:
    """Return tr(F) for rows in the place of the scores."""
    return call.w @ (rows**2).sum(axis=1) / call.count


def _damping(call: Call, damping: float) -> Any:
    """Return lambda, which may be relative."""
    if call.options.get("relative_damping"):
        return damping * _trace(call, call.S - call.mean) / min(call.S.shape)
    return Long(damping)


def _norm(vector: Any) -> Any:
    return np.sqrt((vector.astype(Long) ** 2).sum())


def _check(call: Call, damping: float, result: ff.NaturalStep) -> None:
    """Hold one step to its definition; what rounding may do is bounded term by term, in absolute values."""
    options, w, count = call.options, call.w, call.count
    rows, columns = call.S.shape
    C, size = call.S - call.mean, np.abs(call.S) + np.abs(call.mean)
    rounding = EPS * (rows + columns + 16)
    lam = _damping(call, damping)

    for name, value in vars(result).items():
        if isinstance(value, (np.ndarray, float)):
            hold(np.isfinite(value).all(), f"{name} is not finite")
    for name in ("step", "direction", "gradient"):
        value = getattr(result, name)
        hold(value.shape == (columns,) and value.dtype == np.float64, f"{name} has shape {value.shape}")
    off_damping = (
        1e-12 * lam + rounding * damping * _trace(call, size) + TINY * (1 + damping * rows * columns)
    )
    hold(abs(result.damping - lam) <= off_damping, f"damping: expected {lam}")

    def F(v: Array) -> Any:
        return C.T @ (w * (C @ v)) / count

    def size_of_F(v: Array) -> Any:
        return size.T @ (w * (size @ np.abs(v))) / count

    if call.advantages is None:
        g = options["gradient"].astype(Long)
        size_of_g = np.abs(g)
    else:
        A = call.advantages.astype(Long)
        g, size_of_g = C.T @ (w * A) / w.sum(), size.T @ (w * np.abs(A)) / w.sum()
    off = np.abs(result.gradient - g) > rounding * size_of_g + TINY * (4 + rows + size.sum(axis=0) / w.sum())
    hold(not off.any(), f"gradient: off by {float(_norm(result.gradient - g) / _norm(g)):.1e}")

    # The system is that of momentum: (F + lambda I) (x - mu previous) = g - mu F previous.
    x = result.direction.astype(Long)
    prior = np.zeros(columns, Long)
    if options.get("momentum"):
        prior = Long(options["momentum"]) * options["previous"].astype(Long)
    b = g - F(prior)
    noise = _norm(rounding * (size_of_g + size_of_F(prior)) + TINY)
    carried = size_of_F(x) + size_of_F(prior) + lam * (np.abs(x) + np.abs(prior)) + size_of_g
    blur = _norm(rounding * carried + TINY * (size_of_F(np.ones(columns, Long)) + lam))
    known = _norm(b) > 1e3 * noise
    true = _norm(b - F(x - prior) - lam * (x - prior)) / _norm(b) if known else Long(0)
    blur = blur / _norm(b) if known else Long("inf")
    tol = options.get("tol", 1e-8)
    if options.get("precision") == "single" and tol >= 1e-4:  # by float32 products, within a bound
        blur += 0.1 * min(tol, 1e-2)
    words = f"residual: said {result.residual:.2e}, is {float(true):.2e}, give or take {float(blur):.1e}"
    hold(true / 2 - blur - 1e-12 <= result.residual <= 2 * true + blur + 1e-12, words)

    untrusted = _noted(result, "untrusted")
    trusted = max(1e-3 if result.precision == "single" else 1e-6, options.get("tol", 1e-8))
    if options.get("max_iterations", 10_000) < min(10 * min(rows, columns) + 100, 10_000):
        trusted = 1.0
    hold(untrusted or true <= 2 * trusted + blur, f"{words}: not marked as not to be trusted")
    if known and "initial" not in options:
        y = x - prior
        off_y = rounding * np.abs(y) + 2 * EPS * (np.abs(x) + np.abs(prior))
        value, off_value = y @ (F(y) + lam * y) / 2 - b @ y, off_y @ carried
        hold(value <= off_value + UNDERFLOW, f"{words}: no step is better by {float(value):.2e}")
    if (np.abs(g) <= 1e-2 * EPS * size_of_g).all() and not options.get("momentum"):
        hold(
            result.predicted_kl == 0.0,
            f"a step of KL {result.predicted_kl} along rounding: the gradient is zero",
        )

    a = Long(result.step_size)
    product, off_product = C @ x, rounding * (size @ (np.abs(x) + np.abs(prior))) + TINY * size.sum(axis=1)
    curvature = w @ product**2 / count
    off_curvature = w @ (off_product * (2 * np.abs(product) + off_product)) / count + 1e-6 * curvature
    off_curvature += UNDERFLOW * lam * (x @ x)
    if call.stream:  # of which the rows may have come but once
        off_curvature += rounding * (np.abs(x) @ size_of_F(x))
    kl, off_kl = a * a * curvature / 2, a * a * off_curvature / 2 + UNDERFLOW
    hold(abs(result.predicted_kl - kl) <= off_kl, f"predicted_kl: expected {kl}, got {result.predicted_kl}")
    slope, off_slope = g @ x, rounding * (size_of_g @ np.abs(x)) + 1e-6 * abs(g @ x) + TINY * np.abs(g).sum()
    expected, off_gain = a * slope, a * off_slope + UNDERFLOW
    hold(
        abs(result.predicted_improvement - expected) <= off_gain,
        f"predicted_improvement: expected {expected}",
    )
    if not options.get("momentum") and "initial" not in options:
        hold(
            result.predicted_improvement >= -off_gain,
            "predicted_improvement is below zero: no step is better",
        )
    off = np.abs(result.step - a * x) > 8 * EPS * np.abs(a * x) + 4 * TINY
    hold(not off.any(), "step is not step_size times direction")
    if options.get("max_kl") is None:
        hold(result.step_size == 1.0, "step_size is not 1 without max_kl")
    elif {event.code for event in result.events} <= ORDINARY and _norm(x) > 0 and a > 0:
        asked, square, off = options["max_kl"], slope, off_slope
        if options.get("momentum"):
            square, off = curvature, off_curvature
        got = a * a * square / 2
        hold(abs(got - asked) <= 1e-6 * asked + a * a * off, f"step_size is for a KL of {got}, not {asked}")
        hold(
            kl <= 1.01 * asked + off_kl,
            f"predicted_kl is {float(kl):.3g}, above max_kl = {asked}, without a note",
        )

    if call.advantages is not None and result.sample_weights is not None:
        u = result.sample_weights.astype(Long)
        hold(u.shape == (rows,), "sample_weights: one a row")
        missed = _norm(x - call.S.T @ u - prior)
        least = 2e-6 * _norm(x) + _norm(TINY * size.sum(axis=0) + rounding * np.abs(prior) + TINY)
        least += EPS * _norm(size.T @ np.abs(u))  # by which it is measured in float64
        share = float(missed / _norm(x)) if _norm(x) else np.inf
        hold(
            missed <= least or _noted(result, "sample_weights"),
            f"direction = S^T sample_weights misses {share:.1e}",
        )


def _wrong_call(rng: Generator) -> str:
    """Spoil one argument: it has to be named, whatever the rest is."""
    call = random_call(rng)
    while call.stream or call.exponent > MODERATE or {"momentum", "center"} <= call.options.keys():
        call = random_call(rng)
    arguments = call.arguments()
    arrays = [
        name
        for name in ("advantages", "weights", "gradient", "initial", "previous")
        if arguments.get(name) is not None
    ]
    name = one_of(rng, [*arrays, "scores"]) if arrays else "scores"
    value = np.asarray(call.S, np.float64) if name == "scores" else arguments[name]
    wrong: Any = value.copy()
    match rng.integers(6):
        case 0:
            wrong.flat[rng.integers(wrong.size)] = one_of(rng, (np.nan, np.inf, -np.inf))
        case 1:
            wrong = wrong[..., None]
        case 2:
            wrong = wrong.astype(one_of(rng, (complex, object, str)))
            if wrong.dtype == object:
                wrong.flat[rng.integers(wrong.size)] = None
        case 3:
            wrong = np.ma.array(wrong, mask=rng.random(wrong.shape) < 0.5)
            wrong[(0,) * wrong.ndim] = np.ma.masked
        case 4:
            name, wrong = (
                one_of(rng, ("count", "max_kl", "tol", "damping", "memory_limit")),
                one_of(rng, (-1.0, np.nan, "1", True)),
            )
        case _:
            name, wrong = one_of(rng, ("solver", "precision")), one_of(rng, ("", None, 3, "lu"))
    try:
        result = ff.natural_step(**arguments | {name: wrong})
    except (TypeError, ValueError) as error:
        hold(str(error).startswith(name), f"{name} = {wrong!r}: {type(error).__name__}: {error}")
        return "wrong and refused"
    raise BrokenPromiseError(f"{name} = {wrong!r} was taken: {result}")


def _life_of_a_fisher(rng: Generator) -> str:
    """Add blocks to a `Fisher`, merge, copy and pickle it: F and a solution with it are what all rows say."""
    calls = [random_call(rng) for _ in range(rng.integers(1, 4))]
    call = calls[0]
    if call.stream or call.exponent > MODERATE or call.S.shape[1] > 100:
        return _life_of_a_fisher(rng)
    columns = call.S.shape[1]
    F = ff.Fisher(columns)
    hold(F.count == 0 and F.d == columns, "a new Fisher is not empty")
    total, weight, size = np.zeros((columns, columns), Long), Long(0), 0
    for _ in range(rng.integers(1, 4)):
        rows = rng.permutation(len(call.S))[: rng.integers(1, len(call.S) + 1)]
        w = None if call.weights is None else call.weights[rows]
        if w is not None and not w.any():
            continue
        part = ff.Scores(call.scores)[rows]
        other = ff.Fisher(columns) if chance(rng, 0.3) else F
        other.update(part, w)
        if other is not F:
            F.merge(pickle.loads(pickle.dumps(other, int(rng.integers(2, 6)))))
        W = np.ones(len(rows), Long) if w is None else w.astype(Long)
        total, weight, size = total + (call.S[rows].T * W) @ call.S[rows], weight + W.sum(), size + len(rows)
    if size == 0:
        return "a Fisher without rows"
    hold(F.count == size, f"count: expected {size}, got {F.count}")
    matrix, expected, extent = F.matrix(), total / weight, float(np.sqrt(np.diag(total / weight)).max())
    hold(np.isfinite(matrix).all() and (matrix == matrix.T).all(), "matrix() is not finite and symmetric")
    bound = EPS * (size + 32) * np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    hold((np.abs(matrix - expected) <= bound + TINY).all(), "matrix() is not S^T diag(w) S / sum w")
    hold(
        abs(F.trace() - np.trace(expected)) <= 1e-12 * np.trace(expected), "trace() is not that of the matrix"
    )
    g, damping = rng.standard_normal(columns), float(one_of(rng, (1e-8, 1e-4, 1.0)) * max(extent**2, 1e-100))
    x = F.solve(g, damping=damping).astype(Long)
    missed = _norm(g - expected @ x - damping * x)
    blur = (
        EPS
        * (size + columns + 32)
        * _norm(np.sqrt(np.outer(np.diag(expected), np.diag(expected))) @ np.abs(x))
    )
    hold(missed <= 2e-6 * _norm(g) + blur, f"solve() leaves a residual of {float(missed / _norm(g)):.1e}")
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        twin = pickle.loads(pickle.dumps(F, protocol))
        same = (
            _bits(twin.matrix()) == _bits(matrix)
            and twin.count == F.count
            and twin.total_weight == F.total_weight
        )
        hold(same, f"pickled by protocol {protocol} it has other bits")
    return "a Fisher"
