"""Policies of many kinds: log_prob, its parameters, a batch, and how many of the scores are pairs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest


class Model(NamedTuple):
    """A policy and a batch of it."""

    log_prob: Callable[..., Any]
    params: Any
    batch: tuple[Any, ...]
    pairs: int
    """How many of its parameters have scores that are pairs of factors."""


class Sizes(NamedTuple):
    """What an architecture is drawn by."""

    samples: int
    width: int
    outputs: int
    dtype: Any
    seed: int

    def draw(self, *shape: int) -> Any:
        """Return normal numbers, the same for the same seed and shape."""
        rng = np.random.default_rng((self.seed, *shape))
        scale = 1.0 / np.sqrt(shape[0]) if len(shape) > 1 else 0.3
        return jnp.asarray(scale * rng.standard_normal(shape), self.dtype)

    def data(self, *shape: int) -> Any:
        """Return observations."""
        rng = np.random.default_rng((self.seed + 1, *shape))
        return jnp.asarray(rng.standard_normal((self.samples, *shape)), self.dtype)

    @property
    def key(self) -> Any:
        """Return a random key."""
        return jax.random.PRNGKey(self.seed)


def gaussian(mean: Any, log_std: Any, actions: Any) -> Any:
    """log pi of normal actions, but for a constant."""
    return (-0.5 * ((actions - mean) * jnp.exp(-log_std)) ** 2 - log_std).sum(-1)


def _gaussian_of(network: Callable[..., Any], net: Any, s: Sizes, pairs: int, *obs: Any) -> Model:
    params = {"net": net, "log_std": s.draw(s.outputs)}

    def log_prob(params: Any, obs: Any, actions: Any) -> Any:
        return gaussian(network(params["net"], obs), params["log_std"], actions)

    return Model(log_prob, params, (*obs, s.data(s.outputs)), pairs)


def plain(s: Sizes) -> Model:
    net = [(s.draw(5, s.width), s.draw(s.width)), (s.draw(s.width, s.outputs), s.draw(s.outputs))]

    def network(net: Any, x: Any) -> Any:
        (w1, b1), (w2, b2) = net
        return jnp.tanh(x @ w1 + b1) @ w2 + b2

    return _gaussian_of(network, net, s, 2, s.data(5))


def transposed(s: Sizes) -> Model:
    """As PyTorch has it, x W^T + b, and a matrix that no bias follows."""
    net = {"w1": s.draw(s.width, 5), "b1": s.draw(s.width), "w2": s.draw(s.outputs, s.width)}
    return _gaussian_of(lambda p, x: jnp.tanh(x @ p["w1"].T + p["b1"]) @ p["w2"].T, net, s, 2, s.data(5))


def residual(s: Sizes) -> Model:
    """One product's result goes two ways: its errors are not those of the bias that follows one of them."""
    net = {"w1": s.draw(5, s.width), "b": s.draw(s.width), "w2": s.draw(s.width, s.outputs)}

    def network(p: Any, x: Any) -> Any:
        z = x @ p["w1"]
        return (jax.nn.relu(z + p["b"]) + jnp.sin(z)) @ p["w2"]

    return _gaussian_of(network, net, s, 2, s.data(5))


def reused(s: Sizes) -> Model:
    """One kernel and one bias, twice."""
    net = {"w": s.draw(s.width, s.width), "b": s.draw(s.width), "out": s.draw(s.width, s.outputs)}

    def network(p: Any, x: Any) -> Any:
        for _ in range(2):
            x = jnp.tanh(x @ p["w"] + p["b"])
        return x @ p["out"]

    return _gaussian_of(network, net, s, 1, s.data(s.width))


def tied(s: Sizes) -> Model:
    """An autoencoder's weights: W, and W^T after it."""
    net = {"w": s.draw(5, s.width), "b": s.draw(5), "out": s.draw(5, s.outputs)}
    return _gaussian_of(
        lambda p, x: (jnp.tanh(x @ p["w"]) @ p["w"].T + p["b"]) @ p["out"], net, s, 1, s.data(5)
    )


def scaled(s: Sizes) -> Model:
    """Weights that are not read as they are: normed, masked, and in a product with each other."""
    net = {"v": s.draw(5, s.width), "g": s.draw(s.width), "a": s.draw(s.width, 3), "c": s.draw(3, s.outputs)}

    def network(p: Any, x: Any) -> Any:
        w = p["v"] / jnp.linalg.norm(p["v"], axis=0) * p["g"]
        return jnp.tanh(x @ w) @ (p["a"] @ p["c"])

    return _gaussian_of(network, net, s, 0, s.data(5))


def sequence(s: Sizes) -> Model:
    """A dense layer at every position, and its bias."""
    net = {"w": s.draw(5, s.width), "b": s.draw(s.width), "out": s.draw(s.width, s.outputs)}
    return _gaussian_of(
        lambda p, x: jnp.tanh(x @ p["w"] + p["b"]).mean(1) @ p["out"], net, s, 1, s.data(3, 5)
    )


def recurrent(s: Sizes) -> Model:
    net = {"x": s.draw(5, s.width), "h": s.draw(s.width, s.width), "b": s.draw(s.width)}
    net["out"] = s.draw(s.width, s.outputs)

    def network(p: Any, x: Any) -> Any:
        def move(h: Any, x: Any) -> Any:
            return jnp.tanh(x @ p["x"] + h @ p["h"] + p["b"]), None

        start = jnp.zeros((len(x), s.width), x.dtype)
        h, _ = jax.lax.scan(move, start, jnp.swapaxes(x, 0, 1))
        return h @ p["out"]

    return _gaussian_of(network, net, s, 1, s.data(4, 5))


def nested(s: Sizes) -> Model:
    """Under jit, checkpoint, a named scope and derivatives of its own."""
    net = {"w1": s.draw(5, s.width), "b1": s.draw(s.width), "w2": s.draw(s.width, s.outputs)}

    @jax.custom_vjp
    def doubled(x: Any, b: Any) -> Any:
        return 2.0 * x + b

    doubled.defvjp(lambda x, b: (doubled(x, b), None), lambda _, e: (3.0 * e, 5.0 * e.sum(0)))

    @jax.jit
    def layer(w: Any, x: Any) -> Any:
        with jax.named_scope("layer"):
            return jnp.dot(x, w)

    def network(p: Any, x: Any) -> Any:
        hidden = jax.checkpoint(lambda w, x: jax.nn.gelu(layer(w, x)))(p["w1"], x)
        return jax.jit(layer)(p["w2"], doubled(hidden, p["b1"]))

    return _gaussian_of(network, net, s, 2, s.data(5))


def branches(s: Sizes) -> Model:
    net = {"w1": s.draw(5, s.width), "w2": s.draw(5, s.width), "out": s.draw(s.width, s.outputs)}

    def of_one(p: Any, x: Any) -> Any:
        h = jax.lax.cond(x[0] > 0, lambda: x @ p["w1"], lambda: jnp.tanh(x @ p["w2"]))
        return h @ p["out"]

    return _gaussian_of(lambda p, x: jax.vmap(partial(of_one, p))(x), net, s, 1, s.data(5))


def embedding(s: Sizes) -> Model:
    net = {"table": s.draw(7, s.width), "out": s.draw(s.width, s.outputs), "unused": s.draw(3, 2)}
    ids = jnp.asarray(np.random.default_rng(s.seed).integers(0, 7, (s.samples, 2)))
    return _gaussian_of(lambda p, x: jnp.tanh(p["table"][x].sum(1)) @ p["out"], net, s, 1, ids)


def dropout(s: Sizes) -> Model:
    """A key a sample in the batch, and a batch that is a dict."""
    params = {"w1": s.draw(5, s.width), "b1": s.draw(s.width), "w2": s.draw(s.width, s.outputs)}

    def log_prob(p: Any, batch: Any, keys: Any) -> Any:
        x, actions = batch["obs"], batch["actions"]
        kept = jax.vmap(lambda key: jax.random.bernoulli(key, 0.7, (s.width,)))(keys)
        logits = jnp.where(kept, jnp.tanh(x @ p["w1"] + p["b1"]), 0.0) @ p["w2"]
        return jnp.take_along_axis(jax.nn.log_softmax(logits), actions[:, None], 1)[:, 0]

    actions = jnp.asarray(np.random.default_rng(s.seed).integers(0, s.outputs, s.samples))
    batch = {"obs": s.data(5), "actions": actions}
    return Model(log_prob, params, (batch, jax.random.split(s.key, s.samples)), 2)


def single_array(s: Sizes) -> Model:
    """The parameters are one matrix, the outputs one number."""
    return Model(lambda w, x: jnp.sin((x @ w).sum(1)), s.draw(5, s.width), (s.data(5),), 1)


def flax_network(kind: str, s: Sizes) -> Model:
    nn = pytest.importorskip("flax.linen")
    given: dict[str, Any] = {"dtype": s.dtype, "param_dtype": s.dtype}

    class Network(nn.Module):  # type: ignore[misc]
        @nn.compact
        def __call__(self, x: Any) -> Any:
            if kind == "mlp":
                x = nn.silu(nn.Dense(s.width, **given)(x))
                x = nn.LayerNorm(**given)(x)
            elif kind == "cnn":
                x = nn.relu(nn.Conv(4, (3, 3), strides=(2, 1), **given)(x))
                x = nn.GroupNorm(2, **given)(x)
                x = nn.Conv(4, (2, 2), feature_group_count=2, padding="VALID", **given)(x)
                x = jnp.tanh(x).reshape(len(x), -1)
            elif kind == "attention":
                x = x + nn.MultiHeadDotProductAttention(2, qkv_features=4, **given)(x, x)
                x = x.mean(1)
            else:
                x = nn.RNN(nn.GRUCell(s.width, **given))(x)[:, -1]
            return nn.Dense(s.outputs, **given)(x)

    shape = {"mlp": (5,), "cnn": (5, 4, 3), "attention": (3, 6), "gru": (3, 5)}[kind]
    obs = s.data(*shape)
    network = Network()
    net = jax.jit(network.init)(s.key, obs)
    net = jax.tree.map(lambda leaf: leaf + 0.1 * s.draw(*leaf.shape), net)
    return _gaussian_of(network.apply, net, s, {"mlp": 2, "cnn": 1, "attention": 1, "gru": 1}[kind], obs)


def haiku_mlp(s: Sizes) -> Model:
    hk = pytest.importorskip("haiku")
    network = hk.without_apply_rng(hk.transform(lambda x: hk.nets.MLP([s.width, s.width, s.outputs])(x)))
    obs = s.data(5)
    return _gaussian_of(network.apply, jax.jit(network.init)(s.key, obs), s, 3, obs)


def equinox_mlp(s: Sizes) -> Model:
    eqx = pytest.importorskip("equinox")
    model = eqx.nn.MLP(5, s.outputs, s.width, 2, key=s.key, dtype=s.dtype)
    net, static = eqx.partition(model, eqx.is_inexact_array)
    return _gaussian_of(lambda net, x: jax.vmap(eqx.combine(net, static))(x), net, s, 3, s.data(5))


def equinox_cnn(s: Sizes) -> Model:
    eqx = pytest.importorskip("equinox")
    first, last = jax.random.split(s.key)
    model = eqx.nn.Sequential(
        [
            eqx.nn.Conv2d(2, 3, 3, padding=1, key=first, dtype=s.dtype),
            eqx.nn.Lambda(jnp.tanh),
            eqx.nn.Lambda(jnp.ravel),
            eqx.nn.Linear(48, s.outputs, key=last, dtype=s.dtype),
        ]
    )
    net, static = eqx.partition(model, eqx.is_inexact_array)
    return _gaussian_of(lambda net, x: jax.vmap(eqx.combine(net, static))(x), net, s, 1, s.data(2, 4, 4))


ARCHITECTURES: dict[str, Callable[[Sizes], Model]] = {
    "plain": plain,
    "transposed": transposed,
    "residual": residual,
    "reused": reused,
    "tied": tied,
    "scaled": scaled,
    "sequence": sequence,
    "recurrent": recurrent,
    "nested": nested,
    "branches": branches,
    "embedding": embedding,
    "dropout": dropout,
    "single array": single_array,
    "flax mlp": partial(flax_network, "mlp"),
    "flax cnn": partial(flax_network, "cnn"),
    "flax attention": partial(flax_network, "attention"),
    "flax gru": partial(flax_network, "gru"),
    "haiku mlp": haiku_mlp,
    "equinox mlp": equinox_mlp,
    "equinox cnn": equinox_cnn,
}
