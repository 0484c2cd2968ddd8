"""The natural-gradient step: theta += alpha (F + lambda I)^-1 g.

Rajeswaran, Lowrey, Todorov and Kakade, "Towards Generalization and Simplicity in Continuous Control",
arXiv 1703.02660, equations 3 to 5.  The C++ core does the algebra and the arithmetic; this module checks the
arguments and holds the result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias, get_args, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._core import natural_steps
from .arguments import POSITIVE, Bounds, choice, flag, number, thread_count, whole
from .scores import ScoresLike, as_scores, as_weights, optional_vector
from .streaming import Stream, is_stream, steps_of_stream

Solver: TypeAlias = Literal["auto", "cholesky", "gram", "cg", "lsmr"]
Precision: TypeAlias = Literal["auto", "single", "double", "mixed"]
Vector: TypeAlias = NDArray[np.float64]


class Event(NamedTuple):
    """Something that happened on the way to a step: code decides by its fields, people read its sentence.

    Attributes
    ----------
    code : str
        The kind of event, such as "chosen", "jittered", "iteration_limit" or "untrusted".
    solver : str
        The solver that it happened to; "auto" where it happened to none.
    numbers : mapping of str to float
        Its figures, by name; costs are in operations, residuals are relative.
    sentence : str
        The event in words.
    """

    code: str
    solver: str
    numbers: Mapping[str, float]
    sentence: str

    def __str__(self) -> str:
        return self.sentence


@dataclass(frozen=True, eq=False)
class NaturalStep:
    """What `natural_step` found, with the evidence for it.

    Attributes
    ----------
    step : (d,) float64
        alpha x, to be added to the parameters.
    direction : (d,) float64
        x = (F + lambda I)^-1 g.
    gradient : (d,) float64
        g, the policy gradient; zero where all of it is no more than the rounding of its sums, as an event of
        the code "zero_gradient" says.
    step_size : float
        alpha; 1 where no `max_kl` was asked for.
    predicted_kl : float
        alpha^2 x^T F x / 2, the quadratic model of the KL divergence from the old policy to the new, in nats.
    predicted_improvement : float
        alpha g^T x, the linear model of the gain in mean advantage.
    solver : {"cholesky", "gram", "cg", "lsmr"}
        The algebra that ran.
    precision : {"single", "double", "mixed"}
        The arithmetic of the matrix and its factor, or of CG's products.
    damping : float
        lambda, the absolute value used.
    iterations : int
        Iterations of CG or LSMR; steps of iterative refinement where the solver is direct.
    residual : float
        ||g - (F + lambda I) x|| / ||g||, measured in float64 from the scores, not from a matrix formed of
        them (but for an iterator that can be read only once, which the notes then say).  Of CG in "single"
        precision to a `tol` of 1e-4 or more, it is measured by float32 products that are summed in float64:
        to about 1e-6, and by a bound to a tenth of `tol` (of 1e-2 at most); where the bound is above,
        in float64.
    sample_weights : (N,) float64 or None
        u with direction = S^T u (and momentum's part), where advantages were given: the natural gradient is
        the plain policy gradient with u in place of advantages / N.  With damping, of a system that is
        solved, u = (A - S x) / (N lambda).  S^T u holds to 1e-6 of the direction's norm, measured or
        bounded, where CG was cut short too; where it cannot, as from a start outside the span of the scores,
        an event of the code "sample_weights_missed" says so, and this is None.
    events : tuple of Event
        What happened on the way, in that order: why solver="auto" chose what it did, and anything out of the
        ordinary: a fallback taken, a jitter added, part of the gradient outside the span of the scores.  One
        of the code "untrusted" says that the residual is above what can be relied on, by one rule for every
        solver: 1e-6, 1e-3 in single precision, or the `tol` that was asked for; and 1, which is that of no
        step at all, where `max_iterations` below the default was asked for and ended CG or LSMR.
    """

    step: Vector
    direction: Vector
    gradient: Vector
    step_size: float
    predicted_kl: float
    predicted_improvement: float
    solver: str
    precision: str
    damping: float
    iterations: int
    residual: float
    sample_weights: Vector | None
    events: tuple[Event, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """The events as plain sentences."""
        return tuple(event.sentence for event in self.events)

    def __repr__(self) -> str:
        work = ("iteration" if self.solver in ("cg", "lsmr") else "refinement") + "s" * (self.iterations != 1)
        rows = [
            ("parameters", f"{len(self.step):,}"),
            ("solver", f"{self.solver}, {self.precision} precision, {self.iterations} {work}"),
            ("damping", f"{self.damping:.6g}"),
            ("residual", f"{self.residual:.2e}"),
            ("step size", f"{self.step_size:.6g}"),
            ("predicted KL", f"{self.predicted_kl:.6g}"),
            ("predicted improvement", f"{self.predicted_improvement:.6g}"),
            *(("note", note) for note in self.notes),
        ]
        return "NaturalStep\n" + "\n".join(f"  {name:<21}  {value}" for name, value in rows)


@overload
def natural_step(
    scores: ScoresLike | Stream,
    advantages: ArrayLike | None = None,
    *,
    gradient: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    count: float | None = None,
    center: bool = False,
    damping: float = 1e-4,
    relative_damping: bool = False,
    max_kl: float | None = None,
    solver: Solver = "auto",
    precision: Precision = "auto",
    tol: float = 1e-8,
    max_iterations: int | None = None,
    initial: ArrayLike | None = None,
    momentum: float = 0.0,
    previous: ArrayLike | None = None,
    precondition: bool = True,
    sample_weights: bool = True,
    memory_limit: float | None = None,
    num_threads: int | None = None,
) -> NaturalStep: ...


@overload
def natural_step(
    scores: ScoresLike | Stream,
    advantages: ArrayLike | None = None,
    *,
    gradient: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    count: float | None = None,
    center: bool = False,
    damping: Sequence[float],
    relative_damping: bool = False,
    max_kl: float | None = None,
    solver: Solver = "auto",
    precision: Precision = "auto",
    tol: float = 1e-8,
    max_iterations: int | None = None,
    initial: ArrayLike | None = None,
    momentum: float = 0.0,
    previous: ArrayLike | None = None,
    precondition: bool = True,
    sample_weights: bool = True,
    memory_limit: float | None = None,
    num_threads: int | None = None,
) -> tuple[NaturalStep, ...]: ...


def natural_step(
    scores: ScoresLike | Stream,
    advantages: ArrayLike | None = None,
    *,
    gradient: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    count: float | None = None,
    center: bool = False,
    damping: float | Sequence[float] = 1e-4,
    relative_damping: bool = False,
    max_kl: float | None = None,
    solver: Solver = "auto",
    precision: Precision = "auto",
    tol: float = 1e-8,
    max_iterations: int | None = None,
    initial: ArrayLike | None = None,
    momentum: float = 0.0,
    previous: ArrayLike | None = None,
    precondition: bool = True,
    sample_weights: bool = True,
    memory_limit: float | None = None,
    num_threads: int | None = None,
) -> NaturalStep | tuple[NaturalStep, ...]:
    """Solve (F + lambda I) x = g for the natural-gradient direction and scale it to a KL divergence.

    F = S^T diag(w) S / count is positive semi-definite by construction, whatever the signs in it.

    Parameters
    ----------
    scores : (N, d) array, list or dict of blocks, or iterator
        S, row n = grad log pi(a_n | s_n); see `fastfisher.scores`.  Any float dtype, order and strides.
        Where N rows do not fit in memory: an iterator of (scores, advantages) or (scores, advantages,
        weights), some rows each, the advantages None where a `gradient` is given; or a function that returns
        one.  It is read once, and needs d x d memory: "cholesky", in "double".  Where it can be read again, a
        second pass measures the residual; a generator's is that of the accumulated matrix.
    advantages : (N,) array, optional
        A; then g = S^T (w A) / sum w.  Exactly one of `advantages` and `gradient` is given, but for an
        iterator, which brings its own advantages and weights.
    gradient : (d,) array, optional
        g itself, where it comes from elsewhere.
    weights : (N,) array, optional
        w >= 0, importance weights of the rows; default ones.
    count : float, optional
        Divisor of F where rows are not samples (an exact Fisher has several rows a sample); default sum w.
    center : bool
        Subtract the mean score, by the same weights, from every row: F is then the scores' covariance.  On
        policy the mean is zero but for sampling.  Not together with `momentum`.
    damping : float, or sequence of floats
        lambda >= 0.  A sequence gives a step for each: the matrix of a direct solver is formed once, and
        where they are many (for 1,024 rows and more from 8 on, in double precision from 6) reduced to a band
        once, so that a damping costs little more than measuring its residual.
    relative_damping : bool
        Take lambda = damping tr(F) / min(N, d), so that it scales with the scores.
    max_kl : float, optional
        Scale the step so that the KL divergence predicted for it is `max_kl`, in nats:
        alpha = sqrt(2 max_kl / g^T x).  The paper's delta (its equation 5) is 2 max_kl.  Default: the step is
        the direction.
    solver : {"auto", "cholesky", "gram", "cg", "lsmr"}
        Factor the d x d matrix, factor the N x N Gram matrix (the same step, by the Woodbury identity),
        conjugate gradients, or LSMR: least squares without F, two passes over the scores an iteration for
        one of CG, but safer where tr(F) / damping is above 1e8 (a `gradient` is left to CG).  "auto" takes
        the cheapest that fits in memory, by a model of what each costs, and says why in the events; where
        that one fails it goes on to others, until one meets `tol` or the last has done what it can.
    precision : {"auto", "single", "double", "mixed"}
        Arithmetic of the matrix and its factor: "mixed" factors in float32 and refines to a float64 residual,
        or falls back to "double" where the condition is too bad for it.  Of CG it is that of the products:
        "mixed" takes them in float32 while the residual, measured in float64, follows, and in float64 from
        there on; LSMR is "double" always.  "single" with a `tol` of 1e-4 or more and `advantages` takes the
        products of the residual in float32 as well, and without `sample_weights` those of the gradient, where
        a bound on their rounding is a tenth of `tol`; not with `center` or `momentum`.  "auto" is "mixed"
        where the condition allows it, for systems of 512 rows and more, and for CG on scores of 100,000
        numbers and more, else "double".
    tol : float
        The relative residual at which CG and LSMR stop.
    max_iterations : int, optional
        The most iterations of CG and LSMR; default min(10 min(N, d) + 100, 10,000).
    initial : (d,) array, optional
        The vector that CG or LSMR starts from, such as the last batch's direction; default zero.
    momentum : float
        mu in [0, 1) of SPRING (arXiv 2401.10190): the direction is drawn to mu `previous`, by
        (F + lambda I) x = g + lambda mu previous.  Then direction = S^T sample_weights + mu previous, and a
        `max_kl` is met by x^T F x in place of g^T x.
    previous : (d,) array, optional
        The `direction` of the step before, which is the state of momentum; default zero.
    precondition : bool
        Let CG or LSMR build a preconditioner from a sample of the rows where that pays.
    sample_weights : bool
        Find `NaturalStep.sample_weights`.  It costs a product with S^T, and in CG and LSMR work on vectors of
        N; the step is the same bits without, unless CG in single precision has left the span of the scores by
        more than 1e-6: the direction is then what the weights give, where that solves the system as well.
    memory_limit : float, optional
        Bytes that a matrix to be factored may take, and with several dampings the copy that is kept of it,
        which otherwise is formed again for each; default 40% of the machine's, or of the control group's.
    num_threads : int, optional
        Threads to use; default `fastfisher.get_num_threads()`.  Results are the same bits for any number.

    Returns
    -------
    NaturalStep
        Where `damping` is a sequence, a tuple of them.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above; the message names it, says what was expected and what came.
    OverflowError
        If squared scores leave the range of float64, upwards, or downwards where no damping is above them.
    MemoryError
        If the matrix of the `solver` asked for takes more than `memory_limit`; of an iterator, any d x d one.
    numpy.linalg.LinAlgError
        If the damping is too small for the rounding of the matrix, and neither a small jitter nor raising its
        eigenvalues to the bound on that rounding helps.

    Examples
    --------
    >>> import fastfisher as ff, numpy as np
    >>> rng = np.random.default_rng(0)
    >>> result = ff.natural_step(rng.standard_normal((500, 20)), rng.standard_normal(500), max_kl=0.01)
    >>> result.step.shape, result.residual < 1e-12
    ((20,), True)
    """
    dampings: dict[str, Any] = {"damping": damping}
    if several := _is_sequence(damping):
        dampings = {f"damping[{k}]": value for k, value in enumerate(damping)}  # type: ignore[arg-type]
    if not dampings:
        raise ValueError("damping: expected at least one value, got none")
    share = number(momentum, "momentum", Bounds(at_least=0, below=1))
    if previous is not None and share == 0.0:
        raise TypeError("previous: expected together with momentum > 0, got momentum = 0")
    options: dict[str, Any] = {
        "count": None if count is None else number(count, "count", POSITIVE),
        "dampings": [number(value, name) for name, value in dampings.items()],
        "center": flag(center, "center"),
        "relative_damping": flag(relative_damping, "relative_damping"),
        "max_kl": None if max_kl is None else number(max_kl, "max_kl", POSITIVE),
        "solver": choice(solver, "solver", get_args(Solver)),
        "precision": choice(precision, "precision", get_args(Precision)),
        "tol": number(tol, "tol"),
        "max_iterations": None if max_iterations is None else whole(max_iterations, "max_iterations"),
        "momentum": share,
        "precondition": flag(precondition, "precondition"),
        "sample_weights": flag(sample_weights, "sample_weights"),
        "memory_limit": None if memory_limit is None else number(memory_limit, "memory_limit", POSITIVE),
        "threads": thread_count(num_threads, "num_threads"),
    }
    if is_stream(scores):
        for name, value in (("advantages", advantages), ("weights", weights)):
            if value is not None:
                raise TypeError(
                    f"{name}: expected none beside an iterator, whose items are (scores, advantages) or "
                    f"(scores, advantages, weights), got {type(value).__name__}"
                )
        steps = steps_of_stream(scores, gradient=gradient, initial=initial, previous=previous, **options)
    else:
        matrix = as_scores(scores)  # type: ignore[arg-type]
        samples, parameters = matrix.shape
        if (advantages is None) == (gradient is None):
            given = "neither" if advantages is None else "both"
            raise TypeError(f"advantages, gradient: expected exactly one of them, got {given}")
        steps = natural_steps(
            matrix.native,
            advantages=optional_vector(advantages, samples, "advantages", "row"),
            gradient=optional_vector(gradient, parameters, "gradient", "parameter"),
            weights=None if weights is None else as_weights(weights, samples),
            initial=optional_vector(initial, parameters, "initial", "parameter"),
            previous=optional_vector(previous, parameters, "previous", "parameter"),
            **options,
        )
    for step in steps:
        step["events"] = tuple(map(Event._make, step["events"]))
    results = tuple(NaturalStep(**step) for step in steps)
    return results if several else results[0]


def _is_sequence(value: object) -> bool:
    if isinstance(value, np.ndarray):
        return value.ndim == 1
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))
