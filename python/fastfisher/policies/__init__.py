"""Policies: linear, random Fourier features and tanh networks, with Gaussian or discrete actions."""

from .base import Actor, CoreActor, Policy, Snapshot
from .blocks import Block
from .heads.base import Head
from .heads.bernoulli import BernoulliHead
from .heads.categorical import CategoricalHead
from .heads.gaussian import DiagonalGaussianHead, GaussianHead, StateDependentGaussianHead
from .heads.multi_categorical import MultiCategoricalHead
from .heads.squashed import SquashedHead
from .mlp import LinearPolicy, MLPPolicy
from .network import NetworkPolicy
from .rbf import RBFPolicy

__all__ = [
    "Actor",
    "BernoulliHead",
    "Block",
    "CategoricalHead",
    "CoreActor",
    "DiagonalGaussianHead",
    "GaussianHead",
    "Head",
    "LinearPolicy",
    "MLPPolicy",
    "MultiCategoricalHead",
    "NetworkPolicy",
    "Policy",
    "RBFPolicy",
    "Snapshot",
    "SquashedHead",
    "StateDependentGaussianHead",
]
