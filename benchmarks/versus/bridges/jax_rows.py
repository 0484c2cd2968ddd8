"""fastfisher.jax against conjugate gradients that JAX compiles whole, and fastfisher.netket against NetKet.

The peer of the step is what a JAX user writes: products with the Fisher matrix by jvp and vjp of log pi, in a
loop under one jit.  Both solve the same system, of the empirical Fisher matrix, by as many iterations.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ..case import Answer, Missing, Task
from .row import Row, compared

OBSERVATIONS, ACTIONS, DAMPING, MAX_KL = 17, 6, 0.1, 0.01


def rows(quick: bool) -> list[Row]:
    """Return the comparisons; `quick` shrinks the sizes."""
    samples, width, iterations = (256, 8, 5) if quick else (10_000, 64, 15)
    spins, chains = (8, 64) if quick else (20, 1008)
    return [
        compared(
            f"jax scores and step, N={samples}, 17-{width}-{width}-6, {iterations} CG steps",
            ours=partial(_ours, samples, width, iterations),
            peer=partial(_peer, samples, width, iterations),
            peer_name="JAX, jvp and vjp",
            threads=2,
            bar=5.0,
            limits={"direction_error": 1e-2},
            peer_limits={"direction_error": 1e-2},
            gives="float32; the same system, CG under one jit",
        ),
        compared(
            f"netket iteration, Ising chain of {spins}, RBM alpha=4, N={chains}",
            ours=partial(_vmc, spins, chains, True),
            peer=partial(_vmc, spins, chains, False),
            peer_name="NetKet VMC_SR",
            threads=2,
            bar=1.7,
            pairs=5,
            gives="float64; minSR by Cholesky",
        ),
    ]


def _problem(samples: int, width: int, iterations: int) -> Any:
    """Return log pi, its parameters, a batch, advantages, and the answer in float64 by NumPy's CG."""
    try:
        import jax
        import jax.numpy as jnp
    except ImportError as error:
        raise Missing(f"JAX is not installed ({error})") from None
    rng = np.random.default_rng(0)
    sizes = [(OBSERVATIONS, width), (width, width), (width, ACTIONS)]
    layers = [
        (jnp.asarray(rng.standard_normal(size) / np.sqrt(size[0]), jnp.float32), jnp.zeros(size[1]))
        for size in sizes
    ]
    params = {"layers": layers, "log_std": jnp.zeros(ACTIONS)}
    obs, act = (jnp.asarray(rng.standard_normal((samples, k)), jnp.float32) for k in (OBSERVATIONS, ACTIONS))
    A = jnp.asarray(rng.standard_normal(samples), jnp.float32)

    def log_prob(params: Any, obs: Any, act: Any) -> Any:
        for weights, bias in params["layers"][:-1]:
            obs = jnp.tanh(obs @ weights + bias)
        weights, bias = params["layers"][-1]
        noise = (act - obs @ weights - bias) * jnp.exp(-params["log_std"])
        return (-0.5 * noise**2 - params["log_std"]).sum(1)

    def one(params: Any, obs: Any, act: Any) -> Any:
        return log_prob(params, obs[None], act[None])[0]

    def wanted() -> Any:
        gradients = jax.vmap(jax.grad(one), (None, 0, 0))(params, obs, act)
        S = np.hstack([np.asarray(leaf).reshape(samples, -1) for leaf in jax.tree.leaves(gradients)])
        return _by_numpy(S, np.asarray(A, np.float64), iterations)

    return log_prob, params, (obs, act), A, wanted


def _by_numpy(S: Any, A: Any, iterations: int) -> Any:
    """Return the direction by CG in float64, of scores in float32."""
    r = S.T.astype(np.float64) @ A / len(S)
    x, p = np.zeros_like(r), r.copy()
    for _ in range(iterations):
        Fp = np.asarray(S.T @ (S @ p.astype(S.dtype)), np.float64) / len(S) + DAMPING * p
        alpha = (r @ r) / (p @ Fp)
        x, rest = x + alpha * p, r - alpha * Fp
        p, r = rest + (rest @ rest) / (r @ r) * p, rest
    return x


def _answer(wanted: Any, direction: Any) -> Answer:
    a, b = np.asarray(direction, np.float64), wanted()
    return {"direction_error": np.asarray(np.linalg.norm(a - b) / np.linalg.norm(b))}


def _ours(samples: int, width: int, iterations: int, threads: int) -> Task:
    log_prob, params, batch, A, wanted = _problem(samples, width, iterations)
    import fastfisher.jax as ffj

    options = {
        "solver": "cg", "precision": "single", "max_iterations": iterations, "tol": 0.0, "damping": DAMPING,
        "max_kl": MAX_KL, "num_threads": threads, "precondition": False, "sample_weights": False,
    }  # fmt: skip

    def run() -> Any:
        return ffj.scores(log_prob, params, *batch).natural_step(A, **options)

    return Task(run, lambda result: _answer(wanted, result.direction))


def _peer(samples: int, width: int, iterations: int, threads: int) -> Task:
    log_prob, params, batch, A, wanted = _problem(samples, width, iterations)
    import jax
    import jax.numpy as jnp
    from jax.flatten_util import ravel_pytree

    flat, unravel = ravel_pytree(params)

    @jax.jit
    def direction(flat: Any, obs: Any, act: Any, A: Any) -> Any:
        def values(vector: Any) -> Any:
            return log_prob(unravel(vector), obs, act)

        _, pull_back = jax.vjp(values, flat)

        def product(v: Any) -> Any:
            return pull_back(jax.jvp(values, (flat,), (v,))[1])[0] / samples + DAMPING * v

        def step(_: Any, state: Any) -> Any:
            x, r, p, rr = state
            Fp = product(p)
            alpha = rr / (p @ Fp)
            r = r - alpha * Fp
            new = r @ r
            return x + alpha * p, r, r + new / rr * p, new

        g = pull_back(A)[0] / samples
        x, _, _, _ = jax.lax.fori_loop(0, iterations, step, (jnp.zeros_like(g), g, g, g @ g))
        return x, jnp.sqrt(2.0 * MAX_KL / (g @ x)) * x

    return Task(
        lambda: jax.block_until_ready(direction(flat, *batch, A)), lambda result: _answer(wanted, result[0])
    )


def _vmc(spins: int, samples: int, ours: bool, threads: int) -> Task:
    try:
        import jax
        import netket as nk
    except ImportError as error:
        raise Missing(f"NetKet is not installed ({error})") from None
    space = nk.hilbert.Spin(s=1 / 2, N=spins)
    hamiltonian = nk.operator.Ising(space, graph=nk.graph.Chain(spins), h=1.0)
    sampler = nk.sampler.MetropolisLocal(space, n_chains=16)
    model = nk.models.RBM(alpha=4, param_dtype=float)
    state = nk.vqs.MCState(sampler, model, n_samples=samples, seed=1, sampler_seed=2)
    optimizer = nk.optimizer.Sgd(0.05)
    if ours:
        from fastfisher.netket import SR

        rule = SR(0.01, num_threads=threads)
        driver = nk.driver.VMC(hamiltonian, optimizer, variational_state=state, preconditioner=rule)
    else:
        driver = nk.driver.VMC_SR(hamiltonian, optimizer, variational_state=state, diag_shift=0.01)

    def run() -> Any:
        driver.run(5, show_progress=False, out=None)
        return jax.block_until_ready(state.parameters)

    return Task(run, lambda _: {"energy": np.asarray(state.expect(hamiltonian).mean.real)})
