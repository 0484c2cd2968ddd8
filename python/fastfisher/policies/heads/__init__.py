"""Distributions of actions: what a policy's features are turned into."""

from .base import Head
from .bernoulli import BernoulliHead
from .categorical import CategoricalHead, MultiCategoricalHead
from .gaussian import DiagonalGaussianHead, GaussianHead, StateDependentGaussianHead
from .squashed import SquashedHead

__all__ = [
    "BernoulliHead",
    "CategoricalHead",
    "DiagonalGaussianHead",
    "GaussianHead",
    "Head",
    "MultiCategoricalHead",
    "SquashedHead",
    "StateDependentGaussianHead",
]
