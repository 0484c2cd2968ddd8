"""Every kind of observation and action space, from training to predict() to the exported policy."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

import fastfisher.exported
from fastfisher.exported import NumpyPolicy
from fastfisher.policies import GaussianHead, LinearPolicy, SquashedHead
from fastfisher.runs.export import export_policy
from fastfisher.training import NPG, UserError

OBSERVATIONS: dict[str, spaces.Space[Any]] = {
    "box": spaces.Box(-1.0, 1.0, (3,)),
    "image": spaces.Box(0, 255, (4, 3, 2), np.uint8),
    "scalar box": spaces.Box(-1.0, 1.0, ()),
    "discrete": spaces.Discrete(5, start=-2),
    "multi-discrete": spaces.MultiDiscrete([2, 4], start=[0, 3]),
    "multi-binary": spaces.MultiBinary([2, 2]),
    "tuple": spaces.Tuple([spaces.Discrete(3), spaces.Box(-1.0, 1.0, (2, 2))]),
    "dict": spaces.Dict(
        {
            "z": spaces.MultiBinary(2),
            "a": spaces.Tuple([spaces.Discrete(2, start=1), spaces.Box(-1.0, 1.0, (2,))]),
        }
    ),
}
ACTIONS: dict[str, tuple[spaces.Space[Any], dict[str, Any]]] = {
    "box": (spaces.Box(-0.5, 0.25, (2,)), {}),
    "matrix": (spaces.Box(-1.0, 1.0, (2, 2), np.float64), {"std": "dependent"}),
    "squashed": (
        spaces.Box(np.array([-1.0, 2.0], np.float32), np.array([0.0, 5.0], np.float32)),
        {"squash": True},
    ),
    "squashed dependent": (spaces.Box(-2.0, 2.0, (1,)), {"squash": True, "std": "dependent"}),
    "discrete": (spaces.Discrete(3, start=4), {}),
    "multi-discrete": (spaces.MultiDiscrete([[2, 3], [4, 1]], start=[[0, 1], [0, 5]]), {}),
    "multi-binary": (spaces.MultiBinary((2, 2)), {}),
}


class Random(gymnasium.Env[Any, Any]):
    """Observes samples of its space, rewards the size of actions and refuses those that are not of theirs."""

    def __init__(self, observations: str, actions: str) -> None:
        self.observation_space, self.action_space = OBSERVATIONS[observations], ACTIONS[actions][0]

    def _observe(self) -> Any:
        return self.observation_space.sample()

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.observation_space.seed(seed)
        self.t = 0
        return self._observe(), {}

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action), f"{action!r} is not of {self.action_space}"
        self.t += 1
        return self._observe(), float(np.sum(action)), False, self.t == 10, {}


def agent_for(observations: str, actions: str, **options: Any) -> NPG:
    return NPG(
        lambda: Random(observations, actions),
        **{
            "batch_steps": 100,
            "workers": 1,
            "hidden": (4,),
            "rbf_features": 8,
            **ACTIONS[actions][1],
            **options,
        },
    )


PAIRS: Sequence[tuple[str, str]] = [
    *((observations, "box") for observations in OBSERVATIONS),
    *(("box", actions) for actions in ACTIONS),
    ("dict", "multi-discrete"),
    ("tuple", "squashed dependent"),
]


@pytest.mark.parametrize(("observations", "actions"), PAIRS)
@pytest.mark.parametrize("policy", ["linear", "mlp", "rbf"])
def test_trains_predicts_and_is_exported(
    observations: str, actions: str, policy: Any, tmp_path: Path
) -> None:
    agent = agent_for(observations, actions, policy=policy, normalize_observations=True)
    agent.learn(300)
    assert agent.policy.parameters.any()
    export_policy(agent, tmp_path / "policy")
    exported = NumpyPolicy.load(tmp_path / "policy")
    space, action_space = OBSERVATIONS[observations], agent.action_space
    for _ in range(20):
        observation = space.sample()
        assert action_space.contains(agent.predict(observation)[0])
        action, _ = agent.predict(observation, deterministic=True)
        got = exported.predict(observation)
        assert action_space.contains(got)
        if isinstance(action_space, spaces.Box):
            resolution = np.finfo(action_space.dtype).eps  # type: ignore[arg-type]
            np.testing.assert_allclose(got, action, rtol=max(1e-12, resolution), atol=max(1e-12, resolution))
        else:
            np.testing.assert_array_equal(got, action)


@pytest.mark.parametrize("observations", OBSERVATIONS)
def test_predict_takes_several_observations(observations: str) -> None:
    agent = agent_for(observations, "box").learn(100)
    space = OBSERVATIONS[observations]
    space.seed(3)
    several = [space.sample() for _ in range(4)]
    expected = np.array([agent.predict(one, deterministic=True)[0] for one in several])
    stacked = gymnasium.vector.utils.concatenate(
        space, several, gymnasium.vector.utils.create_empty_array(space, 4)
    )
    for batch in (several, stacked):
        np.testing.assert_allclose(agent.predict(batch, deterministic=True)[0], expected, rtol=1e-6)


@pytest.mark.parametrize("actions", ["squashed", "squashed dependent", "multi-discrete", "multi-binary"])
def test_vector_environments_take_the_same_actions(actions: str) -> None:
    agent_for("dict", actions, num_envs=3).learn(200)


@pytest.mark.parametrize(
    ("observations", "wrong"),
    [
        ("discrete", 3),
        ("discrete", 0.5),
        ("multi-discrete", [0, 0]),
        ("dict", {"z": np.zeros(2)}),
        ("tuple", (0,)),
        ("multi-binary", np.zeros(3)),
    ],
)
def test_other_observations_are_refused(observations: str, wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"^observation: expected one of"):
        agent_for(observations, "box").predict(wrong)


def test_squashed_actions_are_inside_their_bounds_and_recorded_before_tanh() -> None:
    agent = agent_for("box", "squashed", initial_log_std=2.0)
    head = agent.policy.head  # type: ignore[attr-defined]
    assert isinstance(head, SquashedHead)
    np.testing.assert_allclose(agent.predict(np.zeros(3), deterministic=True)[0], [-0.5, 3.5])
    space = agent.action_space
    actions, _ = agent.predict(np.zeros((500, 3)))
    assert all(space.contains(action) for action in actions)
    assert actions.std(axis=0).min() > 0.4


def test_what_the_actions_cannot_be_is_one_line() -> None:
    class Unbounded(Random):
        def __init__(self) -> None:
            super().__init__("box", "box")
            self.action_space = spaces.Box(-np.inf, np.inf, (2,))

    class Fixed(Unbounded):
        def __init__(self) -> None:
            super().__init__()
            self.action_space = spaces.Box(np.array([-1.0, 0.5]), np.array([1.0, 0.5]), dtype=np.float64)

    for kind in (Unbounded, Fixed):
        with pytest.raises(UserError, match="squash needs actions with finite bounds that differ") as caught:
            NPG(kind, squash=True)
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match=r"squash = True is for actions of a Box, .* Discrete"):
        agent_for("box", "discrete", squash=True)
    with pytest.raises(UserError, match="std = 'dependent' is for actions of a Box"):
        agent_for("box", "multi-binary", std="dependent")


def test_an_exported_policy_runs_without_the_package(tmp_path: Path) -> None:
    agent = agent_for("dict", "squashed", policy="rbf").learn(200)
    export_policy(agent, tmp_path / "policy.npz")
    (tmp_path / "loader.py").write_text(Path(fastfisher.exported.__file__).read_text())
    script = (
        "import sys; sys.modules['fastfisher'] = None\n"
        "import numpy as np, loader\n"
        "observation = {'z': np.array([1, 0]), 'a': (2, np.array([0.5, -0.5]))}\n"
        "print(loader.NumpyPolicy.load('policy.npz').predict(observation).tolist())\n"
        "assert not {'gymnasium', 'fastfisher._core'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    observation = {"z": np.array([1, 0]), "a": (2, np.array([0.5, -0.5]))}
    expected = agent.predict(observation, deterministic=True)[0]
    np.testing.assert_allclose(np.array(eval(done.stdout)), expected, rtol=1e-6)


def test_what_is_no_exported_policy_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no")
    np.savez(tmp_path / "other.npz", layer0=np.zeros(2))
    np.savez(tmp_path / "later.npz", header=np.array('{"format": "fastfisher-policy", "version": 99}'))
    for name in ("text", "other.npz"):
        with pytest.raises(ValueError, match="not an exported fastfisher policy"):
            NumpyPolicy.load(tmp_path / name)
    with pytest.raises(ValueError, match="version 99"):
        NumpyPolicy.load(tmp_path / "later.npz")
    agent = agent_for("box", "box").learn(100)
    export_policy(agent, tmp_path / "policy.npz")
    with pytest.raises(ValueError, match="observation: expected 3 entries, got 2"):
        NumpyPolicy.load(tmp_path / "policy.npz").predict(np.zeros(2))

    class Own(LinearPolicy):
        def features(self, obs: Any) -> Any:
            return obs**2

    own = NPG(
        lambda: Random("box", "box"), policy=Own(3, GaussianHead(2), np.random.default_rng(0)), workers=1
    )
    with pytest.raises(UserError, match="only linear, rbf and mlp policies can be exported"):
        export_policy(own, tmp_path / "own.npz")


def test_a_damaged_policy_is_refused_and_a_failed_export_leaves_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "policy.npz"
    agent = agent_for("box", "box")
    export_policy(agent, path)
    whole = path.read_bytes()
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes(255 - byte for byte in whole[middle : middle + 8]) + whole[middle + 8 :]
    for damaged in (whole[:-30], flipped, whole[:10]):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"policy\.npz is not an exported fastfisher policy"):
            NumpyPolicy.load(path)
    np.save(tmp_path / "array.npy", np.zeros(3))
    with pytest.raises(ValueError, match=r"array\.npy is not an exported fastfisher policy"):
        NumpyPolicy.load(tmp_path / "array.npy")

    def fill_the_disk(file: Any, **_: Any) -> None:
        file.write(b"half")
        raise OSError("no space left on device")

    path.write_bytes(whole)
    monkeypatch.setattr(np, "savez", fill_the_disk)
    with pytest.raises(OSError, match="no space left"):
        export_policy(agent, path)
    assert path.read_bytes() == whole
    assert {file.name for file in tmp_path.iterdir()} == {"policy.npz", "array.npy"}


def test_an_environment_that_is_flat_already_keeps_its_own_space() -> None:
    def flat_lake() -> gymnasium.Env[Any, Any]:
        return gymnasium.wrappers.FlattenObservation(gymnasium.make("FrozenLake-v1"))

    agent = NPG(flat_lake, policy="linear", batch_steps=200, workers=1)
    assert agent.observation_space == gymnasium.spaces.Box(0, 1, (16,), np.int64)
    action, _ = agent.predict(np.eye(16)[3], deterministic=True)
    assert np.ndim(action) == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_bad_observation_is_named(bad: float) -> None:
    agent = agent_for("box", "box")
    with pytest.raises(ValueError, match=r"observation: expected finite values, got .* in row 1"):
        agent.predict(np.array([[0.0, 0.0, 0.0], [0.0, bad, 0.0]]))


def test_the_loader_imports_only_numpy_and_the_standard_library() -> None:
    spec = importlib.util.find_spec("fastfisher.exported")
    assert spec is not None
    assert spec.origin is not None
    lines = [
        line for line in Path(spec.origin).read_text().splitlines() if line.startswith(("import", "from"))
    ]
    assert {line.split()[1].partition(".")[0] for line in lines} == {
        "__future__",
        "json",
        "numpy",
        "os",
        "typing",
        "zipfile",
    }


BOX = spaces.Box(-1.0, 1.0, (2,))
ONE_OF = spaces.OneOf([spaces.Discrete(2), BOX])


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (ONE_OF, r"^observations of OneOf\(.* are not supported"),
        (spaces.Dict({"a": ONE_OF}), r"^observations of OneOf\(.* in Dict\('a': OneOf\(.* are not supported"),
        (spaces.Tuple([BOX, spaces.Tuple([ONE_OF])]), r"^observations of OneOf\(.* in Tuple\(Box"),
        (spaces.Dict({}), r"^observations of Dict\(\) are not supported"),
        (spaces.Tuple([BOX, spaces.Tuple([])]), r"^observations of Tuple\(\) in Tuple\(Box.* are not supp"),
        (spaces.Sequence(BOX), r"^observations of Sequence\(.* have no fixed size"),
        (spaces.Dict({"a": spaces.Sequence(BOX)}), r"^observations of Sequence\(.* in Dict\(.*fixed size"),
        (spaces.Graph(BOX, None), r"^observations of Graph\(.* have no fixed size"),
    ],
)
def test_observations_that_are_no_row_of_numbers_are_refused_when_the_agent_is_made(
    space: spaces.Space[Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(OBSERVATIONS, "refused", space)
    with pytest.raises(UserError, match=message):
        agent_for("refused", "box")


@pytest.mark.parametrize(
    ("observations", "actions"),
    [
        (spaces.Text(5), BOX),
        (spaces.Dict({"word": spaces.Text(3), "box": BOX}), BOX),
        (spaces.Box(-1.0, 1.0, (0,)), BOX),
        (spaces.Box(np.iinfo(np.int64).min, np.iinfo(np.int64).max, (2,), np.int64), BOX),
        (spaces.Discrete(1), spaces.Discrete(1, start=3)),
        (BOX, spaces.MultiDiscrete([1, 1])),
        (BOX, spaces.Box(np.float32(2.0), np.float32(2.0), (2,))),
        (BOX, spaces.Box(-1.0, 1.0, (), np.float16)),
    ],
    ids=str,
)
@pytest.mark.parametrize("policy", ["linear", "mlp"])
def test_spaces_at_the_edge_of_what_is_supported_train_and_are_predicted_from(
    observations: spaces.Space[Any],
    actions: spaces.Space[Any],
    policy: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(OBSERVATIONS, "edge", observations)
    monkeypatch.setitem(ACTIONS, "edge", (actions, {}))
    agent = agent_for("edge", "edge", policy=policy).learn(200)
    for deterministic in (False, True):
        action, _ = agent.predict(observations.sample(), deterministic=deterministic)
        assert actions.contains(action)
        if isinstance(actions, spaces.Box):
            assert action.dtype == actions.dtype
