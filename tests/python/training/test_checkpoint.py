"""Checkpoint files: whole or refused, never run."""

from __future__ import annotations

import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from fastfisher.training.checkpoint import read_checkpoint, write_checkpoint
from fastfisher.training.errors import UserError

HEADER = {"answer": 42, "nested": {"a": [1, 2]}}
ARRAYS = {"part/theta": np.arange(1000.0), "part/count": np.array(3), "flag": np.array([True, False])}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "folder" / "run.zip"
    write_checkpoint(path, HEADER, ARRAYS)
    return path


def test_reads_what_was_written(path: Path) -> None:
    header, arrays = read_checkpoint(path)
    assert header["answer"] == 42
    assert header["nested"] == {"a": [1, 2]}
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype
        assert arrays[name].shape == array.shape
        assert arrays[name].tobytes() == array.tobytes()


def test_leaves_no_temporary_file_and_replaces(path: Path) -> None:
    write_checkpoint(path, {"answer": 43}, {})
    assert read_checkpoint(path)[0]["answer"] == 43
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_failed_write_leaves_the_old_file(path: Path) -> None:
    with pytest.raises(ValueError, match="pickle"):
        write_checkpoint(path, HEADER, {"bad": np.array([object()])})
    assert read_checkpoint(path)[0]["answer"] == 42
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("keep", [0, 1, 100, 0.5, 0.99, -1], ids=str)
def test_a_truncated_file_is_refused(path: Path, keep: float) -> None:
    content = path.read_bytes()
    size = int(len(content) * keep) if isinstance(keep, float) else keep % len(content)
    path.write_bytes(content[:size])
    with pytest.raises(
        UserError, match=r"run\.zip is not a readable fastfisher checkpoint .*use an earlier one"
    ):
        read_checkpoint(path)


def test_a_flipped_byte_of_the_data_is_refused(path: Path) -> None:
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        place = archive.getinfo("part/theta.npy").header_offset + 100
    content[place] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(UserError, match="not a readable"):
        read_checkpoint(path)


def test_other_files_are_refused(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("hello")
    with pytest.raises(UserError, match="not a readable"):
        read_checkpoint(text)
    archive_path = tmp_path / "other.zip"
    with zipfile.ZipFile(archive_path, "w") as archive:
        archive.writestr("checkpoint.json", json.dumps({"format": "something else"}))
    with pytest.raises(UserError, match="not a fastfisher checkpoint"):
        read_checkpoint(archive_path)
    with pytest.raises(FileNotFoundError):
        read_checkpoint(tmp_path / "absent.zip")


def test_a_later_version_is_refused(path: Path, tmp_path: Path) -> None:
    later = tmp_path / "later.zip"
    with zipfile.ZipFile(later, "w") as archive:
        archive.writestr("checkpoint.json", json.dumps({"format": "fastfisher-checkpoint", "version": 99}))
    with pytest.raises(UserError, match="version 99; this fastfisher reads versions 1 to 2"):
        read_checkpoint(later)


def test_pickled_arrays_are_not_loaded(tmp_path: Path) -> None:
    path = tmp_path / "evil.zip"

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (print, ("executed",))

    np.save(tmp_path / "evil.npy", np.array([Evil()]), allow_pickle=True)
    assert pickle.PROTO in (tmp_path / "evil.npy").read_bytes()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("checkpoint.json", json.dumps({"format": "fastfisher-checkpoint", "version": 1}))
        archive.write(tmp_path / "evil.npy", "theta.npy")
    with pytest.raises(UserError, match="not a readable"):
        read_checkpoint(path)
