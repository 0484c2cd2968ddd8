"""The old place of :mod:`fastfisher.training.config`, for one release."""

from ._moved import moved

__getattr__ = moved("fastfisher.config", "fastfisher.training.config")
