"""The exact Fisher matrix is the Hessian of the mean KL divergence, and Gauss-Newton's is J^T J / N."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
from jax.flatten_util import ravel_pytree  # noqa: E402

import fastfisher.jax as ffj  # noqa: E402

from .helpers import enable_x64, relative_error  # noqa: E402

N = 9


def network(params: Any, obs: Any) -> Any:
    return jnp.tanh(obs @ params["w1"] + params["b1"]) @ params["w2"].T + params["b2"]


def parameters(outputs: int) -> Any:
    rng = np.random.default_rng(outputs)
    draw = lambda *shape: jnp.asarray(0.7 * rng.standard_normal(shape))  # noqa: E731
    return {
        "w1": draw(4, 5),
        "b1": draw(5),
        "w2": draw(outputs, 5),
        "b2": draw(outputs),
        "log_std": draw(outputs),
    }


def categorical_kl(p: Any, q: Any) -> Any:
    before, after = jax.nn.log_softmax(p), jax.nn.log_softmax(q)
    return (jnp.exp(before) * (before - after)).sum(-1)


def logits(params: Any, obs: Any) -> Any:
    return network(params, obs)


def several_choices(params: Any, obs: Any) -> Any:
    z = network(params, obs)
    return {"one": z[:, :2], "two": z[:, 2:].reshape(len(z), 2, 2)}


def several_kl(p: Any, q: Any) -> Any:
    return categorical_kl(p["one"], q["one"]) + categorical_kl(p["two"], q["two"]).sum(1)


def bernoulli_kl(p: Any, q: Any) -> Any:
    def of(p: Any, q: Any) -> Any:
        return categorical_kl(jnp.stack([p, 0 * p], -1), jnp.stack([q, 0 * q], -1))

    return of(p, q).sum(1)


def normal(params: Any, obs: Any) -> Any:
    mean = network(params, obs)
    return mean, jnp.broadcast_to(params["log_std"], mean.shape)


def normal_by_name(params: Any, obs: Any) -> Any:
    mean = network(params, obs)
    return {"log_std": 0.3 * mean**2 + params["log_std"], "mean": mean}


def normal_kl(p: Any, q: Any) -> Any:
    mean, log_std = (p["mean"], p["log_std"]) if isinstance(p, dict) else p
    new_mean, new_log_std = (q["mean"], q["log_std"]) if isinstance(q, dict) else q
    variance = jnp.exp(2 * log_std) + (mean - new_mean) ** 2
    return (new_log_std - log_std + variance / (2 * jnp.exp(2 * new_log_std)) - 0.5).sum(-1)


def squares(p: Any, q: Any) -> Any:
    return 0.5 * ((p - q) ** 2).sum(-1)


def in_thirds(outputs: Any) -> Any:
    """G = 1 by three factors for each of its own."""
    eye = jnp.eye(len(outputs)) / jnp.sqrt(3.0)
    return jnp.concatenate([eye, eye, eye])


@pytest.mark.parametrize(
    ("outputs", "root", "kl", "size", "rows"),
    [
        (logits, "categorical", categorical_kl, 3, 3),
        (several_choices, "categorical", several_kl, 6, 6),
        (logits, "bernoulli", bernoulli_kl, 3, 3),
        (normal, "normal", normal_kl, 2, 4),
        (normal_by_name, "normal", normal_kl, 2, 4),
        (logits, "identity", squares, 2, 2),
        (logits, in_thirds, squares, 2, 6),
    ],
)
@pytest.mark.parametrize("chunk", [None, 4])
def test_gram_matrix_is_the_hessian_of_the_kl(
    outputs: Callable[..., Any], root: Any, kl: Callable[..., Any], size: int, rows: int, chunk: int | None
) -> None:
    with enable_x64(True):
        params = parameters(size)
        obs = jnp.asarray(np.random.default_rng(0).standard_normal((N, 4)))
        R = ffj.fisher_scores(outputs, root, params, obs, check=True, chunk=chunk)
        flat, unravel = ravel_pytree(params)
        assert R.shape == (N * rows, len(flat))
        assert R.count == N
        before = outputs(params, obs)
        hessian = jax.hessian(lambda v: kl(before, outputs(unravel(v), obs)).mean())(flat)
        assert relative_error(R.scores.fisher(count=N), np.asarray(hessian)) < 1e-10

        gradient = np.random.default_rng(1).standard_normal(len(flat))
        result = R.natural_step(gradient=unravel(jnp.asarray(gradient)), damping=0.1)
        wanted = np.linalg.solve(hessian + 0.1 * np.eye(len(flat)), gradient)
        assert relative_error(result.direction, wanted) < 1e-10


def test_rows_share_the_inputs_of_a_kernel() -> None:
    params, obs = parameters(3), jnp.ones((N, 4))
    R = ffj.fisher_scores(logits, "categorical", params, obs)
    kinds = dict(zip(R.names, R.blocks, strict=True))
    inputs, errors = kinds["params['w1']"]
    assert (inputs.shape, errors.shape) == ((N, 4), (N, 3, 5))
    assert np.shares_memory(kinds["params['b1']"], errors)
    assert not kinds["params['log_std']"].any()  # logits do not depend on it


def test_what_does_not_fit_is_named() -> None:
    params, obs = parameters(3), jnp.ones((N, 4))
    scores = ffj.fisher_scores
    with pytest.raises(ValueError, match=r"root: expected one of 'categorical'.* or a function"):
        scores(logits, "cauchy", params, obs)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"root: expected outputs \(mean, log_std\)"):
        scores(logits, "normal", params, obs)
    with pytest.raises(ValueError, match="root: expected mean and log_std of one shape"):
        scores(lambda p, x: (network(p, x), network(p, x)[:, :1]), "normal", params, obs)
    with pytest.raises(ValueError, match=r"root: .*last axis.* shape \(N,\)"):
        scores(lambda p, x: network(p, x)[:, 0], "categorical", params, obs)
    with pytest.raises(ValueError, match=r"root: .*first axis of m >= 1, got \(3,\)"):
        scores(logits, lambda z: z, params, obs)
    with pytest.raises(ValueError, match="root: expected the structure"):
        scores(logits, lambda z: (z[None], z[None]), params, obs)
    with pytest.raises(ValueError, match=r"outputs: .*got shape .*int32"):
        scores(lambda p, x: jnp.argmax(network(p, x), 1), "identity", params, obs)
    with pytest.raises(ffj.ScoresMismatchError):
        scores(
            lambda p, x: network(p, x - x.mean(0)),
            "identity",
            params,
            obs + jnp.arange(N * 4.0).reshape(N, 4),
        )


def test_advantages_are_of_sampled_actions() -> None:
    params, obs = parameters(3), jnp.ones((N, 4))
    R = ffj.fisher_scores(logits, "categorical", params, obs)
    with pytest.raises(TypeError, match="advantages: expected a gradient instead"):
        R.natural_step(np.ones(N))
    with pytest.raises(TypeError, match="sampled actions, got rows of an exact Fisher"):
        R.mean_gradient(np.ones(N))
    with pytest.raises(ValueError, match="rows of an exact Fisher matrix of 9 samples side by side"):
        R + ffj.scores(lambda p, x: network(p, x)[:, 0], params, obs)
