"""One natural-gradient step from scores by hand, and what plain NumPy makes of the same.

python examples/one_step.py [SAMPLES] [PARAMETERS]
"""

from __future__ import annotations

import sys
from time import perf_counter

import numpy as np

import fastfisher as ff

SAMPLES, PARAMETERS = (int(word) for word in (*sys.argv[1:], 5_000, 1_000)[:2])
DAMPING, MAX_KL = 1e-4, 0.01


def main() -> None:
    rng = np.random.default_rng(0)
    S = rng.standard_normal((SAMPLES, PARAMETERS))  # row n: grad log pi(a_n | s_n)
    A = rng.standard_normal(SAMPLES)  # advantages
    theta = np.zeros(PARAMETERS)

    start = perf_counter()
    result = ff.natural_step(S, A, damping=DAMPING, max_kl=MAX_KL)
    theta += result.step
    print(result)
    print(f"in {perf_counter() - start:.3f} s; the same by NumPy ", end="")

    # The definition: x = (F + lambda I)^-1 g, and the length at which the KL divergence is MAX_KL.
    start = perf_counter()
    F, g = S.T @ S / SAMPLES, S.T @ A / SAMPLES
    x = np.linalg.solve(F + DAMPING * np.eye(PARAMETERS), g)
    step = np.sqrt(2 * MAX_KL / (g @ x)) * x
    difference = np.linalg.norm(step - result.step) / np.linalg.norm(step)
    print(f"in {perf_counter() - start:.3f} s, {difference:.0e} of its length apart")
    assert difference < 1e-6


if __name__ == "__main__":
    main()
