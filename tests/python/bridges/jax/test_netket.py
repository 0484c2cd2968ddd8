"""NetKet's VMC with our preconditioner goes where its own stochastic reconfiguration goes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("jax")
nk = pytest.importorskip("netket")

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
from jax.flatten_util import ravel_pytree  # noqa: E402

from fastfisher.netket import SR  # noqa: E402

LENGTH, SHIFT = 8, 0.01
HILBERT = nk.hilbert.Spin(s=1 / 2, N=LENGTH)
HAMILTONIAN = nk.operator.Ising(HILBERT, graph=nk.graph.Chain(LENGTH), h=1.0)


def state_of(model: Any, samples: int = 128, **options: Any) -> Any:
    sampler = nk.sampler.MetropolisLocal(HILBERT, n_chains=16)
    return nk.vqs.MCState(sampler, model, n_samples=samples, seed=1, sampler_seed=2, **options)


def energies(make: Callable[[Any], Any], model: Any, **options: Any) -> list[float]:
    """Return the energies of some iterations."""
    state = state_of(model, **options)
    driver = make(state)
    found = []
    for _ in range(6):
        driver.run(1, show_progress=False, out=None)
        found.append(float(driver.state.expect(HAMILTONIAN).mean.real))
    return found


def ours(**options: Any) -> Callable[[Any], Any]:
    return lambda state: nk.driver.VMC(
        HAMILTONIAN, nk.optimizer.Sgd(0.05), variational_state=state, preconditioner=SR(SHIFT, **options)
    )


def theirs(state: Any) -> Any:
    return nk.driver.VMC_SR(HAMILTONIAN, nk.optimizer.Sgd(0.05), variational_state=state, diag_shift=SHIFT)


@pytest.mark.parametrize(("alpha", "samples"), [(1, 512), (4, 128)])  # more samples than parameters, and less
@pytest.mark.parametrize("dtype", [float, complex])
def test_energies_are_those_of_vmc_sr(alpha: int, samples: int, dtype: Any) -> None:
    if dtype is float:
        model = nk.models.RBM(alpha=alpha, param_dtype=float)
    else:
        model = nk.models.RBMModPhase(alpha=alpha, param_dtype=float)  # real parameters, complex log psi
    np.testing.assert_allclose(
        energies(ours(), model, samples=samples), energies(theirs, model, samples=samples), rtol=1e-7
    )


def test_the_dense_jacobian_solves_the_same_system() -> None:
    model = nk.models.RBM(alpha=2, param_dtype=float)
    state = state_of(model)
    _, gradient = state.expect_and_grad(HAMILTONIAN)
    precondition = SR(SHIFT)
    found = ravel_pytree(precondition(state, gradient))[0]
    S = nk.optimizer.qgt.QGTJacobianDense(state, mode="real").to_dense()
    wanted = np.linalg.solve(S + SHIFT * np.eye(len(S)), ravel_pytree(gradient)[0])
    np.testing.assert_allclose(found, wanted, rtol=1e-8, atol=1e-10)
    assert precondition.result is not None
    assert precondition.result.residual < 1e-10


def test_chunks_and_schedules() -> None:
    model = nk.models.RBM(alpha=1, param_dtype=float)
    state, twin = state_of(model), state_of(model, chunk_size=32)
    _, gradient = state.expect_and_grad(HAMILTONIAN)
    at_once = jax.tree.leaves(SR(SHIFT)(state, gradient))
    in_chunks = jax.tree.leaves(SR(lambda step: SHIFT * step)(twin, gradient, 1))
    for a, b in zip(at_once, in_chunks, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-12)


def test_what_it_has_not_is_refused() -> None:
    with pytest.raises(TypeError, match=r"vstate.parameters\[.*complex"):
        SR()(state_of(nk.models.RBM(alpha=1, param_dtype=complex)), {})
    with pytest.raises(TypeError, match=r"vstate: .*samples"):
        SR()(nk.vqs.FullSumState(HILBERT, nk.models.RBM(alpha=1, param_dtype=float)), {})
    with pytest.raises(ValueError, match=r"mode: .*'real', 'complex'"):
        SR(mode="holomorphic")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="damping: "):
        SR(damping=0.1)
    assert jnp.isfinite(SR(0.5).diag_shift)
    assert repr(SR(0.5, tol=1e-3)) == "SR(diag_shift=0.5, mode=None, tol=0.001)"
