"""The old place of :mod:`fastfisher.runs.export`, for one release."""

from .._moved import moved

__getattr__ = moved("fastfisher.training.export", "fastfisher.runs.export")
