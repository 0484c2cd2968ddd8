"""The learning tables and figures of README.md and docs/results.md, from the results files alone.

    python benchmarks/tables.py            write what is out of date
    python benchmarks/tables.py --check    write nothing; exit status 1 where something is

A table stands between `<!-- table: NAME -->` and `<!-- end -->`, a figure between `<!-- figure: NAME -->` and
`<!-- end -->`; the names are in benchmarks/suites.  The results are those that benchmarks/learning.py and
benchmarks/peers_learning.py leave in benchmarks/results/learning.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from suites import figures
from suites.results import BENCHMARKS, RESULTS
from suites.tables import TABLES, Results

ROOT = BENCHMARKS.parent
DOCUMENTS = (ROOT / "README.md", ROOT / "docs" / "results.md")
_BLOCK = re.compile(r"(<!-- (table|figure): (.+?) -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(text: str, results: Results, image: dict[str, str]) -> str:
    """Return a document with its blocks made anew.

    Parameters
    ----------
    text
        The document.
    results
        What the tables are made of.
    image
        By the figures' names, the Markdown that shows them there.

    Raises
    ------
    ValueError
        Where a block has an unknown name.
    """

    def fill(found: re.Match[str]) -> str:
        begin, kind, name, end = found.groups()
        choices = TABLES if kind == "table" else image
        if name not in choices:
            raise ValueError(f"{kind}: expected one of {', '.join(choices)}, got {name}")
        content = TABLES[name](results) if kind == "table" else image[name]
        return f"{begin}{content}\n{end}" if content else f"{begin}{end}"

    return _BLOCK.sub(fill, text)


def main(words: Sequence[str] | None = None) -> int:
    """Write or check; exit status 1 where --check finds something out of date."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--documents", type=Path, nargs="+", default=DOCUMENTS)
    options = parser.parse_args(words)

    try:
        results = Results.read(options.results)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    stale: list[Path] = []
    images = {name: options.results / f"{name}.png" for name in figures.FIGURES}
    for name, path in images.items():
        shown = figures.panels(name, results)
        if figures.up_to_date(shown, path):
            continue
        stale.append(path)
        if not options.check:
            figures.draw(shown, path)
    drawn = {name for name in images if figures.panels(name, results)}
    for document in options.documents:
        links = {
            name: f"![Learning curves]({os.path.relpath(path, document.parent)})" if name in drawn else ""
            for name, path in images.items()
        }
        before = document.read_text("utf-8")
        after = filled(before, results, links)
        if after == before:
            continue
        stale.append(document)
        if not options.check:
            document.write_text(after, "utf-8")
    for path in stale:
        print(f"{os.path.relpath(path)} {'is out of date' if options.check else 'written'}")
    return 1 if options.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
