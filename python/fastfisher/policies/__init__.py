"""Policies: linear, random Fourier features and tanh networks, with Gaussian or categorical actions."""

from .base import Actor, Policy, Snapshot
from .blocks import Block
from .categorical import CategoricalHead
from .gaussian import GaussianHead
from .head import Head
from .make import make_policy
from .mlp import LinearPolicy, MLPPolicy
from .network import NetworkPolicy
from .rbf import RBFPolicy

__all__ = [
    "Actor",
    "Block",
    "CategoricalHead",
    "GaussianHead",
    "Head",
    "LinearPolicy",
    "MLPPolicy",
    "NetworkPolicy",
    "Policy",
    "RBFPolicy",
    "Snapshot",
    "make_policy",
]
