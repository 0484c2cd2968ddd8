"""The compiled passes of a tanh network against their definition, at every SIMD level."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from fastfisher import _core, reference

SIZES = [(3, 2), (1, 1, 1), (17, 64, 64, 6), (5, 7, 33, 16, 1), (8, 8, 8)]


@pytest.mark.parametrize("rows", [1, 7, 128, 1029])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize(("single", "tolerance"), [(True, 1e-5), (False, 2e-14)])
def test_passes(simd: str, rows: int, sizes: tuple[int, ...], single: bool, tolerance: float) -> None:
    rng = np.random.default_rng((rows, *sizes))
    weights = [rng.standard_normal((a + 1, b)) / np.sqrt(a) for a, b in pairwise(sizes)]
    features = 2.0 * rng.standard_normal((rows, sizes[0]))
    last = rng.standard_normal((rows, sizes[-1]))
    inputs, outputs = _core.network_forward(features, weights, single)
    expected_inputs, expected_outputs = reference.network_forward(features, weights)
    dtype = np.float32 if single else np.float64
    for got, expected in zip([*inputs, outputs], [*expected_inputs, expected_outputs], strict=True):
        assert got.dtype == dtype
        assert got.flags.c_contiguous
        np.testing.assert_allclose(got, expected, rtol=tolerance, atol=10 * tolerance)
    errors = _core.network_backward(weights, inputs, last.astype(dtype))
    expected_errors = reference.network_backward(weights, expected_inputs, last)
    for got, expected in zip(errors, expected_errors, strict=True):
        np.testing.assert_allclose(got, expected, rtol=10 * tolerance, atol=20 * tolerance)
    for threads in (2, 3):
        again, _ = _core.network_forward(features, weights, single, threads)
        assert all(a.tobytes() == b.tobytes() for a, b in zip(again, inputs, strict=True))


def test_saturation_and_layout(simd: str) -> None:
    weights = [np.array([[1.0], [0.0]]), np.array([[1.0], [0.0]])]
    huge = np.array([[1e300], [-1e300], [0.0], [1e-300]])
    (_, hidden), _ = _core.network_forward(huge, weights)
    np.testing.assert_array_equal(hidden[:, 0], [1.0, -1.0, 0.0, 1e-300])
    np.testing.assert_array_equal(hidden[:, 1], 1.0)
    strided = np.asfortranarray(np.arange(12.0).reshape(6, 2))[::-2]
    np.testing.assert_array_equal(
        _core.network_forward(strided, [np.eye(3, 2)])[1],
        _core.network_forward(strided.copy(), [np.eye(3, 2)])[1],
    )


def test_shapes_that_do_not_chain() -> None:
    with pytest.raises(ValueError, match="weights: expected 3 rows"):
        _core.network_forward(np.ones((4, 1)), [np.ones((2, 2)), np.ones((2, 2))])
    with pytest.raises(ValueError, match=r"features: expected shape \(N, 1\)"):
        _core.network_forward(np.ones((4, 2)), [np.ones((2, 2))])
    with pytest.raises(ValueError, match=r"errors: expected shape \(N, 2\)"):
        _core.network_backward([np.ones((2, 2))], [np.ones((4, 2))], np.ones((4, 3)))
    with pytest.raises(ValueError, match="inputs"):
        _core.network_backward([np.ones((2, 2))], [np.ones((3, 2))], np.ones((4, 2)))
