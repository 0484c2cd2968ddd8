"""The documents name what there is: links, headings, scripts, files."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import documents
import pytest
from experiments.__main__ import NAMES

ROOT = documents.ROOT
DOCUMENTS = sorted(
    path
    for path in (
        *ROOT.glob("*.md"),
        *(path for path in (ROOT / "docs").rglob("*.md") if "_build" not in path.parts),
        *(ROOT / "examples").glob("*.md"),
        *(ROOT / "benchmarks").glob("*.md"),
        *(ROOT / "benchmarks" / "results").glob("*.md"),
    )
)
TEXTS = {path: path.read_text("utf-8") for path in DOCUMENTS}
LAYOUT = ROOT / "docs" / "design" / "layout.md"


def anchors(text: str) -> set[str]:
    """Return what GitHub makes of the headings."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(document: Path) -> list[tuple[Path, str]]:
    """Return the files that a document links to, each with the heading that it names."""
    found = []
    for link in re.findall(r"\]\(([^)\s]+)\)", TEXTS[document]):
        if "://" not in link:
            file, _, anchor = link.partition("#")
            found.append(((document.parent / file).resolve() if file else document, anchor))
    return found


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    broken = [
        f"{target.relative_to(ROOT)}#{anchor}"
        for target, anchor in links(document)
        if not target.exists() or (anchor and anchor not in anchors(TEXTS[target]))
    ]
    assert broken == []


def test_what_a_newcomer_wants_is_two_clicks_away() -> None:
    near = {target for target, _ in links(ROOT / "README.md")}
    near |= {target for page in near if page in TEXTS for target, _ in links(page)}
    pages = (
        "install", "from-pytorch", "from-sb3", "from-jax", "how-to/choose-a-solver", "how-to/use-from-cpp",
        "how-to/custom-policy", "how-to/streaming", "tutorials/first-step", "reference/api",
    )  # fmt: skip
    assert [page for page in pages if ROOT / "docs" / f"{page}.md" not in near] == []


def test_every_page_is_in_a_table_of_contents() -> None:
    listed = {ROOT / "docs" / "index.md"}
    for page, text in TEXTS.items():
        for entries in re.findall(r"^```\{toctree\}\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            names = [line for line in entries.split() if not line.startswith(":") and not line.isdigit()]
            listed |= {(page.parent / f"{name}.md").resolve() for name in names}
    pages = {path for path in DOCUMENTS if path.is_relative_to(ROOT / "docs")}
    assert sorted(pages ^ listed) == []


def test_every_event_is_explained() -> None:
    header = (ROOT / "cpp" / "include" / "fastfisher" / "events.hpp").read_text("utf-8")
    enumeration = re.search(r"enum class EventCode \{(.*?)\};", header, re.DOTALL)
    codes = re.findall(r"^  (\w+),", enumeration[1], re.MULTILINE)  # type: ignore[index]
    page = TEXTS[ROOT / "docs" / "reference" / "notes-and-fallbacks.md"]
    table = re.search(r"^```\{events\}\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    lines = [line.split(": ", 1) for line in table[1].splitlines()]  # type: ignore[index]
    assert [code for code, _ in lines] == codes
    assert [code for code, words in lines if words.count(" | ") != 1] == []
    assert f"[{len(codes)} events]" in TEXTS[ROOT / "README.md"]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_scripts_and_paths_that_are_named_exist(document: Path) -> None:
    text = TEXTS[document]
    missing = [
        path for path in re.findall(r"python\s+(benchmarks/[\w/.]+)", text) if not (ROOT / path).exists()
    ]
    names = re.findall(r"benchmarks/experiments (\w+)", text)
    missing += [name for name in names if name not in (*NAMES, "NAME")]
    paths = re.findall(r"`((?:cpp|python|benchmarks|tests|docs)/[\w/.]+)`", text)
    missing += [path for path in paths if not (ROOT / path).exists()]
    assert missing == []


def test_the_layout_names_files_of_its_folders() -> None:
    missing, named = [], 0
    for section in TEXTS[LAYOUT].split("\n### ")[1:]:
        folder = ROOT / re.match(r"`([\w/]+)`", section)[1]  # type: ignore[index]
        for cell in re.findall(r"^\| (`.+?) \|", section, re.MULTILINE):
            for name in re.findall(r"`(\w+)`", cell):
                named += 1
                if not any(folder.rglob(f"{name}.*")) and not (folder / name).is_dir():
                    missing.append(f"{folder.relative_to(ROOT)}: {name}")
    assert missing == []
    assert named > 80


def test_every_benchmark_has_a_row_that_says_what_it_measures() -> None:
    text = TEXTS[ROOT / "benchmarks" / "README.md"]
    scripts = [path.name for path in (ROOT / "benchmarks").glob("*.py")]
    scripts += [f"experiments/{name}.py" for name in NAMES]
    assert [
        name for name in scripts if not re.search(rf"^\| \[[\w.]+\]\({name}\) \| .+\?", text, re.MULTILINE)
    ] == []


@pytest.mark.parametrize("script", sorted((ROOT / "benchmarks").glob("*.py")), ids=lambda path: path.name)
def test_every_benchmark_starts(script: Path) -> None:
    done = subprocess.run([sys.executable, script, "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: ")
