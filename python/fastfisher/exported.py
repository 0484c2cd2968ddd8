"""A trained policy with NumPy alone: this file may be copied to wherever the policy is to run.

    policy = NumpyPolicy.load("policy.npz")
    action = policy.predict(observation)

It imports nothing but NumPy and the standard library, and loading a policy runs no code of the file's.
"""

from __future__ import annotations

import json
import zipfile
from os import PathLike
from os.path import expanduser
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

FORMAT = "fastfisher-policy"
VERSION = 2


class NumpyPolicy:
    """The most likely action for an observation, as the agent's ``predict(..., deterministic=True)``.

    The two agree to rounding, some 1e-15 of the larger terms: the trainer sums in another order.

    Parameters
    ----------
    header : dict
        All that is not an array: descriptions of the spaces, ``observation`` and ``action``; ``features``,
        "affine" or "sine"; ``layers``, their number; and ``masks``, the number of entries of an action
        mask, 0 where the policy takes none.
    arrays : dict of str to array
        ``layer0``, ``layer1``, ...: (inputs + 1, outputs) each, the biases in the last row.  ``shift``
        and ``scale`` of the observation, (D,).  Sine features add ``projection``, (D, features),
        ``phase`` and ``bandwidth``.
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
            with np.load(expanduser(path), allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            header = json.loads(str(arrays.pop("header")))
        except (AttributeError, EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
            raise ValueError(f"{path} is not an exported fastfisher policy: {error}") from error
        if header.get("format") != FORMAT or header.get("version") not in (1, VERSION):
            found = f"{header.get('format')} of version {header.get('version')}"
            raise ValueError(f"{path}: expected {FORMAT} of version {VERSION}, got {found}")
        if header["version"] == 1:
            _bring_to_version_2(header, arrays)
        return cls(header, arrays)

    def predict(self, observation: Any, action_masks: Any = None) -> Any:
        """Return the action for one observation of the environment's space.

        Of ``action_masks``, what the environment's method of that name returns, an entry that is false
        forbids a choice; None allows all.

        Raises
        ------
        ValueError
            Where the observation or the mask does not have its size, or the mask leaves nothing to choose.
        """
        z = self._outputs(self._features(flatten(self.header["observation"], observation)))
        if action_masks is not None:
            allowed = np.concatenate([np.ravel(component) for component in action_masks])
            if len(allowed) != self.header["masks"]:
                raise ValueError(f"action_masks: expected {self.header['masks']} entries, got {len(allowed)}")
            z = _masked(self.header["action"], z, allowed != 0)
        return _action(self.header["action"], z)

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


def _action(space: dict[str, Any], z: Array) -> Any:
    """Return the action that outputs stand for, those of the space alone."""
    kind = space["kind"]
    if kind in ("dict", "tuple"):
        parts = [part for _, part in space["parts"]] if kind == "dict" else space["parts"]
        stretches = np.split(z, np.cumsum([part["outputs"] for part in parts])[:-1])
        actions = [_action(part, stretch) for part, stretch in zip(parts, stretches, strict=True)]
        if kind == "tuple":
            return tuple(actions)
        return {name: action for (name, _), action in zip(space["parts"], actions, strict=True)}
    if kind == "discrete":
        return int(z.argmax()) + space["start"]
    if kind == "multi_discrete":
        parts = np.split(z, np.cumsum(space["sizes"])[:-1])
        action = np.array([part.argmax() for part in parts]) + np.array(space["start"])
    elif kind == "multi_binary":
        action = z > 0.0
    else:
        # A standard deviation that the network gives comes after the mean.
        action = z[: len(space["low"])]
        if space["squash"]:
            action = np.tanh(action)
        if "center" in space:
            action = np.array(space["center"]) + np.array(space["half_range"]) * action
        action = np.minimum(np.maximum(action, space["low"]), space["high"])
    return action.astype(space["dtype"]).reshape(space["shape"])


def _masked(space: dict[str, Any], z: Array, allowed: NDArray[np.bool_]) -> Array:
    """Return outputs by which no choice is made that is not allowed."""
    kind = space["kind"]
    if kind in ("dict", "tuple"):
        parts = [part for _, part in space["parts"]] if kind == "dict" else space["parts"]
        each = zip(
            parts,
            np.split(z, np.cumsum([part["outputs"] for part in parts])[:-1]),
            np.split(allowed, np.cumsum([part["masks"] for part in parts])[:-1]),
            strict=True,
        )
        return np.concatenate([_masked(*part) for part in each])
    if kind == "box":
        return z
    size = 2 if kind == "multi_binary" else len(allowed)
    sizes = space["sizes"] if kind == "multi_discrete" else [size] * (len(allowed) // size)
    if not np.logical_or.reduceat(allowed, np.cumsum([0, *sizes[:-1]])).all():
        raise ValueError("action_masks: expected at least one choice that is allowed, got none")
    if kind == "multi_binary":
        zero, one = allowed.reshape(-1, 2).T
        return np.where(zero & one, z, np.where(one, np.inf, -np.inf))
    return np.where(allowed, z, -np.inf)


def _bring_to_version_2(header: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
    """Move what version 1 had in arrays of the action's space to its description; it knew no masks."""
    header |= {"version": 2, "masks": 0}
    space = header["action"]
    space |= {"squash": "center" in arrays}
    for name in {"low", "high", "center", "half_range", "start"} & arrays.keys():
        space[name] = arrays.pop(name).tolist()


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
