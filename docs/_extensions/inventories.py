"""Small inventories of other projects, for builds that reach no other site."""

from __future__ import annotations

import zlib
from pathlib import Path

# Of each project the names that docstrings refer to: (name, role, address below the project's site).
NAMES = {
    "python": (
        ("pickle", "py:module", "library/pickle.html"),
        ("ValueError", "py:exception", "library/exceptions.html#ValueError"),
        ("TypeError", "py:exception", "library/exceptions.html#TypeError"),
    ),
    "numpy": (
        ("numpy.ndarray", "py:class", "reference/generated/numpy.ndarray.html"),
        ("numpy.asarray", "py:function", "reference/generated/numpy.asarray.html"),
        ("numpy.random.Generator", "py:class", "reference/random/generator.html"),
        (
            "numpy.linalg.LinAlgError",
            "py:exception",
            "reference/generated/numpy.linalg.LinAlgError.html",
        ),
    ),
    "gymnasium": (
        ("gymnasium.Env", "py:class", "api/env/"),
        ("gymnasium.vector.VectorEnv", "py:class", "api/vector/"),
    ),
    "torch": (
        ("torch.Tensor", "py:class", "tensors.html"),
        ("torch.nn.Module", "py:class", "generated/torch.nn.Module.html"),
        ("torch.optim.Optimizer", "py:class", "optim.html"),
    ),
}


def write_inventories(folder: Path) -> dict[str, Path]:
    """Write an ``objects.inv`` for each project; return their paths by project."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {}
    for project, names in NAMES.items():
        header = (
            f"# Sphinx inventory version 2\n# Project: {project}\n# Version: \n"
            "# The remainder of this file is compressed using zlib.\n"
        )
        lines = "".join(f"{name} {role} 1 {address} -\n" for name, role, address in names)
        paths[project] = folder / f"{project}.inv"
        paths[project].write_bytes(header.encode() + zlib.compress(lines.encode()))
    return paths
