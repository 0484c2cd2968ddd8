"""What linear, RBF and MLP policies have in common: fixed features, tanh layers, a head."""

# ruff: noqa: D102 - the base classes document what is overridden here

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from .._core import NetworkActor, network_backward, network_forward
from ..arguments import refuse_masked
from .base import Actor, Block, CoreActor, Policy, Snapshot
from .heads.base import Array, Head

if TYPE_CHECKING:
    from typing_extensions import Self

_NOISE_ROWS = 64
"""An actor draws this many rows of noise at a time: enough to make the call's overhead vanish."""


class NetworkPolicy(Policy):
    """z = W_L^T [tanh(... W_1^T [x, 1] ...), 1], x the features of the observation.

    theta holds W_1, ..., W_L, each (inputs + 1, outputs) in C order with the biases in the last row, then the
    head's own parameters.  The score of a layer is then, row for row, the outer product of its inputs (with a
    one appended) and its back-propagated errors.

    Parameters
    ----------
    sizes : sequence of int
        (features, hidden sizes ..., outputs); outputs must be ``head.size``.
    head : Head
        Distribution of the actions given z.
    rng : numpy.random.Generator
        The source of the initial weights of hidden layers; the last layer starts at zero, so the first policy
        does not depend on the observation.

    Raises
    ------
    ValueError
        Where the last of ``sizes`` is not ``head.size``.
    """

    single_scores = False
    """Whether passes over a batch to learn from, and its scores, are in float32: half the time and memory."""

    def __init__(self, sizes: Sequence[int], head: Head, rng: Generator) -> None:
        if sizes[-1] != head.size:
            raise ValueError(f"sizes: expected {head.size} outputs, got {sizes[-1]}")
        self.head = head
        self._shapes = [(inputs + 1, outputs) for inputs, outputs in pairwise(sizes)]
        layers = [np.zeros(shape) for shape in self._shapes]
        for layer in layers[:-1]:
            fan_in = len(layer) - 1
            layer[:-1] = rng.standard_normal((fan_in, layer.shape[1])) / np.sqrt(fan_in)
        theta = np.concatenate([layer.ravel() for layer in layers] + [head.initial_own()])
        super().__init__(theta, head.action_shape, head.action_dtype)

    def _layers(self) -> list[Array]:
        """Return views into theta, made on demand so that a deep copy shares nothing with its source."""
        layers, start = [], 0
        for rows, columns in self._shapes:
            stop = start + rows * columns
            layers.append(self._parameters[start:stop].reshape(rows, columns))
            start = stop
        return layers

    def layers(self) -> list[Array]:
        """Return copies of W_1, ..., W_L."""
        return [layer.copy() for layer in self._layers()]

    def _own(self) -> Array:
        return self._parameters[len(self._parameters) - self.head.own_size :]

    @property
    def action_map(self) -> Callable[[Array], Array] | None:
        return self.head.action_map

    def features(self, obs: Array) -> Array:
        """Return the fixed features of the observations, (N, features)."""
        return obs

    def expect_masks(self, size: int) -> None:
        if size != self.head.mask_size:
            kind = type(self.head).__name__
            raise ValueError(f"a {kind} takes action masks of {self.head.mask_size} entries, not {size}")
        self.mask_size = size

    def _snapshot_of_features(
        self, features: Array, allowed: NDArray[np.bool_] | None, *, single: bool
    ) -> NetworkSnapshot:
        own = self._own().copy()
        return NetworkSnapshot(self.head, self.layers(), own, features, single=single, allowed=allowed)

    def _snapshot(self, obs: Array, *, single: bool) -> NetworkSnapshot:
        refuse_masked(obs, "obs")
        if not self.mask_size:
            return self._snapshot_of_features(self.features(obs), None, single=single)
        seen, mask = np.hsplit(obs, [obs.shape[1] - self.mask_size])
        features = self.features(np.ascontiguousarray(seen))
        return self._snapshot_of_features(features, mask != 0.0, single=single)

    def at(self, obs: Array) -> NetworkSnapshot:
        return self._snapshot(obs, single=self.single_scores)

    def act(self, obs: Array, rng: Generator) -> NDArray[Any]:
        return self._choose(obs, self.head.noise(self._own(), len(obs), rng))

    def mode(self, obs: Array) -> NDArray[Any]:
        return self._choose(obs, np.zeros(self.head.noise_size))

    def _choose(self, obs: Array, noise: Array) -> NDArray[Any]:
        # An action is chosen in float64, whatever it is learned from, as the actor of a rollout does.
        z = self._snapshot(obs, single=False).z
        return self.head.choose_rows(self.head.perturb(z, noise))

    def log_prob(self, obs: Array, act: NDArray[Any]) -> Array:
        return self.at(obs).log_prob(act)

    def scores(self, obs: Array, act: NDArray[Any]) -> list[Block]:
        return self.at(obs).scores(act)

    def fisher_scores(self, obs: Array) -> list[Block]:
        return self.at(obs).fisher_scores()

    def kl(self, other: Self, obs: Array) -> float:
        return self.at(obs).kl(other.at(obs))

    def entropy(self, obs: Array) -> float:
        return self.at(obs).entropy()

    def std(self, obs: Array) -> float:
        return self.at(obs).std()

    def set_min_log_std(self, value: float) -> None:
        self.head.set_min_log_std(value)

    def constrain(self) -> None:
        self.head.constrain(self._own())

    def _core_weights(self) -> tuple[list[Array], bool] | None:
        """Return the layers' weights as they apply to the raw observation, and whether the first is of sines.

        The result is None where a subclass has features that the core does not know.
        """
        if type(self).features is not NetworkPolicy.features:
            return None
        return self.layers(), False

    def core_actor(self, rng: Generator | None) -> CoreActor | None:
        weights = self._core_weights()
        if weights is None or self.mask_size:
            return None
        return CoreActor(*weights, self.head, self._noise_source(rng))

    def actor(self, rng: Generator | None) -> Actor:
        """Return a closure over copies of the weights, the noise drawn some rows at a time."""
        weights = self._core_weights()
        if weights is None:
            return super().actor(rng)
        outputs = NetworkActor(*weights)
        next_noise = _rows_of(self._noise_source(rng)).__next__
        choose, perturb, masked = self.head.choose, self.head.perturb, self.head.masked
        if not self.mask_size:
            return lambda observation: choose(perturb(outputs(observation), next_noise()))
        size = weights[0][0].shape[0] - 1

        def act(observation: Array) -> Any:
            z = masked(outputs(observation[:size]), observation[size:] != 0.0)
            return choose(perturb(z, next_noise()))

        return act

    def _noise_source(self, rng: Generator | None) -> Callable[[], Array]:
        """Return a function to the next rows of noise; without an ``rng`` they are zero."""
        head, own = self.head, self._own().copy()
        if rng is None:
            none = np.zeros((1, head.noise_size))
            return lambda: none
        return lambda: head.noise(own, _NOISE_ROWS, rng)


def _rows_of(draw: Callable[[], Array]) -> Iterator[Array]:
    while True:
        yield from draw()


class NetworkSnapshot(Snapshot):
    """The outputs z of a :class:`NetworkPolicy` on a batch, which are computed once for all that follows.

    The snapshot has copies of the layers and of the head's own parameters, and the fixed features of the
    batch.  Its passes and its scores are in float32 where ``single`` says so.  Choices that are not
    ``allowed``, (N, mask size), have outputs that make them impossible.
    """

    def __init__(
        self,
        head: Head,
        layers: list[Array],
        own: Array,
        features: Array,
        *,
        single: bool = False,
        allowed: NDArray[np.bool_] | None = None,
    ) -> None:
        self.head, self.own = head, own
        self._layers, self._features, self._single, self._allowed = layers, features, single, allowed
        self._inputs, z = network_forward(features, layers, single)
        """The inputs of each layer with a column of ones, which are the left half of its scores."""
        self.z: Array = z.astype(np.float64, copy=False)
        if allowed is not None:
            self.z = head.masked(self.z, allowed)

    def log_prob(self, act: NDArray[Any]) -> Array:
        refuse_masked(act, "act")
        return self.head.log_prob(self.z, self.own, act)

    def scores(self, act: NDArray[Any]) -> list[Block]:
        refuse_masked(act, "act")
        blocks = self._backward(self._inputs, self.head.errors(self.z, self.own, act))
        if self.head.own_size:
            blocks.append(self.head.own_scores(self.z, self.own, act))
        return blocks

    def fisher_scores(self) -> list[Block]:
        # Each observation has a row of errors for each factor of the outputs' Fisher matrix, all with its
        # inputs.  Rows for the head's own parameters follow, beside observations that are zero: their Fisher
        # matrix is the same everywhere, and sqrt(N) stands for N rows.
        factors = self.head.fisher_factors(self.z, self.own)
        root = np.sqrt(len(self.z)) * self.head.own_fisher_root(self.own)
        samples, each = len(self.z), len(factors)
        more = -(-len(root) // each)
        errors = np.zeros((samples + more, each, self.z.shape[1]))
        np.stack(factors, axis=1, out=errors[:samples])
        inputs = self._inputs
        if more:
            inputs = [np.concatenate([x, np.zeros((more, x.shape[1]), x.dtype)]) for x in inputs]
        blocks: list[Block] = self._backward(inputs, errors)
        if not len(root):
            return blocks
        own_block = np.zeros(((samples + more) * each, root.shape[1]))
        own_block[samples * each :][: len(root)] = root
        return [*blocks, own_block]

    def _backward(self, inputs: list[Any], errors: Array) -> list[Any]:
        """Return the pairs (inputs, errors) of all layers, from d log p / d z, (N, m) or (N, k, m)."""
        last = np.ascontiguousarray(errors, dtype=np.float32 if self._single else np.float64)
        return list(zip(inputs, network_backward(self._layers, inputs, last), strict=True))

    def kl(self, other: Self) -> float:
        return float(self.head.kl(self.z, self.own, other.z, other.own).mean())

    def entropy(self) -> float:
        return self.head.entropy(self.z, self.own)

    def std(self) -> float:
        return self.head.std(self.z, self.own)

    def after(self, policy: Policy) -> Snapshot:
        # The features are fixed: those of the batch serve again.
        network: NetworkPolicy = policy  # type: ignore[assignment]
        return network._snapshot_of_features(self._features, self._allowed, single=network.single_scores)
