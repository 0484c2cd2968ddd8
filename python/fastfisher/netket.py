"""Stochastic reconfiguration for NetKet: the natural gradient of a wave function, by fastfisher's step.

    from fastfisher.netket import SR

    driver = nk.driver.VMC(hamiltonian, optimizer, variational_state=state, preconditioner=SR(0.01))

S + diag_shift, S the covariance of d log psi / d theta over the samples, is solved to a residual that is
measured, by whichever algebra is cheapest: of d x d or, as minSR has it, of N x N.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import netket as nk
import numpy as np
from jax.flatten_util import ravel_pytree

from .arguments import choice, number
from .jax import scores
from .jax.arguments import parameters_of
from .natural import NaturalStep, natural_step


class SR:
    """A preconditioner for `netket.driver.VMC` of wave functions with real parameters.

    A real log psi, or the real part of a complex one by ``mode="real"``, is taken apart into its dense
    products by `fastfisher.jax.scores`; for a complex one NetKet's own Jacobian gives two rows a sample.

    Parameters
    ----------
    diag_shift : float or callable
        Added to the diagonal of S: a number >= 0, or a schedule, from the step's number to it.
    mode : {"real", "complex"}, optional
        As of `netket.jax.jacobian`; default "real" for a real log psi and "complex" for a complex one.
        Complex parameters, holomorphic or not, are refused: `netket.driver.VMC_SR` has them.
    **options
        As of `fastfisher.natural_step`: `solver`, `precision`, `tol` and the like.

    Attributes
    ----------
    result : NaturalStep or None
        The last solution: its solver, residual and events.
    """

    def __init__(
        self,
        diag_shift: float | Callable[[Any], Any] = 0.01,
        *,
        mode: Literal["real", "complex"] | None = None,
        **options: Any,
    ) -> None:
        for name in ("advantages", "gradient", "weights", "count", "center", "damping", "max_kl"):
            if name in options:
                raise TypeError(f"{name}: expected options of the solver, whose system is NetKet's")
        self.diag_shift = diag_shift if callable(diag_shift) else number(diag_shift, "diag_shift")
        self.mode = mode if mode is None else choice(mode, "mode", ("real", "complex"))
        self.options = options
        self.result: NaturalStep | None = None
        self._real_parts: weakref.WeakKeyDictionary[Any, Callable[..., Any]] = weakref.WeakKeyDictionary()

    def __call__(self, vstate: Any, gradient: Any, step: Any = None) -> Any:
        """Return x with (S + diag_shift) x = gradient, a pytree like the gradient.

        Raises
        ------
        TypeError
            If the state has no samples, or parameters that are complex.
        """
        if not hasattr(vstate, "samples"):
            raise TypeError(f"vstate: expected a state with samples (MCState), got {type(vstate).__name__}")
        parameters_of(vstate.parameters, "vstate.parameters")
        samples = vstate.samples.reshape(-1, vstate.samples.shape[-1])
        apply, state = vstate._apply_fun, vstate.model_state
        mode = self.mode or ("complex" if self._is_complex(vstate, samples) else "real")
        flat, unravel = ravel_pytree(gradient)
        g = np.asarray(flat).real.astype(np.float64)
        shift = self.diag_shift(step) if callable(self.diag_shift) else self.diag_shift
        options = {**self.options, "gradient": g, "damping": float(shift)}
        chunk = getattr(vstate, "chunk_size", None)
        if mode == "real" and not jax.tree.leaves(state):
            function = self._real_parts.get(vstate)
            if function is None:
                function = self._real_parts[vstate] = _real_part(apply)
            rows = scores(function, vstate.parameters, samples, chunk=chunk)
            self.result = natural_step(rows.scores, center=True, **options)
        else:
            jacobian = np.asarray(
                nk.jax.jacobian(
                    apply,
                    vstate.parameters,
                    samples,
                    state,
                    mode=mode,
                    dense=True,
                    center=True,
                    chunk_size=chunk,
                )
            )
            # Of a complex log psi the real and the imaginary part are rows of one sample.
            rows_of_numbers = jacobian.reshape(-1, jacobian.shape[-1])
            self.result = natural_step(rows_of_numbers, count=len(samples), **options)
        return unravel(jnp.asarray(self.result.direction, flat.dtype))

    def _is_complex(self, vstate: Any, samples: Any) -> bool:
        """Tell whether log psi is complex."""
        returned = jax.eval_shape(vstate._apply_fun, vstate.variables, samples[:1])
        return bool(jnp.issubdtype(returned.dtype, jnp.complexfloating))

    def __repr__(self) -> str:
        options = "".join(f", {name}={value!r}" for name, value in self.options.items())
        return f"SR(diag_shift={self.diag_shift!r}, mode={self.mode!r}{options})"


def _real_part(apply: Callable[..., Any]) -> Callable[..., Any]:
    """Return Re log psi as a function of parameters and samples."""

    def log_amplitude(parameters: Any, samples: Any) -> Any:
        return apply({"params": parameters}, samples).real

    return log_amplitude
