"""Experiments with trained policies: what the package's features are good for, one question a module."""
