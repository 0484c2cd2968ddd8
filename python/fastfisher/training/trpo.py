"""The agent that measures a step before it takes it."""

from __future__ import annotations

from .agent import NPG


class TRPO(NPG):
    """Trust region policy optimization, arXiv 1502.05477: the natural step, checked and shortened.

    As :class:`NPG`, but the step is scaled back until the KL divergence that it has really brought about is
    at most ``max_kl`` and the surrogate objective has improved; where no length does both, the policy stays
    as it was, to the bit, and ``notes`` says why each was rejected.  ``fisher`` is "exact" unless said
    otherwise: what the Hessian-vector products of the paper compute.

    ``max_kl`` is the bound on the KL divergence, this paper's delta (NPG's paper calls twice that delta).

    Parameters
    ----------
    env, policy, seed, **overrides
        As of :class:`NPG`; ``line_search_factor`` and ``line_search_steps`` are this algorithm's own.

    Examples
    --------
    >>> agent = TRPO("CartPole-v1", workers=1).learn(2_000)
    >>> agent.config.fisher
    'exact'
    """

    algorithm = "trpo"
