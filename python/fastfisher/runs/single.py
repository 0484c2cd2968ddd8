"""Train from one run folder to the same run folder: what ``fastfisher train`` does."""

from __future__ import annotations

import importlib.util
import math
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from ..training.config import TrainConfig
from ..training.errors import UserError
from ..training.iteration import IterationInfo
from ..training.presets import taken_from_preset
from ..training.rollouts.cores import worker_count
from .folder import CURVE, RESUMABLE, RunFolder, default_folder, differences, with_changes

if TYPE_CHECKING:
    from ..training.agent import NPG
    from .log import ProgressLog
    from .views.base import View


def start(config: TrainConfig, out: Path | None, *, quiet: bool = False) -> int:
    """Train a new run.

    Parameters
    ----------
    config
        The run's hyper-parameters.
    out
        The run folder; None for ``runs/<env>-<policy>-seed<seed>``.
    quiet
        Print nothing.

    Returns
    -------
    int
        The exit code: 0, or 128 + the signal's number where Ctrl-C or SIGTERM ended the run.

    Raises
    ------
    UserError
        Where the folder is taken or the environment cannot be had; then no folder is made.
    """
    from ..training.agent import NPG

    path = out or default_folder(config)
    require_packages()
    RunFolder.check_free(path)
    agent = NPG.from_config(config)
    try:
        folder = RunFolder.create(path, agent.config)  # what the environment decided is in it
        return _run(folder, agent, quiet=quiet)
    finally:
        agent.close()


def resume(config: TrainConfig, path: Path, *, quiet: bool = False) -> int:
    """Continue a run from its newest checkpoint, to the same bits as if it had never stopped.

    Parameters
    ----------
    config
        The stored config with the fields that the user wants changed.
    path
        The run folder.
    quiet, returns
        As of :func:`start`.

    Raises
    ------
    UserError
        Where the config differs in a field that would change the run, or the checkpoint is damaged.
    """
    from ..training.agent import NPG

    require_packages()
    folder = RunFolder.open(path)
    folder.lock()
    folder.tidy()
    stored = folder.read_config()
    refuse_changes(stored, config, path)
    # A run killed before its first checkpoint has none: it begins again, to the same bits.
    agent = folder.load_agent() or NPG.from_config(stored)
    # The agent's config is resolved, as that of a folder of an older version is not.
    agent.config = config = with_changes(agent.config, config)
    try:
        if agent.target_reached:
            if not quiet:
                print(f"{path} is done: its last batch reached the target return, {config.target_return}")
            return 0
        if agent.steps >= config.steps:
            if not quiet:
                print(
                    f"{path} is done: {agent.steps:,} of {config.steps:,} steps. "
                    f"To go on: {resume_command(path, config)} --steps {2 * config.steps}"
                )
            return 0
        if config != stored:
            folder.write_config(config)
        return _run(folder, agent, quiet=quiet, resumed_from=stored)
    finally:
        agent.close()


def require_packages() -> None:
    """Find out now, and not after an hour of training, that the curve cannot be drawn."""
    for name in ("matplotlib", "rich", "tensorboardX"):
        if importlib.util.find_spec(name) is None:
            raise UserError(f"{name} is not installed: pip install 'fastfisher[train]'")


def refuse_changes(stored: TrainConfig, config: TrainConfig, path: Path) -> None:
    """Raise a UserError that names the first field in which a resumed run would not be the same run."""
    for name, (before, after) in differences(stored, config, besides=RESUMABLE).items():
        flag = "ENV" if name == "env" else f"--{name.replace('_', '-')}"
        raise UserError(
            f"{path} was started with {name} = {before}, not {after}: "
            f"leave {flag} as it was, or start a new run in another --out"
        )


def resume_command(path: Path, config: TrainConfig) -> str:
    """Return the command line that continues a run."""
    return shlex.join(["fastfisher", "train", config.env, "--out", str(path), "--resume"])


def _run(folder: RunFolder, agent: NPG, *, quiet: bool, resumed_from: TrainConfig | None = None) -> int:
    from .log import ProgressLog
    from .views.one_run import make_view

    config = agent.config
    view = make_view(config.steps, agent.steps, target_return=config.target_return, quiet=quiet)
    view.header(*_introduction(folder.path, agent, resumed_from))
    stop = StopSignals(view.stopping)
    session = Session(folder, agent, ProgressLog(folder.path, agent.iteration), view, stop)
    begin, first_step = time.monotonic(), agent.steps
    try:
        with view, stop:
            agent.learn(config.steps - agent.steps, callback=session.on_iteration)
            session.save()
    except KeyboardInterrupt:  # the second Ctrl-C: what was going on is given up
        pass
    except Exception:
        hint = f"to continue from iteration {session.saved}: {resume_command(folder.path, config)}"
        print(hint, file=sys.stderr)
        raise
    finally:
        session.log.close()
    session.draw()
    trained = agent.steps >= config.steps or agent.target_reached
    done = trained and session.saved == agent.iteration
    results = _results(folder.path, agent, first_step, time.monotonic() - begin)
    if session.undrawn:
        results["curve"] = f"not drawn: {session.undrawn}"
    if done:
        quoted = shlex.quote(str(folder.path))
        results |= {"next": f"fastfisher evaluate {quoted}", "": f"fastfisher plot {quoted}"}
    else:
        results |= {"saved": f"iteration {session.saved}", "continue": resume_command(folder.path, config)}
    view.summary(f"{'done' if done else 'stopped'}{session.outcome()}", results)
    return 0 if done else 128 + (stop.caught or signal.SIGINT)


class Session:
    """What happens between two iterations: log, show, save, draw, and perhaps stop."""

    def __init__(
        self, folder: RunFolder, agent: NPG, log: ProgressLog, view: View[IterationInfo], stop: StopSignals
    ) -> None:
        self.folder, self.agent, self.log, self.view, self.stop = folder, agent, log, view, stop
        self.saved = agent.iteration
        """Iteration of the newest checkpoint."""
        self.undrawn = ""
        """Why the curve could not be drawn."""
        self._last: IterationInfo | None = None
        self._curve = CurveSchedule()

    def on_iteration(self, info: IterationInfo) -> bool:
        """Take in one iteration; return whether to stop."""
        self._last = info
        self.log.append(info)
        self.view.update(info)
        if info.iteration % self.agent.config.checkpoint_every == 0:
            self.save()
        self._curve.draw_if_due(self.draw)
        return self.stop.caught is not None

    def save(self) -> None:
        """Write a checkpoint of the current iteration, unless there is one."""
        if self.saved != self.agent.iteration:
            self.log.sync()
            self.folder.save_checkpoint(self.agent)
            self.saved = self.agent.iteration

    def draw(self) -> None:
        """Draw ``curve.png``, unless no episode has ended yet; no failure to is worth a run."""
        from .curves import NothingToPlotError
        from .plots import plot_runs

        self.undrawn = ""
        try:
            plot_runs([self.folder.path], self.folder.path / CURVE)
        except NothingToPlotError:
            pass
        except UserError as error:
            self.undrawn = str(error)

    def outcome(self) -> str:
        """Return the last batch's return as the end of a sentence."""
        from .views.columns import number

        last = self._last
        if last is None or math.isnan(last.return_mean):
            return ""
        return f": return {number(last.return_mean)} +- {number(last.return_std)} in the last batch"


def _introduction(path: Path, agent: NPG, resumed_from: TrainConfig | None) -> tuple[str, dict[str, str]]:
    config = agent.config
    damping = f"{config.damping:g}" + (" of the mean eigenvalue" if config.relative_damping else "")
    facts = {
        "policy": f"{config.policy}, {agent.policy.parameters.size:,} parameters",
        "algorithm": config.algorithm.upper(),
        "step": f"{config.fisher} Fisher, solver {config.solver}, damping {damping}, KL {config.max_kl}",
        "workers": str(worker_count(config)),
        "folder": str(path),
    }
    facts |= preset_facts(config)
    if resumed_from is not None:
        facts["from"] = f"iteration {agent.iteration}, {agent.steps:,} of {config.steps:,} steps"
        falls = [name for name in ("final_max_kl", "final_min_log_std") if getattr(config, name) is not None]
        if falls and config.steps != resumed_from.steps:
            facts["note"] = (
                f"{' and '.join(falls)} stood at {resumed_from.steps:,} steps: what falls to it rises first"
            )
    verb = "training" if resumed_from is None else "resuming"
    return f"{verb} {config.env} for {config.steps:,} steps, seed {config.seed}", facts


def preset_facts(config: TrainConfig) -> dict[str, str]:
    """Say which fields come from the environment's preset, if any does."""
    taken = taken_from_preset(config)
    fields = ", ".join(f"{name} {value}" for name, value in taken.items())
    return {"preset": f"{fields} (--no-preset leaves it out)"} if taken else {}


def _results(path: Path, agent: NPG, first_step: int, seconds: float) -> dict[str, str]:
    from .views.columns import clock

    steps = agent.steps - first_step
    rate = f"{steps / max(seconds, 1e-9):,.0f} a second"
    in_all = f", {agent.steps:,} in all" if first_step else ""
    results = {"steps": f"{steps:,} in {clock(seconds)} ({rate}){in_all}", "folder": str(path)}
    return results | ({"curve": str(path / CURVE)} if (path / CURVE).exists() else {})


class CurveSchedule:
    """When to redraw the curve: each minute, but never for more than a hundredth of the time."""

    def __init__(self, interval: float = 60.0, share: float = 0.01) -> None:
        self._interval, self._share = interval, share
        self._next = time.monotonic() + interval

    def draw_if_due(self, draw: Callable[[], object]) -> None:
        """Call ``draw`` if its time has come, and set the next time by what it cost."""
        begin = time.monotonic()
        if begin < self._next:
            return
        draw()
        end = time.monotonic()
        self._next = end + max(self._interval, (end - begin) / self._share)


class StopSignals:
    """Turn the first Ctrl-C or SIGTERM into a flag, so that the run ends between two iterations.

    Another Ctrl-C interrupts at once; the run then continues from its last checkpoint.  Another SIGTERM asks
    for what was asked: who stops a job may send it to each process of the job, and each passes it on.

    Parameters
    ----------
    on_first
        Called from the signal handler.
    """

    def __init__(self, on_first: Callable[[], None]) -> None:
        self.caught: int | None = None
        """Number of the first signal."""
        self._on_first = on_first

    def __enter__(self) -> StopSignals:
        """Take the two signals over."""
        self._process = os.getpid()
        self._before = {
            number: signal.signal(number, self._handle) for number in (signal.SIGINT, signal.SIGTERM)
        }
        return self

    def __exit__(self, *_: object) -> None:
        """Give them back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, _: FrameType | None) -> None:
        if os.getpid() != self._process:
            return  # a forked helper process: its parent decides
        if self.caught is None:
            self.caught = number
            self._on_first()
        elif number == signal.SIGINT:
            raise KeyboardInterrupt
