"""One seed that trains in this process: :class:`Session`, and how a run of it begins and goes on."""

# ruff: noqa: D102 - run.Seed documents what a session does

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..training.config import TrainConfig
from ..training.iteration import IterationInfo
from ..training.whole_files import remove_leftovers
from .folder import RunFolder, with_changes
from .run import resume_command, run
from .views import State

if TYPE_CHECKING:
    from typing_extensions import Self

    from ..training.agent import NPG


def start_one(folder: RunFolder, agent: NPG, *, quiet: bool, resumed_from: TrainConfig | None = None) -> int:
    """Train a seed in this process, which has locked the folder; the rest is as for :func:`run`."""
    config = agent.config
    facts = {
        "policy": f"{config.policy}, {agent.policy.parameters.size:,} parameters",
        "workers": str(agent.workers),
    }
    if resumed_from is not None:
        facts["from"] = f"iteration {agent.iteration}, {agent.steps:,} of {config.steps:,} steps"
    seeds = [Session(folder, agent)]
    try:
        return run(config, folder.path, seeds, facts, quiet=quiet, resumed_from=resumed_from)
    finally:
        folder.unlock()


def resume_one(folder: RunFolder, config: TrainConfig, *, quiet: bool = False) -> int:
    """Continue the run of one seed in this process, to the same bits as if it had never stopped.

    ``config`` is the stored one with the fields that the user wants changed; none of them makes it another
    run.  A UserError says so where another process trains in the folder, or the checkpoint is damaged.
    """
    from ..training.agent import NPG

    folder.lock()
    remove_leftovers(folder.path)  # only under the lock: another process may be writing such a file
    stored = folder.read_config()
    # A run killed before it had a checkpoint begins again, to the same bits.
    with folder.load_agent() or NPG.from_config(stored) as agent:
        # The agent's config is resolved; that of a folder of an older version is not.
        agent.config = config = with_changes(agent.config, config)
        if agent.target_reached or agent.steps >= config.steps:
            if not quiet:
                print(f"{folder.path} is done: {_why_done(folder.path, agent)}")
            folder.unlock()
            return 0
        if config != stored:
            folder.write_config(config)
        return start_one(folder, agent, quiet=quiet, resumed_from=stored)


def _why_done(path: Path, agent: NPG) -> str:
    config = agent.config
    if agent.target_reached:
        return f"its last batch reached the target return, {config.target_return}"
    longer = f"{resume_command(path, config)} --steps {2 * config.steps}"
    return f"{agent.steps:,} of {config.steps:,} steps. To go on: {longer}"


class Session:
    """One seed that trains in this process, which has locked its folder, from where the agent stands."""

    def __init__(self, folder: RunFolder, agent: NPG) -> None:
        self.seed = agent.config.seed
        self._folder, self._agent = folder, agent
        self._saved = agent.iteration
        """The iteration of the newest checkpoint."""
        self.state: State = "training"
        self._last: IterationInfo | None = None
        self._stopping = False

    def __enter__(self) -> Self:
        from .log import ProgressLog

        if self._agent.iteration == 0:
            # A log without a checkpoint is then that of a run whose checkpoints were lost.
            self._folder.save_checkpoint(self._agent)
        with self._folder.writing():
            self._log = ProgressLog(self._folder.path, self._agent.iteration)
        return self

    def __exit__(self, *error: object) -> None:
        if self._log.events.lost:
            print(f"TensorBoard's events are not whole: {self._log.events.lost}", file=sys.stderr)
        if isinstance(error[1], Exception) and self._folder.is_there():
            command = resume_command(self._folder.path, self._agent.config)
            print(f"to continue from iteration {self._saved}: {command}", file=sys.stderr)

    def last(self) -> IterationInfo | None:
        return self._last

    def steps(self) -> int:
        return self._agent.steps

    def advance(self) -> None:
        agent, config = self._agent, self._agent.config
        agent.learn(1, callback=self._take_in)
        trained = agent.target_reached or agent.steps >= config.steps
        ends = trained or self._stopping
        if ends or agent.iteration % config.checkpoint_every == 0:
            with self._folder.writing():
                self._log.sync()
            self._folder.save_checkpoint(agent)
            self._saved = agent.iteration
        if ends:
            self.state = "done" if trained else "stopped"

    def _take_in(self, info: IterationInfo) -> None:
        with self._folder.writing():
            self._log.append(info)
        self._last = info
        if self._agent.best_iteration == self._agent.iteration:
            self._folder.save_best(self._agent)

    def stop(self) -> None:
        self._stopping = True

    def give_up(self) -> None:
        # The exception that asks for this has ended the training, if it was not over.
        if self.state == "training":
            self.state = "stopped"

    def failure(self) -> None:
        """Return None: a failure of this process is an exception."""
