"""``fastfisher info``."""

from __future__ import annotations

import importlib.metadata
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .words import Switch


@dataclass(frozen=True)
class Info:
    """Versions, instruction set, threads and processor: what to paste into a bug report."""

    json: Switch = False
    """Print JSON."""

    def run(self, _: Sequence[str]) -> int:
        """Print the facts."""
        import fastfisher

        facts: dict[str, Any] = {"fastfisher": version_of("fastfisher"), **fastfisher.show_config()}
        facts.pop("version", None)
        facts["python"] = f"{platform.python_implementation()} {platform.python_version()}"
        facts["platform"] = platform.platform()
        for name in ("numpy", "gymnasium", "mujoco"):
            facts[name] = version_of(name)
        if self.json:
            print(json.dumps(facts, indent=2, default=str))
            return 0
        width = max(map(len, facts))
        for name, value in facts.items():
            print(f"{name.replace('_', ' '):<{width}}  {_words(value)}")
        return 0


def _words(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {_words(v)}" for k, v in value.items())
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def version_of(package: str) -> str:
    """Return a package's version without importing it."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
