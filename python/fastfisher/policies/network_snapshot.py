"""Forward and backward passes of a network policy on a batch, each done once."""

# ruff: noqa: D102 - the base classes document what is overridden here

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from .base import Policy, Snapshot
from .blocks import Block
from .heads.base import Head

if TYPE_CHECKING:
    from typing_extensions import Self

    from .network import NetworkPolicy

Array = NDArray[np.float64]


class NetworkSnapshot(Snapshot):
    """The outputs z of a :class:`.NetworkPolicy`, and what follows from them.

    Parameters
    ----------
    head
        Distribution of the actions given z.
    layers
        W_1, ..., W_L, biases in the last row.
    own
        The head's own parameters.
    features
        (N, features).
    single
        Run the passes, and give the scores, in float32.
    """

    def __init__(
        self, head: Head, layers: list[Array], own: Array, features: Array, *, single: bool = False
    ) -> None:
        self.head, self.own = head, own
        self._layers, self._features, self._single = layers, features, single
        self._inputs, z = _core.network_forward(features, layers, single)
        """Each layer's inputs with a column of ones: the left half of its scores."""
        self.z: Array = z.astype(np.float64, copy=False)

    def log_prob(self, act: NDArray[Any]) -> Array:
        return self.head.log_prob(self.z, self.own, act)

    def scores(self, act: NDArray[Any]) -> list[Block]:
        blocks = self._backward(self._inputs, self.head.errors(self.z, self.own, act))
        if self.head.own_size:
            blocks.append(self.head.own_scores(self.z, self.own, act))
        return blocks

    def fisher_scores(self) -> list[Block]:
        # For each observation a row of errors for each factor of the outputs' Fisher matrix, all with the
        # same inputs.  Then rows for the head's own parameters, beside observations that are zero: their
        # Fisher matrix is the same everywhere, and sqrt(N) stands for N rows.
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
        return list(zip(inputs, _core.network_backward(self._layers, inputs, last), strict=True))

    def kl(self, other: Self) -> float:
        return float(self.head.kl(self.z, self.own, other.z, other.own).mean())

    def entropy(self) -> float:
        return self.head.entropy(self.z, self.own)

    def std(self) -> float:
        return self.head.std(self.z, self.own)

    def after(self, policy: Policy) -> Snapshot:
        # The features are fixed, so those of the batch serve again.
        network: NetworkPolicy = policy  # type: ignore[assignment]
        return network._snapshot_of_features(self._features)
