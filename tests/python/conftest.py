"""Each test that asks for `simd` runs at every level that this machine has; examples are always the same."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

from fastfisher import _core

# A failure is then one of the code under test, and happens again.
settings.register_profile("derandomized", derandomize=True)
settings.load_profile("derandomized")


@pytest.fixture(scope="module", params=_core.available_simd_levels())
def simd(request: pytest.FixtureRequest) -> Iterator[str]:
    """Force a SIMD level for the module's tests, one level after another."""
    before = _core.simd_level()
    _core.set_simd_level(request.param)
    yield request.param
    _core.set_simd_level(before)
