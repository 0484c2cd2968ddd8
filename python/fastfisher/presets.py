"""The old place of :mod:`fastfisher.training.presets`, for one release."""

from ._moved import moved

__getattr__ = moved("fastfisher.presets", "fastfisher.training.presets")
