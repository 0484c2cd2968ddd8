"""Every policy with every head: densities, scores and Fisher matrices to the last digits."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import reference_policies as reference
from network_policies import KINDS, OBSERVATIONS, random_policy

from fastfisher import Scores
from fastfisher.policies import (
    BernoulliHead,
    CategoricalHead,
    DiagonalGaussianHead,
    GaussianHead,
    Head,
    LinearPolicy,
    MultiCategoricalHead,
    NetworkPolicy,
    ProductHead,
    SquashedHead,
    StateDependentGaussianHead,
)

LOW, HIGH = np.array([-2.0, 0.5]), np.array([1.0, 3.0])
HEADS: dict[str, Callable[[], Head]] = {
    "gaussian": lambda: GaussianHead(2),
    "dependent": lambda: StateDependentGaussianHead(2, -0.5, -2.0),
    "squashed": lambda: SquashedHead(GaussianHead(2), LOW, HIGH),
    "squashed dependent": lambda: SquashedHead(StateDependentGaussianHead(2, -0.5, -2.0), LOW, HIGH),
    "categorical": lambda: CategoricalHead(4),
    "multi-categorical": lambda: MultiCategoricalHead([3, 1, 2]),
    "bernoulli": lambda: BernoulliHead(3),
    "product, dependent": lambda: ProductHead(
        [
            CategoricalHead(2),
            GaussianHead(1),
            MultiCategoricalHead([2, 1]),
            StateDependentGaussianHead(1, -0.5, -2.0),
            BernoulliHead(1),
        ]
    ),
}


@pytest.fixture(params=list(itertools.product(KINDS, HEADS)), ids="-".join)
def policy(request: pytest.FixtureRequest) -> NetworkPolicy:
    kind, head = request.param
    return random_policy(kind, HEADS[head](), hidden=(4, 3), features=5)


@pytest.fixture
def obs() -> np.ndarray:
    return np.random.default_rng(4).standard_normal((6, OBSERVATIONS))


def complex_step(f: Callable[[np.ndarray], np.ndarray], theta: np.ndarray) -> np.ndarray:
    """Return d f / d theta, the parameters last, without truncation or cancellation."""
    h = 1e-30
    return np.stack([np.imag(f(theta + 1j * h * e)) / h for e in np.eye(len(theta))], axis=-1)


def fisher(policy: NetworkPolicy, obs: np.ndarray) -> np.ndarray:
    R = Scores(policy.fisher_scores(obs)).to_dense()
    return R.T @ R / len(obs)


def test_log_probability_and_scores_are_the_textbooks(policy: NetworkPolicy, obs: np.ndarray) -> None:
    theta, act = policy.parameters, policy.act(obs, np.random.default_rng(5))

    def log_prob(values: np.ndarray) -> np.ndarray:
        return reference.log_prob(policy.head, *reference.outputs(policy, values, obs), act)

    np.testing.assert_allclose(policy.log_prob(obs, act), log_prob(theta), rtol=1e-12, atol=1e-12)
    S = Scores(policy.scores(obs, act)).to_dense()
    np.testing.assert_allclose(S, complex_step(log_prob, theta), rtol=1e-11, atol=1e-12)


def test_kl_is_the_textbooks_and_its_second_derivative_the_fisher_matrix(
    policy: NetworkPolicy, obs: np.ndarray
) -> None:
    theta = policy.parameters
    here = reference.outputs(policy, theta, obs)

    def kl(values: np.ndarray) -> np.ndarray:
        return reference.kl(policy.head, *here, *reference.outputs(policy, values, obs)).mean()

    other = policy.copy()
    other.parameters = theta + 0.3 * np.random.default_rng(6).standard_normal(len(theta))
    assert policy.kl(other, obs) == pytest.approx(kl(other.parameters), rel=1e-12)
    assert policy.kl(policy, obs) == pytest.approx(0.0, abs=1e-15)
    # Differences of fourth order of a gradient that is exact.
    v, h = np.random.default_rng(7).standard_normal(len(theta)), 1e-3
    g = {k: complex_step(kl, theta + k * h * v) for k in (-2, -1, 1, 2)}
    expected = (8.0 * (g[1] - g[-1]) - (g[2] - g[-2])) / (12.0 * h)
    np.testing.assert_allclose(fisher(policy, obs) @ v, expected, rtol=1e-7, atol=1e-8)


def gaussian_of(head: Head) -> Head:
    """Return the head itself, or that of u where the actions are squashed."""
    return head.gaussian if isinstance(head, SquashedHead) else head


def every_action(head: Head) -> np.ndarray:
    if isinstance(head, CategoricalHead):
        return np.arange(head.size)
    sizes = head.sizes if isinstance(head, MultiCategoricalHead) else (2,) * head.size
    return np.array(list(itertools.product(*map(range, sizes))))


Weighted = tuple[np.ndarray, np.ndarray]


def side_by_side(parts: Iterator[Weighted]) -> Weighted:
    """Return all combinations of the parts' actions, and the products of their weights."""
    actions, weights = zip(*parts, strict=True)
    rows = [list(part.reshape(len(part), -1)) for part in actions]
    combined = np.array([np.concatenate(row) for row in itertools.product(*rows)])
    return combined, np.array([math.prod(w) for w in itertools.product(*weights)])


def weighted_actions(head: Head, z: np.ndarray, own: np.ndarray) -> Weighted:
    """Return actions and probabilities that give expectations at one row of outputs, (1, size), exactly.

    Of polynomials up to degree five in Gaussian noise, which scores and their products are; of
    anything where there are finitely many actions.
    """
    if type(head) is ProductHead:
        no_action = np.zeros((1, *head.action_shape))
        return side_by_side(weighted_actions(*part[:3]) for part in reference.parts(head, z, own, no_action))
    head = gaussian_of(head)
    if not isinstance(head, DiagonalGaussianHead):
        act = every_action(head)
        return act, np.exp(head.log_prob(np.repeat(z, len(act), axis=0), own, act))
    nodes, weights = np.polynomial.hermite_e.hermegauss(3)
    mean, log_std = head.moments(z, own)
    noise = np.array(list(itertools.product(nodes, repeat=head.actions)))
    products = np.array([math.prod(w) for w in itertools.product(weights, repeat=head.actions)])
    return mean + np.exp(log_std) * noise, products / products.sum()


def test_scores_have_mean_zero_and_the_exact_fisher_for_covariance(
    policy: NetworkPolicy, obs: np.ndarray
) -> None:
    act, p = weighted_actions(policy.head, policy.at(obs[:1]).z, policy._own())
    assert p.sum() == pytest.approx(1.0, rel=1e-13)
    S = Scores(policy.scores(np.repeat(obs[:1], len(act), axis=0), act)).to_dense()
    np.testing.assert_allclose(p @ S, 0.0, atol=1e-12)
    np.testing.assert_allclose((S.T * p) @ S, fisher(policy, obs[:1]), rtol=1e-10, atol=1e-12)


def cells(head: Head, z: np.ndarray, own: np.ndarray) -> Weighted:
    """Return actions and their volumes, over which to sum a density at one row of outputs."""
    if type(head) is ProductHead:
        no_action = np.zeros((1, *head.action_shape))
        return side_by_side(cells(*part[:3]) for part in reference.parts(head, z, own, no_action))
    head = gaussian_of(head)
    if not isinstance(head, DiagonalGaussianHead):
        act = every_action(head)
        return act, np.ones(len(act))
    # The trapezoidal rule converges geometrically for what vanishes at both ends.
    axis = np.linspace(-9.0, 9.0, 201 if head.actions > 1 else 61)
    mean, std = reference.moments(head, z, own)
    act = mean + std * np.array(list(itertools.product(axis, repeat=head.actions)))
    return act, np.full(len(act), (axis[1] - axis[0]) ** head.actions * std.prod())


def test_densities_integrate_to_one_and_entropies_are_their_integrals(
    policy: NetworkPolicy, obs: np.ndarray
) -> None:
    act, volumes = cells(policy.head, *reference.outputs(policy, policy.parameters, obs[:1]))
    log_p = policy.log_prob(np.repeat(obs[:1], len(act), axis=0), act)
    if policy.action_map is not None:  # a = action_map(u), and the density is that of a
        volumes *= np.prod(0.5 * (HIGH - LOW) / np.cosh(act) ** 2, axis=1)
    p = np.exp(log_p) * volumes
    assert p.sum() == pytest.approx(1.0, abs=1e-8)
    expected = -(p * np.where(p > 0.0, log_p, 0.0)).sum()
    assert policy.entropy(obs[:1]) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("name", HEADS)
def test_extreme_outputs_give_finite_numbers(name: str) -> None:
    head = HEADS[name]()
    most = 300.0 if "dependent" in name else 1e3  # where sigma itself and its square are numbers
    z = np.linspace(-most, most, head.size)[None, :] * np.array([[1.0], [-1.0]])
    own = head.initial_own()
    act = head.choose_rows(head.perturb(z, np.zeros(head.noise_size)))

    def numbers() -> Iterator[np.ndarray]:
        yield head.log_prob(z, own, act)
        yield head.errors(z, own, act)
        yield head.kl(z, own, z, own)
        yield np.array(head.entropy(z, own))
        yield from head.fisher_factors(z, own)

    with np.errstate(over="raise", invalid="raise", divide="raise"):
        assert all(np.isfinite(array).all() for array in numbers())


def test_squashed_densities_hold_where_tanh_rounds_to_one() -> None:
    head = SquashedHead(GaussianHead(1), np.array([-1.0]), np.array([1.0]))
    u = np.array([[25.0], [-400.0]])
    own = np.zeros(1)
    # log(1 - tanh^2 u) = log 4 - 2 |u| to double precision there.
    expected = head.gaussian.log_prob(u, own, u) - (math.log(4.0) - 2.0 * np.abs(u[:, 0]))
    np.testing.assert_allclose(head.log_prob(u, own, u), expected, rtol=1e-14)
    np.testing.assert_array_equal(head.action_map(u), [[1.0], [-1.0]])


def test_a_state_dependent_std_starts_where_asked_and_stays_between_its_bounds() -> None:
    head = StateDependentGaussianHead(2, initial_log_std=-1.0, min_log_std=-3.0, max_log_std=1.5)
    y = np.array([0.0, -50.0, -1e4, 50.0, 1e300])
    z, own = np.stack([np.zeros(5), np.zeros(5), y, y], axis=1), np.zeros(0)
    _, log_std = head.moments(z, own)
    np.testing.assert_allclose(log_std[:, 0], [-1.0, -3.0, -3.0, 1.5, 1.5], atol=1e-13)
    assert np.isfinite(head.errors(z, own, np.ones((5, 2)))).all()
    # Near either bound there is a way back: the slope is small and not zero.
    assert (head.errors(z[[1, 3]], own, np.ones((2, 2)))[:, 2:] != 0.0).all()
    assert head.std(z, own) == pytest.approx(np.exp(log_std).mean(), rel=1e-14)


@pytest.mark.parametrize("initial", [-3.0, 2.0, 2.5])
def test_a_state_dependent_std_starts_strictly_between_its_bounds(initial: float) -> None:
    expected = (
        rf"initial_log_std: expected above min_log_std = -3\.0 and below max_log_std = 2\.0, got {initial}"
    )
    with pytest.raises(ValueError, match=expected):
        StateDependentGaussianHead(1, initial, -3.0)


@pytest.mark.parametrize(
    ("low", "high", "message"),
    [
        ([-np.inf], [1.0], "finite"),
        ([0.0], [0.0], "low below high"),
        ([0.0, 0.0], [1.0, 1.0], r"shape \(1,\)"),
    ],
)
def test_squashing_needs_bounds(low: list[float], high: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SquashedHead(GaussianHead(1), np.array(low), np.array(high))


@pytest.mark.parametrize("name", HEADS)
def test_sampling_agrees_with_the_density(name: str) -> None:
    """Each of 60,000 sampled actions' frequency, or moments, against log_prob's."""
    rng = np.random.default_rng(11)
    policy = LinearPolicy(OBSERVATIONS, HEADS[name](), rng)
    policy.parameters = 0.7 * rng.standard_normal(len(policy.parameters))
    one = rng.standard_normal((1, OBSERVATIONS))
    n = 60_000
    act = policy.act(np.repeat(one, n, axis=0), rng)
    agrees_with_the_density(policy.head, policy.at(one).z, policy._own(), act)


def agrees_with_the_density(head: Head, z: np.ndarray, own: np.ndarray, act: np.ndarray) -> None:
    if type(head) is ProductHead:
        for part, of_part, its_own, its_act in reference.parts(head, z, own, act):
            agrees_with_the_density(part, of_part, its_own, its_act)
        # Parts are independent.
        np.testing.assert_allclose(
            np.corrcoef(act[:, act.std(axis=0) > 0.0].T), np.eye((act.std(axis=0) > 0.0).sum()),
            atol=5.0 / len(act) ** 0.5,
        )  # fmt: skip
        return
    head, n = gaussian_of(head), len(act)
    if isinstance(head, DiagonalGaussianHead):
        mean, log_std = head.moments(z, own)
        standard = (act - mean) * np.exp(-log_std)
        np.testing.assert_allclose(standard.mean(axis=0), 0.0, atol=5.0 / n**0.5)
        covariance = np.atleast_2d(np.cov(standard.T))
        np.testing.assert_allclose(covariance, np.eye(head.actions), atol=5.0 * (2.0 / n) ** 0.5)
        return
    choices = every_action(head)
    p = np.exp(head.log_prob(np.repeat(z, len(choices), axis=0), own, choices))
    counts = np.array([(act == c).reshape(n, -1).all(axis=1).mean() for c in choices])
    assert (np.abs(counts - p) < 5.0 * np.sqrt(p * (1.0 - p) / n) + 1e-12).all()
