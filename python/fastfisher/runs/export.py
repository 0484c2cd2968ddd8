"""Writing a policy for use without this package: see :mod:`fastfisher.exported`."""

from __future__ import annotations

import json
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from ..exported import FORMAT, VERSION
from ..policies import LinearPolicy, MLPPolicy, NetworkPolicy, RBFPolicy, SquashedHead
from ..training.errors import UserError
from ..training.whole_files import replacing, user_path

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
    action, of_action = _describe_action(agent.action_space, policy)
    layers = {f"layer{index}": layer for index, layer in enumerate(policy.layers())}
    header = {
        "format": FORMAT,
        "version": VERSION,
        "env": agent.config.env,
        "steps": agent.steps,
        "features": "sine" if isinstance(policy, RBFPolicy) else "affine",
        "layers": len(layers),
        "observation": _describe_observation(agent.observation_space),
        "action": action,
    }
    constants = policy.constants()
    if isinstance(policy, RBFPolicy) and policy.bandwidth is None:
        # The policy is not trained yet: its features do not matter, for the weights are zero.
        constants["bandwidth"] = np.array(1.0)
    # NumPy appends .npz to a name without it, but not to that of an open file.
    with replacing(user_path(path)) as temporary, temporary.open("wb") as file:
        np.savez(
            file, allow_pickle=False, header=np.array(json.dumps(header)), **layers, **constants, **of_action
        )


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


def _describe_action(
    space: spaces.Space[Any], policy: NetworkPolicy
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return what the header says of actions, and the arrays that go with it."""
    facts: dict[str, Any] = {"shape": list(space.shape or ()), "dtype": np.dtype(space.dtype).str}
    if isinstance(space, spaces.Discrete):
        return {**facts, "kind": "discrete", "start": int(space.start)}, {}
    if isinstance(space, spaces.MultiDiscrete):
        sizes = space.nvec.ravel().tolist()
        return {**facts, "kind": "multi_discrete", "sizes": sizes}, {"start": space.start.ravel()}
    if isinstance(space, spaces.MultiBinary):
        return {**facts, "kind": "multi_binary"}, {}
    assert isinstance(space, spaces.Box)
    arrays = {"low": space.low.astype(np.float64).ravel(), "high": space.high.astype(np.float64).ravel()}
    if isinstance(policy.head, SquashedHead):
        arrays |= {"center": policy.head.center, "half_range": policy.head.half_range}
    return {**facts, "kind": "box"}, arrays
