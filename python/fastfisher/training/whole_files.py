"""Files that reach the disk whole or not at all, and the paths that users write."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

_MARK = ".new-"


def user_path(path: str | os.PathLike[str]) -> Path:
    """Return a path as its user means it: ``~`` is the home folder, which only a shell would have seen to."""
    return Path(os.path.expanduser(path))


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that takes its place, whole, once the block is over.

    It is written to the disk before it is renamed: a crash at any moment leaves the old file or the new one.
    Nobody else has its name, so that two processes may replace the same file.  The name keeps the suffix,
    since some writers choose their format by it or append it.  A symbolic link stays: its target is replaced.
    It is an OSError where something is there that is no file, a device or a folder for instance.
    """
    if path.is_symlink():
        path = Path(os.path.realpath(path))
    if path.exists() and not path.is_file():
        raise OSError(errno.EEXIST, "it is no file", str(path))
    # A long name is cut, since a file system has room for 255 bytes.
    temporary = path.with_name(f".{path.stem[:50]}{_MARK}{secrets.token_hex(4)}{path.suffix}")
    try:
        yield temporary
        _sync_file(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_directory(path.parent)


def remove_leftovers(folder: Path) -> None:
    """Remove the half-written files that a killed process left; what others hide there stays."""
    for leftover in folder.glob(f".*{_MARK}*"):
        leftover.unlink(missing_ok=True)


def _sync_file(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _sync_directory(path: Path) -> None:
    """Make renames durable; a no-op where directories cannot be opened (Windows)."""
    with contextlib.suppress(PermissionError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
