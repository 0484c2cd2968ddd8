"""The tables and figures of docs/what-matters.md, from the results files alone.

    python benchmarks/ablation_tables.py            write what is out of date
    python benchmarks/ablation_tables.py --check    write nothing; exit status 1 where something is

A factor's table stands between `<!-- factor: NAME -->` and `<!-- end -->`, all tasks' figures and tables
between `<!-- tasks -->` and `<!-- end -->`; what is written elsewhere stays.  The results are those that
benchmarks/ablations.py leaves in benchmarks/results/ablations, where the figures go, too.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from suites import ablation_figures as figures
from suites.ablation import RESULTS
from suites.ablation_tables import Measured, factor_table, read, task_sections
from suites.factors import NAMES
from suites.results import BENCHMARKS
from suites.upkeep import Upkeep

DOCUMENT = BENCHMARKS.parent / "docs" / "what-matters.md"
_BLOCK = re.compile(r"(<!-- (?:factor: (.+?)|tasks) -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(text: str, tasks: Sequence[Measured], images: Mapping[str, str]) -> str:
    """Return a document with its blocks made anew.

    Parameters
    ----------
    text
        The document.
    tasks
        What the tables are made of.
    images
        By the tasks' names, the Markdown of the figure.

    Raises
    ------
    ValueError
        Where a block is of an unknown factor.
    """

    def fill(found: re.Match[str]) -> str:
        begin, name, end = found.groups()
        if name is not None and name not in NAMES:
            raise ValueError(f"factor: expected one of {', '.join(NAMES)}, got {name}")
        content = task_sections(tasks, images) if name is None else factor_table(name, tasks)
        return f"{begin}{content}\n{end}"

    return _BLOCK.sub(fill, text)


def main(words: Sequence[str] | None = None) -> int:
    """Write or check; exit status 1 where --check finds something out of date."""
    parser = Upkeep.parser(__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--document", type=Path, default=DOCUMENT)
    options = parser.parse_args(words)

    tasks = read(options.results)
    upkeep = Upkeep(options.check)
    images = {}
    for task in tasks:
        path = options.results / f"{task.file}.png"
        link = os.path.relpath(path, options.document.parent)
        images[task.name] = f"![{task.name}: returns of every variant]({link})"
        upkeep.image(path, figures.up_to_date(task, path), partial(figures.draw, task, path))
    upkeep.document(options.document, partial(filled, tasks=tasks, images=images))
    return upkeep.report()


if __name__ == "__main__":
    sys.exit(main())
