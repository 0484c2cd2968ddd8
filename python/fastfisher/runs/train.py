"""Start and resume a run: what ``fastfisher train`` does.

A run of one seed trains in this process, in its run folder.  Each of several seeds is a process of its own
that trains in a run folder of its own, ``seed<k>`` below one parent: a seed among several ends with the bits
of that seed alone.  This process shares out the cores, watches the folders, passes Ctrl-C on, and reports;
the seeds know nothing of each other.  Both functions return the exit code of :func:`fastfisher.runs.run.run`.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ..training.config import TrainConfig
from ..training.errors import UserError
from ..training.rollouts.cores import usable_cores
from .folder import (
    CONFIG,
    RESUMABLE,
    RunFolder,
    default_folder,
    differences,
    runs_in,
    seed_folder,
    seed_of,
    with_changes,
)
from .run import run
from .seed_process import SeedProcess
from .session import resume_one, start_one


def start(config: TrainConfig, seeds: Sequence[int], out: Path | None, *, quiet: bool = False) -> int:
    """Train a new run, with each of the seeds in place of the config's.

    ``out`` is the run folder, or the parent of those of several seeds; None is for :func:`default_folder`.
    A UserError says so where a folder is taken or the environment cannot be had; then no folder is made.
    """
    from ..training.agent import NPG

    several = len(seeds) > 1
    where = out or default_folder(config, several=several)
    require_packages()
    if several and (where / CONFIG).exists():
        raise UserError(f"{where} holds a single run: choose another --out for several seeds")
    paths = {seed: seed_folder(where, seed) if several else where for seed in seeds}
    for path in paths.values():
        RunFolder.check_free(path)
    with NPG.from_config(config) as agent:
        config = agent.config  # what the environment decided is in it
        folders = [RunFolder.create(path, config.replace(seed=seed)) for seed, path in paths.items()]
        if not several:
            return start_one(folders[0], agent, quiet=quiet)
    for folder in folders:
        folder.unlock()
    return _run_several(config, paths, where, quiet=quiet)


def resume(
    changed: Callable[[TrainConfig], TrainConfig], seeds: Sequence[int], where: Path, *, quiet: bool = False
) -> int:
    """Continue the run of a folder, each seed from its newest checkpoint, to the bits of an undisturbed one.

    ``where`` is the run folder, or the parent of those of several seeds.  Of several, those that are there go
    on, unless ``seeds`` names more than one; a seed that is not there begins with the config of the others.
    ``changed`` makes the config that the user wants of a stored one.  A UserError says so where there is no
    run, it is in use, or a change would make it another run.
    """
    require_packages()
    stored = {seed_of(path): RunFolder(path).read_config() for path in runs_in(where)}
    if not stored and len(seeds) == 1:
        if not where.exists():
            raise UserError(f"there is no run to resume in {where}: leave --resume out to start one")
        folder = RunFolder.open(where)
        before = folder.read_config()
        refuse_changes(before, config := changed(before), where)
        return resume_one(folder, config, quiet=quiet)
    if not stored:
        raise UserError(f"there are no runs of several seeds to resume in {where}: leave --resume out")
    template = next(iter(stored.values()))
    paths = {seed: seed_folder(where, seed) for seed in (seeds if len(seeds) > 1 else stored)}
    for seed in stored:
        RunFolder(seed_folder(where, seed)).check_unedited()
    configs = {}
    for seed, path in paths.items():
        before = stored.get(seed, template.replace(seed=seed))
        config = changed(before).replace(seed=seed)
        refuse_changes(before, config, path)
        configs[seed] = with_changes(before, config)
    for seed, path in paths.items():
        if seed not in stored:
            RunFolder.create(path, configs[seed]).unlock()
            continue
        folder = RunFolder(path)
        folder.lock()
        if configs[seed] != stored[seed]:
            folder.write_config(configs[seed])
        folder.unlock()
    config = next(iter(configs.values()))
    return _run_several(config, paths, where, quiet=quiet, resumed_from=template)


def core_shares(cores: int, seeds: int) -> list[int]:
    """Divide the cores among the seeds, at least one each; where they do not divide, the first get more."""
    return [max(1, cores // seeds + (index < cores % seeds)) for index in range(seeds)]


def _run_several(
    config: TrainConfig,
    paths: Mapping[int, Path],
    where: Path,
    *,
    quiet: bool,
    resumed_from: TrainConfig | None = None,
) -> int:
    cores = usable_cores()
    shares = core_shares(cores, len(paths))
    seeds = [
        SeedProcess(seed, path, share) for (seed, path), share in zip(paths.items(), shares, strict=True)
    ]
    facts = {"processes": f"{len(seeds)} on {cores} {'core' if cores == 1 else 'cores'}"}
    if resumed_from is not None:
        steps, total = sum(seed.steps() for seed in seeds), len(seeds) * config.steps
        facts["from"] = f"{steps:,} of {total:,} steps, all seeds together"
    return run(config, where, seeds, facts, quiet=quiet, resumed_from=resumed_from)


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
