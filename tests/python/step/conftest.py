"""What the tests of the step change for the whole process, put back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import fastfisher as ff


@pytest.fixture
def threads() -> Iterator[None]:
    """Return to the environment's number of threads after the test."""
    yield
    ff.set_num_threads(None)
