"""Tuple and Dict actions: their parts are chosen together, each as its own head says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from fastfisher.exported import NumpyPolicy
from fastfisher.policies import GaussianHead, MultiCategoricalHead, ProductHead, SquashedHead
from fastfisher.runs.export import export_policy
from fastfisher.training import NPG, TRPO, UserError

OPTIONS: dict[str, Any] = {"policy": "linear", "batch_steps": 400, "workers": 1, "seed": 1, "gamma": 0.0}
NESTED = spaces.Dict(
    {
        "where": spaces.Tuple(
            [spaces.Box(10.0, 20.0, (2, 1)), spaces.MultiDiscrete([[2, 3]], start=[[1, -1]], dtype=np.int32)]
        ),
        "kind": spaces.Discrete(3, start=4),
        "bits": spaces.MultiBinary((2, 2)),
        "force": spaces.Box(-1.0, 1.0, (), np.float64),
    }
)
SPACES: dict[str, spaces.Space[Any]] = {
    "nested": NESTED,
    "tuple": spaces.Tuple([spaces.Discrete(2), spaces.Box(0.0, 1.0, (1,))]),
    "discrete alone": spaces.Tuple([spaces.Discrete(3), spaces.MultiBinary(2)]),
    "one part": spaces.Dict({"a": spaces.Box(-2.0, 2.0, (2,))}),
}


def same_dtypes(space: spaces.Space[Any], action: Any) -> bool:
    """Return whether each part of an action has the type that its space says."""
    if isinstance(space, spaces.Dict):
        return all(same_dtypes(part, action[name]) for name, part in space.items())
    if isinstance(space, spaces.Tuple):
        return all(same_dtypes(part, one) for part, one in zip(space, action, strict=True))
    return bool(action.dtype == space.dtype)


class Picky(gymnasium.Env[Any, Any]):
    """Takes nothing but actions of its space, part by part of the right type."""

    observation_space = spaces.Box(-1.0, 1.0, (3,))

    def __init__(self, space: spaces.Space[Any] = NESTED) -> None:
        self.action_space = space

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.t = 0
        return self.np_random.uniform(-1.0, 1.0, 3).astype(np.float32), {}

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action), action
        assert same_dtypes(self.action_space, action)
        self.t += 1
        reward = float(spaces.flatten(self.action_space, action).sum())
        return self.np_random.uniform(-1.0, 1.0, 3).astype(np.float32), reward, False, self.t == 10, {}


class Throw(gymnasium.Env[Any, Any]):
    """Wants the kind of ball that it shows, thrown as far as it says: 15 + 2.5 s."""

    observation_space = spaces.Box(-1.0, 1.0, (4,))
    action_space = spaces.Dict({"kind": spaces.Discrete(3), "far": spaces.Box(10.0, 20.0, (1,))})

    def _observe(self) -> Any:
        self.kind, self.s = int(self.np_random.integers(3)), self.np_random.uniform(-1.0, 1.0)
        return np.array([*np.eye(3)[self.kind], self.s], np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.t = 0
        return self._observe(), {}

    def step(self, action: Any) -> Any:
        missed = (float(action["far"][0]) - 15.0 - 2.5 * self.s) / 5.0
        reward = float(action["kind"] == self.kind) - missed**2
        self.t += 1
        return self._observe(), reward, False, self.t == 10, {}


@pytest.mark.parametrize("agent_class", [NPG, TRPO])
def test_both_parts_of_a_task_are_learned(agent_class: type[NPG]) -> None:
    agent = agent_class(Throw, **OPTIONS, max_kl=0.1).learn(16_000)
    # Of 10: chance for the kind and the middle for the distance are 3.3 - 0.8.
    assert agent.evaluate(20).mean > 9.5
    action, _ = agent.predict(np.array([0.0, 1.0, 0.0, 0.8]), deterministic=True)
    assert action["kind"] == 1
    assert action["far"][0] == pytest.approx(17.0, abs=0.5)


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("policy", ["linear", "mlp", "rbf"])
def test_trains_predicts_and_is_exported(name: str, policy: Any, tmp_path: Path) -> None:
    space = SPACES[name]
    agent = NPG(lambda: Picky(space), **{**OPTIONS, "policy": policy, "batch_steps": 100}).learn(300)
    assert isinstance(agent.policy.head, ProductHead)  # type: ignore[attr-defined]
    export_policy(agent, tmp_path / "policy.npz")
    exported = NumpyPolicy.load(tmp_path / "policy.npz")
    observations = np.random.default_rng(0).uniform(-1.0, 1.0, (20, 3))
    several, _ = agent.predict(observations, deterministic=True)
    iterated = gymnasium.vector.utils.iterate(gymnasium.vector.utils.batch_space(space, 20), several)
    for observation, of_batch in zip(observations, iterated, strict=True):
        assert space.contains(agent.predict(observation)[0])
        action, _ = agent.predict(observation, deterministic=True)
        assert space.contains(action)
        assert same_dtypes(space, action)
        flat = spaces.flatten(space, action)
        np.testing.assert_allclose(spaces.flatten(space, of_batch), flat, rtol=1e-6)
        np.testing.assert_allclose(spaces.flatten(space, exported.predict(observation)), flat, rtol=1e-6)


@pytest.mark.parametrize("options", [{"num_envs": 3}, {"std": "dependent"}, {"squash": True}], ids=str)
def test_the_options_of_a_box_are_those_of_its_parts(options: dict[str, Any]) -> None:
    agent = NPG(Picky, **OPTIONS, **options).learn(800)
    head = agent.policy.head  # type: ignore[attr-defined]
    # The parts are in the order of the names: bits, force, kind, where.
    squashed = isinstance(head.parts[1], SquashedHead)
    assert squashed == bool(options.get("squash"))
    assert isinstance(head.parts[4], MultiCategoricalHead)
    assert head.action_shape == (4 + 1 + 1 + 2 + 2,)
    action, _ = agent.predict(np.zeros(3))
    assert NESTED.contains(action)


def test_the_units_of_a_part_are_those_of_its_bounds() -> None:
    agent = NPG(Picky, **OPTIONS)
    action, _ = agent.predict(np.zeros(3), deterministic=True)
    np.testing.assert_array_equal(action["where"][0], [[15.0], [15.0]])
    assert action["force"] == 0.0
    assert agent.config.max_kl == 0.025, "as for other discrete actions"
    boxes = spaces.Tuple([spaces.Box(-1.0, 1.0, (1,)), spaces.Box(-1.0, 1.0, (2,))])
    assert NPG(lambda: Picky(boxes), **OPTIONS).config.max_kl == 0.05, "as for a Box"


def test_workers_and_a_stop_change_no_bit(tmp_path: Path) -> None:
    bits = []
    for workers in (1, 2):
        with NPG(Picky, **{**OPTIONS, "workers": workers}) as agent:
            bits.append(agent.learn(1_200).policy.parameters.tobytes())
    NPG(Picky, **OPTIONS).learn(400).save(tmp_path / "half.zip")
    loaded = NPG.load(tmp_path / "half.zip", env=Picky).learn(800)
    assert bits == [loaded.policy.parameters.tobytes()] * 2


def test_a_log_has_the_deviation_of_the_continuous_parts() -> None:
    infos: list[Any] = []
    NPG(Picky, **OPTIONS, initial_log_std=-0.7, max_kl=1e-12).learn(400, callback=infos.append)
    assert infos[0].std == pytest.approx(np.exp(-0.7), rel=1e-4)
    assert infos[0].entropy == pytest.approx(
        # bits; kind, and the two of where; three Gaussians
        4 * np.log(2) + np.log(3) + np.log(6) + 3 * (0.5 * np.log(2.0 * np.pi * np.e) - 0.7), rel=1e-4,
    )  # fmt: skip


def test_a_box_of_each_kind_of_bounds_is_scaled_alone() -> None:
    head = ProductHead([GaussianHead(1), MultiCategoricalHead([2, 3])])
    assert head.action_map is None
    assert head.mask_size == 5


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (spaces.OneOf([spaces.Discrete(2), spaces.Box(-1.0, 1.0, (1,))]), r"actions of OneOf\(.* are not"),
        (spaces.Dict({"a": spaces.Text(3)}), r"actions of Text\(.*\) in Dict\('a': Text.* are not supported"),
        (spaces.Tuple([spaces.Sequence(spaces.Discrete(2))]), r"actions of Sequence\(.*\) in Tuple\("),
        (spaces.Tuple([spaces.Box(0, 5, (2,), np.int64)]), r"actions of Box\(0, 5.*\) in Tuple\("),
        (spaces.Graph(spaces.Box(-1.0, 1.0, (1,)), None), r"actions of Graph\(.* are not supported"),
        (spaces.Box(-1.0, 1.0, (0,)), r"actions of Box\(.*\(0,\).* are not supported"),
        (spaces.Dict({}), r"actions of Dict\(\) are not supported"),
        (spaces.Tuple([spaces.Discrete(2), spaces.Tuple([])]), r"actions of Tuple\(\) in Tuple\(Discrete"),
    ],
)  # fmt: skip
def test_what_has_no_head_is_refused_by_name(space: spaces.Space[Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        NPG(lambda: Picky(space), **OPTIONS)


def test_squashing_wants_a_box_among_the_parts() -> None:
    with pytest.raises(UserError, match=r"squash = True is for actions of a Box, .* Tuple\(Discrete\(3\)"):
        NPG(lambda: Picky(SPACES["discrete alone"]), **OPTIONS, squash=True)
    space = spaces.Tuple([spaces.Discrete(2), spaces.Box(-1.0, np.inf, (1,))])
    with pytest.raises(UserError, match="squash needs actions with finite bounds"):
        NPG(lambda: Picky(space), **OPTIONS, squash=True)
