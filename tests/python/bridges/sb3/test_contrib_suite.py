"""SB3-contrib's own tests of its TRPO, with ours in its place.

The tests are in the source distribution of sb3-contrib, which is fetched for the version that is installed,
through pip; nothing of them is kept.  Every case that names TRPO is run, but for those in `DO_NOT_APPLY`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
from importlib import metadata
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("stable_baselines3")
pytest.importorskip("sb3_contrib")

DO_NOT_APPLY: dict[str, str] = {}
"""Cases that are left out, by what stands in their ids, and why."""

CONFTEST = """
import sb3_contrib
from fastfisher.sb3 import TRPO

sb3_contrib.TRPO = TRPO


def pytest_collection_modifyitems(config, items):
    ours = [item for item in items if "trpo" in item.name.lower()]
    config.hook.pytest_deselected(items=[item for item in items if item not in ours])
    items[:] = ours
"""


def fetched(folder: Path) -> Path:
    """Return the tests folder of sb3-contrib's source distribution; skips where there is none to be had."""
    wanted = f"sb3-contrib=={metadata.version('sb3-contrib')}"
    command = [sys.executable, "-m", "pip", "download", "--no-binary", ":all:", "--no-deps"]
    done = subprocess.run(
        [*command, "--quiet", "--dest", str(folder), wanted], capture_output=True, text=True, timeout=240
    )
    archives = list(folder.glob("*.tar.gz"))
    if done.returncode or not archives:
        reason = (done.stderr.strip().splitlines() or ["no archive came"])[-1]
        pytest.skip(f"{wanted} cannot be fetched: {reason}")
    with tarfile.open(archives[0]) as archive:
        for member in archive.getmembers():
            parts = Path(member.name).parts
            if member.isfile() and len(parts) == 3 and parts[1] == "tests" and parts[2].endswith(".py"):
                content = archive.extractfile(member)
                assert content is not None
                (folder / parts[2]).write_bytes(content.read())
    if not list(folder.glob("test_*.py")):
        pytest.skip(f"the source distribution of {wanted} has no tests")
    return folder


@pytest.mark.timeout(900)
def test_sb3_contribs_tests_of_trpo_pass_with_ours(tmp_path: Path) -> None:
    folder = fetched(tmp_path)
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "pytest.ini").write_text("[pytest]\n")
    files = sorted(path.name for path in folder.glob("test_*.py") if "TRPO" in path.read_text())
    words = [f"--deselect={word}" for word in DO_NOT_APPLY]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rfE", "-p", "no:cacheprovider", *words, *files],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=840,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed.group(1)) >= 20
    print(done.stdout.strip().splitlines()[-1])
