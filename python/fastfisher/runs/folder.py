"""The folder of one training run: what is in it, and in which order it reaches the disk.

The checkpoint is the authority.  Rows of ``progress.csv`` reach the disk before the checkpoint that
counts them, every whole-file write is a rename of a finished file, and resuming cuts the logs back
to the checkpoint's iteration.  So a run killed at any moment resumes to the same bits.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
from collections.abc import Container, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ..training.checkpoint import DamagedCheckpointError, read_checkpoint
from ..training.config import TrainConfig
from ..training.defaults import OPEN
from ..training.errors import UserError
from ..training.saved_state import read_from
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
        "evaluate_every", "evaluation_episodes", "skip_bad_episodes",
    }
)  # fmt: skip
"""The fields of the config that a resumed run may change.

None of them alters an iteration's bits, but for ``steps`` where the KL or the floor falls over the run.
An iteration that ``skip_bad_episodes`` alters would be none without it.
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
    with naming(parent):
        if (parent / CONFIG).exists():
            return []
        folders = [path.parent for path in parent.glob(f"seed*/{CONFIG}")]
    return sorted((path for path in folders if path.name.removeprefix("seed").isdecimal()), key=seed_of)


@contextlib.contextmanager
def naming(path: Path, advice: str = "choose another folder") -> Iterator[None]:
    """Turn what the operating system says of reading or writing below ``path`` into a UserError."""
    try:
        yield
    except OSError as error:
        where = path if error.filename is None else error.filename
        raise UserError(f"cannot use {where}: {error.strerror}; {advice}") from error


class RunFolder:
    """The paths and the durable writes of one run, whose folder :meth:`create` makes and :meth:`open` checks.

    A UserError of a method says what is wrong with the folder, and what to do about it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: IO[str] | None = None
        """The file of the lock, wherever the folder is by now."""

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
        cls.check_free(path)  # another process may have come first, and ended
        folder.write_config(config)
        return folder

    @staticmethod
    def check_free(path: Path) -> None:
        """Raise a UserError where ``path`` exists already and holds anything, a run or something else."""
        with naming(path):
            if (path / CONFIG).exists():
                raise UserError(
                    f"{path} holds a run already: add --resume to continue it, or choose another --out"
                )
            # Hidden names are what a run killed before its first write leaves behind.
            if path.exists() and not (path.is_dir() and all(p.name.startswith(".") for p in path.iterdir())):
                raise UserError(f"{path} exists and is not an empty folder: choose another --out")

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """Return the folder of an existing run, or raise a UserError where it is not one."""
        with naming(path):
            if not path.is_dir():
                raise UserError(
                    f"{path} does not exist: give the folder of a run that `fastfisher train` made"
                )
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
        with naming(self.path):
            self._lock = (self.path / LOCK).open("w")
        try:
            # A POSIX record lock: dies with the process, and forked rollout workers do not inherit it.
            fcntl.lockf(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            self.unlock()
            raise UserError(f"{self.path} is in use by another process: choose another --out") from None
        except OSError:
            pass  # a file system without locks

    def unlock(self) -> None:
        """Give the folder up."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def is_there(self) -> bool:
        """Tell whether the path still leads to the lock's file: not moved, deleted, emptied or replaced."""
        if self._lock is None:
            return self.path.is_dir()
        try:
            return os.path.samestat(os.fstat(self._lock.fileno()), os.stat(self.path / LOCK))
        except OSError:
            return False

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Raise a UserError where the folder is no longer there to be written to, or this fails."""
        self._check_there()
        advice = "what was saved before is whole: make room or give access, and add --resume"
        with naming(self.path, advice):
            try:
                yield
            except OSError:
                self._check_there()
                raise

    def _check_there(self) -> None:
        if not self.is_there():
            raise UserError(
                f"{self.path} is no longer the folder of this run: it was moved, deleted or replaced; "
                "to continue from its last checkpoint, give its new place as --out with --resume"
            )

    def read_config(self) -> TrainConfig:
        """Return the run's config, if it is one that this version knows."""
        try:
            with naming(self.path):
                text = (self.path / CONFIG).read_text("utf-8-sig")
            values = json.loads(text, object_pairs_hook=_without_twins)
            if not isinstance(values, dict):
                raise ValueError(f"expected an object of fields, got {values!r}")
            return TrainConfig.from_dict(values)
        except UserError:
            raise
        except (ValueError, TypeError, RecursionError) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise UserError(f"{self.path / CONFIG} is not a valid config: {reason}") from error

    def write_config(self, config: TrainConfig) -> None:
        """Write ``config.json``."""
        with self.writing(), replacing(self.path / CONFIG) as temporary:
            temporary.write_text(json.dumps(config.to_dict(), indent=2) + "\n", "utf-8")

    def save_checkpoint(self, agent: NPG) -> None:
        """Write ``checkpoint.zip`` and keep the one before it; at no moment is there none."""
        newest = self.path / CHECKPOINT
        with self.writing(), replacing(newest) as temporary:
            agent.save(temporary)
            if newest.exists():
                with replacing(self.path / PREVIOUS_CHECKPOINT) as older:
                    try:
                        os.link(os.path.realpath(newest), older)
                    except OSError:  # the file system has no hard links
                        shutil.copyfile(newest, older)

    def save_best(self, agent: NPG) -> None:
        """Write ``best.zip``, a checkpoint of the agent whose evaluation is the best so far."""
        with self.writing(), replacing(self.path / BEST) as temporary:
            agent.save(temporary)

    def saved_iteration(self) -> int:
        """Return the iteration of the newest checkpoint; 0 where that cannot be read."""
        return _iteration(self.path / CHECKPOINT) or 0

    def load_trained(self, env: EnvLike | None = None, *, best: bool = False) -> NPG:
        """Return the agent of :meth:`load_agent`, or raise a UserError where the run has none yet.

        With ``best`` it is the agent of the best evaluation in training, instead of the newest one.
        """
        if best:
            if not (self.path / BEST).exists():
                raise UserError(
                    f"{self.path} has no {BEST}: it was deleted, or no policy was evaluated yet "
                    "(--evaluate-every says when)"
                )
            return self._load(self.path / BEST, env)
        agent = self.load_agent(env)
        if agent is None:
            raise UserError(f"{self.path} has no checkpoint yet: let it train for longer")
        return agent

    def load_agent(self, env: EnvLike | None = None) -> NPG | None:
        """Return the agent of the newest checkpoint, or None where the run has none yet.

        ``env`` takes the place of the run's own environment.  A UserError says so where ``config.json`` is
        not that of the checkpoint, where the checkpoints of a run are gone, and where the newest is damaged,
        how to continue from the one before it.
        """
        newest, previous = self.path / CHECKPOINT, self.path / PREVIOUS_CHECKPOINT
        if not newest.exists() and not previous.exists():
            self._check_begins()
            return None
        try:
            if not newest.exists():
                raise DamagedCheckpointError(newest, "it is missing")
            return self._load(newest, env)
        except DamagedCheckpointError as error:
            try:
                with self._load(previous, env) as agent:
                    iteration = agent.iteration
            except (DamagedCheckpointError, FileNotFoundError):
                raise UserError(f"{error}; none is left: train again in another --out") from error
            state = "damaged" if newest.exists() else "missing"
            command = shlex.join(["mv", str(previous), str(newest)])
            raise UserError(
                f"{newest} is {state}; the one before it, iteration {iteration}, is good: "
                f"to continue from that, run `{command}` and try again"
            ) from error

    def _load(self, checkpoint: Path, env: EnvLike | None) -> NPG:
        from ..training.agent import NPG

        config = self._check_unedited(checkpoint)
        # Who trains or evaluates in the folder asks for its environment, and for the module that has it.
        return NPG.load(checkpoint, config.env if env is None else env)

    def check_unedited(self) -> None:
        """Raise a UserError where ``config.json`` is not that of a checkpoint that can be read."""
        with contextlib.suppress(DamagedCheckpointError, FileNotFoundError):
            self._check_unedited(self.path / CHECKPOINT)

    def _check_unedited(self, checkpoint: Path) -> TrainConfig:
        header, _ = read_checkpoint(checkpoint)
        with read_from(checkpoint):
            trained = TrainConfig.from_dict(header["config"])
        differing = differences(trained, self.read_config(), besides=RESUMABLE)
        if differing:
            fields = ", ".join(f"{name} = {now!r} for {was!r}" for name, (was, now) in differing.items())
            raise UserError(
                f"{self.path / CONFIG} is not that of the checkpoint, for it has {fields}: "
                "put back what the checkpoint has, or start a new run in another --out"
            )
        return trained

    def _check_begins(self) -> None:
        """Raise a UserError where iterations are logged; a run has a checkpoint before its first."""
        for name in (PROGRESS, PROGRESS_LINES):
            log = self.path / name
            if log.exists() and log.stat().st_size:
                raise UserError(
                    f"{self.path} has iterations in {name} and no {CHECKPOINT}: put that back to continue, "
                    f"or, to begin again and lose them, delete {PROGRESS} and {PROGRESS_LINES}"
                )


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the object of JSON's pairs; a name that stands twice is a ValueError."""
    values = dict(pairs)
    if len(values) < len(pairs):
        twin = next(name for name, _ in pairs if sum(name == other for other, _ in pairs) > 1)
        raise ValueError(f"{twin} stands twice")
    return values


def _iteration(checkpoint: Path) -> int | None:
    """Return the iteration of a checkpoint; None where it cannot be read."""
    try:
        header, _ = read_checkpoint(checkpoint)
        return int(header["counters"]["iteration"])
    except (UserError, FileNotFoundError, KeyError):
        return None
