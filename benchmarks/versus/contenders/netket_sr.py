"""NetKet's stochastic reconfiguration on JAX: SR (d x d) and minSR (N x N), dense.

The update is the function that NetKet's VMC_SR driver jits and calls, netket._src.ngd (private: the public
driver wants a Hamiltonian); on score matrices that are not centred, as ours, so that all solve one system.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..case import Inputs, Missing, Task, value
from ..gaussian_mlp import GaussianMLP


def natural_step(inputs: Inputs, threads: int) -> Task:
    """Return the task that goes from dense scores to the direction."""
    jax, _ = _libraries()
    S = jax.numpy.asarray(inputs["scores"])
    A = jax.numpy.asarray(inputs["advantages"].astype(inputs["scores"].dtype))
    update = jax.jit(_update_function(S.shape[0] < S.shape[1], inputs["damping"]))
    return Task(lambda: update(S, A).block_until_ready(), value)


def exact_step(dtype: Any, inputs: Inputs, threads: int) -> Task:
    """From observations and actions: the Jacobian of log pi by NetKet, then minSR."""
    jax, netket = _libraries()
    jnp = jax.numpy
    policy: GaussianMLP = inputs["policy"]
    layers = [jnp.asarray(layer.astype(dtype)) for layer in policy.layers]
    std = jnp.exp(jnp.asarray(policy.log_std.astype(dtype)))
    size = inputs["obs"].shape[1]
    samples = jnp.asarray(np.hstack([inputs["obs"], inputs["act"]]).astype(dtype))
    A = jnp.asarray(inputs["advantages"].astype(dtype))

    def log_prob(variables: Any, rows: Any) -> Any:
        hidden = rows[:, :size]
        for depth, layer in enumerate(variables["params"], start=1):
            hidden = hidden @ layer[:-1] + layer[-1]
            if depth < len(layers):
                hidden = jnp.tanh(hidden)
        return -0.5 * (((rows[:, size:] - hidden) / std) ** 2).sum(axis=1)

    update = _update_function(len(samples) < sum(layer.size for layer in layers), inputs["damping"])

    @jax.jit
    def direction(parameters: Any, rows: Any, advantages: Any) -> Any:
        S = netket.jax.jacobian(log_prob, parameters, rows, {}, mode="real", dense=True, center=False)
        return update(S, advantages)

    return Task(lambda: direction(layers, samples, A).block_until_ready(), value)


def _update_function(dual: bool, damping: float) -> Any:
    """(F + lambda I)^-1 g from S and A: NetKet takes S / sqrt(N) and A / sqrt(N)."""
    jax, netket = _libraries()
    try:
        from netket._src.ngd.sr import _compute_sr_update
        from netket._src.ngd.srt import _compute_srt_update
    except ImportError as error:
        raise Missing(f"this NetKet ({netket.__version__}) has no such function: {error}") from None

    def update(S: Any, A: Any) -> Any:
        scale = 1.0 / math.sqrt(len(S))  # a Python float: NumPy's would make float32 arrays float64
        x, _, _ = (_compute_srt_update if dual else _compute_sr_update)(
            S * scale,
            A * scale,
            diag_shift=damping,
            solver_fn=netket.optimizer.solver.cholesky,
            mode="real",
            params_structure=jax.ShapeDtypeStruct(S.shape[1:], S.dtype),
        )
        return x

    return update


def _libraries() -> tuple[Any, Any]:
    try:
        import jax
        import netket
    except ImportError as error:
        raise Missing(f"NetKet is not installed ({error})") from None
    return jax, netket
