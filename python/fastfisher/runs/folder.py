"""The folder of one training run: what is in it, and in which order it reaches the disk.

The checkpoint is the authority.  Rows of ``progress.csv`` reach the disk before the checkpoint that
counts them, every whole-file write is a rename of a finished file, and resuming cuts the logs back
to the checkpoint's iteration.  So a run killed at any moment resumes to the same bits.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
from collections.abc import Container
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ..training.checkpoint import read_checkpoint
from ..training.config import TrainConfig
from ..training.defaults import OPEN
from ..training.errors import UserError
from ..training.whole_files import replacing

if TYPE_CHECKING:
    from ..training.agent import NPG, EnvLike

CONFIG = "config.json"
PROGRESS = "progress.csv"
PROGRESS_LINES = "progress.jsonl"
CHECKPOINT = "checkpoint.zip"
PREVIOUS_CHECKPOINT = "checkpoint.previous.zip"
BEST = "best.zip"
CURVE = "curve.png"
LOCK = ".lock"

RESUMABLE = frozenset(
    {
        "steps", "workers", "worker_timeout", "checkpoint_every", "target_return",
        "evaluate_every", "evaluation_episodes",
    }
)  # fmt: skip
"""The fields of the config that a resumed run may change.

None of them alters an iteration's bits, but for ``steps`` where the KL or the floor falls over the run.
"""


def with_changes(stored: TrainConfig, config: TrainConfig) -> TrainConfig:
    """Return the stored config, with the fields that a resumed run may change taken from the other one."""
    return stored.replace(**{name: getattr(config, name) for name in RESUMABLE})


def differences(
    before: TrainConfig, after: TrainConfig, *, besides: Container[str]
) -> dict[str, tuple[Any, Any]]:
    """Return the fields in which two configs differ, in their order, with both values.

    The fields of ``besides`` do not count.  A field that one config leaves open, as a folder of an older
    version and a user's flag may, is compared by what it is resolved to; a UserError says so where the
    environment that this takes cannot be had.
    """

    def pairs(one: TrainConfig, other: TrainConfig) -> dict[str, tuple[Any, Any]]:
        values = other.to_dict()
        both = {name: (value, values[name]) for name, value in one.to_dict().items() if name not in besides}
        return {name: pair for name, pair in both.items() if pair[0] != pair[1]}

    differing = pairs(before, after)
    if any(OPEN[name] in pair for name, pair in differing.items() if name in OPEN):
        return pairs(_resolved(before), _resolved(after))
    return differing


def _resolved(config: TrainConfig) -> TrainConfig:
    from ..training.agent import NPG

    with NPG.from_config(config) as agent:
        return agent.config


def default_folder(config: TrainConfig, *, several: bool = False) -> Path:
    """Return ``runs/<env>-<algorithm>-<policy>-seed<seed>``; without the seed for the runs of several."""
    seed = "" if several else f"-seed{config.seed}"
    return Path("runs") / f"{file_name(config.env)}-{config.algorithm}-{config.policy}{seed}"


def file_name(env: str) -> str:
    """Return an environment's id, even one such as ``ALE/Pong-v5``, as part of one file's name."""
    return env.replace("/", "-").replace(":", "-")


def seed_folder(parent: Path, seed: int) -> Path:
    """Return the run folder of one seed of several."""
    return parent / f"seed{seed}"


def seed_of(path: Path) -> int:
    """Return the seed of a run folder that :func:`seed_folder` named."""
    return int(path.name.removeprefix("seed"))


def runs_in(parent: Path) -> list[Path]:
    """Return the run folders of several seeds in a folder, by seed; none where it is itself a run's."""
    if (parent / CONFIG).exists():
        return []
    folders = (path.parent for path in parent.glob(f"seed*/{CONFIG}"))
    return sorted((path for path in folders if path.name.removeprefix("seed").isdecimal()), key=seed_of)


class RunFolder:
    """The paths and the durable writes of one run, whose folder :meth:`create` makes and :meth:`open` checks.

    A UserError of a method says what is wrong with the folder, and what to do about it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: IO[str] | None = None

    @classmethod
    def create(cls, path: Path, config: TrainConfig) -> RunFolder:
        """Make the folder of a new run, unless ``path`` is taken; claim it and write its ``config.json``."""
        cls.check_free(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"cannot make the run folder {path}: {error.strerror}; choose another --out"
            ) from error
        folder = cls(path)
        folder.lock()
        folder.write_config(config)
        return folder

    @staticmethod
    def check_free(path: Path) -> None:
        """Raise a UserError where ``path`` exists already and holds anything, a run or something else."""
        if (path / CONFIG).exists():
            raise UserError(
                f"{path} holds a run already: add --resume to continue it, or choose another --out"
            )
        # Hidden names are what a run killed before its first write leaves behind.
        if path.exists() and (not path.is_dir() or any(not p.name.startswith(".") for p in path.iterdir())):
            raise UserError(f"{path} exists and is not an empty folder: choose another --out")

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """Return the folder of an existing run, or raise a UserError where it is not one."""
        if not path.is_dir():
            raise UserError(f"{path} does not exist: give the folder of a run that `fastfisher train` made")
        if not (path / CONFIG).is_file():
            raise UserError(
                f"{path} is no run folder (it has no {CONFIG}): give one that `fastfisher train` made"
            )
        return cls(path)

    def lock(self) -> None:
        """Claim the folder until this process ends, however it ends, unless another one trains in it."""
        try:
            import fcntl
        except ModuleNotFoundError:  # Windows
            return
        self._lock = (self.path / LOCK).open("w")
        try:
            # A POSIX record lock: dies with the process, and forked rollout workers do not inherit it.
            fcntl.lockf(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"{self.path} is in use by another process: choose another --out") from None

    def unlock(self) -> None:
        """Give the folder up."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def read_config(self) -> TrainConfig:
        """Return the run's config, if it is one that this version knows."""
        try:
            return TrainConfig.from_dict(json.loads((self.path / CONFIG).read_text("utf-8")))
        except (ValueError, TypeError) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise UserError(f"{self.path / CONFIG} is not a valid config: {reason}") from error

    def write_config(self, config: TrainConfig) -> None:
        """Write ``config.json``."""
        with replacing(self.path / CONFIG) as temporary:
            temporary.write_text(json.dumps(config.to_dict(), indent=2) + "\n", "utf-8")

    def save_checkpoint(self, agent: NPG) -> None:
        """Write ``checkpoint.zip`` and keep the one before it; at no moment is there none."""
        newest = self.path / CHECKPOINT
        with replacing(newest) as temporary:
            agent.save(temporary)
            if newest.exists():
                with replacing(self.path / PREVIOUS_CHECKPOINT) as older:
                    older.unlink(missing_ok=True)
                    try:
                        os.link(newest, older)
                    except OSError:  # the file system has no hard links
                        shutil.copyfile(newest, older)

    def save_best(self, agent: NPG) -> None:
        """Write ``best.zip``, a checkpoint of the agent whose evaluation is the best so far."""
        with replacing(self.path / BEST) as temporary:
            agent.save(temporary)

    def saved_iteration(self) -> int:
        """Return the iteration of the newest checkpoint; 0 where that cannot be read."""
        return _iteration(self.path / CHECKPOINT) or 0

    def load_trained(self, env: EnvLike | None = None, *, best: bool = False) -> NPG:
        """Return the agent of :meth:`load_agent`, or raise a UserError where the run has none yet.

        With ``best`` it is the agent of the best evaluation in training, instead of the newest one.
        """
        if best:
            from ..training.agent import NPG

            if not (self.path / BEST).exists():
                raise UserError(
                    f"{self.path} has no {BEST}: no policy was evaluated yet (--evaluate-every says when)"
                )
            return NPG.load(self.path / BEST, env)
        agent = self.load_agent(env)
        if agent is None:
            raise UserError(f"{self.path} has no checkpoint yet: let it train for longer")
        return agent

    def load_agent(self, env: EnvLike | None = None) -> NPG | None:
        """Return the agent of the newest checkpoint, or None where the run has none yet.

        ``env`` takes the place of the run's own environment.  Where the checkpoint is damaged, a UserError
        says how to continue from the one before it.
        """
        from ..training.agent import NPG

        newest, previous = self.path / CHECKPOINT, self.path / PREVIOUS_CHECKPOINT
        if not newest.exists() and not previous.exists():
            return None
        try:
            read_checkpoint(newest)
        except (UserError, FileNotFoundError) as error:
            iteration = _iteration(previous)
            if iteration is None:
                raise UserError(f"{error}; none is left: train again in another --out") from error
            state = "damaged" if newest.exists() else "missing"
            command = shlex.join(["mv", str(previous), str(newest)])
            raise UserError(
                f"{newest} is {state}; the one before it, iteration {iteration}, is good: "
                f"to continue from that, run `{command}` and try again"
            ) from error
        return NPG.load(newest, env)


def _iteration(checkpoint: Path) -> int | None:
    """Return the iteration of a checkpoint; None where it cannot be read."""
    try:
        header, _ = read_checkpoint(checkpoint)
        return int(header["counters"]["iteration"])
    except (UserError, FileNotFoundError, KeyError):
        return None
