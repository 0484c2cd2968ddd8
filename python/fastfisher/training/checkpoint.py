"""A training state in one file: a zip of JSON and .npy arrays, so that loading one runs no code.

The zip's comment is its last bytes, and ends with the SHA-256 digest of all bytes before: of names, shapes,
types, values, the header and the zip's own directory.  A file of version 1 has no digest.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import UserError
from .whole_files import replacing, user_path

FORMAT = "fastfisher-checkpoint"
VERSION = 2
_HEADER = "checkpoint.json"
_SEAL = b"sha256 "
_DIGEST = 64
"""The hexadecimal digits of a digest, which follow the seal."""


class DamagedCheckpointError(UserError):
    """A checkpoint that is not what was written, or holds what no training state does."""

    def __init__(self, path: Path, reason: object) -> None:
        super().__init__(
            f"{path} is not a readable fastfisher checkpoint (truncated, corrupt or edited: {reason}); "
            "use an earlier one"
        )


def joined(parts: Mapping[str, Mapping[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """Return the arrays of all parts by names of the form part/name."""
    return {f"{part}/{name}": array for part, arrays in parts.items() for name, array in arrays.items()}


def part_of(arrays: Mapping[str, NDArray[Any]], part: str) -> dict[str, NDArray[Any]]:
    """Return the arrays of one part, of those that :func:`joined` returned."""
    prefix = f"{part}/"
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def write_checkpoint(
    path: str | os.PathLike[str], header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
) -> None:
    """Write header and arrays to ``path``, whole or not at all."""
    path = user_path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        facts = {"format": FORMAT, "version": VERSION, **header}
        archive.writestr(_HEADER, json.dumps(facts, indent=2, allow_nan=True))
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.save(buffer, array, allow_pickle=False)
            archive.writestr(f"{name}.npy", buffer.getvalue())
        archive.comment = _SEAL + bytes(_DIGEST)  # which keeps the digest's place
    before = content.getvalue()[:-_DIGEST]
    with replacing(path) as temporary:
        temporary.write_bytes(before + _digest(before))


def read_checkpoint(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return header and arrays of a checkpoint, every byte of it checked.

    Raises
    ------
    FileNotFoundError
        Where there is no such file.
    UserError
        Where it is a folder or a device, may not be read, or is of a later version.
    DamagedCheckpointError
        Where it is no checkpoint, truncated or corrupt.
    """
    path = user_path(path)
    if path.is_dir():
        inside = path / "checkpoint.zip"
        hint = f"load the file in it, {inside}" if inside.is_file() else "move it away"
        raise UserError(f"{path} is a folder, not a checkpoint: {hint}")
    if path.exists() and not path.is_file():
        raise UserError(f"{path} is no file: move it away")
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise
    except PermissionError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except (OSError, MemoryError) as error:
        raise DamagedCheckpointError(path, error or type(error).__name__) from error
    before, seal = content[:-_DIGEST], content[-_DIGEST - len(_SEAL) : -_DIGEST]
    if seal == _SEAL and content[-_DIGEST:] != _digest(before):
        raise DamagedCheckpointError(path, "its digest is of other bytes")
    try:
        header, arrays = _parsed(content)
    # What a zip without a digest holds may raise anything: RecursionError of JSON, MemoryError of a shape,
    # errors of four ways to compress, RuntimeError of an encrypted entry.
    except Exception as error:
        raise DamagedCheckpointError(path, str(error) or type(error).__name__) from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise DamagedCheckpointError(path, "a zip file, but not a fastfisher checkpoint")
    version = header.get("version")
    if version not in (1, VERSION):
        raise UserError(
            f"{path} is a checkpoint of version {version}; this fastfisher reads versions 1 to {VERSION}"
        )
    if version != 1 and seal != _SEAL:
        raise DamagedCheckpointError(path, "its digest is missing")
    return header, arrays


def _parsed(content: bytes) -> tuple[Any, dict[str, NDArray[Any]]]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        header = json.loads(archive.read(_HEADER))
        arrays: dict[str, NDArray[Any]] = {}
        # Python takes the entries that a damaged directory shows; their number is in its last 22 bytes.
        if not archive.comment and len(archive.namelist()) != int.from_bytes(content[-12:-10], "little"):
            raise ValueError("entries are missing")
        for name in archive.namelist():
            if name == _HEADER:
                continue
            array, suffix = name[:-4], name[-4:]
            if suffix != ".npy" or array in arrays:
                raise ValueError(f"an entry is named {name}")
            arrays[array] = np.lib.format.read_array(io.BytesIO(archive.read(name)), allow_pickle=False)
    return header, arrays


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()
