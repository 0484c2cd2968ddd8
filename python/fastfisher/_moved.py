"""Names that have moved: each works from its old place for one release, with a DeprecationWarning."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable


def moved(old: str, new: str, *names: str) -> Callable[[str], object]:
    """Return the ``__getattr__`` of a module whose names, all or these, have moved from `old` to `new`."""

    def get(name: str) -> object:
        if name.startswith("__") or (names and name not in names):
            raise AttributeError(f"module {old!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(new), name)
        warnings.warn(f"{old}.{name} has moved to {new}.{name}", DeprecationWarning, stacklevel=2)
        return value

    return get
