"""Embeddings: the errors of a token are the scores of its row of the table."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from ..errors import UnsupportedModuleError
from .table import Call, Factor, Pair, rule


@rule(nn.Embedding)
def embedding(module: nn.Embedding, call: Call) -> dict[str, Factor]:
    """Return the scores of the table (V, k): for one token a sample a pair, else written out."""
    if module.scale_grad_by_freq:
        raise UnsupportedModuleError(
            "Embedding(scale_grad_by_freq=True): its gradient depends on the whole batch, so that a "
            "sample has no score of its own"
        )
    tokens: Tensor = call.argument("input", 0)
    errors: Tensor = call.errors.reshape(len(tokens), -1, module.embedding_dim)
    tokens = tokens.reshape(len(tokens), -1)
    if module.padding_idx is not None:
        errors = errors * (tokens != module.padding_idx).unsqueeze(-1)
    if tokens.shape[1] == 1:
        return {"weight": Pair(functional.one_hot(tokens, module.num_embeddings).to(errors.dtype), errors)}
    table = errors.new_zeros(len(tokens), module.num_embeddings, module.embedding_dim)
    return {"weight": table.scatter_add_(1, tokens.unsqueeze(-1).expand_as(errors), errors)}
