"""Policies: linear, random Fourier features and tanh networks, with Gaussian or discrete actions."""

from .._moved import moved
from .base import Actor, Block, CoreActor, Policy, Snapshot
from .heads.base import Head
from .heads.bernoulli import BernoulliHead
from .heads.categorical import CategoricalHead, MultiCategoricalHead
from .heads.gaussian import DiagonalGaussianHead, GaussianHead, StateDependentGaussianHead
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

__getattr__ = moved("fastfisher.policies", "fastfisher.training.make_policy", "make_policy", "config_name")
