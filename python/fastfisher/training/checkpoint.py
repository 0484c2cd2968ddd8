"""A training state in one file: a zip of JSON and .npy arrays, so that loading one runs no code."""

from __future__ import annotations

import io
import json
import os
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import UserError
from .whole_files import replacing

FORMAT = "fastfisher-checkpoint"
VERSION = 1
_HEADER = "checkpoint.json"


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
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        content = {"format": FORMAT, "version": VERSION, **header}
        archive.writestr(_HEADER, json.dumps(content, indent=2, allow_nan=True))
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.save(buffer, array, allow_pickle=False)
            archive.writestr(f"{name}.npy", buffer.getvalue())


def read_checkpoint(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return header and arrays of a checkpoint, every byte of it checked.

    Raises
    ------
    FileNotFoundError
        Where there is no such file.
    UserError
        Where it is no checkpoint, truncated, corrupt, or of a later version.
    """
    path = Path(path)
    try:
        with zipfile.ZipFile(path) as archive:
            header = json.loads(archive.read(_HEADER))
            arrays = {
                name.removesuffix(".npy"): np.load(io.BytesIO(archive.read(name)), allow_pickle=False)
                for name in archive.namelist()
                if name.endswith(".npy")
            }
    except FileNotFoundError:
        raise
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        OSError,
        KeyError,
        ValueError,
        NotImplementedError,
    ) as error:
        raise UserError(
            f"{path} is not a readable fastfisher checkpoint (truncated or corrupt: {error}); "
            "use an earlier one"
        ) from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise UserError(f"{path} is a zip file but not a fastfisher checkpoint")
    if header.get("version") != VERSION:
        raise UserError(
            f"{path} is a checkpoint of version {header.get('version')}; "
            f"this fastfisher reads version {VERSION}"
        )
    return header, arrays
