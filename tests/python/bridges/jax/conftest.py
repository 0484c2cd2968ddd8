"""Tests of NetKet have a process of their own: its import sets a mesh for all of JAX."""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave NetKet's tests out where they are not named: JAX does not batch convolutions under its mesh."""
    named = any("test_netket" in argument for argument in config.args)
    return True if collection_path.name == "test_netket.py" and not named else None
