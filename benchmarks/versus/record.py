"""What a reader needs to judge or repeat the numbers, and the rows themselves."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

from fastfisher.training.whole_files import replacing

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = (
    *("numpy", "scipy", "torch", "stable-baselines3", "sb3-contrib", "gymnasium", "mujoco", "envpool"),
    *("asdfghjkl", "netket", "jax", "jaxlib", "threadpoolctl", "cma"),
)

Row = dict[str, Any]


def commit(*paths: str) -> str:
    """Return the checkout's commit, if any; dirty if a path is changed, by default anything but results."""
    describe = _git("describe", "--always")
    changed = _git("status", "--porcelain", "--", *(paths or (".", ":!benchmarks/results")))
    return f"{describe}-dirty" if changed else describe


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def command() -> str:
    """Return the script's command, for a shell in the checkout's root."""
    script = os.path.relpath(Path(sys.argv[0]).resolve(), ROOT)
    return shlex.join(["python", script, *sys.argv[1:]])


def header(options: dict[str, Any], configuration: dict[str, Any]) -> dict[str, Any]:
    """Return machine, versions and command, with what the script adds."""
    return {
        "command": command(),
        "commit": commit(),
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "machine": {**configuration, "caches": _caches()},
        "versions": {name: version_of(name) for name in PACKAGES},
        "load_average": os.getloadavg(),
        **options,
    }


OF_SEVERAL_RUNS = {
    "rows_of_several_runs": "commit, date, cpu and repetitions are each row's own, and not recorded where it "
    "has none; all else here is the last run's"
}
"""What the head of a file says to which several runs add rows."""


def circumstances(head: Mapping[str, Any], repetitions: int) -> dict[str, Any]:
    """Return what a row keeps of the head of its own run."""
    return {
        "commit": head["commit"],
        "date": head["date"],
        "cpu": head["machine"].get("cpu"),
        "repetitions": repetitions,
    }


def write(path: Path, head: dict[str, Any], rows: Sequence[Row]) -> None:
    """Write everything so far; a run that is stopped leaves what it measured."""
    write_json(path, {**head, "rows": rows})


def write_json(path: Path, content: Any) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def kept_rows(path: Path) -> list[Row]:
    """Return the rows of earlier runs."""
    return json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else []


def key(row: Row) -> tuple[Any, ...]:
    """Return what a row is about."""
    return row["case"], row["peer"], row["simd"], row["threads"]


def version_of(name: str) -> str | None:
    """Return the version of an installed package, None where it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _caches() -> dict[str, str]:
    found = {}
    for index in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"):
        level, kind, size = (
            (index / name).read_text(encoding="ascii").strip() for name in ("level", "type", "size")
        )
        found[f"L{level} {kind.lower()}"] = size
    return dict(sorted(found.items()))
