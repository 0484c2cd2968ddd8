"""What `fastfisher.torch` raises where it would have to guess."""

from __future__ import annotations


class UnsupportedModuleError(TypeError):
    """A module, or a use of its parameters, has no per-sample scores, or no rule for them.

    The message names the module by its path and its type, and says what to do.
    """


class ScoresMismatchError(RuntimeError):
    """The scores of a parameter do not add up to autograd's own gradient.

    The message names the parameter and its module, and gives both norms.
    """
