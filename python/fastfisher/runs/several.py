"""Train several seeds of one config side by side: what ``fastfisher train --seeds`` does.

Each seed is a process of its own that trains in a run folder of its own, ``seed<k>`` below one
parent, exactly as ``fastfisher train --resume`` does in that folder: a seed among several ends with
the bits of that seed alone.  This process shares out the cores, watches the folders, passes Ctrl-C
on, and reports; the seeds know nothing of each other.
"""

from __future__ import annotations

import contextlib
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..training.config import TrainConfig
from ..training.errors import UserError
from ..training.rollouts.cores import usable_cores
from .folder import CONFIG, CURVE, RunFolder, runs_in, seed_folder, with_changes
from .seed_process import SeedProcess
from .single import StopSignals, preset_facts, refuse_changes, require_packages, resume_command

if TYPE_CHECKING:
    from .views.several_seeds import Rows

_LOOK_EVERY = 0.2


def start(config: TrainConfig, seeds: Sequence[int], parent: Path, *, quiet: bool = False) -> int:
    """Train new runs.

    Parameters
    ----------
    config
        The hyper-parameters; its seed is replaced by each of ``seeds``.
    parent
        Receives the run folders.
    quiet
        Print nothing but what failed.

    Returns
    -------
    int
        The exit code: 0, or 128 + the signal's number where Ctrl-C or SIGTERM ended the runs, or where a
        seed failed 1, or 2 if it is every seed and each is a request that cannot be served.

    Raises
    ------
    UserError
        Where a folder is taken or the environment cannot be had; then no folder is made.
    """
    from ..training.agent import NPG

    require_packages()
    if (parent / CONFIG).exists():
        raise UserError(f"{parent} holds a single run: choose another --out for several seeds")
    folders = {seed: seed_folder(parent, seed) for seed in seeds}
    for path in folders.values():
        RunFolder.check_free(path)
    with NPG.from_config(config) as agent:
        config = agent.config  # what the environment decided is in it
    for seed, path in folders.items():
        RunFolder.create(path, config.replace(seed=seed)).unlock()
    return _run(config, folders, parent, quiet=quiet)


def resume(
    changed: Callable[[TrainConfig], TrainConfig], seeds: Sequence[int], parent: Path, *, quiet: bool = False
) -> int:
    """Continue the runs of a folder, each from its newest checkpoint, to the bits of undisturbed ones.

    Parameters
    ----------
    changed
        From a stored config to the one with the fields that the user wants changed.
    seeds
        Which; none for all that are there.  One that is not there begins with the config of the others.
    parent, quiet, returns
        As of :func:`start`.

    Raises
    ------
    UserError
        Where there are no runs, one is in use, or a change would make one another run.
    """
    require_packages()
    stored = {int(path.name.removeprefix("seed")): RunFolder(path).read_config() for path in runs_in(parent)}
    if not stored:
        raise UserError(f"there are no runs of several seeds to resume in {parent}: leave --resume out")
    template = next(iter(stored.values()))
    folders = {seed: seed_folder(parent, seed) for seed in seeds or stored}
    configs = {}
    for seed, path in folders.items():
        before = stored.get(seed, template.replace(seed=seed))
        config = changed(before).replace(seed=seed)
        refuse_changes(before, config, path)
        configs[seed] = with_changes(before, config)
    for seed, path in folders.items():
        if seed not in stored:
            RunFolder.create(path, configs[seed]).unlock()
            continue
        folder = RunFolder(path)
        folder.lock()
        if configs[seed] != stored[seed]:
            folder.write_config(configs[seed])
        folder.unlock()
    return _run(next(iter(configs.values())), folders, parent, quiet=quiet, resumed=True)


def core_shares(cores: int, seeds: int) -> list[int]:
    """Divide the cores among the seeds, at least one each; where they do not divide, the first get more."""
    return [max(1, cores // seeds + (index < cores % seeds)) for index in range(seeds)]


def _run(
    config: TrainConfig, folders: Mapping[int, Path], parent: Path, *, quiet: bool, resumed: bool = False
) -> int:
    from .views.several_seeds import SeedRow, make_seeds_view

    shares = core_shares(usable_cores(), len(folders))
    with contextlib.ExitStack() as stack:
        seeds = [
            stack.enter_context(SeedProcess(config.env, seed, path, cores))
            for (seed, path), cores in zip(folders.items(), shares, strict=True)
        ]

        def rows() -> Rows:
            return [SeedRow(seed.seed, seed.state, seed.last()) for seed in seeds]

        begin, first = time.monotonic(), _steps(rows())
        view = make_seeds_view(
            config.steps * len(seeds), first, target_return=config.target_return, quiet=quiet
        )
        view.header(*_introduction(config, folders, parent, first if resumed else None))

        def finish() -> None:
            view.stopping()
            for seed in seeds:
                seed.stop()

        stop = StopSignals(finish)
        try:
            with view, stop:
                while any(seed.state == "training" for seed in seeds):
                    view.update(rows())
                    time.sleep(_LOOK_EVERY)
                view.update(rows())
        except KeyboardInterrupt:  # the second Ctrl-C: what was going on is given up
            for seed in seeds:
                seed.interrupt()
            for seed in seeds:
                seed.wait()
        last = rows()
        for words in _failures(seeds):
            print(words, file=sys.stderr)
        codes = [seed.returncode for seed in seeds if seed.state == "failed"]
    counts = {state: sum(row.state == state for row in last) for state in ("done", "stopped", "failed")}
    title = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    view.summary(
        f"{len(last)} seeds: {title}",
        _results(config, parent, last, _steps(last) - first, time.monotonic() - begin),
    )
    if counts["done"] == len(last):
        return 0
    if stop.caught is not None:
        return 128 + stop.caught
    return 2 if codes == [2] * len(last) else 1


def _steps(rows: Rows) -> int:
    return sum(row.last.steps for row in rows if row.last is not None)


def _introduction(
    config: TrainConfig, folders: Mapping[int, Path], parent: Path, steps_done: int | None
) -> tuple[str, dict[str, str]]:
    seeds, cores = list(folders), usable_cores()
    facts = {
        "policy": config.policy,
        "processes": f"{len(seeds)} on {cores} {'core' if cores == 1 else 'cores'}",
        "folder": str(parent),
        **preset_facts(config),
    }
    if steps_done is not None:
        facts["from"] = f"{steps_done:,} steps, all seeds together"
    verb = "training" if steps_done is None else "resuming"
    numbers = f"{seeds[0]} to {seeds[-1]}" if seeds[-1] - seeds[0] == len(seeds) - 1 else _listed(seeds)
    return f"{verb} {config.env} for {config.steps:,} steps, seeds {numbers}", facts


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))


def _failures(seeds: Sequence[SeedProcess]) -> list[str]:
    """Return what the failed seeds said; what several said alike, once."""
    said: dict[tuple[int, str], list[int]] = {}
    for seed in seeds:
        if seed.state == "failed":
            said.setdefault((seed.returncode, seed.errors()), []).append(seed.seed)
    return [
        f"seed {_listed(numbers)} failed with exit code {code}:\n{words}"
        for (code, words), numbers in said.items()
    ]


def _results(config: TrainConfig, parent: Path, rows: Rows, steps: int, seconds: float) -> dict[str, str]:
    from .views.columns import clock, number

    results = {"steps": f"{steps:,} in {clock(seconds)} ({steps / max(seconds, 1e-9):,.0f} a second)"}
    returns = [row.last.return_mean for row in rows if row.last is not None]
    returns = sorted(value for value in returns if value == value)
    if returns:
        mean = sum(returns) / len(returns)
        results["return"] = (
            f"{number(mean)} in the last batches, {number(returns[0])} to {number(returns[-1])}"
        )
    results["folder"] = str(parent)
    if _draw(parent):
        results["curve"] = str(parent / CURVE)
    if all(row.state == "done" for row in rows):
        return results | {"next": f"fastfisher plot {shlex.quote(str(parent))}"}
    return results | {"continue": resume_command(parent, config)}


def _draw(parent: Path) -> bool:
    """Draw the seeds' curve; return whether they have enough of one in common."""
    from .plots import plot_runs

    with contextlib.suppress(UserError):  # one that has just begun, or failed early
        plot_runs([parent], parent / CURVE)
        return True
    return False
