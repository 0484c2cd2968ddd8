"""What a run shows while it trains: a live table on a terminal, plain lines anywhere else, or nothing."""

from __future__ import annotations

import sys

from .base import BEST_COLUMN, COLUMNS, Pace, Rows, SeedRow, State, View

__all__ = ["Rows", "SeedRow", "State", "View", "make_view"]


def make_view(
    seeds: int,
    total_steps: int,
    steps_done: int,
    *,
    target_return: float | None = None,
    evaluates: bool = False,
    quiet: bool = False,
) -> View:
    """Choose a view for standard output; the steps are those of all seeds together."""
    if quiet:
        return View()
    from rich.console import Console

    from .live import LiveView
    from .plain import PlainView

    pace, console = Pace(total_steps, steps_done), Console(highlight=False, soft_wrap=False)
    columns = (*COLUMNS[:4], BEST_COLUMN, *COLUMNS[4:]) if evaluates else COLUMNS
    if console.is_dumb_terminal or not console.is_terminal:
        return PlainView(sys.stdout, pace, seeds, columns=columns)
    aim = "" if target_return is None else f"target {target_return:g}"
    return LiveView(console, pace, seeds, aim, columns=columns)
