"""Every block of Python in README and docs runs, and prints what the page says it prints.

A block runs as a script, from an empty namespace and an empty folder.  A comment above it says otherwise:

    <!-- test: continues -->                after the blocks before it, from the last one that does not
    <!-- test: needs torch -->              skipped where the package is missing; several have spaces between
    <!-- test: 1_000_000 becomes 2_000 -->  with other words, so that a training is short
    <!-- test: not run, because ... -->     not at all, for that reason

A block without a language that follows one of Python is its output: the words must be the same, and numbers
to two digits, or no more than rounding on both sides.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import fastfisher

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md"))
    if path.exists() and "_build" not in path.parts
)
BLOCK = re.compile(
    r"((?:^<!-- test: [^\n]+ -->\n)*)^```python\n(.*?)^```\n(?:```\n(.*?)^```$)?", re.MULTILINE | re.DOTALL
)
NUMBER = re.compile(r"[-+]?\d[\d,]*\.?\d*(?:e[-+]?\d+)?")
END_OF_BLOCK = "\x1e"


@dataclass
class Block:
    """A block of Python, and what its page says of it."""

    code: str
    output: str
    continues: bool = False
    needs: tuple[str, ...] = ()
    not_run: str = ""

    @classmethod
    def read(cls, comments: str, code: str, output: str) -> Block:
        block = cls(code, output)
        for words in re.findall(r"<!-- test: (.+) -->", comments):
            if words == "continues":
                block.continues = True
            elif words.startswith("needs "):
                block.needs += tuple(words.split()[1:])
            elif words.startswith("not run, because "):
                block.not_run = words
            elif found := re.fullmatch(r"(.+) becomes (.+)", words):
                assert found[1] in block.code, f"{found[1]} is not in the block"
                block.code = block.code.replace(found[1], found[2])
            else:
                raise ValueError(f"expected one of the forms above, got {words}")
        return block


@dataclass
class Program:
    """Blocks that run one after the other."""

    page: Path
    number: int
    blocks: list[Block] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.number}"


def programs() -> list[Program]:
    found: list[Program] = []
    for page in PAGES:
        for comments, code, output in BLOCK.findall(page.read_text("utf-8")):
            block = Block.read(comments, code, output)
            if not block.continues:
                found.append(Program(page, 1 + sum(program.page == page for program in found)))
            assert found, f"{page}: the first block continues nothing"
            assert found[-1].page == page, f"{page}: the first block continues nothing"
            found[-1].blocks.append(block)
    return found


def differences(printed: str, written: str) -> list[str]:
    """Return where the words differ, or numbers by more than a page owes."""
    found = []
    if NUMBER.sub("#", printed).split() != NUMBER.sub("#", written).split():
        found.append(f"expected\n{written}got\n{printed}")
    for ours, theirs in zip(NUMBER.findall(printed), NUMBER.findall(written), strict=False):
        x, y = (float(number.replace(",", "")) for number in (ours, theirs))
        if abs(x - y) > 0.02 * abs(y) and max(abs(x), abs(y)) > 1e-11:
            found.append(f"expected {theirs}, got {ours}")
    return found


@pytest.mark.parametrize("program", programs(), ids=str)
def test_blocks_of_documents(program: Program, tmp_path: Path) -> None:
    blocks, missing = [], []
    for block in program.blocks:
        missing += [name for name in block.needs if importlib.util.find_spec(name) is None]
        if missing:  # what follows continues a block that cannot run
            break
        if not block.not_run:
            blocks.append(block)
    if not blocks:
        pytest.skip(
            f"{', '.join(missing)} is not installed" if missing else "not to be run, as the page says"
        )
    script = tmp_path / "block.py"
    script.write_text(f"\nprint({END_OF_BLOCK!r})\n".join(block.code for block in blocks), "utf-8")
    done = subprocess.run(
        [sys.executable, "block.py"],
        env={**os.environ, "PYTHONPATH": str(Path(fastfisher.__file__).parents[1]), "PYTHONUTF8": "1"},
        cwd=tmp_path, capture_output=True, encoding="utf-8", timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for block, printed in zip(blocks, done.stdout.split(f"{END_OF_BLOCK}\n"), strict=True):
        assert not block.output or differences(printed, block.output) == []


def test_readme_is_read_in_three_minutes() -> None:
    lines = (ROOT / "README.md").read_text("utf-8").splitlines()
    assert len(lines) <= 130
    assert [line for line in lines if line.startswith("|") and line.count("|") > 6] == []
    assert all(block.blocks[1:] == [] for block in programs() if block.page.name == "README.md")


def test_differences_are_told() -> None:
    assert differences("gram, residual 9e-16\n", "gram, residual 3e-16\n") == []
    assert differences("1,020 of 3\n", "1,010 of 3\n") == []
    assert len(differences("1,020 of 3\n", "1,100 of 3\n")) == 1
    assert len(differences("gram\n", "cholesky\n")) == 1
