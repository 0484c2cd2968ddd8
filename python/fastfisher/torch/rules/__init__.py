"""Rules: how the scores of a layer's parameters follow from its inputs and the errors of its outputs.

One table, from the type of a module to its rule; one file a family of layers.  `register` adds to it.
"""

from __future__ import annotations

from . import attention, convolution, embedding, linear, norm, recurrent
from .generic import generic
from .table import Call, Factor, Pair, Rule, as_product, is_same, register, rule_for, written_out

__all__ = [
    "Call",
    "Factor",
    "Pair",
    "Rule",
    "as_product",
    "attention",
    "convolution",
    "embedding",
    "generic",
    "is_same",
    "linear",
    "norm",
    "recurrent",
    "register",
    "rule_for",
    "written_out",
]
