"""Conjugate gradients with a preconditioner of sampled rows, on an MLP's batch of decaying spectrum."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest

import fastfisher as ff

from .helpers import Array, same_bits

SAMPLES = 6000
DAMPING = 1e-4
LAYERS = ((18, 32), (32, 32), (32, 6))


class Layers(NamedTuple):
    scores: ff.Scores
    advantages: Array
    gradient: Array
    weights: Array


@pytest.fixture(scope="module")
def layers() -> Layers:
    """Observations of decaying covariance through two hidden layers of tanh, errors propagated back."""
    rng = np.random.default_rng(0)
    activations, blocks, matrices = rng.standard_normal((SAMPLES, 18)) * np.geomspace(1.0, 1e-2, 18), [], []
    inputs = []
    for p, q in LAYERS:
        inputs.append(np.hstack([activations, np.ones((SAMPLES, 1))]))
        matrices.append(rng.standard_normal((p + 1, q)) / np.sqrt(p))
        activations = np.tanh(inputs[-1] @ matrices[-1])
    errors = rng.standard_normal((SAMPLES, LAYERS[-1][1]))
    for k in reversed(range(len(LAYERS))):
        blocks.append((inputs[k], errors))
        errors = (errors @ matrices[k][:-1].T) * (1.0 - inputs[k][:, :-1] ** 2)
    scores = ff.Scores(blocks[::-1])
    return Layers(
        scores,
        rng.standard_normal(SAMPLES),
        rng.standard_normal(scores.shape[1]),
        rng.exponential(size=SAMPLES),
    )


def measured_residual(
    layers: Layers, result: ff.NaturalStep, gradient: Array, weights: Array | None = None
) -> float:
    """||g - (F + lambda I) x|| / ||g|| by the products of `Scores`."""
    S, w = layers.scores, np.ones(SAMPLES) if weights is None else weights
    x = result.direction
    remainder = gradient - (S.T @ (w * (S @ x)) / w.sum() + DAMPING * x)
    return float(np.linalg.norm(remainder) / np.linalg.norm(gradient))


def solve(layers: Layers, **call: Any) -> ff.NaturalStep:
    if "gradient" not in call:
        call["advantages"] = layers.advantages
    return ff.natural_step(layers.scores, **{"damping": DAMPING, "solver": "cg", **call})


def is_preconditioned(result: ff.NaturalStep) -> bool:
    return any(note.startswith("CG was preconditioned by a sample of ") for note in result.notes)


def test_it_converges_in_a_tenth_of_the_iterations(layers: Layers) -> None:
    result = solve(layers)
    assert is_preconditioned(result)
    assert result.iterations <= 60
    g = layers.scores.T @ layers.advantages / SAMPLES
    assert measured_residual(layers, result, g) <= 1e-8
    assert result.residual == pytest.approx(measured_residual(layers, result, g), rel=1e-4)
    plain = solve(layers, precondition=False, max_iterations=10 * result.iterations)
    assert not is_preconditioned(plain)
    assert plain.iterations == 10 * result.iterations
    assert plain.residual > 1e-8


def test_the_answer_is_that_of_the_gram_solver(layers: Layers) -> None:
    result, gram = solve(layers, tol=1e-12, max_kl=0.01), solve(layers, solver="gram", max_kl=0.01)
    scale = np.linalg.norm(gram.direction)
    np.testing.assert_allclose(result.direction, gram.direction, rtol=0, atol=1e-8 * scale)
    assert result.step_size == pytest.approx(gram.step_size, rel=1e-8)
    assert result.predicted_kl == pytest.approx(gram.predicted_kl, rel=1e-8)
    assert result.sample_weights is not None
    assert gram.sample_weights is not None
    np.testing.assert_allclose(
        layers.scores.T @ result.sample_weights, result.direction, rtol=0, atol=1e-8 * scale
    )


def test_bits_do_not_depend_on_threads(layers: Layers) -> None:
    first, *others = (solve(layers, weights=layers.weights, num_threads=threads) for threads in (1, 2, 3))
    assert is_preconditioned(first)
    for other in others:
        for field, value in vars(first).items():
            assert same_bits(getattr(other, field), value), field


@pytest.mark.parametrize("kept", [1.0, 0.3, 0.01], ids=["all rows", "a third", "60 rows"])
def test_weights_are_honoured(layers: Layers, kept: float) -> None:
    """Rows of weight zero are as if they were not there: the sample is not to be drawn from them."""
    chosen = np.random.default_rng(1).random(SAMPLES) < kept
    weights = np.where(chosen, layers.weights, 0.0)
    result = solve(layers, weights=weights)
    assert is_preconditioned(result)
    assert result.iterations <= 60
    g = layers.scores.T @ (weights * layers.advantages) / weights.sum()
    np.testing.assert_allclose(result.gradient, g, rtol=0, atol=1e-13 * np.linalg.norm(g))
    assert measured_residual(layers, result, g, weights) <= 1e-8
    if kept < 1.0:
        fewer = ff.natural_step(
            layers.scores[chosen],
            layers.advantages[chosen],
            weights=weights[chosen],
            damping=DAMPING,
        )
        scale = np.linalg.norm(fewer.direction)
        np.testing.assert_allclose(result.direction, fewer.direction, rtol=0, atol=1e-5 * scale)


def test_a_gradient_from_elsewhere(layers: Layers) -> None:
    result = solve(layers, gradient=layers.gradient)
    assert is_preconditioned(result)
    assert result.iterations <= 60
    assert measured_residual(layers, result, layers.gradient) <= 1e-8
    assert result.sample_weights is None


def test_a_warm_start_saves_iterations(layers: Layers) -> None:
    cold = solve(layers)
    assert solve(layers, initial=cold.direction).iterations == 0
    near = cold.direction * (1.0 + 1e-4 * np.random.default_rng(2).standard_normal(len(cold.direction)))
    warm = solve(layers, initial=near)
    assert 0 < warm.iterations < cold.iterations
    assert warm.residual <= 1e-8


def test_a_small_memory_limit_takes_a_smaller_sample(layers: Layers) -> None:
    """The sample's matrix counts: 300 rows take 0.72 MB, and 256 is the least that is worth while."""
    result = solve(layers, memory_limit=8 * 300**2)
    (note,) = result.notes
    assert 256 <= int(note.split("sample of ")[1].split()[0]) <= 300
    assert result.residual <= 1e-8
    assert not is_preconditioned(solve(layers, memory_limit=8 * 250**2, max_iterations=3))


def test_stagnation_is_reported(layers: Layers) -> None:
    """No residual is below zero: CG stops where its arithmetic ends, or at the cap, and says which."""
    result = solve(layers, tol=0.0)
    assert result.iterations < 300
    assert result.residual < 1e-12
    assert any("the limit of the arithmetic" in note for note in result.notes)
    capped = solve(layers, tol=0.0, max_iterations=5)
    assert capped.iterations == 5
    assert any(note.startswith("CG stopped at 5 iterations with residual") for note in capped.notes)
    assert f"{capped.residual:.1e}" in capped.notes[-1]
    assert capped.residual > 1e-4


def test_without_damping_there_is_no_preconditioner(layers: Layers) -> None:
    result = solve(layers, damping=0.0, max_iterations=5)
    assert not is_preconditioned(result)
    assert np.isfinite(result.direction).all()
