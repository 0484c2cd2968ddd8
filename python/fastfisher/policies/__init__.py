"""Policies: linear, random Fourier features and tanh networks, with Gaussian or discrete actions."""

from .._moved import moved
from .base import Actor, Block, CoreActor, Policy, Snapshot
from .heads.base import Head
from .heads.bernoulli import BernoulliHead
from .heads.categorical import CategoricalHead, MultiCategoricalHead
from .heads.gaussian import DiagonalGaussianHead, GaussianHead, StateDependentGaussianHead
from .heads.product import ProductHead
from .heads.squashed import SquashedHead
from .heads.units import ActionUnits, has_bounds
from .mlp import LinearPolicy, MLPPolicy
from .network import NetworkPolicy
from .rbf import RBFPolicy

__all__ = [
    "ActionUnits",
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
    "ProductHead",
    "RBFPolicy",
    "Snapshot",
    "SquashedHead",
    "StateDependentGaussianHead",
    "has_bounds",
]

__getattr__ = moved("fastfisher.policies", "fastfisher.training.make_policy", "make_policy", "config_name")
