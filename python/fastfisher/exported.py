"""A trained policy with NumPy alone: this file may be copied to wherever the policy is to run.

    policy = NumpyPolicy.load("policy.npz")
    action = policy.predict(observation)

It imports nothing but NumPy and the standard library, and loading a policy runs no code of the file's.
"""

from __future__ import annotations

import json
import zipfile
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

FORMAT = "fastfisher-policy"
VERSION = 1


class NumpyPolicy:
    """The most likely action for an observation, as the agent's ``predict(..., deterministic=True)``.

    The two agree to rounding, some 1e-15 of the larger terms: the trainer sums in another order.

    Parameters
    ----------
    header : dict
        All that is not an array: descriptions of the spaces, ``observation`` and ``action``; ``features``,
        "affine" or "sine"; and ``layers``, their number.
    arrays : dict of str to array
        ``layer0``, ``layer1``, ...: (inputs + 1, outputs) each, the biases in the last row.  ``shift``
        and ``scale`` of the observation, (D,).  Sine features add ``projection``, (D, features),
        ``phase`` and ``bandwidth``.  A Box of actions has ``low`` and ``high``, and if they are
        squashed ``center`` and ``half_range``; other spaces may have a ``start``.
    """

    def __init__(self, header: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        self.header, self.arrays = header, arrays
        self._layers = [arrays[f"layer{index}"] for index in range(header["layers"])]

    @classmethod
    def load(cls, path: str | PathLike[str]) -> NumpyPolicy:
        """Read a policy that ``fastfisher.runs.export.export_policy`` wrote.

        Raises
        ------
        ValueError
            Where the file is something else, damaged, or of another version.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            header = json.loads(str(arrays.pop("header")))
        except (AttributeError, EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
            raise ValueError(f"{path} is not an exported fastfisher policy: {error}") from error
        if header.get("format") != FORMAT or header.get("version") != VERSION:
            found = f"{header.get('format')} of version {header.get('version')}"
            raise ValueError(f"{path}: expected {FORMAT} of version {VERSION}, got {found}")
        return cls(header, arrays)

    def predict(self, observation: Any) -> Any:
        """Return the action for one observation of the environment's space.

        Raises
        ------
        ValueError
            Where the observation does not have the size of its space.
        """
        x = flatten(self.header["observation"], observation)
        return self._action(self._outputs(self._features(x)))

    def _features(self, x: Array) -> Array:
        arrays = self.arrays
        standardized: Array = (x - arrays["shift"]) / arrays["scale"]
        if self.header["features"] == "affine":
            return standardized
        sine: Array = np.sin(standardized @ arrays["projection"] / arrays["bandwidth"] + arrays["phase"])
        return sine

    def _outputs(self, x: Array) -> Array:
        for layer in self._layers[:-1]:
            x = np.tanh(x @ layer[:-1] + layer[-1])
        outputs: Array = x @ self._layers[-1][:-1] + self._layers[-1][-1]
        return outputs

    def _action(self, z: Array) -> Any:
        space, arrays = self.header["action"], self.arrays
        kind, shape = space["kind"], space["shape"]
        if kind == "discrete":
            return int(z.argmax()) + space["start"]
        if kind == "multi_discrete":
            parts = np.split(z, np.cumsum(space["sizes"])[:-1])
            action = np.array([part.argmax() for part in parts]) + arrays["start"]
        elif kind == "multi_binary":
            action = z > 0.0
        else:
            # A standard deviation that the network gives comes after the mean.
            action = z[: len(arrays["low"])]
            if "half_range" in arrays:
                action = arrays["center"] + arrays["half_range"] * np.tanh(action)
            action = np.minimum(np.maximum(action, arrays["low"]), arrays["high"])
        return action.astype(space["dtype"]).reshape(shape)


def flatten(space: dict[str, Any], observation: Any) -> Array:
    """Return an observation as one vector, (D,), as gymnasium does; ValueError for another size than D."""
    kind = space["kind"]
    if kind == "dict":
        return np.concatenate([flatten(part, observation[name]) for name, part in space["parts"]])
    if kind == "tuple":
        pairs = zip(space["parts"], observation, strict=True)
        return np.concatenate([flatten(part, one) for part, one in pairs])
    if np.ma.is_masked(observation):
        raise ValueError("observation: expected an array without masked entries, got some")
    values = np.asarray(observation, dtype=np.float64).ravel()
    if len(values) != space["size"]:
        raise ValueError(f"observation: expected {space['size']} entries, got {len(values)}")
    if kind == "box":
        return values
    return np.concatenate(
        [_one_hot(*row) for row in zip(values, space["starts"], space["choices"], strict=True)]
    )


def _one_hot(value: float, start: int, choices: int) -> Array:
    index = int(value) - start
    if index != value - start or not 0 <= index < choices:
        raise ValueError(
            f"observation: expected a whole number from {start} to {start + choices - 1}, got {value}"
        )
    hot = np.zeros(choices)
    hot[index] = 1.0
    return hot
