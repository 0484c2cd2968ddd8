"""Every observation is checked against its space where it comes in, whatever it comes through."""

from __future__ import annotations

import re
import sys
from typing import Any

import cloudpickle  # type: ignore[import-untyped]
import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.spaces.utils import flatten
from gymnasium.vector import AutoresetMode, VectorEnv

from fastfisher.training import NPG, UserError
from fastfisher.training.environments.flat import FlatObservations, flattener

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers do not find it

BOX = spaces.Box(-np.inf, np.inf, (3,))
ACTIONS: dict[str, tuple[spaces.Space[Any], dict[str, Any]]] = {
    "box": (spaces.Box(-1.0, 1.0, (2,)), {}),
    "discrete": (spaces.Discrete(2), {}),
    "matrix": (spaces.Box(-1.0, 1.0, (2, 2)), {}),
    "squash": (spaces.Box(-1.0, 1.0, (2,)), {"squash": True}),
    "dependent": (spaces.Box(-1.0, 1.0, (2,)), {"std": "dependent"}),
    "multi-discrete": (spaces.MultiDiscrete([2, 3]), {}),
    "multi-binary": (spaces.MultiBinary(3), {}),
}


class Wrong(gymnasium.Env[Any, Any]):
    """Observes what its space holds until a step, 0 being the reset, and something else from there on."""

    def __init__(
        self, wrong: Any, at: int, observations: Any = BOX, actions: Any = ACTIONS["box"][0]
    ) -> None:
        self.observation_space, self.action_space = observations, actions
        self._wrong, self._at = wrong, at

    def _observe(self) -> Any:
        return self._wrong if self.t == self._at else self.observation_space.sample()

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        self.t = 0
        return self._observe(), {}

    def step(self, action: Any) -> Any:
        self.t += 1
        return self._observe(), 1.0, self.t == 10, False, {}


OTHERS: dict[str, tuple[Any, str]] = {
    "one entry": (np.zeros(1), r"an array of shape \(1,\) and dtype float64"),
    "a column": (np.zeros((3, 1), np.float32), r"an array of shape \(3, 1\) and dtype float32"),
    "a row": (np.zeros((1, 3)), r"an array of shape \(1, 3\) and dtype float64"),
    "no axis": (np.array(0.5), r"an array of shape \(\) and dtype float64"),
    "a number": (0.5, r"0\.5 \(float\)"),
    "nothing": (None, r"None \(NoneType\)"),
    "text": ("abc", r"'abc' \(str\)"),
    "a dict": ({"a": 1.0}, r"\{'a': 1\.0\} \(dict\)"),
    "ragged": ([[1.0], 2.0, 3.0], r"\[\[1\.0\], 2\.0, 3\.0\] \(list\)"),
}


@pytest.mark.parametrize("actions", ACTIONS)
@pytest.mark.parametrize("other", ["one entry", "a column"])
def test_no_observation_is_broadcast_whatever_chooses_the_action(actions: str, other: str) -> None:
    (space, options), (wrong, words) = ACTIONS[actions], OTHERS[other]
    for at, source in ((0, "env.reset"), (4, "env.step"), (10, "env.step")):
        agent = NPG(Wrong(wrong, at, actions=space), policy="linear", batch_steps=50, **options)
        with pytest.raises(
            UserError,
            match=rf"^{source}: expected an observation of shape \(3,\), got {words}.* env\.reset\(seed=",
        ) as caught:
            agent.learn(50)
        assert "\n" not in str(caught.value)
        with pytest.raises(UserError, match=rf"^{source}: expected an observation"):
            agent.evaluate(1)


@pytest.mark.parametrize("other", OTHERS)
def test_what_came_is_named(other: str) -> None:
    wrong, words = OTHERS[other]
    with pytest.raises(
        UserError, match=rf"expected an observation of shape \(3,\), got {words}, at step 3 of"
    ):
        NPG(Wrong(wrong, 3), policy="linear", batch_steps=50).learn(50)


def test_workers_name_it_too() -> None:
    with (
        NPG(lambda: Wrong(np.zeros(1), 4), policy="linear", batch_steps=50, workers=2) as agent,
        pytest.raises(UserError, match=r"^env\.step: expected an observation of shape \(3,\), got .*\(1,\)"),
    ):
        agent.learn(50)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int8, np.bool_, object])
def test_numbers_of_any_type_and_lists_are_the_numbers_that_they_are(dtype: Any) -> None:
    class Counting(Wrong):
        def _observe(self) -> Any:
            array = np.array([self.t, 1, 0]).astype(dtype)
            return array.tolist() if self.t == 5 else array

    agent = NPG(lambda: Counting(None, -1), policy="linear", batch_steps=50, workers=1).learn(50)
    expected = np.minimum(np.arange(10), 1 if dtype is np.bool_ else 10).mean()
    np.testing.assert_allclose(agent._learner.moments.mean, [expected, 1.0, 0.0])


# Spaces that are flattened.

SPACES: dict[str, spaces.Space[Any]] = {
    "matrix": spaces.Box(-1.0, 1.0, (2, 3)),
    "image": spaces.Box(0, 255, (2, 2), np.uint8),
    "scalar": spaces.Box(-1.0, 1.0, ()),
    "discrete": spaces.Discrete(3, start=-1),
    "multi-discrete": spaces.MultiDiscrete([2, 4], start=[0, 3]),
    "multi-discrete matrix": spaces.MultiDiscrete([[2, 4], [3, 1]]),
    "multi-binary": spaces.MultiBinary(3),
    "dict": spaces.Dict({"b": spaces.MultiDiscrete([2, 2]), "a": spaces.Box(-1.0, 1.0, (2, 1), np.float64)}),
    "tuple": spaces.Tuple([spaces.Discrete(2), spaces.Dict({"x": spaces.MultiBinary(2)})]),
    "text": spaces.Text(4),
}


@pytest.mark.parametrize("name", SPACES)
def test_entries_are_those_of_gymnasium(name: str) -> None:
    space = SPACES[name]
    space.seed(3)
    flat = flattener(space)
    for _ in range(20):
        observation = space.sample()
        entries, expected = flat(observation), flatten(space, observation)
        np.testing.assert_array_equal(entries, expected)
        assert entries.dtype == expected.dtype


@pytest.mark.parametrize("name", SPACES)
def test_copies_in_one_vector_environment_observe_every_space(name: str) -> None:
    with NPG(lambda: Wrong(None, -1, SPACES[name]), batch_steps=20, num_envs=2, workers=1) as agent:
        assert agent.learn(20).steps == 20


def test_entries_are_in_the_precision_of_the_space() -> None:
    third = np.full((2, 3), 1.0 / 3.0)
    assert flattener(SPACES["matrix"])(third)[0] == np.float32(1.0 / 3.0)
    np.testing.assert_array_equal(flattener(SPACES["image"])(np.full((2, 2), 7.9)), 7)


@pytest.mark.parametrize(
    ("name", "wrong", "words"),
    [
        ("matrix", np.zeros(6), "shape (2, 3), got an array of shape (6,)"),
        ("matrix", np.zeros((3, 2)), "shape (2, 3), got an array of shape (3, 2)"),
        ("scalar", np.zeros(1), "shape (), got an array of shape (1,)"),
        ("discrete", 2, "Discrete(3, start=-1), got 2 (int)"),
        ("discrete", -2, "Discrete(3, start=-1), got -2 (int)"),
        ("discrete", 0.0, "Discrete(3, start=-1), got 0.0 (float)"),
        ("discrete", np.array([1]), "Discrete(3, start=-1), got an array of shape (1,)"),
        ("multi-discrete", np.array([1]), "got array([1])"),
        ("multi-discrete", np.array([0, 2]), "got array([0, 2])"),
        ("multi-discrete", np.array([0.0, 3.0]), "got array([0., 3.])"),
        ("multi-binary", np.ones(1), "shape (3,), got an array of shape (1,)"),
        ("dict", {"a": np.zeros((2, 1))}, "with 'a', 'b', got one without 'b'"),
        ("dict", {"a": np.zeros(2), "b": np.zeros(2, int)}, "shape (2,) and dtype float64, in part 'a'"),
        ("dict", np.zeros(2), "a dict as observation, got an array"),
        ("tuple", (0,), "a tuple of 2 as observation, got (0,) (tuple)"),
        ("tuple", (0, {"x": np.ones(1)}), "in part 'x' of the observation, in part 1 of the observation"),
        ("text", "abcdef", "Text("),
    ],
)
def test_no_part_is_broadcast_wrapped_round_or_reshaped(name: str, wrong: Any, words: str) -> None:
    for at, source in ((0, "env.reset"), (3, "env.step")):
        agent = NPG(Wrong(wrong, at, observations=SPACES[name]), policy="linear", batch_steps=50)
        with pytest.raises(UserError, match=rf"^{source}: expected .*{re.escape(words)}.* began$"):
            agent.learn(50)


@pytest.mark.parametrize(
    "space",
    [
        spaces.OneOf([spaces.Discrete(2), BOX]),
        spaces.Tuple([BOX, spaces.OneOf([spaces.Discrete(2), BOX])]),
        spaces.Sequence(BOX),
    ],
)
def test_spaces_without_a_fixed_size_are_refused_at_the_start(space: Any) -> None:
    with pytest.raises(UserError, match=r"are not supported|have no fixed size"):
        NPG(Wrong(None, -1, observations=space))


def test_an_integer_space_does_not_hide_a_nan() -> None:
    assert np.isnan(flattener(SPACES["multi-binary"])(np.array([np.nan, 0.0, 1.0]))[0])


def test_results_that_are_none_pass_through_to_who_names_them() -> None:
    env = FlatObservations(Wrong(None, -1, observations=SPACES["matrix"]))
    env.env.step = lambda action: (1, 2, 3, 4)  # type: ignore[assignment,return-value]
    assert env.step(0) == (1, 2, 3, 4)


# Vector environments.


class Pair(VectorEnv[Any, Any, Any]):
    """Two copies, which return what they are given to return."""

    num_envs = 2
    single_observation_space, single_action_space = BOX, spaces.Discrete(2)

    def __init__(self, **changes: Any) -> None:
        self.metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}
        self._returned = {
            "first": (np.zeros((2, 3)), {}),
            "observations": np.zeros((2, 3)), "rewards": np.ones(2), "terminations": np.zeros(2, bool),
            "truncations": np.zeros(2, bool), "infos": {}, **changes,
        }  # fmt: skip

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        return self._returned["first"]

    def step(self, actions: Any) -> Any:
        return tuple(value for name, value in self._returned.items() if name != "first" and value is not ...)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"first": np.zeros((2, 3))}, r"envs\.reset: expected a pair"),
        (
            {"first": (np.zeros((2, 1)), {})},
            r"envs\.reset: expected observations of shape \(2, 3\), got .*\(2, 1\)",
        ),
        (
            {"observations": np.zeros((1, 3))},
            r"envs\.step: expected observations of shape \(2, 3\), got .*\(1, 3\)",
        ),
        ({"observations": None}, r"envs\.step: expected observations of shape \(2, 3\), got None"),
        ({"rewards": 1.0}, r"envs\.step: expected rewards of shape \(2,\), got 1\.0"),
        ({"rewards": np.ones((2, 1))}, r"envs\.step: expected rewards of shape \(2,\), got .*\(2, 1\)"),
        ({"terminations": False}, r"envs\.step: expected terminations of shape \(2,\)"),
        ({"truncations": np.array([None, None])}, r"envs\.step: expected truncations of shape \(2,\)"),
        ({"infos": ...}, r"envs\.step: expected 5 results, .* got 4"),
    ],
)
def test_what_a_vector_environment_returns_is_checked(changes: dict[str, Any], words: str) -> None:
    NPG(Pair(), batch_steps=50).learn(50)
    with pytest.raises(UserError, match=f"^{words}"):
        NPG(Pair(**changes), batch_steps=50).learn(50)


def test_copies_made_of_a_function_are_checked() -> None:
    for space in (BOX, SPACES["matrix"]):
        with (
            NPG(lambda space=space: Wrong(np.zeros(1), 4, space), batch_steps=50, num_envs=2) as agent,
            pytest.raises(
                UserError, match=r"^env\.step: expected .* got .*\(1,\) .*, in a copy of the vector"
            ),
        ):
            agent.learn(50)
