"""What a run shows while it trains: a live table on a terminal, plain lines anywhere else, or nothing."""

from __future__ import annotations

import sys

from .base import Rows, SeedRow, State, View

__all__ = ["Rows", "SeedRow", "State", "View", "make_view"]


def make_view(
    seeds: int, total_steps: int, steps_done: int, *, target_return: float | None = None, quiet: bool = False
) -> View:
    """Choose a view for standard output.

    Parameters
    ----------
    seeds
        How many the run has.
    total_steps, steps_done
        Environment steps at which the run ends and those of its checkpoints, all seeds together.
    target_return
        Mean return of a batch at which a seed ends before that.
    quiet
        Show nothing.
    """
    if quiet:
        return View()
    from .columns import Pace
    from .live import LiveView, live_console
    from .plain import PlainView

    pace, console = Pace(total_steps, steps_done), live_console()
    if console is None:
        return PlainView(sys.stdout, pace, seeds)
    return LiveView(console, pace, seeds, "" if target_return is None else f"target {target_return:g}")
