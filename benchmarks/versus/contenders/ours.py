"""fastfisher's kernels and natural_step on dense scores."""

from __future__ import annotations

from typing import Any

from ..case import Inputs, Task, value


def symmetric_product(side: str, precision: str, inputs: Inputs, threads: int) -> Task:
    """S^T S or S S^T, both triangles."""
    from fastfisher import _core

    product = _core.fisher_product if side == "StS" else _core.gram_product
    return Task(lambda: product(inputs["scores"], precision=precision, threads=threads), value)


def fisher_matvec(precision: str, inputs: Inputs, threads: int) -> Task:
    """S^T (S v), reading S once."""
    from fastfisher import _core

    scores, v = inputs["scores"], inputs["v"].astype(float)
    return Task(lambda: _core.fisher_matvec(scores, v, precision=precision, threads=threads), value)


def cholesky(inputs: Inputs, threads: int) -> Task:
    """The factor of a copy, other triangle zero."""
    from fastfisher import _core

    return Task(lambda: _core.cholesky(inputs["matrix"], threads=threads), value)


def natural_step(solver: Any, precision: Any, inputs: Inputs, threads: int) -> Task:
    """The public function, with its checks, its measured residual and the KL prediction it reports."""
    import fastfisher as ff

    def run() -> ff.NaturalStep:
        return ff.natural_step(
            inputs["scores"],
            inputs["advantages"],
            damping=inputs["damping"],
            solver=solver,
            precision=precision,
            num_threads=threads,
        )

    return Task(run, lambda result: value(result.direction))
