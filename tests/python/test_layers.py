"""Arrows between the package's folders go down, no modules import in a circle, the core is asked by name.

All of it is read from the source: imports at the top of a module, inside of functions and for types alone.
"""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

BELOW = {
    "_core": (),
    "step": ("_core",),
    "diagnosis": ("step", "_core"),
    "policies": ("step", "_core"),
    "training": ("policies", "step", "_core"),
    "runs": ("training", "policies", "step", "_core"),
    "cli": ("runs", "training", "policies", "step", "_core", ""),
    # Bridges to other frameworks: nothing below may ask for them.
    "torch": ("step",),
    "jax": ("step",),
    "netket": ("jax", "step"),
    "sb3": ("torch", "step"),
    "distributed": ("step",),
    # fastfisher itself, which gathers the public names (those of training as strings, imported when named).
    "": ("diagnosis", "training", "policies", "step", "_core"),
}
"""What each part of the package may import from, besides itself; the modules of the root are the step."""

KERNELS = {
    "network_forward", "network_backward", "NetworkActor",
    "BoxActor", "DiscreteActor", "MalformedStepError", "check_step", "run_episode",
    "column_moments", "value_features_sums", "value_features_rows", "value_features_matvec",
    "simd_level", "usable_processors", "end_with_parent",
}  # fmt: skip
"""What policies and training may ask of the core: what is no part of a step."""


BRIDGES = frozenset({"torch", "jax", "sb3", "netket"})
"""Parts that need a framework, which is optional."""

FRAMEWORKS = {
    "torch": ("torch", "sb3"),
    "jax": ("jax", "netket"),
    "netket": ("netket",),
    "stable_baselines3": ("sb3",),
    "sb3_contrib": ("sb3",),
    "flax": ("jax", "netket"),
    "haiku": ("jax",),
    "equinox": ("jax",),
}
"""Which parts of the package may import a framework, at the top of a module or anywhere else."""


@dataclass(frozen=True)
class Import:
    """One name that a module imports from the package."""

    module: str
    """The module that imports, without the package's name: ``training.agent``; "" is the package itself."""
    target: str
    """The module that is imported, or that the name comes from."""
    name: str
    """The name, "" where it is the module."""
    for_types: bool
    """Whether only type checkers see it."""

    @property
    def whole_core(self) -> bool:
        """Whether it is the core as a whole."""
        return self.target == "_core" and not self.name

    def __str__(self) -> str:
        return f"{self.target}.{self.name}".strip(".")


def modules_of(root: Path) -> dict[str, Path]:
    """Return the source of each module, by its name without the package's."""
    names = {}
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


def imports_of(root: Path) -> list[Import]:
    """Return everything that the modules of a package import from it."""
    modules = modules_of(root)
    known = {*modules, "_core"}
    found = []
    for module, path in modules.items():
        here = module if path.name == "__init__.py" else module.rpartition(".")[0]
        for node, for_types in imports_in(ast.parse(path.read_text("utf-8")), False):
            if isinstance(node, ast.ImportFrom):
                source = absolute(node, here, root.name)
                names = [alias.name for alias in node.names]
            else:
                source, names = "", [within(alias.name, root.name) for alias in node.names]
            if source is None:
                continue
            for name in names:
                if name is None:
                    continue
                whole = f"{source}.{name}".strip(".")
                of_module = (whole, "") if whole in known else (source, name)
                found.append(Import(module, *of_module, for_types))
    return found


def frameworks_of(root: Path) -> list[tuple[str, str]]:
    """Return what the modules of a package import from frameworks: pairs (module, framework)."""
    found = []
    for module, path in modules_of(root).items():
        for node, _ in imports_in(ast.parse(path.read_text("utf-8")), False):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                names = [node.module or ""] if node.level == 0 else []
            found += [(module, top) for name in names if (top := name.partition(".")[0]) in FRAMEWORKS]
    return sorted(set(found))


def imports_in(node: ast.AST, for_types: bool) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    """Yield the import statements below a node, and whether they stand under ``if TYPE_CHECKING``."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.Import, ast.ImportFrom)):
            yield child, for_types
        guarded = isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING")
        yield from imports_in(child, for_types or guarded)


def absolute(node: ast.ImportFrom, here: str, package: str) -> str | None:
    """Return what an import is from, without the package's name; None where it is from another package."""
    if node.level == 0:
        return within(node.module or "", package)
    parts = here.split(".") if here else []
    return ".".join([*parts[: len(parts) + 1 - node.level], *filter(None, [node.module])])


def within(name: str, package: str) -> str | None:
    """Return the name of a module without the package's; None where it is another package's."""
    if name == package:
        return ""
    return name.removeprefix(f"{package}.") if name.startswith(f"{package}.") else None


def part_of(module: str) -> str:
    """Return which part of the package a module belongs to."""
    first, _, _ = module.partition(".")
    if first == "__main__":
        return "cli"
    return first if first in BELOW else "step"


def upward(found: list[Import]) -> list[Import]:
    """Return the imports of a part that is not below."""
    return [
        one
        for one in found
        if part_of(one.module) != part_of(one.target)
        and part_of(one.target) not in BELOW[part_of(one.module)]
    ]


def circle(found: list[Import]) -> list[str]:
    """Return modules that import in a circle, if there is one; what only types need does not count."""
    graph: dict[str, set[str]] = {}
    for one in found:
        if not one.for_types and one.target != one.module:
            graph.setdefault(one.module, set()).add(one.target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def around_the_step(found: list[Import]) -> list[Import]:
    """Return what policies and training ask of the core that they must ask of the step."""
    return [
        one
        for one in found
        if one.target == "_core"
        and part_of(one.module) in ("policies", "training")
        and one.name not in KERNELS
    ]


def out_of_place(found: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the imports of frameworks by modules that are no bridge to them."""
    return [(module, name) for module, name in found if part_of(module) not in FRAMEWORKS[name]]


@pytest.fixture(scope="module")
def package() -> Path:
    spec = importlib.util.find_spec("fastfisher")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


@pytest.fixture(scope="module")
def imports(package: Path) -> list[Import]:
    found = imports_of(package)
    assert len(found) > 300  # the source is there
    return found


def named(broken: list[Import]) -> list[tuple[str, str]]:
    """Return imports that break a rule as (module, what it imports)."""
    return sorted({(one.module, str(one)) for one in broken})


def test_imports_between_parts_go_down(imports: list[Import]) -> None:
    assert not named(upward(imports))


def test_no_modules_import_in_a_circle(imports: list[Import]) -> None:
    assert not circle(imports)


def test_the_core_is_imported_by_name(imports: list[Import]) -> None:
    assert not named([one for one in imports if one.whole_core])


def test_policies_and_training_do_not_reach_around_the_step(imports: list[Import]) -> None:
    assert not named(around_the_step(imports))


def test_frameworks_are_imported_by_their_bridges_alone(package: Path) -> None:
    assert not out_of_place(frameworks_of(package))


@pytest.mark.parametrize("part", [part for part in BELOW if part not in BRIDGES])
def test_only_bridges_may_import_bridges(part: str) -> None:
    assert not BRIDGES.intersection(BELOW[part])


def house(folder: Path, sources: dict[str, str]) -> list[Import]:
    """Write a package of these files and return its imports."""
    root = folder / "house"
    for name, source in sources.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(source)
    return imports_of(root)


def test_an_import_up_is_found_wherever_it_stands(tmp_path: Path) -> None:
    found = house(
        tmp_path,
        {
            "__init__.py": "from .scores import Scores",
            "scores.py": "from ._core import matvec",
            "training/__init__.py": "",
            "training/agent.py": "from ..scores import Scores\nfrom .move import take",
            "training/move.py": "def take():\n    from ..runs.folder import RunFolder",
            "training/rollouts/serial.py": "if TYPE_CHECKING:\n    from ...cli import main",
            "runs/folder.py": "import house.training.agent\nfrom house import Scores",
        },
    )
    assert {(one.module, str(one)) for one in upward(found)} == {
        ("training.move", "runs.folder.RunFolder"),
        ("training.rollouts.serial", "cli.main"),
        ("runs.folder", "Scores"),
    }


def test_a_circle_is_found_and_types_make_none(tmp_path: Path) -> None:
    sources = {
        "a.py": "from .b import B",
        "b.py": "if TYPE_CHECKING:\n    from .a import A",
    }
    assert not circle(house(tmp_path, sources))
    assert set(circle(house(tmp_path, {**sources, "b.py": "def f():\n    from . import a"}))) == {"a", "b"}


def test_what_reaches_around_the_step_is_found(tmp_path: Path) -> None:
    found = house(
        tmp_path,
        {
            "policies/network.py": "from .._core import network_forward, gram_product",
            "training/move.py": "from .. import _core",
            "scores.py": "from . import _core",
        },
    )
    assert [one.name for one in around_the_step(found)] == ["gram_product", ""]
    assert [one.module for one in found if one.whole_core] == ["scores", "training.move"]


def test_a_bridge_that_is_asked_for_and_a_framework_out_of_place_are_found(tmp_path: Path) -> None:
    sources = {
        "__init__.py": "from .scores import Scores",
        "scores.py": "def f():\n    from .torch import capture",
        "arrays.py": "if TYPE_CHECKING:\n    import torch",
        "training/agent.py": "from ..jax import scores",
        "torch/__init__.py": "from .capture import capture",
        "torch/capture.py": "import torch\nfrom torch import nn\nfrom ..scores import Scores",
        "torch/rules.py": "from ..training import agent",
        "sb3/npg.py": "import torch.nn\nfrom stable_baselines3 import PPO\nfrom ..torch import capture",
        "jax/scores.py": "import jax.numpy as jnp\nfrom flax import nnx\nfrom .. import torch",
        "netket/sr.py": "import netket as nk, torch\nfrom ..jax import scores",
        "training/__init__.py": "",
        "jax/__init__.py": "",
    }
    found = house(tmp_path, sources)
    assert named(upward(found)) == [
        ("jax.scores", "torch"),
        ("scores", "torch.capture"),
        ("torch.rules", "training.agent"),
        ("training.agent", "jax.scores"),
    ]
    assert out_of_place(frameworks_of(tmp_path / "house")) == [("arrays", "torch"), ("netket.sr", "torch")]
