"""Scores of a function: traced, planned and compiled once for each function and each shape."""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax

from ..arguments import Bounds, flag, whole
from .arguments import Parameters, check_log_prob, check_outputs, one_row, parameters_of, rows_of
from .certificate import Certificate, tolerance
from .roots import Root, factors_of
from .rows import Plan, chunk_for, compiled_rows, plan_of, trace
from .scores import JaxScores


def scores(
    log_prob: Callable[..., Any],
    params: Any,
    *batch: Any,
    chunk: int | None = None,
    check: bool | None = None,
) -> JaxScores:
    """Return the scores of a function of parameters and samples.

    Parameters
    ----------
    log_prob : callable
        ``log_prob(params, *batch) -> (N,)``, an entry a sample, which depends on that sample alone: also
        where the batch has one row.  It is compiled at its first call with given shapes, and known by its
        identity, as by `jax.jit`: a lambda that is written in a loop is compiled in each turn, and what a
        function closes over is read once.
    params : pytree of arrays of real floats
        As of flax, haiku, equinox, or a dict.
    *batch : pytrees of arrays
        Observations, actions, random keys; each array has N rows.
    chunk : int, optional
        The most samples that are worked on at once; default as many as need about a gigabyte beside the
        scores.
    check : bool, optional
        Compare S^T w, for random w, with the gradient that JAX has of the sum of w log_prob: True always,
        False never; default at the first call of a function with given shapes.

    Returns
    -------
    JaxScores
        Of shape (N, d), columns in the order of `jax.flatten_util.ravel_pytree`.

    Raises
    ------
    TypeError, ValueError
        If a leaf of `params` is no array of real floats, arrays of the batch have different rows, or
        `log_prob` does not return (N,); the message names the leaf.
    ScoresMismatchError
        If the comparison fails, as where samples depend on each other: a batch norm, an advantage that is
        standardized inside of `log_prob`.

    Examples
    --------
    >>> import fastfisher.jax as ffj, jax, jax.numpy as jnp
    >>> def log_prob(params, obs, actions):
    ...     logits = jnp.tanh(obs @ params["w1"]) @ params["w2"]
    ...     return jnp.take_along_axis(jax.nn.log_softmax(logits), actions[:, None], 1)[:, 0]
    >>> params = {"w1": jnp.full((4, 8), 0.1), "w2": jnp.full((8, 3), 0.1)}
    >>> S = ffj.scores(log_prob, params, jnp.ones((10, 4)), jnp.arange(10) % 3)
    >>> S.shape, S.names
    ((10, 56), ("params['w1']", "params['w2']"))
    """
    return _scores(log_prob, "log_prob", None, params, batch, chunk, check)


def fisher_scores(
    outputs: Callable[..., Any],
    root: Root,
    params: Any,
    *batch: Any,
    chunk: int | None = None,
    check: bool | None = None,
) -> JaxScores:
    """Return rows whose Gram matrix over N is the exact Fisher matrix: the Hessian of the mean KL divergence.

    With z_n the parameters of the distribution of sample n, such as logits, J_n their Jacobian, and G(z) the
    Fisher matrix of the distribution with respect to them, F = sum_n J_n^T G(z_n) J_n / N.  For G = sum_k r_k
    r_k^T the rows are r_k^T J_n, m for each sample: m backward passes in one.

    Parameters
    ----------
    outputs : callable
        ``outputs(params, *batch)``, a pytree of arrays with N rows: the distributions' parameters.
    root : {"categorical", "bernoulli", "normal", "identity"} or callable
        G's factors.  "categorical": each array holds logits along its last axis, several arrays, or axes
        before the last, several independent choices.  "bernoulli": logits of independent bits.  "normal":
        (mean, log_std), or a dict of these two; a log_std that is no function of the sample is broadcast to
        the mean.  "identity": G = 1, the Gauss-Newton matrix of least squares.
        A callable takes the outputs of one sample, and returns them with a new first axis of m: the r_k.
    params, *batch, chunk, check
        As of `scores`.

    Returns
    -------
    JaxScores
        Of shape (N m, d): row n m + k is r_k^T J_n.  Its `count` is N, by which `natural_step` divides, and
        its `natural_step` takes a ``gradient``: that of sampled scores is their
        ``mean_gradient(advantages)``.

    Raises
    ------
    TypeError, ValueError
        As of `scores`; also where `root` and `outputs` do not fit together.
    ScoresMismatchError
        As of `scores`.

    Examples
    --------
    >>> import fastfisher.jax as ffj, jax.numpy as jnp
    >>> logits = lambda params, obs: obs @ params
    >>> R = ffj.fisher_scores(logits, "categorical", jnp.ones((4, 3)), jnp.ones((10, 4)))
    >>> R.shape, R.count
    ((30, 12), 10)
    """
    return _scores(outputs, "outputs", root, params, batch, chunk, check)


@dataclass(frozen=True)
class Compiled:
    """What is kept of a function: never the function itself, so that it can go."""

    rows: Any
    plan: Plan
    parameters: Parameters
    certificate: Certificate


KEPT = 64
"""Shapes for which one function's compiled rows are kept, the last ones used."""


class Kept:
    """What is kept of each object for as long as it lives.

    An object is known by its identity: two that call themselves equal may compute different things, and one
    that has no hash, such as a dataclass, can be known as well as any.
    """

    def __init__(self) -> None:
        self._entries: dict[int, tuple[weakref.ref[Any], OrderedDict[Any, Compiled]]] = {}

    def __getitem__(self, owner: Any) -> OrderedDict[Any, Compiled]:
        """Return what is kept of an object, by all else that it depends on."""
        place = id(owner)
        entry = self._entries.get(place)
        if entry is None or entry[0]() is not owner:
            entry = weakref.ref(owner, lambda _: self._entries.pop(place, None)), OrderedDict()
            self._entries[place] = entry
        return entry[1]

    def __len__(self) -> int:
        return len(self._entries)


_kept = Kept()
"""Of functions, and of the objects that a function is a method of."""


def _scores(
    function: Callable[..., Any],
    name: str,
    root: Root | None,
    params: Any,
    batch: Sequence[Any],
    chunk: int | None,
    check: bool | None,
) -> JaxScores:
    if chunk is not None:
        chunk = whole(chunk, "chunk", Bounds(at_least=1))
    if check is not None:
        check = flag(check, "check", ending=" or None")
    leaves, structure = jax.tree.flatten(params)
    samples, layout = jax.tree.flatten(tuple(batch))
    if not all(hasattr(leaf, "dtype") and not isinstance(leaf, jax.core.Tracer) for leaf in leaves + samples):
        rows_of(batch)
        leaves = parameters_of(params).leaves  # numbers as arrays; else an error
    reference = _reference(function, name)
    kept = _kept[reference.owner()]
    shapes = tuple((leaf.shape, leaf.dtype) for leaf in leaves + samples)
    key = (reference.method, root, structure, layout, shapes, chunk, bool(jax.config.jax_enable_x64))
    compiled = kept.get(key)
    first = compiled is None
    if compiled is None:
        params = jax.tree.unflatten(structure, leaves)
        compiled = _compile(function, reference, name, root, params, tuple(batch), chunk)
    blocks = compiled.rows(leaves, tuple(batch))
    count = samples[0].shape[0]
    found = JaxScores.of_rows(blocks, compiled.plan, compiled.parameters, count, sampled=root is None)
    if check or (first and check is None):
        compiled.certificate.hold(found, leaves, tuple(batch))
    kept[key] = compiled
    kept.move_to_end(key)
    if len(kept) > KEPT:
        kept.popitem(last=False)
    return found


def _compile(
    function: Callable[..., Any],
    reference: Reference,
    name: str,
    root: Root | None,
    params: Any,
    batch: tuple[Any, ...],
    chunk: int | None,
) -> Compiled:
    parameters = parameters_of(params)
    rows = rows_of(batch)
    checked = check_log_prob if root is None else check_outputs
    returned = checked(function, params, batch, rows)

    def of_sample(leaves: Any, sample: Any) -> Any:
        params = jax.tree.unflatten(parameters.structure, leaves)
        return one_row(function(params, *jax.tree.map(lambda leaf: leaf[None], sample)), returned, name)

    # Shapes and dtypes as JAX takes them, without the rows.
    shapes = jax.eval_shape(lambda *given: given, parameters.leaves, batch)
    sample = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), shapes[1])
    program, structure = trace(of_sample, shapes[0], sample)
    plan = plan_of(program, len(parameters.leaves))
    if len(plan.unused) == len(parameters.leaves):
        raise ValueError(f"{name}: expected a function of params, got one that does not depend on them")
    factors = factors_of(root, structure)
    cotangents = jax.eval_shape(factors, [program.shapes[slot] for slot in program.outputs])
    if chunk is None:
        chunk = chunk_for(program, len(cotangents[0]))
    known = parameters._replace(leaves=[jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in shapes[0]])
    certificate = Certificate(reference, known, factors, tolerance(program))
    return Compiled(compiled_rows(program, plan, factors, chunk), plan, known, certificate)


@dataclass(frozen=True)
class Reference:
    """A function that is not kept alive."""

    owner: Callable[[], Any]
    method: Any

    def __call__(self, *arguments: Any) -> Any:
        """Call the function."""
        owner = self.owner()
        return owner(*arguments) if self.method is None else self.method(owner, *arguments)


def _reference(function: Callable[..., Any], name: str) -> Reference:
    """Return a function by its identity; a method, which is a new object at each look, by its object's."""
    if not callable(function):
        raise TypeError(f"{name}: expected a function of (params, *batch), got {type(function).__name__}")
    method = getattr(function, "__func__", None)
    owner = function if method is None else function.__self__  # type: ignore[attr-defined]
    try:
        return Reference(weakref.ref(owner), method)
    except TypeError as error:
        raise TypeError(
            f"{name}: expected a function that can be referred to weakly, got {type(owner).__name__}: "
            f"{error}; write def f(params, *batch) around it"
        ) from None
