"""Scores of a function in JAX, and the natural-gradient step on its pytree of parameters.

    import fastfisher.jax as ffj

    def log_prob(params, obs, actions): ...                 # (N,)

    scores = ffj.scores(log_prob, params, obs, actions)
    result = scores.natural_step(advantages, max_kl=0.01)
    params = scores.add(params, result.step)

`log_prob` is any function of a pytree of parameters (flax, haiku, equinox, or dicts of arrays) whose samples
do not depend on each other.  Its dense products are found in its jaxpr, and their scores handed over as the
pair of their inputs and errors, which is never multiplied out.
"""

from __future__ import annotations

try:
    import jax as _jax
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "fastfisher.jax needs JAX: python -m pip install 'fastfisher[jax]'", name=error.name
    ) from error

from .capture import fisher_scores, scores
from .certificate import ScoresMismatchError
from .scores import JaxScores

del _jax

__all__ = ["JaxScores", "ScoresMismatchError", "fisher_scores", "scores"]
