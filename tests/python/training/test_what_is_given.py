"""What stands for something else than it seems: shared environments, ignored seeds, masks, truth of a NaN."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import cloudpickle  # type: ignore[import-untyped]
import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv

from fastfisher.training import NPG, UserError

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers do not find it

SMALL: dict[str, Any] = {"policy": "linear", "batch_steps": 50, "workers": 1}


class Toy(gymnasium.Env[Any, Any]):
    """Ten steps an episode; observes what ``observe`` makes of its generator."""

    action_space = spaces.Box(-1.0, 1.0, (1,))

    def __init__(self, observe: Callable[[Any], Any] | None = None, space: Any = None, **ends: Any) -> None:
        self.observation_space = space or spaces.Box(-np.inf, np.inf, (2,), np.float64)
        self._observe = observe or (lambda rng: rng.uniform(-1.0, 1.0, 2))
        self._ends = ends
        self.random = np.random.default_rng(0)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        if seed is not None:
            self.random = np.random.default_rng(seed)
        self.t = 0
        return self._observe(self.random), {}

    def step(self, action: Any) -> Any:
        self.t += 1
        flags = {"terminated": False, "truncated": self.t == 10, **(self._ends if self.t == 10 else {})}
        return self._observe(self.random), float(action[0]), *flags.values(), {}


class Stubborn(Toy):
    """Takes no notice of the seeds of its resets."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return super().reset()


def message_of(env: Any, **options: Any) -> str:
    """Return the one line that training says of an environment."""
    with pytest.raises(UserError) as caught, NPG(env, **{**SMALL, **options}) as agent:
        agent.learn(50)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def notes_of(env: Any, **options: Any) -> list[tuple[str, ...]]:
    """Return the notes of two iterations."""
    notes: list[tuple[str, ...]] = []
    with NPG(env, **{**SMALL, **options}) as agent:
        agent.learn(100, callback=lambda info: notes.append(info.notes))
    return notes


# One environment for several copies.


def test_one_environment_for_several_copies_is_refused() -> None:
    one = gymnasium.make("CartPole-v1")
    words = "is one object, and stands for several of 3 copies"
    assert words in message_of(lambda: one, num_envs=3)
    assert words in message_of(lambda: gymnasium.wrappers.TimeLimit(one, 50), num_envs=3)
    two = [gymnasium.make("CartPole-v1"), gymnasium.make("CartPole-v1"), one]
    assert words in message_of(SyncVectorEnv([lambda: one, lambda: two[0], lambda: one]))
    assert NPG(SyncVectorEnv([lambda env=env: env for env in two]), **SMALL).learn(50).steps >= 50


def test_workers_have_copies_of_their_own_of_one_environment() -> None:
    one = gymnasium.make("Pendulum-v1")
    parameters = []
    for workers in (1, 2):
        with NPG(lambda: one, **{**SMALL, "workers": workers, "batch_steps": 400}) as agent:
            parameters.append(agent.learn(800).policy.parameters)
    np.testing.assert_array_equal(*parameters)


# Seeds that are ignored.


@pytest.mark.parametrize("options", [{}, {"workers": 2}, {"num_envs": 2}])
def test_an_environment_that_ignores_seeds_is_noted_once(options: dict[str, Any]) -> None:
    first, second = notes_of(Stubborn, **options)
    assert any("another observation each time for the same seed" in note for note in first)
    assert not any("for the same seed" in note for note in second)


def test_one_that_obeys_is_not_noted_though_it_reuses_its_array() -> None:
    array = np.zeros(2)

    def reuse(rng: Any) -> Any:
        array[:] = rng.uniform(size=2)
        return array

    for observe in (None, reuse):
        assert not any("for the same seed" in note for note in notes_of(lambda o=observe: Toy(o))[0])


@pytest.mark.parametrize("options", [{}, {"workers": 2}, {"num_envs": 2}])
def test_the_look_at_the_seed_changes_no_bit(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    parameters = []
    for _ in range(2):
        with NPG(Toy, **{**SMALL, **options}) as agent:
            parameters.append(agent.learn(150).policy.parameters)
        monkeypatch.setattr("fastfisher.training.trainer.seed_notes", lambda *_: ())
    np.testing.assert_array_equal(*parameters)


# Numbers that are none.


ODD: dict[str, tuple[Callable[[Any], Any], str]] = {
    "masked": (lambda rng: np.ma.array([1e6, 0.0], mask=[True, False]), "got a masked array of shape (2,)"),
    "complex": (lambda rng: np.array([1 + 2j, 0.0]), "got an array of shape (2,) and dtype complex128"),
    "text": (lambda rng: np.array(["1", "2"]), "got an array of shape (2,) and dtype <U1"),
}


@pytest.mark.parametrize("options", [{}, {"num_envs": 2}, {"squash": True}])
@pytest.mark.parametrize(("observe", "words"), ODD.values(), ids=ODD)
def test_observations_that_are_no_real_numbers_are_refused(
    observe: Callable[[Any], Any], words: str, options: dict[str, Any]
) -> None:
    assert f"env.reset: expected an observation of shape (2,), {words}" in message_of(
        lambda: Toy(observe), **options
    )


class OddVector(SyncVectorEnv):
    def __init__(self, change: Callable[[Any], Any]) -> None:
        super().__init__([Toy, Toy])
        self._change = change

    def step(self, action: Any) -> Any:
        seen, earned, *rest = super().step(action)
        return seen, self._change(earned), *rest


@pytest.mark.parametrize(
    "change", [lambda r: r + 1j, lambda r: np.ma.array(r, mask=[True, False]), lambda r: r.astype(str)]
)
def test_rewards_of_a_vector_that_are_no_real_numbers_are_refused(change: Callable[[Any], Any]) -> None:
    words = "envs.step: expected rewards of shape (2,), got a"
    assert words in message_of(OddVector(change))
    assert (
        NPG(OddVector(lambda r: np.ma.array(r)), **SMALL).learn(50).steps >= 50
    )  # of which nothing is masked


class Paying(Toy):
    def __init__(self, reward: Any) -> None:
        super().__init__()
        self._reward = reward

    def step(self, action: Any) -> Any:
        seen, _, *rest = super().step(action)
        return seen, self._reward, *rest


@pytest.mark.parametrize("options", [{}, {"num_envs": 2}])
@pytest.mark.parametrize("reward", [None, "1", 1j, np.complex128(1 + 2j), np.array([1.0]), np.ones(2)])
def test_rewards_that_are_no_numbers_are_named(reward: Any, options: dict[str, Any]) -> None:
    assert "expected a number as reward, got " in message_of(lambda: Paying(reward), **options)


@pytest.mark.parametrize("nan", [float("nan"), np.float64("nan"), np.float32("nan"), np.array(np.nan)])
@pytest.mark.parametrize("name", ["terminated", "truncated"])
@pytest.mark.parametrize("options", [{}, {"num_envs": 2}])
def test_a_nan_is_no_end_of_an_episode(name: str, nan: Any, options: dict[str, Any]) -> None:
    words = f"env.step: expected True or False as {name}, got "
    assert words in message_of(lambda: Toy(**{name: nan}), **options)


@pytest.mark.parametrize("end", [None, "False", np.array([True, False])])
def test_copies_that_step_together_say_what_is_no_end(end: Any) -> None:
    words = "env.step: expected True or False as terminated, got "
    assert words in message_of(lambda: Toy(terminated=end), num_envs=2)


@pytest.mark.parametrize("true", [True, np.True_, 1, np.int64(1), 1.0, np.array([True])])
def test_what_is_true_is_an_end(true: Any) -> None:
    lengths: list[float] = []
    NPG(lambda: Toy(terminated=true, truncated=False), **SMALL).learn(
        50, callback=lambda info: lengths.append(info.episode_length_mean)
    )
    assert lengths == [10.0]


@pytest.mark.parametrize("options", [{}, {"workers": 2}, {"num_envs": 2}, {"policy": "mlp"}])
def test_observations_whose_squares_overflow_are_named(options: dict[str, Any]) -> None:
    def observe(rng: Any, scale: float) -> Any:
        return np.array([rng.uniform(), scale * (0.5 + 0.5 * rng.uniform())])

    words = "the environment gave an observation whose entry 1 is "
    assert words in message_of(lambda: Toy(lambda rng: observe(rng, 1e155)), **options)
    with NPG(lambda: Toy(lambda rng: observe(rng, 1e149)), **{**SMALL, **options}) as agent:
        assert np.isfinite(agent.learn(150).policy.parameters).all()


# What predict is given.


def test_predict_says_what_it_was_given_in_the_place_of_an_observation() -> None:
    env = gymnasium.make("CartPole-v1")
    agent = NPG("CartPole-v1", **SMALL)
    with pytest.raises(ValueError, match=r"expected the first of what env\.reset returns, got all of it"):
        agent.predict(env.reset(seed=0))
    with pytest.raises(ValueError, match=r"expected the first of what env\.step returns, got all of it"):
        agent.predict(env.step(0))
    with pytest.raises(ValueError, match=r"observation: expected at least one, got shape \(0, 4\)"):
        agent.predict(np.zeros((0, 4)))
    with pytest.raises(ValueError, match=r"expected numbers, \(4,\) or \(n, 4\), got \[\[0"):
        agent.predict([[0.0] * 4, [0.0] * 3])
    for odd in (np.zeros(4, complex), np.ma.array(np.zeros(4), mask=[1, 0, 0, 0]), ["0"] * 4):
        with pytest.raises(
            ValueError, match=r"observation: expected (numbers, \(4,\)|an array without masked)"
        ):
            agent.predict(odd)


@pytest.mark.parametrize("space", [spaces.Discrete(3), spaces.Dict(a=spaces.Box(-1.0, 1.0, (2,)))])
def test_predict_of_other_spaces_says_so_too(space: Any) -> None:
    agent = NPG(lambda: Toy(lambda rng: space.sample(), space), **SMALL)
    with pytest.raises(ValueError, match=r"expected the first of what env\.reset returns, got all of it"):
        agent.predict((space.sample(), {}))
    with pytest.raises(ValueError, match=r"observation: expected one of .*, or several, got "):
        agent.predict([])


# Arrays that are used again.


class Reusing(Toy):
    """Observes its steps and the time by one array."""

    def __init__(self) -> None:
        super().__init__()
        self._array = np.zeros(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self._array[:] = 0.0
        return self._array, {}

    def step(self, action: Any) -> Any:
        _, *rest = super().step(action)
        self._array += 1.0
        return self._array, *rest


class Copying(Reusing):
    def reset(self, **options: Any) -> Any:
        seen, info = super().reset(**options)
        return seen.copy(), info

    def step(self, action: Any) -> Any:
        seen, *rest = super().step(action)
        return seen.copy(), *rest


@pytest.mark.parametrize("vector", [SyncVectorEnv, AsyncVectorEnv])
def test_a_vector_that_loses_last_observations_is_noted(vector: type[Any]) -> None:
    def notes(kind: type[Toy], mode: AutoresetMode) -> str:
        envs: VectorEnv[Any, Any, Any] = vector([kind] * 2, autoreset_mode=mode)
        try:
            return " ".join(notes_of(envs)[0])
        finally:
            envs.close()

    words = "the last observation of every episode is the first of the next"
    assert words in notes(Reusing, AutoresetMode.SAME_STEP)
    assert words not in notes(Copying, AutoresetMode.SAME_STEP)
    assert words not in notes(Reusing, AutoresetMode.NEXT_STEP)
