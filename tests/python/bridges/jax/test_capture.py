"""What is refused, by name; what is kept of a function; and the certificate."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest

jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
from jax.flatten_util import ravel_pytree  # noqa: E402

import fastfisher.jax as ffj  # noqa: E402
from fastfisher.jax import capture  # noqa: E402

from .helpers import by_vmap, enable_x64, relative_error  # noqa: E402

N = 12
PARAMS = {"w": jnp.arange(8.0).reshape(4, 2) / 8.0, "b": jnp.asarray([0.1, -0.2])}
OBS = jnp.asarray(np.random.default_rng(0).standard_normal((N, 4)), jnp.float32)


def log_prob(params: Any, obs: Any) -> Any:
    return -(jnp.tanh(obs @ params["w"] + params["b"]) ** 2).sum(1)


def test_columns_are_those_of_ravel_pytree() -> None:
    S = ffj.scores(log_prob, PARAMS, OBS)
    assert S.names == ("params['b']", "params['w']")
    assert S.shape == S.scores.shape == (N, 10)
    assert len(S) == S.count == N
    assert relative_error(S.scores.to_dense(), by_vmap(log_prob, PARAMS, OBS)) < 1e-6
    A = np.random.default_rng(1).standard_normal(N)
    gradient = jax.grad(lambda p: (jnp.asarray(A, jnp.float32) * log_prob(p, OBS)).mean())(PARAMS)
    assert relative_error(S.flatten(gradient), np.asarray(ravel_pytree(gradient)[0])) == 0.0
    assert relative_error(S.mean_gradient(A), S.flatten(gradient)) < 1e-6
    by_advantages, by_gradient = (
        S.natural_step(A, max_kl=0.01),
        S.natural_step(gradient=gradient, max_kl=0.01),
    )
    assert relative_error(by_gradient.step, by_advantages.step) < 1e-4
    assert "w" in repr(S)
    assert "4 x 2" in repr(S)


def test_a_step_is_added_and_taken_apart() -> None:
    S = ffj.scores(log_prob, PARAMS, OBS)
    step = np.arange(10.0)
    assert S.flatten(step) is not None
    moved = S.add(PARAMS, step, scale=-0.5)
    assert jax.tree.structure(moved) == jax.tree.structure(PARAMS)
    np.testing.assert_allclose(ravel_pytree(moved)[0], ravel_pytree(PARAMS)[0] - 0.5 * step, rtol=1e-6)
    assert moved["w"].dtype == PARAMS["w"].dtype
    assert S.unflatten(step)["w"][1, 0] == 4.0
    with pytest.raises(ValueError, match=r"step: expected shape \(10,\)"):
        S.add(PARAMS, step[:3])
    with pytest.raises(ValueError, match="params: expected the structure"):
        S.add({"w": PARAMS["w"]}, step)
    with pytest.raises(ValueError, match=r"params: expected shape \(2,\) for params\['b'\]"):
        S.add({**PARAMS, "b": jnp.zeros(3)}, step)


def test_columns_of_two_functions_side_by_side() -> None:
    first, second = (
        ffj.scores(log_prob, PARAMS, OBS),
        ffj.scores(lambda w, x: jnp.sin(x @ w), jnp.ones(4), OBS),
    )
    both = first + second
    assert both.shape == (N, 14)
    assert both.names == (*first.names, "params")
    step = np.arange(14.0)
    p, w = both.add((PARAMS, jnp.ones(4)), step)
    np.testing.assert_allclose(w, 1.0 + step[10:])
    np.testing.assert_allclose(p["b"], PARAMS["b"] + step[:2])
    assert relative_error(both.flatten(both.unflatten(step)), step) == 0.0
    with pytest.raises(ValueError, match=r"sampled scores of 12 samples side by side.*got.*of 5"):
        first + ffj.scores(log_prob, PARAMS, OBS[:5])
    with pytest.raises(TypeError, match="expected a tuple of 2 pytrees"):
        both.add(PARAMS, step)


@pytest.mark.parametrize(
    ("function", "params", "batch", "error", "message"),
    [
        (lambda p, x: x @ p["w"], PARAMS, (OBS,), ValueError, r"\(12,\), .* got shape \(12, 2\)"),
        (lambda p, x: (x @ p["w"]).sum(), PARAMS, (OBS,), ValueError, r"got shape \(\)"),
        (lambda p, x: (x @ p["w"], 0.0), PARAMS, (OBS,), TypeError, "log_prob: .* got tuple"),
        (lambda p, x: 1j * log_prob(p, x), PARAMS, (OBS,), ValueError, "got shape .* complex64"),
        (lambda p, x: x.sum(1), PARAMS, (OBS,), ValueError, "log_prob: .*does not depend"),
        (lambda p, x: log_prob(p, OBS) + x[:, 0], PARAMS, (OBS,), ValueError, "of one sample.*closes"),
        (log_prob, {**PARAMS, "n": jnp.arange(3)}, (OBS,), TypeError, r"params\['n'\]: .* int32"),
        (log_prob, {**PARAMS, "f": jnp.tanh}, (OBS,), TypeError, r"params\['f'\]: .*equinox.partition"),
        (log_prob, {**PARAMS, "z": jnp.ones(2) * 1j}, (OBS,), TypeError, r"params\['z'\]: .* complex64"),
        (log_prob, {}, (OBS,), ValueError, "params: expected a pytree with at least one array"),
        (lambda p: p["b"], PARAMS, (), ValueError, "batch: expected at least one array"),
        (lambda p, x, y: x @ p["b"], PARAMS, (OBS, OBS[:5]), ValueError, r"batch\[1\]: expected 12 rows"),
        (lambda p, x, c: c * log_prob(p, x), PARAMS, (OBS, 0.5), TypeError, r"batch\[1\]: .* got 0.5; close"),
        (lambda p, x, k: log_prob(p, x), PARAMS, (OBS, jax.random.key(0)), TypeError, r"batch\[1\]: .*split"),
        (log_prob, PARAMS, (OBS[:0],), ValueError, "at least one row"),
        ("log_prob", PARAMS, (OBS,), TypeError, "log_prob: expected a function"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(
    function: Any, params: Any, batch: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        ffj.scores(function, params, *batch)


def test_options_are_checked() -> None:
    with pytest.raises(ValueError, match="chunk: expected a whole number >= 1"):
        ffj.scores(log_prob, PARAMS, OBS, chunk=0)
    with pytest.raises(TypeError, match="check: expected True or False or None"):
        ffj.scores(log_prob, PARAMS, OBS, check=1)  # type: ignore[arg-type]


def test_a_call_under_jit_is_refused() -> None:
    ffj.scores(log_prob, PARAMS, OBS)  # compiled, and yet
    with pytest.raises(TypeError, match=r"params\['b'\]: .*outside of jit"):
        jax.jit(lambda p: ffj.scores(log_prob, p, OBS).shape[0])(PARAMS)
    with pytest.raises(TypeError, match=r"batch\[0\]: .*outside of jit"):
        jax.jit(lambda x: ffj.scores(log_prob, PARAMS, x).shape[0])(OBS)


def test_what_is_not_finite_is_named() -> None:
    bad = OBS.at[3, 1].set(jnp.nan)
    with pytest.raises(ValueError, match=r"scores: expected finite values, got NaN or Inf for params\["):
        ffj.scores(log_prob, PARAMS, bad, check=True)
    S = ffj.scores(log_prob, PARAMS, bad, check=False)
    with pytest.raises(ValueError, match=r"NaN or Inf for params\["):
        S.natural_step(np.ones(N))


def batch_norm(params: Any, obs: Any) -> Any:
    z = obs @ params["w"]
    return log_prob(params, obs) + ((z - z.mean(0)) / jnp.sqrt(z.var(0) + 1e-5)).sum(1)


def centred(params: Any, obs: Any) -> Any:
    values = log_prob(params, obs)
    return values - values.mean()


def shuffled(params: Any, obs: Any) -> Any:
    return log_prob(params, obs) * jnp.roll(log_prob(params, obs), 1)


def one_key(params: Any, obs: Any) -> Any:
    noise = jax.random.normal(jax.random.PRNGKey(0), obs.shape)
    return log_prob(params, obs + noise)


@pytest.mark.parametrize("function", [batch_norm, centred, shuffled, one_key])
def test_samples_that_depend_on_each_other_are_found(function: Callable[..., Any]) -> None:
    for _ in range(2):  # what has failed is not taken for checked
        with pytest.raises(ffj.ScoresMismatchError, match=r"params\['[bw]'\]: .*that sample alone"):
            ffj.scores(function, PARAMS, OBS)
    assert ffj.scores(function, PARAMS, OBS, check=False).shape == (N, 10)


def test_a_parameter_without_influence_passes_the_certificate() -> None:
    """Reported of attention: a key's bias shifts all logits alike, and its gradient is rounding alone."""

    def shifted(params: Any, obs: Any) -> Any:
        return jax.nn.log_softmax(obs * 3.0 + params["b"][0])[:, 0] + log_prob(params, obs)

    assert ffj.scores(shifted, PARAMS, OBS, check=True).shape == (N, 10)


def test_a_function_is_compiled_once_a_shape_and_not_kept_alive() -> None:
    calls = []

    def counted(params: Any, obs: Any) -> Any:
        calls.append(obs.shape)
        return log_prob(params, obs)

    for _ in range(3):
        ffj.scores(counted, PARAMS, OBS)
    traced = len(calls)
    assert 1 <= traced <= 4
    ffj.scores(counted, PARAMS, OBS + 1.0, check=True)
    ffj.scores(counted, PARAMS, OBS + 2.0, check=True)
    assert len(calls) == traced
    assert len(capture._kept[counted]) == 1
    ffj.scores(counted, PARAMS, OBS[:5])
    assert len(calls) > traced
    alive = weakref.ref(counted)
    del counted
    jax.clear_caches()
    gc.collect()
    assert alive() is None


def test_lambdas_do_not_collide() -> None:
    found = [
        ffj.scores(lambda p, x, k=k: k * log_prob(p, x), PARAMS, OBS).scores.to_dense() for k in (1.0, 2.0)
    ]
    np.testing.assert_allclose(2.0 * found[0], found[1], rtol=1e-6)


class Agent:
    """A method is a new object at each look."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def log_prob(self, params: Any, obs: Any) -> Any:
        return self.factor * log_prob(params, obs)


def test_a_method_is_known_by_its_object() -> None:
    agents = Agent(1.0), Agent(2.0)
    found = [ffj.scores(agent.log_prob, PARAMS, OBS, check=True).scores.to_dense() for agent in agents * 2]
    np.testing.assert_allclose(2.0 * found[0], found[1], rtol=1e-6)
    assert len(capture._kept[agents[0]]) == 1


class Equal(Agent):
    """Calls itself equal to all others, with the hash that goes with it."""

    def __call__(self, params: Any, obs: Any) -> Any:
        return self.log_prob(params, obs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Equal)

    def __hash__(self) -> int:
        return 1


class Unhashable(Equal):
    """As an ordinary dataclass is, which compares its fields."""

    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize("kind", [Equal, Unhashable])
@pytest.mark.parametrize("method", [False, True])
def test_objects_that_are_equal_are_not_taken_for_each_other(kind: type[Equal], method: bool) -> None:
    objects = kind(1.0), kind(2.0)
    functions = [each.log_prob if method else each for each in objects]
    found = [ffj.scores(function, PARAMS, OBS).scores.to_dense() for function in functions]
    np.testing.assert_allclose(2.0 * found[0], found[1], rtol=1e-6)
    kept = len(capture._kept)
    del objects, functions
    gc.collect()
    assert len(capture._kept) <= kept - 2


def test_compiled_functions_and_other_shapes_of_arrays() -> None:
    wanted = by_vmap(log_prob, PARAMS, OBS)
    compiled = jax.jit(log_prob)
    assert relative_error(ffj.scores(compiled, PARAMS, OBS).scores.to_dense(), wanted) < 1e-6
    of_numpy = {name: np.asarray(leaf) for name, leaf in PARAMS.items()}
    S = ffj.scores(log_prob, of_numpy, np.asarray(OBS, dtype=np.float64))
    assert relative_error(S.scores.to_dense(), wanted) < 1e-6
    assert relative_error(np.asarray(S.add(of_numpy, np.ones(10))["b"]), np.asarray(PARAMS["b"]) + 1.0) < 1e-6


def test_a_python_number_is_a_parameter() -> None:
    S = ffj.scores(lambda p, x: p["scale"] * x.sum(1), {"scale": 2.0}, OBS)
    np.testing.assert_allclose(S.scores.to_dense()[:, 0], OBS.sum(1), rtol=1e-6)


def test_sixteen_bits() -> None:
    halves = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), PARAMS)
    S = ffj.scores(log_prob, halves, OBS.astype(jnp.bfloat16))
    assert {block.dtype for block in jax.tree.leaves(S.blocks)} == {np.dtype(np.float32)}
    assert relative_error(S.scores.to_dense(), by_vmap(log_prob, PARAMS, OBS)) < 0.05
    assert S.add(halves, S.natural_step(np.ones(N)).step)["w"].dtype == jnp.bfloat16


def test_double_precision_switched_on_later() -> None:
    ffj.scores(log_prob, PARAMS, OBS)
    with enable_x64(True):
        doubles = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), PARAMS)
        obs = jnp.asarray(OBS, jnp.float64)
        S = ffj.scores(log_prob, doubles, obs)
        assert relative_error(S.scores.to_dense(), by_vmap(log_prob, doubles, obs)) < 1e-13
        assert relative_error(ffj.scores(log_prob, PARAMS, OBS).scores.to_dense(), S.scores.to_dense()) < 1e-6


def test_blocks_are_views_of_what_jax_computed() -> None:
    S = ffj.scores(log_prob, PARAMS, OBS)
    bias, (inputs, errors) = S.blocks
    assert np.shares_memory(bias, errors)
    assert not bias.flags.owndata
    assert not inputs.flags.owndata


@pytest.mark.parametrize("chunk", [1, 5, 12, 100])
def test_chunks_give_the_same_rows(chunk: int) -> None:
    assert relative_error(
        ffj.scores(log_prob, PARAMS, OBS, chunk=chunk).scores.to_dense(), by_vmap(log_prob, PARAMS, OBS)
    ) < 1e-6  # fmt: skip
