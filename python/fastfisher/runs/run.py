"""How a run of one seed or of several is trained, watched, stopped and reported."""

from __future__ import annotations

import contextlib
import math
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Protocol

from ..training.config import TrainConfig
from ..training.iteration import IterationInfo
from ..training.presets import taken_from_preset
from .folder import BEST, CURVE, RunFolder
from .views import Rows, SeedRow, State, make_view
from .views.base import clock, number
from .views.guarded import GuardedView


class Seed(Protocol):
    """One seed of a run, which trains in this process or in its own, within a ``with`` block."""

    seed: int

    def __enter__(self) -> object: ...

    def __exit__(self, *_: object) -> None: ...

    @property
    def state(self) -> State:
        """What the seed is doing, or how it ended."""

    def last(self) -> IterationInfo | None:
        """Return the seed's last iteration."""

    def steps(self) -> int:
        """Return the seed's environment steps so far."""

    def advance(self) -> None:
        """Train for an iteration, or wait a little for the process that does."""

    def stop(self) -> None:
        """Ask the seed to finish its iteration, to save and to end."""

    def give_up(self) -> None:
        """Have the seed end at once, after a request to stop."""

    def failure(self) -> tuple[int, str] | None:
        """Return the exit code and the last words of a seed that failed as a process; else None."""


def run(
    config: TrainConfig,
    where: Path,
    seeds: Sequence[Seed],
    facts: Mapping[str, str],
    *,
    quiet: bool = False,
    resumed_from: TrainConfig | None = None,
) -> int:
    """Train seeds to the end of their run, show how far they are, draw their curve and report.

    The seeds have ``config`` in common; the view's header adds ``facts`` to it.  ``resumed_from`` is the
    config that a resumed run was stored with.  A ``quiet`` run prints nothing but what failed.

    Returns
    -------
    int
        The exit code: 0, or 128 + the signal's number where Ctrl-C, SIGTERM or the terminal's end ended the
        run.  Where a seed among several failed it is 1, or 2 if all failed with requests that cannot be
        served.

    Raises
    ------
    BrokenPipeError
        Where the reader of standard output left, and the run was stopped and saved for that.
    """
    first, begin, several = sum(seed.steps() for seed in seeds), time.monotonic(), len(seeds) > 1
    total_steps = config.steps * len(seeds)
    view = make_view(
        len(seeds), total_steps, first,
        target_return=config.target_return, evaluates=config.evaluate_every > 0, quiet=quiet,
    )  # fmt: skip
    view = GuardedView(view)
    curve = _Curve(where)

    def rows() -> Rows:
        return [SeedRow(seed.seed, seed.state, seed.last()) for seed in seeds]

    def finish() -> None:
        view.stopping()
        for seed in seeds:
            seed.stop()

    stop = StopSignals(finish)
    with contextlib.ExitStack() as stack:
        for seed in seeds:
            stack.enter_context(seed)
        title = f"{config.env} for {config.steps:,} steps, {_named([seed.seed for seed in seeds])}"
        verb = "training" if resumed_from is None else "resuming"
        view.header(f"{verb} {title}", _introduction(config, where, facts, resumed_from))
        training = list(seeds)
        try:
            with view, stop:
                while training:
                    training[0].advance()
                    # This comes before the rows, so that the last ones show how each seed ended.
                    training = [seed for seed in seeds if seed.state == "training"]
                    view.update(rows())
                    if view.reader_left:
                        stop.ask()
                    curve.draw_if_due()
        except KeyboardInterrupt:  # the second Ctrl-C: what was going on is given up
            stop.caught = stop.caught or signal.SIGINT
            for seed in seeds:
                seed.give_up()
            for seed in seeds:
                while seed.state == "training":
                    seed.advance()
        failures: dict[tuple[int, str], list[int]] = {}
        for seed in seeds:
            if (failure := seed.failure()) is not None:
                failures.setdefault(failure, []).append(seed.seed)
    for (code, words), numbers in failures.items():
        print(f"{_named(numbers)} failed with exit code {code}:\n{words}", file=sys.stderr)
    steps, seconds = sum(seed.steps() for seed in seeds) - first, time.monotonic() - begin
    results = {"steps": f"{steps:,} in {clock(seconds)} ({steps / max(seconds, 1e-9):,.0f} a second)"}
    if first:
        results["steps"] += f", {first + steps:,} in all"
    ended = rows()
    states = [row.state for row in ended]
    counts = ", ".join(f"{states.count(s)} {s}" for s in ("done", "stopped", "failed") if s in states)
    results |= _results(config, where, ended, curve)
    view.summary(f"{len(seeds)} seeds: {counts}" if several else states[0], results)
    if view.reader_left:
        raise BrokenPipeError
    if set(states) == {"done"}:
        return 0
    if stop.caught is not None:
        return 128 + stop.caught
    return 2 if set(states) == {"failed"} and {code for code, _ in failures} == {2} else 1


def resume_command(where: Path, config: TrainConfig) -> str:
    """Return the command line that continues a run."""
    return shlex.join(["fastfisher", "train", config.env, "--out", str(where), "--resume"])


def _introduction(
    config: TrainConfig, where: Path, facts: Mapping[str, str], resumed_from: TrainConfig | None
) -> dict[str, str]:
    damping = f"{config.damping:g}" + (" of the mean eigenvalue" if config.relative_damping else "")
    facts = {
        "policy": config.policy,
        "algorithm": config.algorithm.upper(),
        "step": f"{config.fisher} Fisher, solver {config.solver}, damping {damping}, KL {config.max_kl}",
        **facts,
        "folder": str(where),
    }
    if taken := taken_from_preset(config):
        fields = ", ".join(f"{name} {value}" for name, value in taken.items())
        facts["preset"] = f"{fields} (--no-preset leaves it out)"
    falls = [name for name in ("final_max_kl", "final_min_log_std") if getattr(config, name) is not None]
    if falls and resumed_from is not None and config.steps != resumed_from.steps:
        stood = f"{' and '.join(falls)} stood at {resumed_from.steps:,} steps"
        facts["note"] = f"{stood}: what falls to it rises first"
    return facts


def _named(seeds: Sequence[int]) -> str:
    """Return seeds as words: "seed 3", "seeds 0 to 4", "seeds 1, 5"."""
    if len(seeds) > 1 and seeds[-1] - seeds[0] == len(seeds) - 1:
        return f"seeds {seeds[0]} to {seeds[-1]}"
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"


def _results(config: TrainConfig, where: Path, rows: Rows, curve: _Curve) -> dict[str, str]:
    """Draw the curve; return what a run that has ended came to, and the commands to go on with."""
    results = {}
    ended = [row.last for row in rows if row.last is not None and not math.isnan(row.last.return_mean)]
    returns = sorted(last.return_mean for last in ended)
    if returns and len(rows) > 1:
        mean, low, high = sum(returns) / len(returns), returns[0], returns[-1]
        results["return"] = f"{number(mean)} in the last batches, {number(low)} to {number(high)}"
    elif returns:
        results["return"] = f"{number(returns[0])} +- {number(ended[0].return_std)} in the last batch"
    best = sorted(v for row in rows if row.last and not math.isnan(v := row.last.evaluation_best))
    if best and len(rows) > 1:
        mean = sum(best) / len(best)
        results["best"] = f"{number(mean)} in evaluations, {number(best[0])} to {number(best[-1])}"
    elif best:
        path = f": {where / BEST}" if (where / BEST).exists() else ""
        results["best"] = f"{number(best[0])} in an evaluation{path}"
    results["folder"] = str(where)
    curve.draw()
    if curve.undrawn:
        results["curve"] = f"not drawn: {curve.undrawn}"
    elif (where / CURVE).exists():
        results["curve"] = str(where / CURVE)
    plot = shlex.join(["fastfisher", "plot", str(where)])
    if any(row.state != "done" for row in rows):
        saved = {} if len(rows) > 1 else {"saved": f"iteration {RunFolder(where).saved_iteration()}"}
        return {**results, **saved, "continue": resume_command(where, config)}
    if len(rows) > 1:
        return results | {"next": plot}
    return results | {"next": shlex.join(["fastfisher", "evaluate", str(where)]), "": plot}


class _Curve:
    """The curve of a run, redrawn each minute, but never for more than a hundredth of the time."""

    undrawn = ""
    """Why the curve could not be drawn."""

    def __init__(self, where: Path) -> None:
        self._where = where
        self._next = time.monotonic() + 60.0

    def draw_if_due(self) -> None:
        """Draw, if the time for it has come, and set the next time by what it cost."""
        begin = time.monotonic()
        if begin >= self._next:
            self.draw()
            end = time.monotonic()
            self._next = end + max(60.0, (end - begin) * 100.0)

    def draw(self) -> None:
        """Draw ``curve.png``, unless no episode has ended yet; a failure is noted, and ends no run."""
        from .curves import NothingToPlotError, plot_runs

        self.undrawn = ""
        try:
            plot_runs([self._where], self._where / CURVE)
        except NothingToPlotError:
            pass
        except Exception as error:  # fonts, disks and packages fail in ways of their own
            self.undrawn = " ".join(str(error).split()) or type(error).__name__


class StopSignals:
    """Call ``on_first`` at the first Ctrl-C, SIGTERM or SIGHUP, so that the run ends between two iterations.

    Another Ctrl-C interrupts at once; the run then continues from its last checkpoint.  Another SIGTERM asks
    for what was asked: who stops a job may send it to each process of the job, and each passes it on.  SIGHUP
    comes as the terminal goes away; a run that was told to outlive that, by nohup, does.
    """

    def __init__(self, on_first: Callable[[], None]) -> None:
        self.caught: int | None = None
        """The number of the first signal."""
        self.asked = False
        """Whether the run was asked to end, by a signal or :meth:`ask`."""
        self._on_first = on_first

    def ask(self) -> None:
        """Ask the run to end, once."""
        if not self.asked:
            self.asked = True
            self._on_first()

    def __enter__(self) -> StopSignals:
        self._process = os.getpid()
        numbers = [signal.SIGINT, signal.SIGTERM]
        # Windows has no terminals that hang up.
        hangup: signal.Signals | None = getattr(signal, "SIGHUP", None)
        if hangup is not None and signal.getsignal(hangup) is not signal.SIG_IGN:
            numbers.append(hangup)
        self._before = {number: signal.signal(number, self._handle) for number in numbers}
        return self

    def __exit__(self, *_: object) -> None:
        for caught, handler in self._before.items():
            signal.signal(caught, handler)

    def _handle(self, caught: int, _: FrameType | None) -> None:
        if os.getpid() != self._process:
            return  # a forked helper process: its parent decides
        if self.caught is None:
            self.caught = caught
            self.ask()
        elif caught == signal.SIGINT:
            raise KeyboardInterrupt
