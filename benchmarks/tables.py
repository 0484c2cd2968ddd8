"""The learning tables and figures of README.md and docs/results.md, from the results files alone.

    python benchmarks/tables.py            write what is out of date
    python benchmarks/tables.py --check    write nothing; exit status 1 where something is

A table stands between `<!-- table: NAME -->` and `<!-- end -->`, a figure between `<!-- figure: NAME -->` and
`<!-- end -->`; the names are in benchmarks/suites.  The results are those that benchmarks/learning.py and
benchmarks/peers_learning.py leave in benchmarks/results/learning.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from suites import figures
from suites.results import BENCHMARKS, RESULTS
from suites.tables import TABLES, Results
from suites.upkeep import Upkeep

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
    parser = Upkeep.parser(__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--documents", type=Path, nargs="+", default=DOCUMENTS)
    options = parser.parse_args(words)

    try:
        results = Results.read(options.results)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    upkeep = Upkeep(options.check)
    images = {name: options.results / f"{name}.png" for name in figures.FIGURES}
    for name, path in images.items():
        shown = figures.panels(name, results)
        upkeep.image(path, figures.up_to_date(shown, path), partial(figures.draw, shown, path))
    drawn = {name for name in images if figures.panels(name, results)}
    for document in options.documents:
        links = {
            name: f"![Learning curves]({os.path.relpath(path, document.parent)})" if name in drawn else ""
            for name, path in images.items()
        }
        upkeep.document(document, partial(filled, results=results, image=links))
    return upkeep.report()


if __name__ == "__main__":
    sys.exit(main())
