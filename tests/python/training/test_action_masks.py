"""Action masks: what the environment forbids is never chosen, and the rest is a distribution of its own."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from fastfisher import Scores
from fastfisher.exported import NumpyPolicy
from fastfisher.policies import (
    BernoulliHead,
    CategoricalHead,
    GaussianHead,
    Head,
    LinearPolicy,
    MultiCategoricalHead,
    Policy,
    ProductHead,
)
from fastfisher.runs.export import export_policy
from fastfisher.training import NPG, TRPO, UserError
from fastfisher.training.environments.masks import ActionMasked, MaskForm, choices
from fastfisher.training.environments.recipe import prepared
from fastfisher.training.make_policy import make_head

OPTIONS: dict[str, Any] = {"policy": "linear", "batch_steps": 300, "workers": 1, "seed": 1, "gamma": 0.0}
SPACES: dict[str, spaces.Space[Any]] = {
    "discrete": spaces.Discrete(4, start=2),
    "multi-discrete": spaces.MultiDiscrete([[2, 3]], start=[[1, 0]]),
    "multi-binary": spaces.MultiBinary(3),
    "hybrid": spaces.Dict(
        {"a": spaces.Discrete(3), "b": spaces.Box(10.0, 20.0, (1,)), "c": spaces.MultiBinary(2)}
    ),
}


def chosen(space: spaces.Space[Any], action: Any) -> list[int]:
    """Return the entries of a mask that stand for what an action has chosen."""
    if isinstance(space, spaces.Dict):
        places, start = [], 0
        for name, part in space.items():
            places += [start + place for place in chosen(part, action[name])]
            start += sum(choices(part))
        return places
    if isinstance(space, spaces.Box):
        return []
    start = np.ravel(getattr(space, "start", 0))
    indices = (np.ravel(action) - start).astype(int)
    return (np.cumsum([0, *choices(space)[:-1]]) + indices).tolist()


class Masked(gymnasium.Env[Any, Any]):
    """Forbids a random share of the choices, never all of a component, and refuses what it has forbidden.

    The observation is noise: what is allowed is known from the mask alone.  The reward is the number of
    components in which the first of the allowed choices was taken.  It has no masks where it has ended.
    """

    observation_space = spaces.Box(-1.0, 1.0, (2,))

    def __init__(self, space: spaces.Space[Any] = SPACES["discrete"]) -> None:
        self.action_space = space

    def _observe(self) -> Any:
        sizes = choices(self.action_space)
        parts = [self.np_random.random(size) < 0.5 for size in sizes]
        for part, size in zip(parts, sizes, strict=True):
            part[self.np_random.integers(size)] = True
        self.mask = np.concatenate(parts)
        return self.np_random.uniform(-1.0, 1.0, 2).astype(np.float32)

    def action_masks(self) -> Any:
        assert self.t < 10, "asked after the end"
        return self.mask

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.t = 0
        return self._observe(), {}

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action)
        places = chosen(self.action_space, action)
        assert self.mask[places].all(), f"{action} is forbidden by {self.mask}"
        starts = np.cumsum([0, *choices(self.action_space)[:-1]])
        best = [start + int(np.argmax(self.mask[start:])) for start in starts]
        self.t += 1
        reward = float(np.sum(np.array(places) == best))
        return self._observe(), reward, False, self.t == 10, {}


class Lenient(Masked):
    """Takes what it has forbidden."""

    def step(self, action: Any) -> Any:
        self.mask[:] = True
        return super().step(action)


@pytest.mark.parametrize("agent_class", [NPG, TRPO])
@pytest.mark.parametrize("name", SPACES)
def test_the_best_of_what_is_allowed_is_learned(name: str, agent_class: type[NPG]) -> None:
    """Without the mask there is nothing to go by, and the environment refuses what it forbids."""
    agent = agent_class(lambda: Masked(SPACES[name]), **OPTIONS, max_kl=0.1)
    agent.learn(6_000)
    components = len(choices(SPACES[name]))
    # The order of the logits is the order of the choices, so the first that is allowed is the best.
    assert agent.evaluate(20).mean > 9.5 * components
    assert agent.evaluate(5, deterministic=False).mean > 8.0 * components


@pytest.mark.parametrize("options", [{"num_envs": 3}, {"policy": "mlp"}, {"policy": "rbf"}], ids=str)
@pytest.mark.parametrize("name", SPACES)
def test_no_way_of_training_chooses_what_is_forbidden(name: str, options: dict[str, Any]) -> None:
    NPG(lambda: Masked(SPACES[name]), **{**OPTIONS, **options}).learn(600)


def test_workers_and_a_stop_change_no_bit(tmp_path: Path) -> None:
    bits = []
    for workers in (1, 2):
        with NPG(Masked, **{**OPTIONS, "workers": workers}) as agent:
            bits.append(agent.learn(900).policy.parameters.tobytes())
    NPG(Masked, **OPTIONS).learn(300).save(tmp_path / "half.zip")
    loaded = NPG.load(tmp_path / "half.zip", env=Masked).learn(600)
    assert bits == [loaded.policy.parameters.tobytes()] * 2


@pytest.mark.parametrize("name", SPACES)
def test_predictions_and_exports_take_masks(name: str, tmp_path: Path) -> None:
    space = SPACES[name]
    agent = NPG(lambda: Masked(space), **OPTIONS).learn(900)
    export_policy(agent, tmp_path / "policy.npz")
    exported = NumpyPolicy.load(tmp_path / "policy.npz")
    env = Masked(space)
    env.reset(seed=0)
    observations, masks = [], []
    for _ in range(40):
        observations.append(env._observe())
        masks.append(env.mask)
    several, _ = agent.predict(np.array(observations), deterministic=True, action_masks=np.array(masks))
    batch = gymnasium.vector.utils.batch_space(space, 40)
    of_batch = list(gymnasium.vector.utils.iterate(batch, several))
    for n, (observation, mask) in enumerate(zip(observations, masks, strict=True)):
        for deterministic in (False, True):
            action, _ = agent.predict(observation, deterministic=deterministic, action_masks=mask)
            assert mask[chosen(space, action)].all()
        assert chosen(space, of_batch[n]) == chosen(space, action)
        assert chosen(space, exported.predict(observation, mask.tolist())) == chosen(space, action)
        everything, _ = agent.predict(observation, deterministic=True)
        assert chosen(space, exported.predict(observation)) == chosen(space, everything)
    with pytest.raises(ValueError, match=rf"^action_masks: expected {len(mask)} entries, .*got 1"):
        agent.predict(observation, action_masks=[True])
    with pytest.raises(ValueError, match=rf"^action_masks: expected {len(mask)} entries, got 1"):
        exported.predict(observation, [True])
    for way in (agent, exported):
        with pytest.raises(ValueError, match=r"^action_masks: expected at least one choice that is allowed"):
            way.predict(observation, action_masks=np.zeros(len(mask)))
    halves = [mask[:1].tolist(), mask[1:].tolist()]
    assert chosen(space, exported.predict(observation, halves)) == chosen(space, action)
    with pytest.raises(ValueError, match=r"^action_masks: expected 40, one for each observation, got 1"):
        agent.predict(np.array(observations), action_masks=[mask])


def test_a_mask_without_a_choice_is_refused_by_name() -> None:
    class Stuck(Lenient):
        def action_masks(self) -> Any:
            return np.arange(self.t, self.t + 4) < 4  # all, then three, two, one, none

    with pytest.raises(UserError, match="action_masks: expected at least one choice that is allowed, got no"):
        NPG(Stuck, **OPTIONS).learn(300)
    form = MaskForm(SPACES["multi-discrete"])
    with pytest.raises(UserError, match="at least one choice that is allowed in component 1, got none"):
        form.checked([1, 1, 0, 0, 0])
    with pytest.raises(UserError, match=r"expected entries of 1, allowed, and 0, forbidden, got \[ *0"):
        form.checked([0.0, -np.inf, 0.0, 0.0, -np.inf])  # what is added to logits is no mask
    with pytest.raises(UserError, match=r"expected 5 entries, one for each choice of MultiDiscrete.*got 4"):
        form.checked(np.ones(4))
    expected = [True, False, True, True, False]
    np.testing.assert_array_equal(form.checked([[True, False], np.array([1, 1, 0], np.int8)]), expected)
    np.testing.assert_array_equal(form.checked(expected), expected)


def test_statistics_and_baseline_do_not_see_the_mask() -> None:
    agent = NPG(Masked, **{**OPTIONS, "policy": "mlp", "batch_steps": 600}).learn(1_200)
    learner = agent._learner
    assert learner.moments.mean.shape == (2,)
    assert agent.policy.shift.shape == (2,)  # type: ignore[attr-defined]
    assert learner.baseline.predict(np.zeros((3, 2)), np.arange(3)).shape == (3,)


def test_environments_without_masks_are_as_they_were() -> None:
    class Box(Masked):
        def __init__(self) -> None:
            super().__init__(spaces.Box(-1.0, 1.0, (1,)))

    class Maskless(Lenient):
        action_masks = None

    for make in (Box, Maskless):
        env = make()
        assert prepared(env, action_masks=True) is env
    agent = NPG(Maskless, **OPTIONS).learn(300)
    assert agent.policy.mask_size == 0
    with pytest.raises(ValueError, match=r"^action_masks: expected None, since the policy"):
        agent.predict(np.zeros(2), action_masks=np.ones(4))
    assert isinstance(prepared(Masked(), action_masks=True), ActionMasked)
    env = Masked()
    assert prepared(env) is env


def test_masks_can_be_left_out_and_policies_that_take_none_say_so() -> None:
    assert NPG(Lenient, **OPTIONS, action_masks=False).learn(300).policy.mask_size == 0

    own = LinearPolicy(2, CategoricalHead(4), np.random.default_rng(0))
    assert NPG(Masked, **{**OPTIONS, "policy": own}).learn(300).policy.mask_size == 4

    class Unaware(LinearPolicy):
        expect_masks = Policy.expect_masks

    unaware = Unaware(2, CategoricalHead(4), np.random.default_rng(0))
    with pytest.raises(
        UserError, match=r"action_masks\(\), and a Unaware takes no action masks; action_masks=F"
    ):
        NPG(Masked, **{**OPTIONS, "policy": unaware})
    NPG(Lenient, **{**OPTIONS, "policy": unaware, "action_masks": False}).learn(300)


def test_masks_that_are_no_method_are_refused() -> None:
    """They were passed over, and what they forbid was chosen."""

    class Property(Lenient):
        @property
        def action_masks(self) -> Any:
            raise AttributeError("not before a reset")

    class Attribute(Lenient):
        action_masks = (True, True, True, False)

    for kind in (Property, Attribute):
        with pytest.raises(UserError, match=r"^env.action_masks: expected a method that returns the mask"):
            NPG(lambda kind=kind: gymnasium.wrappers.TimeLimit(kind(), 5), **OPTIONS)


def test_a_vector_environment_with_masks_is_refused_by_name() -> None:
    envs = gymnasium.vector.SyncVectorEnv([Masked] * 2)
    with pytest.raises(UserError, match=r"is not asked for its action_masks\(\): give an environment's id"):
        NPG(envs, **OPTIONS)
    assert NPG(envs, **OPTIONS, action_masks=False).policy.mask_size == 0


HEADS: dict[str, Head] = {
    "categorical": CategoricalHead(4),
    "multi-categorical": MultiCategoricalHead([2, 3]),
    "bernoulli": BernoulliHead(2),
    "product": ProductHead([CategoricalHead(3), GaussianHead(1), BernoulliHead(1)]),
}
MASKS = {
    "categorical": [[1, 1, 1, 1], [1, 0, 1, 0], [0, 0, 0, 1]],
    "multi-categorical": [[1, 1, 1, 1, 1], [1, 0, 0, 1, 1], [0, 1, 1, 0, 0]],
    "bernoulli": [[1, 1, 1, 1], [1, 0, 1, 1], [0, 1, 1, 0]],
    "product": [[1, 1, 1, 1, 1], [0, 1, 1, 1, 0], [1, 0, 0, 0, 1]],
}


def every_action(name: str) -> np.ndarray:
    """Return every action; of the Gaussian part three points whose weights make expectations exact."""
    if name == "categorical":
        return np.arange(4)
    if name == "product":
        nodes = np.polynomial.hermite_e.hermegauss(3)[0]
        return np.array(list(itertools.product(range(3), nodes, range(2))))
    return np.array(list(itertools.product(*map(range, (2, 3) if name == "multi-categorical" else (2, 2)))))


def components(name: str, z: np.ndarray) -> list[np.ndarray]:
    """Return the logits of the choices of each discrete component, of one row of outputs."""
    if name == "categorical":
        return [z]
    if name == "multi-categorical":
        return [z[:2], z[2:]]
    if name == "bernoulli":
        return [np.array([0.0, z[0]]), np.array([0.0, z[1]])]
    return [z[:3], np.array([0.0, z[4]])]


def probabilities(name: str, z: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return the probability of every action: a softmax over what is allowed, from the definition."""
    of_components, start = [], 0
    for logits in components(name, z):
        weights = np.exp(logits) * mask[start : start + len(logits)]
        start += len(logits)
        of_components.append(weights / weights.sum())
    if name == "product":
        weights = np.polynomial.hermite_e.hermegauss(3)[1]
        of_components.insert(1, weights / weights.sum())
    return np.array([np.prod(p) for p in itertools.product(*of_components)])


@pytest.mark.parametrize(("name", "mask"), [(name, mask) for name in HEADS for mask in MASKS[name]], ids=str)
def test_a_masked_head_is_the_distribution_over_what_is_allowed(name: str, mask: list[int]) -> None:
    head, rng = HEADS[name], np.random.default_rng(4)
    policy = LinearPolicy(2, head, rng)
    policy.parameters = rng.standard_normal(len(policy.parameters))
    policy.expect_masks(head.mask_size)
    act = every_action(name)
    seen = np.repeat(rng.standard_normal((1, 2)), len(act), axis=0)
    rows = np.hstack([seen, np.tile(np.array(mask, float), (len(act), 1))])
    z, own = (policy.layers()[0].T @ [*seen[0], 1.0]), policy._own()
    p = probabilities(name, z, np.array(mask, bool))
    gaussian = 0.0
    if name == "product":  # the nodes are standard deviations from the mean
        gaussian = np.log(2.0 * np.pi) / 2.0 + own[0] + act[:, 1] ** 2 / 2.0
        act = act * [1.0, np.exp(own[0]), 1.0] + [0.0, z[3], 0.0]
    one = LinearPolicy(2, head, rng)
    one.parameters = policy.parameters

    with np.errstate(over="raise", invalid="raise", divide="raise"):
        log_p = policy.log_prob(rows, act) + gaussian
        S = Scores(policy.scores(rows, act)).to_dense()
        R = Scores(policy.fisher_scores(rows[:1])).to_dense()
        entropy, kl = policy.entropy(rows[:1]), policy.kl(policy, rows)
    discrete = np.exp(log_p)
    weights = np.ones(len(act))
    if name == "product":
        of_nodes = np.polynomial.hermite_e.hermegauss(3)[1]
        weights = np.tile(np.repeat(of_nodes / of_nodes.sum(), 2), 3)
    np.testing.assert_allclose(discrete * weights, p, rtol=1e-12)
    assert (discrete[p == 0.0] == 0.0).all()
    # Of an output that cannot matter the score is zero to the bit.
    np.testing.assert_allclose(p @ S, 0.0, atol=1e-12)
    np.testing.assert_allclose((S.T * p) @ S, R.T @ R, rtol=1e-10, atol=1e-12)
    if sum(mask) == len(components(name, z)):
        assert not S[p > 0.0][:, : 3 * head.size].any() or name == "product"
    assert np.isfinite(S[p > 0.0]).all()
    assert kl == 0.0
    nats = -(p[p > 0] * np.log(discrete[p > 0])).sum()
    expected = nats + (0.5 * (1.0 + np.log(2.0 * np.pi)) + own[0] if name == "product" else 0.0)
    assert entropy == pytest.approx(expected, abs=1e-12)

    # Against another policy, KL is the sum over what is allowed.
    other = policy.copy()
    other.parameters = other.parameters + 0.3 * rng.standard_normal(len(other.parameters))
    if name != "product":
        q = probabilities(name, other.layers()[0].T @ [*seen[0], 1.0], np.array(mask, bool))
        some = p > 0.0
        assert policy.kl(other, rows[:1]) == pytest.approx(
            (p[some] * np.log(p[some] / q[some])).sum(), abs=1e-12
        )

    # The actor and the batch choose the same, and nothing that is forbidden.
    actor = policy.actor(np.random.default_rng(9))
    many = np.repeat(rows[:1], 64, axis=0)
    np.testing.assert_array_equal([actor(row) for row in many], policy.act(many, np.random.default_rng(9)))


@pytest.mark.parametrize("name", SPACES)
def test_a_space_and_its_head_have_masks_of_one_size(name: str) -> None:
    agent = NPG(lambda: Masked(SPACES[name]), **OPTIONS)
    assert make_head(SPACES[name], agent.config).mask_size == sum(choices(SPACES[name]))
    assert agent.policy.mask_size == sum(choices(SPACES[name]))
