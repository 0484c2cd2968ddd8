"""Actions in units of their bounds: what is learned does not depend on where the bounds are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from fastfisher._core import BoxActor
from fastfisher.exported import NumpyPolicy
from fastfisher.policies import ActionUnits, GaussianHead, LinearPolicy, SquashedHead
from fastfisher.runs.export import export_policy
from fastfisher.training import NPG
from fastfisher.training.checkpoint import read_checkpoint, write_checkpoint
from fastfisher.training.config import TrainConfig
from fastfisher.training.environments.spaces import action_converter
from fastfisher.training.presets import PRESETS
from fastfisher.training.rollouts.episode import Slot, make_chooser

OPTIONS: dict[str, Any] = {"policy": "linear", "batch_steps": 400, "workers": 1, "seed": 2, "gamma": 0.0}
UNIT = (-1.0, 1.0)
BOUNDS = [(10.0, 20.0), (-1_000.0, 1_000.0), (0.0, 0.01)]


class Aim(gymnasium.Env[Any, Any]):
    """Asks for center + half range times half the observation: 15 + 2.5 s in the bounds 10 and 20.

    The reward is less the squared distance, in half ranges.
    """

    observation_space = spaces.Box(-1.0, 1.0, (1,))

    def __init__(self, low: Any = -1.0, high: Any = 1.0, dtype: type = np.float64) -> None:
        low, high = np.atleast_1d(low), np.atleast_1d(high)
        self.action_space = spaces.Box(low, high, dtype=dtype)  # type: ignore[arg-type]
        finite = np.isfinite(low) & np.isfinite(high)
        low, high = np.where(finite, low, -1.0), np.where(finite, high, 1.0)
        self.center, self.half_range = (low + high) / 2.0, (high - low) / 2.0
        self.taken: list[np.ndarray] = []

    def _observe(self) -> Any:
        self.s = self.np_random.uniform(-1.0, 1.0)
        return np.array([self.s], np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.t = 0
        return self._observe(), {}

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action)
        self.taken.append(action)
        missed = (action - self.center) / self.half_range - 0.5 * self.s
        self.t += 1
        return self._observe(), -float(np.square(missed).sum()), False, self.t == 10, {}


@pytest.mark.parametrize("options", [{}, {"std": "dependent"}, {"squash": True}], ids=str)
@pytest.mark.parametrize(("low", "high"), BOUNDS)
def test_a_task_is_learned_alike_wherever_its_bounds_are(
    low: float, high: float, options: dict[str, Any]
) -> None:
    of_unit, agent = (NPG(lambda b=b: Aim(*b), **OPTIONS, **options) for b in (UNIT, (low, high)))
    for each in (of_unit, agent):
        each.learn(8_000)
    np.testing.assert_allclose(agent.policy.parameters, of_unit.policy.parameters, rtol=1e-5, atol=1e-7)
    best = agent.evaluate(20).mean
    assert best == pytest.approx(of_unit.evaluate(20).mean, rel=1e-5)
    assert best > -0.1  # a mean action of 15 for every observation would be at -0.83
    action, _ = agent.predict(np.array([0.8]), deterministic=True)
    assert (action - (low + high) / 2) / (high - low) * 2 == pytest.approx(0.4, abs=0.1)


@pytest.mark.parametrize("std", ["independent", "dependent"])
def test_bounds_of_minus_one_and_one_are_the_environments_own_units(std: Any) -> None:
    bits = []
    for units in ("bounds", "environment"):
        agent = NPG(Aim, action_units=units, std=std, **OPTIONS).learn(1_200)
        assert agent.policy.action_map is None
        bits.append(agent.policy.parameters.tobytes())
    assert bits[0] == bits[1]


def test_entries_without_both_bounds_keep_their_units_and_a_note_says_so() -> None:
    low, high = [-np.inf, 0.0, 2.0, -3e38], [np.inf, np.inf, 6.0, 3e38]
    notes: list[str] = []
    agent = NPG(lambda: Aim(low, high), **OPTIONS)
    agent.learn(400, callback=lambda info: notes.extend(info.notes))
    units = agent.policy.action_map
    assert isinstance(units, ActionUnits)
    np.testing.assert_array_equal(units.center, [0.0, 0.0, 4.0, 0.0])
    np.testing.assert_array_equal(units.half_range, [1.0, 1.0, 2.0, 1.0])
    assert sum("3 of 4 action entries lack a finite bound" in note for note in notes) == 1

    def first_notes(**options: Any) -> list[str]:
        notes: list[str] = []
        NPG(lambda: Aim([0.0], [10.0]), **{**OPTIONS, **options}).learn(
            400, callback=lambda info: notes.extend(info.notes)
        )
        return [note for note in notes if "bound" in note]

    assert not first_notes()
    assert not first_notes(action_units="environment")


def test_the_cores_actor_gives_the_environments_units() -> None:
    rng = np.random.default_rng(0)
    units = ActionUnits.of_bounds(np.array([10.0, -0.4]), np.array([20.0, 0.4]))
    policy = LinearPolicy(3, GaussianHead(2, units=units), rng)
    policy.parameters = rng.standard_normal(len(policy.parameters))
    for dtype in (np.float32, np.float64):
        space = spaces.Box(np.array([10.0, -0.4], dtype), np.array([20.0, 0.4], dtype), dtype=dtype)  # type: ignore[arg-type]
        slot = Slot.empty(policy, 100, 3)
        choose = make_chooser(policy, np.random.default_rng(1), space, slot)
        assert isinstance(choose, BoxActor)
        act = policy.actor(np.random.default_rng(1))
        convert = action_converter(space, action_map=policy.action_map)
        for t, observation in enumerate(rng.standard_normal((100, 3))):
            action, expected = choose(t, observation), act(observation)
            np.testing.assert_array_equal(slot.actions[t], expected)
            np.testing.assert_allclose(action, convert(expected), rtol=4.0 * np.finfo(dtype).eps)
            assert action.dtype == dtype
            assert space.contains(action)


@pytest.mark.parametrize("squash", [False, True])
def test_vector_environments_and_predictions_are_in_the_same_units(squash: bool) -> None:
    env = gymnasium.vector.SyncVectorEnv([lambda: Aim(10.0, 20.0)] * 3)
    agent = NPG(env, squash=squash, initial_log_std=0.0, **OPTIONS)
    agent.learn(400)
    taken = np.concatenate([action for copy in env.envs for action in copy.unwrapped.taken])  # type: ignore[attr-defined]
    # Noise of one half range: a policy in the environment's units would be stuck at 10.
    assert taken.std() > 2.0
    assert taken.mean() == pytest.approx(15.0, abs=1.0)
    actions, _ = agent.predict(np.zeros((500, 1)))
    assert actions.std() > 2.0
    assert actions.mean() == pytest.approx(15.0, abs=1.0)


@pytest.mark.parametrize("options", [{}, {"std": "dependent"}, {"squash": True}], ids=str)
def test_an_exported_policy_is_in_the_same_units(options: dict[str, Any], tmp_path: Path) -> None:
    agent = NPG(lambda: Aim([10.0, 0.0], [20.0, np.inf] if not options.get("squash") else [20.0, 1.0]),
                **OPTIONS, **options).learn(2_000)  # fmt: skip
    export_policy(agent, tmp_path / "policy.npz")
    exported = NumpyPolicy.load(tmp_path / "policy.npz")
    for s in np.linspace(-1.0, 1.0, 9):
        expected, _ = agent.predict(np.array([s]), deterministic=True)
        np.testing.assert_allclose(exported.predict(np.array([s])), expected, rtol=1e-12, atol=1e-12)


def test_a_file_of_the_first_version_acts_as_it_did(tmp_path: Path) -> None:
    """Version 1 knew the environment's units, and squashing where there were a centre and a half range."""
    header = {
        "format": "fastfisher-policy", "version": 1, "env": "", "steps": 0, "features": "affine", "layers": 1,
        "observation": {"kind": "box", "size": 1},
        "action": {"shape": [1], "dtype": "<f8", "kind": "box"},
    }  # fmt: skip
    arrays = {
        "layer0": np.array([[1.0], [0.25]]), "shift": np.zeros(1), "scale": np.ones(1),
        "low": np.array([10.0]), "high": np.array([20.0]),
    }  # fmt: skip
    np.savez(tmp_path / "plain.npz", header=np.array(json.dumps(header)), **arrays)
    plain = NumpyPolicy.load(tmp_path / "plain.npz")
    np.testing.assert_array_equal(plain.predict(np.array([12.0])), [12.25])
    np.testing.assert_array_equal(plain.predict(np.array([1.0])), [10.0])
    arrays |= {"center": np.array([15.0]), "half_range": np.array([5.0])}
    np.savez(tmp_path / "squashed.npz", header=np.array(json.dumps(header)), **arrays)
    squashed = NumpyPolicy.load(tmp_path / "squashed.npz")
    np.testing.assert_allclose(squashed.predict(np.array([0.5])), [15.0 + 5.0 * np.tanh(0.75)], rtol=1e-14)


def test_a_checkpoint_without_the_field_goes_on_in_the_environments_units(tmp_path: Path) -> None:
    def make() -> Aim:
        return Aim(0.0, 3.0)

    whole = NPG(make, action_units="environment", **OPTIONS).learn(800)
    half = NPG(make, action_units="environment", **OPTIONS).learn(400)
    half.save(tmp_path / "half.zip")
    header, arrays = read_checkpoint(tmp_path / "half.zip")
    assert header["config"].pop("action_units") == "environment"
    assert header["config"].pop("action_masks")
    write_checkpoint(tmp_path / "old.zip", header, arrays)
    old = NPG.load(tmp_path / "old.zip", env=make)
    assert old.config.action_units == "environment"
    assert not old.config.action_masks
    for s in (-0.5, 0.5):
        expected, _ = half.predict(np.array([s]), deterministic=True)
        np.testing.assert_array_equal(old.predict(np.array([s]), deterministic=True)[0], expected)
    np.testing.assert_array_equal(old.learn(400).policy.parameters, whole.policy.parameters)
    new = NPG(make, **OPTIONS).learn(800)
    assert new.config.action_units == "bounds"
    assert (new.policy.parameters != whole.policy.parameters).any()
    new.save(tmp_path / "new.zip")
    loaded = NPG.load(tmp_path / "new.zip", env=make)
    for s in (-0.5, 0.5):
        expected, _ = new.predict(np.array([s]), deterministic=True)
        np.testing.assert_array_equal(loaded.predict(np.array([s]), deterministic=True)[0], expected)


def test_a_policy_of_the_users_own_decides_for_itself() -> None:
    agent = NPG(
        lambda: Aim(0.0, 3.0),
        **{**OPTIONS, "policy": LinearPolicy(1, GaussianHead(1), np.random.default_rng(0))},
    )
    assert agent.policy.action_map is None
    np.testing.assert_array_equal(agent.predict(np.zeros(1), deterministic=True)[0], [0.0])


def test_a_policy_of_an_earlier_version_does_not_lose_its_map() -> None:
    with pytest.raises(TypeError, match=r"^Old\.squash: expected the name action_map"):

        class Old(LinearPolicy):
            @property
            def squash(self) -> Any:
                return np.tanh

    class New(LinearPolicy):
        @property
        def action_map(self) -> Any:
            return lambda action: 15.0 + 5.0 * np.tanh(action)

    policy = New(1, GaussianHead(1), np.random.default_rng(0))
    agent = NPG(lambda: Aim(10.0, 20.0), **{**OPTIONS, "policy": policy})
    np.testing.assert_array_equal(agent.predict(np.zeros(1), deterministic=True)[0], [15.0])
    env = agent._environment.bare
    assert isinstance(env, Aim)
    agent.learn(400)
    assert np.mean(env.taken) == pytest.approx(15.0, abs=1.0)


def test_presets_keep_the_units_that_they_were_measured_in() -> None:
    """A preset of other bounds than -1 and 1 was measured in the environment's units."""
    pytest.importorskip("mujoco")
    for env, policies in PRESETS.items():
        space = gymnasium.make(env).action_space
        assert isinstance(space, spaces.Box)
        own = bool((space.low == -1.0).all() and (space.high == 1.0).all())
        for fields in policies.values():
            config = TrainConfig(env, **fields)
            assert own or config.action_units == "environment", env


def test_squashing_has_units_of_its_own() -> None:
    agent = NPG(lambda: Aim(10.0, 20.0), squash=True, **OPTIONS)
    head = agent.policy.head  # type: ignore[attr-defined]
    assert isinstance(head, SquashedHead)
    assert head.gaussian.units is None
    np.testing.assert_array_equal(agent.predict(np.zeros(1), deterministic=True)[0], [15.0])
