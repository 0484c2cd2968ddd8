"""Policies: linear, random Fourier features and tanh networks, with Gaussian or discrete actions."""

from .base import Actor, CoreActor, Policy, Snapshot
from .bernoulli import BernoulliHead
from .blocks import Block
from .categorical import CategoricalHead
from .gaussian import DiagonalGaussianHead, GaussianHead, StateDependentGaussianHead
from .head import Head
from .make import config_name, make_policy
from .mlp import LinearPolicy, MLPPolicy
from .multi_categorical import MultiCategoricalHead
from .network import NetworkPolicy
from .rbf import RBFPolicy
from .squashed import SquashedHead

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
    "config_name",
    "make_policy",
]
