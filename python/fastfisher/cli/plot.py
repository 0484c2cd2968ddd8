"""``fastfisher plot``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, UseAppendAction, arg

from ..training.errors import UserError


@dataclass(frozen=True)
class Plot:
    """Learning curves; runs that differ in the seed alone become one, with a confidence interval."""

    runs: Annotated[
        Positional[tuple[Path, ...]], arg(metavar="RUN [RUN ...]", help_behavior_hint="(required)")
    ]
    """Run folders, or folders of such."""

    x: Literal["steps", "seconds"] = "steps"
    """Environment steps, or the wall time of the iterations."""

    reference: Annotated[
        UseAppendAction[tuple[str, ...]], arg(metavar="NAME=VALUE", help_behavior_hint="(repeatable)")
    ] = ()
    """Horizontal line at a return to compare with, e.g. paper=3810."""

    out: Annotated[
        Path | None,
        arg(metavar="FILE", help_behavior_hint="(default: curve.png in the folder, or curves.png here)"),
    ] = None
    """Image to write, .png, .pdf or .svg."""

    def run(self, _: Sequence[str]) -> int:
        """Draw the curves and print the file's name."""
        from ..runs import plots
        from ..runs.folder import CURVE

        # What an earlier plot left among the runs: `plot runs/*` is to work the next time, too.
        given = [path for path in self.runs if not (path.name == CURVE and path.is_file())]
        if not given:
            raise UserError("no run given: fastfisher plot RUN [RUN ...]")
        out = self.out or (given[0] / CURVE if len(given) == 1 else Path("curves.png"))
        references = dict(map(_reference, self.reference))
        plots.plot_runs(given, out, x=self.x, references=references)
        print(out)
        return 0


def _reference(words: str) -> tuple[str, float]:
    name, _, value = words.rpartition("=")
    try:
        if name:
            return name, float(value)
    except ValueError:
        pass
    raise UserError(f"--reference: expected NAME=VALUE, e.g. paper=3810, got {words}")
