"""Factors of a distribution's Fisher matrix with respect to its own parameters: G = sum_k r_k r_k^T.

A root takes the outputs of a function for one sample, and gives the r_k as the same pytree with a new first
axis of m: the cotangents whose pull-backs are the rows of an exact Fisher matrix.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias, get_args

import jax
import jax.numpy as jnp

from ..arguments import choice

Name: TypeAlias = Literal["categorical", "bernoulli", "normal", "identity"]
Root: TypeAlias = Name | Callable[[Any], Any]


def factors_of(root: Root | None, structure: Any) -> Callable[[list[Any]], list[Any]]:
    """Return the factors as a function of the leaves of outputs; without a root the one cotangent of 1.

    A TypeError or ValueError names `root` where it does not fit the outputs' `structure`, a pytree of shapes.
    """
    if root is None:
        return lambda leaves: [jnp.ones((1, *leaf.shape), leaf.dtype) for leaf in leaves]
    tree = jax.tree.structure(structure)
    if callable(root):
        rule = root
    else:
        rule = ROOTS[
            choice(root, "root", get_args(Name), ending=" or a function of the outputs of one sample")
        ]
        if root == "normal":
            _mean_and_log_std(structure)
        elif root == "categorical" and any(not leaf.shape for leaf in jax.tree.leaves(structure)):
            raise ValueError(
                "root: expected logits with a last axis for 'categorical', got an output of shape (N,)"
            )

    def factors(leaves: list[Any]) -> list[Any]:
        found = rule(jax.tree.unflatten(tree, leaves))
        if jax.tree.structure(found) != tree:
            raise ValueError(
                f"root: expected the structure of the outputs, {tree}, got {jax.tree.structure(found)}"
            )
        given = jax.tree.leaves(found)
        m = given[0].shape[:1]
        for factor, leaf in zip(given, leaves, strict=True):
            if factor.shape != (*m, *leaf.shape) or m in ((), (0,)):
                raise ValueError(
                    f"root: expected the outputs' shape of one sample, {leaf.shape}, after a first "
                    f"axis of m >= 1, got {factor.shape}"
                )
        return [factor.astype(leaf.dtype) for factor, leaf in zip(given, leaves, strict=True)]

    return factors


def categorical(logits: Any) -> Any:
    """sqrt(p_k) (e_k - p), for each choice k: the sum of their outer products is diag(p) - p p^T."""

    def of_one(values: Any) -> Any:
        flat = values.reshape(-1, values.shape[-1])
        p = jax.nn.softmax(flat)  # (choices, K)
        rows = jnp.sqrt(p)[:, :, None] * (jnp.eye(p.shape[1], dtype=p.dtype) - p[:, None, :])
        return _apart(rows).reshape(-1, *values.shape)

    return _side_by_side(of_one, logits)


def bernoulli(logits: Any) -> Any:
    """sqrt(p (1 - p)) e_k, for each bit k."""
    return _side_by_side(
        lambda z: _diagonal(jnp.exp((jax.nn.log_sigmoid(z) + jax.nn.log_sigmoid(-z)) / 2)), logits
    )


def normal(outputs: Any) -> Any:
    """e_k / sigma_k for the means and sqrt(2) e_k for the logarithms of sigma."""
    _, log_std = _mean_and_log_std(outputs)
    of_mean, of_log_std = _diagonal(jnp.exp(-log_std)), _diagonal(jnp.full_like(log_std, jnp.sqrt(2.0)))
    both = (
        jnp.concatenate([of_mean, jnp.zeros_like(of_mean)]),
        jnp.concatenate([jnp.zeros_like(of_log_std), of_log_std]),
    )
    if isinstance(outputs, Mapping):
        return type(outputs)(mean=both[0], log_std=both[1])  # type: ignore[call-arg]
    return jax.tree.unflatten(jax.tree.structure(outputs), both)


def identity(outputs: Any) -> Any:
    """e_k, for each number k: F is the Gauss-Newton matrix J^T J / N."""
    return _side_by_side(lambda values: _diagonal(jnp.ones_like(values)), outputs)


ROOTS: dict[str, Callable[[Any], Any]] = {
    "categorical": categorical,
    "bernoulli": bernoulli,
    "normal": normal,
    "identity": identity,
}


def _diagonal(values: Any) -> Any:
    """Return an array of each of the numbers, zero elsewhere, along a new first axis."""
    return jnp.diag(values.ravel()).reshape(-1, *values.shape)


def _apart(rows: Any) -> Any:
    """Return the rows of each of several choices, (C, K, K), as rows on all of them, (C K, C, K)."""
    choices = len(rows)
    apart = jnp.einsum("ckj,cb->ckbj", rows, jnp.eye(choices, dtype=rows.dtype))
    return apart.reshape(-1, choices, rows.shape[2])


def _side_by_side(root: Callable[[Any], Any], outputs: Any) -> Any:
    """Return the factors of independent arrays: of each in turn, zero on the others."""
    leaves, structure = jax.tree.flatten(outputs)
    found = [root(leaf) for leaf in leaves]
    padded = [
        jnp.concatenate(
            [
                own if k == j else jnp.zeros((len(other), *own.shape[1:]), own.dtype)
                for j, other in enumerate(found)
            ]
        )
        for k, own in enumerate(found)
    ]
    return jax.tree.unflatten(structure, padded)


def _mean_and_log_std(outputs: Any) -> tuple[Any, Any]:
    if isinstance(outputs, Mapping) and set(outputs) == {"mean", "log_std"}:
        found = outputs["mean"], outputs["log_std"]
    elif isinstance(outputs, (tuple, list)) and len(outputs) == 2:
        found = outputs[0], outputs[1]
    else:
        raise TypeError(
            "root: expected outputs (mean, log_std), or a dict of these two, for 'normal', got "
            f"{jax.tree.structure(outputs)}"
        )
    if found[0].shape != found[1].shape:
        raise ValueError(
            "root: expected mean and log_std of one shape for 'normal', broadcast where they are not, got "
            f"{found[0].shape} and {found[1].shape} a sample"
        )
    return found
