"""Every class of the core and every public one pickles and copies, or a TypeError says why not."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastfisher as ff
from fastfisher import _core, policies

WAYS: dict[str, Callable[[Any], Any]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{
        f"protocol {p}": lambda thing, p=p: pickle.loads(pickle.dumps(thing, p))
        for p in range(pickle.HIGHEST_PROTOCOL + 1)
    },
}
RNG = np.random.default_rng(0)
S, A = RNG.standard_normal((30, 6)), RNG.standard_normal(30)
PAIRS = [(S[:, :2], S[:, :3]), S]
GAUSSIAN = policies.GaussianHead(2)


def accumulated() -> ff.Fisher:
    F = ff.Fisher(6)
    F.update(S)
    return F


def actors() -> list[Any]:
    weights, observations = [np.zeros((4, 2))], np.zeros((5, 3))
    noise: Callable[[], np.ndarray] = lambda: np.zeros((1, 2))  # noqa: E731
    bounds = -np.ones(2), np.ones(2)
    return [
        _core.NetworkActor(weights, False),
        _core.BoxActor(weights, False, noise, observations, np.zeros((5, 2)), *bounds, None, True),
        _core.DiscreteActor(weights, False, noise, observations, np.zeros(5, np.int64), 0),
    ]


WHOLE: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "_core.Fisher": (lambda: accumulated()._accumulator, lambda F: F.matrix()),
    "Fisher": (accumulated, lambda F: F.matrix()),
    "an empty Fisher": (lambda: ff.Fisher(3), lambda F: F.count),
    "Scores": (lambda: ff.Scores(PAIRS), lambda S: S.to_dense()),
    "Scores of rows that share": (
        lambda: ff.Scores([(S[:, :2], RNG.standard_normal((30, 4, 3)))]),
        lambda S: S.shape,
    ),
    "transposed Scores": (lambda: ff.Scores(S).T, lambda T: T @ A),
    "NaturalStep": (lambda: ff.natural_step(S, A), lambda step: (step.step, step.notes, step.events)),
    "Event": (lambda: ff.natural_step(S, A).events[0], lambda event: event),
    "FisherReport": (lambda: ff.diagnose(S), str),
    "TrainConfig": (lambda: ff.TrainConfig("X-v0", env_kwargs={"a": 1}), lambda config: config),
    "LinearPolicy": (lambda: policies.LinearPolicy(3, GAUSSIAN, RNG), lambda policy: policy.parameters),
    "MLPPolicy": (lambda: policies.MLPPolicy(3, (4,), GAUSSIAN, RNG), lambda policy: policy.mode(S[:, :3])),
    "RBFPolicy": (
        lambda: policies.RBFPolicy(3, 5, policies.CategoricalHead(3), RNG, bandwidth=1.0),
        lambda policy: policy.mode(S[:, :3]),
    ),
    "a snapshot": (
        lambda: policies.LinearPolicy(3, GAUSSIAN, RNG).at(S[:, :3]),
        lambda snapshot: snapshot.entropy(),
    ),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("thing", WHOLE)
def test_a_twin_says_the_same(thing: str, way: str) -> None:
    make, ask = WHOLE[thing]
    one = make()
    np.testing.assert_equal(ask(WAYS[way](one)), ask(one))


@pytest.mark.parametrize("way", WAYS)
def test_actors_say_that_they_are_of_one_episode(way: str) -> None:
    for actor in actors():
        with pytest.raises(TypeError, match=rf"^cannot pickle or copy {type(actor).__name__}, .* the policy"):
            WAYS[way](actor)


def test_no_class_is_left_out() -> None:
    tried = {type(actor) for actor in actors()} | {type(accumulated()._accumulator), _core.EpisodeActor}
    classes = {kind for _, kind in inspect.getmembers(_core, inspect.isclass)}
    assert {kind for kind in classes if not issubclass(kind, Exception)} == tried
    public = {kind.__name__ for kind in (getattr(ff, name) for name in ff.__all__) if inspect.isclass(kind)}
    assert public - {"Policy", "NPG", "TRPO"} <= set(WHOLE)
