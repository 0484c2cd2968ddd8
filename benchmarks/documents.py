"""The tables and figures of README.md and of the pages in docs/results, from results files alone.

    python benchmarks/documents.py            write what is out of date
    python benchmarks/documents.py --check    write nothing; exit status 1 where something is

What is made stands between one of these lines and `<!-- end -->`; everything else in a document stays.

    <!-- table: NAME -->     of benchmarks/suites/tables.py        from benchmarks/results/learning
    <!-- figure: NAME -->    of benchmarks/suites/figures.py       from benchmarks/results/learning
    <!-- factor: NAME -->    of benchmarks/suites/factors.py       from benchmarks/results/ablations
    <!-- tasks -->           every task's figure and table         from benchmarks/results/ablations

The results are those that learning.py, peers_learning.py and ablations.py leave; figures go beside them.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from suites import ablation_figures, ablation_tables, factors, figures
from suites.results import BENCHMARKS
from suites.tables import TABLES, Results

ROOT = BENCHMARKS.parent
PAGES = ("index", "paper", "million", "ablations", "seeds")
DOCUMENTS = (ROOT / "README.md", *(ROOT / "docs" / "results" / f"{page}.md" for page in PAGES))
_BLOCK = re.compile(r"(<!-- (table|figure|factor|tasks)(?:: (.+?))? -->\n).*?(<!-- end -->)", re.DOTALL)

Blocks = Mapping[str, Mapping[str, Callable[[], str]]]
"""The functions that make a block's content, by its kind and its name."""


class Made:
    """What the results files give: tables as Markdown, figures as images beside the results.

    Parameters
    ----------
    results
        The folder that has ``learning`` and ``ablations``.

    Raises
    ------
    ValueError
        Where the seeds of a row were not trained alike.
    """

    def __init__(self, results: Path) -> None:
        self._learning = Results.read(results / "learning")
        self._tasks = ablation_tables.read(results / "ablations")
        self._suites = {name: results / "learning" / f"{name}.png" for name in figures.FIGURES}
        self._images = {task.name: results / "ablations" / f"{task.file}.png" for task in self._tasks}

    def stale_images(self) -> dict[Path, Callable[[], None]]:
        """Return the images that are out of date, each with what draws it."""
        stale: dict[Path, Callable[[], None]] = {}
        for name, path in self._suites.items():
            shown = figures.panels(name, self._learning)
            if not figures.up_to_date(shown, path):
                stale[path] = partial(figures.draw, shown, path)
        for task in self._tasks:
            path = self._images[task.name]
            if not ablation_figures.up_to_date(task, path):
                stale[path] = partial(ablation_figures.draw, task, path)
        return stale

    def blocks(self, beside: Path) -> Blocks:
        """Return the blocks of a document, its links as from the folder ``beside``."""

        def link(words: str, path: Path) -> str:
            return f"![{words}]({os.path.relpath(path, beside)})"

        def suite(name: str) -> str:
            drawn = figures.panels(name, self._learning)
            return link("Learning curves", self._suites[name]) if drawn else ""

        images = {
            name: link(f"{name}: returns of every variant", path) for name, path in self._images.items()
        }
        return {
            "table": {name: partial(table, self._learning) for name, table in TABLES.items()},
            "figure": {name: partial(suite, name) for name in self._suites},
            "factor": {
                name: partial(ablation_tables.factor_table, name, self._tasks) for name in factors.NAMES
            },
            "tasks": {"": partial(ablation_tables.task_sections, self._tasks, images)},
        }


def filled(text: str, blocks: Blocks) -> str:
    """Return a document with its blocks made anew.

    Raises
    ------
    ValueError
        Where a block has an unknown name.
    """

    def fill(found: re.Match[str]) -> str:
        begin, kind, name, end = found.groups()
        choices = blocks[kind]
        if (name or "") not in choices:
            raise ValueError(f"{kind}: expected one of {', '.join(choices)}, got {name}")
        content = choices[name or ""]()
        return f"{begin}{content}\n{end}" if content else f"{begin}{end}"

    return _BLOCK.sub(fill, text)


def main(words: Sequence[str] | None = None) -> int:
    """Write or check; exit status 1 where --check finds something out of date."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing")
    parser.add_argument("--results", type=Path, default=BENCHMARKS / "results")
    parser.add_argument("--documents", type=Path, nargs="+", default=DOCUMENTS)
    options = parser.parse_args(words)

    try:
        made = Made(options.results)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    stale: dict[Path, Callable[[], object]] = dict(made.stale_images())
    for document in options.documents:
        before = document.read_text("utf-8")
        after = filled(before, made.blocks(document.parent))
        if after != before:
            stale[document] = partial(document.write_text, after, "utf-8")
    for path, write in stale.items():
        if not options.check:
            write()
        print(f"{os.path.relpath(path)} {'is out of date' if options.check else 'written'}")
    return 1 if options.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
