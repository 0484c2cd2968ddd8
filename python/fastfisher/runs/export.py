"""Writing a policy for use without this package: see :mod:`fastfisher.exported`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium import spaces

from ..exported import FORMAT, VERSION
from ..policies import (
    DiagonalGaussianHead,
    Head,
    LinearPolicy,
    MLPPolicy,
    NetworkPolicy,
    ProductHead,
    RBFPolicy,
    SquashedHead,
)
from ..training.environments.spaces import bounds, parts_of
from ..training.errors import UserError
from ..training.whole_files import replacing

if TYPE_CHECKING:
    from ..training.agent import NPG


def export_policy(agent: NPG, path: str | PathLike[str]) -> None:
    """Write the agent's policy to an .npz file that :class:`fastfisher.exported.NumpyPolicy` reads.

    The file is written whole or not at all.

    Raises
    ------
    UserError
        Where the policy is the user's own, or observations are of a space that the file cannot describe.
    """
    policy = agent.policy
    if type(policy) not in (LinearPolicy, MLPPolicy, RBFPolicy):  # a subclass may choose in another way
        raise UserError(
            f"only linear, rbf and mlp policies can be exported, and this one is a {type(policy).__name__}"
        )
    assert isinstance(policy, NetworkPolicy)
    layers = {f"layer{index}": layer for index, layer in enumerate(policy.layers())}
    header = {
        "format": FORMAT,
        "version": VERSION,
        "env": agent.config.env,
        "steps": agent.steps,
        "features": "sine" if isinstance(policy, RBFPolicy) else "affine",
        "layers": len(layers),
        "observation": _describe_observation(agent.observation_space),
        "action": _describe_action(agent.action_space, _heads_of(policy.head)),
        "masks": policy.mask_size,
    }
    constants = policy.constants()
    if isinstance(policy, RBFPolicy) and policy.bandwidth is None:
        # The policy is not trained yet: its features do not matter, for the weights are zero.
        constants["bandwidth"] = np.array(1.0)
    # NumPy appends .npz to a name without it, but not to that of an open file.
    with replacing(Path(path)) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, header=np.array(json.dumps(header)), **layers, **constants)


def _describe_observation(space: spaces.Space[Any]) -> dict[str, Any]:
    if isinstance(space, spaces.Dict):
        return {
            "kind": "dict",
            "parts": [[name, _describe_observation(part)] for name, part in space.items()],
        }
    if isinstance(space, spaces.Tuple):
        return {"kind": "tuple", "parts": [_describe_observation(part) for part in space]}
    if isinstance(space, (spaces.Box, spaces.MultiBinary)):
        return {"kind": "box", "size": int(np.prod(space.shape))}
    if isinstance(space, spaces.Discrete):
        return {"kind": "one_hot", "size": 1, "starts": [int(space.start)], "choices": [int(space.n)]}
    if isinstance(space, spaces.MultiDiscrete):
        starts, choices = space.start.ravel().tolist(), space.nvec.ravel().tolist()
        return {"kind": "one_hot", "size": len(choices), "starts": starts, "choices": choices}
    raise UserError(f"observations of {space} cannot be exported; wrap the environment in FlattenObservation")


def _describe_action(space: spaces.Space[Any], heads: Iterator[Head]) -> dict[str, Any]:
    """Return what the header says of actions; each space that holds no others takes the next head."""
    if isinstance(space, (spaces.Dict, spaces.Tuple)):
        parts = [_describe_action(part, heads) for part in parts_of(space)]
        sizes = {name: sum(part[name] for part in parts) for name in ("outputs", "masks")}
        if isinstance(space, spaces.Tuple):
            return {"kind": "tuple", "parts": parts, **sizes}
        return {"kind": "dict", "parts": list(zip(space, parts, strict=True)), **sizes}
    head = next(heads)
    facts: dict[str, Any] = {
        "shape": list(space.shape or ()),
        "dtype": np.dtype(space.dtype).str,
        "outputs": head.size,
        "masks": head.mask_size,
    }
    if isinstance(space, spaces.Discrete):
        return {**facts, "kind": "discrete", "start": int(space.start)}
    if isinstance(space, spaces.MultiDiscrete):
        facts |= {"sizes": space.nvec.ravel().tolist(), "start": space.start.ravel().tolist()}
        return {**facts, "kind": "multi_discrete"}
    if isinstance(space, spaces.MultiBinary):
        return {**facts, "kind": "multi_binary"}
    assert isinstance(space, spaces.Box)
    assert isinstance(head, (DiagonalGaussianHead, SquashedHead))
    low, high = bounds(space)
    facts |= {"low": low.tolist(), "high": high.tolist(), "squash": isinstance(head, SquashedHead)}
    if head.units is not None:
        facts |= {"center": head.units.center.tolist(), "half_range": head.units.half_range.tolist()}
    return {**facts, "kind": "box"}


def _heads_of(head: Head) -> Iterator[Head]:
    """Return the heads of the spaces that hold no others, in order."""
    return iter(head.parts if type(head) is ProductHead else (head,))
