"""PyTorch on the CPU: the natural step from dense scores."""

from __future__ import annotations

from ..case import Inputs, Task, value


def natural_step(inputs: Inputs, threads: int) -> Task:
    """The smaller of the two matrices by a matrix product, cholesky, cholesky_solve."""
    import torch

    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    S = torch.from_numpy(inputs["scores"])
    samples, parameters = S.shape
    A = torch.from_numpy(inputs["advantages"]).to(S.dtype) / samples
    damping = inputs["damping"]

    def dual() -> torch.Tensor:
        K = S @ S.T / samples
        K.diagonal().add_(damping)
        u = torch.cholesky_solve(A[:, None], torch.linalg.cholesky(K))
        return S.T @ u[:, 0]

    def primal() -> torch.Tensor:
        F = S.T @ S / samples
        F.diagonal().add_(damping)
        return torch.cholesky_solve((S.T @ A)[:, None], torch.linalg.cholesky(F))[:, 0]

    return Task(dual if samples < parameters else primal, value)
