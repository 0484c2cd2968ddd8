"""A checkpoint that is not what was written is refused by name; loading one runs no code."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastfisher.training import NPG, TRPO
from fastfisher.training.checkpoint import DamagedCheckpointError, read_checkpoint, write_checkpoint
from fastfisher.training.errors import UserError

ARRAYS = {"policy/parameters": np.linspace(0.0, 1.0, 20), "moments/count": np.array(3)}
HEADER = {"counters": {"iteration": 1}}

DAMAGED = "is not a readable fastfisher checkpoint .*use an earlier one"


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "run.zip"
    write_checkpoint(path, HEADER, ARRAYS)
    return path


def test_a_flipped_bit_of_any_byte_is_found(small: Path) -> None:
    content = bytearray(small.read_bytes())
    for place in range(len(content)):
        content[place] ^= 1 << place % 8
        small.write_bytes(content)
        with pytest.raises(DamagedCheckpointError):
            read_checkpoint(small)
        content[place] ^= 1 << place % 8
    small.write_bytes(content)
    read_checkpoint(small)


def test_every_truncation_and_whatever_follows_is_found(small: Path) -> None:
    content = small.read_bytes()
    for damaged in (*(content[:size] for size in range(len(content))), content + b"\0", content * 2):
        small.write_bytes(damaged)
        with pytest.raises(DamagedCheckpointError, match=DAMAGED):
            read_checkpoint(small)


# Files without a digest: those of version 1, and what somebody else made.


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def huge(shape: str) -> bytes:
    """Return a .npy whose header promises more than it has."""
    return npy(np.zeros((2, 3))).replace(b"(2, 3), }" + b" " * (len(shape) - 6), shape.encode() + b", }")


def old_file(path: Path, entries: dict[str, bytes | str], compression: int = zipfile.ZIP_DEFLATED) -> None:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)


FACTS = json.dumps({"format": "fastfisher-checkpoint", "version": 1, **HEADER})


@pytest.mark.parametrize(
    "entries",
    [
        {"checkpoint.json": "[" * 200_000},  # RecursionError
        {"checkpoint.json": FACTS, "a.npy": huge("(9999999999, 99999999), ")},  # MemoryError
        {"checkpoint.json": FACTS, "a.npy": huge("(99999999999999999999, 3), ")},  # OverflowError
        {"checkpoint.json": FACTS, "a.npx": npy(np.zeros(2))},
        {"checkpoint.json": FACTS, "a.npy": b"PK"},
        {"checkpoint.json": "[]"},
        {"checkpoint.json": "\xff"},
        {"other.json": FACTS},
    ],
)
def test_what_an_old_file_may_raise_is_one_error(tmp_path: Path, entries: dict[str, bytes | str]) -> None:
    old_file(tmp_path / "run.zip", entries)
    with pytest.raises(DamagedCheckpointError, match=DAMAGED):
        read_checkpoint(tmp_path / "run.zip")


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damage_to_any_compression_is_one_error(tmp_path: Path, compression: int) -> None:
    path = tmp_path / "run.zip"
    old_file(path, {"checkpoint.json": FACTS, "a.npy": npy(np.arange(9.0))}, compression)
    content = bytearray(path.read_bytes())
    for place in range(len(content)):
        content[place] ^= 0x11
        path.write_bytes(content)
        with contextlib.suppress(DamagedCheckpointError):
            # Some bytes, of a date for instance, say nothing.
            assert np.array_equal(read_checkpoint(path)[1]["a"], np.arange(9.0))
        content[place] ^= 0x11


def test_an_entry_that_stands_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("checkpoint.json", FACTS)
        archive.writestr("a.npy", npy(np.zeros(2)))
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a.npy", npy(np.ones(2)))
    with pytest.raises(DamagedCheckpointError, match=r"an entry is named a\.npy"):
        read_checkpoint(path)


def test_a_digest_cannot_be_left_out(small: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(small) as archive:
        entries: dict[str, bytes | str] = {name: archive.read(name) for name in archive.namelist()}
    old_file(tmp_path / "again.zip", entries)
    with pytest.raises(DamagedCheckpointError, match="its digest is missing"):
        read_checkpoint(tmp_path / "again.zip")


# What no training state holds.

MOMENTUM = {"momentum": 0.5, "damping_rule": "adaptive", "normalize_rewards": True, "workers": 1}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, np.ndarray], Path]:
    """Header and arrays of an agent that keeps all that one may keep."""
    path = tmp_path_factory.mktemp("trained") / "run.zip"
    fields = {**MOMENTUM, "baseline_batches": 2, "batch_steps": 300}
    with NPG("CartPole-v1", policy="mlp", hidden=(8,), **fields) as agent:
        agent.learn(900).save(path)
    return *read_checkpoint(path), path


def test_a_version_1_file_loads_and_goes_on_to_the_same_bits(
    trained: tuple[dict[str, Any], dict[str, np.ndarray], Path], tmp_path: Path
) -> None:
    header, arrays, path = trained
    entries = {f"{name}.npy": npy(array) for name, array in arrays.items()}
    old_file(tmp_path / "old.zip", {"checkpoint.json": json.dumps(header | {"version": 1}), **entries})
    states = []
    for file in (path, tmp_path / "old.zip"):
        with NPG.load(file) as agent:
            agent.learn(300)
            states.append(agent.policy.parameters.tobytes())
    assert states[0] == states[1]


Edit = Callable[[dict[str, Any], dict[str, np.ndarray]], object]

EDITS: dict[str, tuple[Edit, str]] = {
    "a name more": (lambda h, a: a.update({"policy/extra": np.zeros(2)}), "policy/extra is no part"),
    "a name less": (lambda h, a: a.pop("baseline/shift"), "baseline/shift is missing"),
    "half a batch": (lambda h, a: a.pop("baseline/recent0/times"), "baseline/recent0/times' is missing"),
    "a size": (
        lambda h, a: a.update({"policy/parameters": np.zeros(3)}),
        r"policy/parameters: expected .*58",
    ),
    "a shape": (
        lambda h, a: a.update({"policy/parameters": a["policy/parameters"][None]}),
        r"got float64 of shape \(1, 58\)",
    ),
    "a type": (
        lambda h, a: a.update({"policy/parameters": a["policy/parameters"].astype("f4")}),
        "expected float64 of shape .* got float32",
    ),
    "a direction": (lambda h, a: a.update({"stepper/previous": np.zeros(3)}), "stepper/previous: expected"),
    "rows": (
        lambda h, a: a.update({"baseline/recent1/targets": np.zeros(3)}),
        r"baseline/recent1/targets: expected float64 of shape \(\d{3},\), got float64 of shape \(3,\)",
    ),
    "NaN": (lambda h, a: a["policy/parameters"].fill(np.nan), "policy/parameters: expected finite"),
    "infinity": (lambda h, a: a["baseline/layer0"].fill(np.inf), "baseline/layer0: expected finite"),
    "a scale": (lambda h, a: np.negative(a["policy/scale"], out=a["policy/scale"]), "policy/scale: .* > 0"),
    "no scale": (lambda h, a: a["baseline/scale"].fill(0.0), "baseline/scale: expected numbers > 0"),
    "a damping": (lambda h, a: a.update({"stepper/damping": np.array(-1.0)}), "stepper/damping: .* > 0"),
    "a target": (
        lambda h, a: a.update({"baseline/targets": np.array([0.0, -1.0])}),
        "baseline/targets: .* > 0",
    ),
    "a count": (lambda h, a: a.update({"moments/count": np.array(-1)}), "moments/count: .* >= 0"),
    "a variance": (lambda h, a: a["moments/sum_square"].fill(-1.0), "moments/sum_square: .* >= 0"),
    "an iteration": (lambda h, a: h["counters"].update(iteration=-1), "iteration: expected a whole number"),
    "steps": (lambda h, a: h["counters"].update(steps=2**63), "steps: expected a whole number"),
    "half a step": (lambda h, a: h["counters"].update(steps=0.5), "steps: expected a whole number"),
    "no steps": (lambda h, a: h["counters"].update(steps=0), "counters: 0 steps do not make 3 iterations"),
    "a counter": (lambda h, a: h["counters"].update(_set_up=1), "counters: expected iteration, steps"),
    "no counters": (lambda h, a: h.pop("counters"), "'counters' is missing"),
    "counters": (lambda h, a: h.update(counters=3), "use an earlier one"),
    "a return": (lambda h, a: h.update(last_return="high"), "last_return: expected"),
    "a config": (lambda h, a: h["config"].update(gamma=3), "gamma: expected a finite number from 0 to 1"),
    "a key": (lambda h, a: h["config"].update(gama=0.9), "gama: unknown .* did you mean gamma"),
    "no config": (lambda h, a: h.pop("config"), "'config' is missing"),
}


@pytest.mark.parametrize("name", EDITS)
def test_an_edited_state_is_refused_by_name(
    trained: tuple[dict[str, Any], dict[str, np.ndarray], Path], tmp_path: Path, name: str
) -> None:
    header, arrays, _ = trained
    header = json.loads(json.dumps(header))
    arrays = {key: array.copy() for key, array in arrays.items()}
    edit, message = EDITS[name]
    edit(header, arrays)
    path = tmp_path / "run.zip"
    write_checkpoint(path, header, arrays)
    with pytest.raises(DamagedCheckpointError, match=message) as error:
        NPG.load(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    "fields",
    [
        {"policy": "rbf"},
        {"policy": "linear", "normalize_observations": False, "baseline": "quadratic"},
        {"algorithm": "trpo", "baseline_hidden": ()},
        {"std": "dependent", "squash": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("steps", [0, 300])
def test_every_kind_of_state_is_its_own(tmp_path: Path, fields: dict[str, Any], steps: int) -> None:
    path = tmp_path / "run.zip"
    kind = {"trpo": TRPO}.get(fields.get("algorithm", ""), NPG)
    with kind("Pendulum-v1", batch_steps=300, workers=1, **fields) as agent:
        agent.learn(steps).save(path)
        with NPG.load(path) as again:
            assert again.iteration == (steps > 0)
            assert again.policy.parameters.tobytes() == agent.policy.parameters.tobytes()


# Loading runs no code.

MODULE = """
import gymnasium
from gymnasium.envs.classic_control import CartPoleEnv
print("the module runs")
gymnasium.register("Named-v0", CartPoleEnv, max_episode_steps=50)
"""


@pytest.mark.filterwarnings("ignore:.*Overriding environment")
def test_loading_imports_no_module_that_the_file_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "named_in_a_file.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    path, env = tmp_path / "run.zip", "named_in_a_file:Named-v0"
    with NPG(env, batch_steps=100, workers=1) as agent:
        agent.learn(100).save(path)
    monkeypatch.delitem(sys.modules, "named_in_a_file")
    capsys.readouterr()
    with pytest.raises(UserError, match=r"import named_in_a_file first, or pass the environment: NPG\.load"):
        NPG.load(path)
    assert "named_in_a_file" not in sys.modules
    assert capsys.readouterr().out == ""
    with NPG.load(path, env=env) as again:  # which asks for it
        assert again.steps == agent.steps
    with NPG.load(path) as again:  # for it is imported
        assert again.steps == agent.steps


def test_a_folder_is_refused_with_the_file_in_it(tmp_path: Path, small: Path) -> None:
    with pytest.raises(UserError, match="is a folder, not a checkpoint: move it away"):
        NPG.load(tmp_path)
    os.mkfifo(tmp_path / "pipe.zip")
    with pytest.raises(UserError, match=r"pipe\.zip is no file: move it away"):
        NPG.load(tmp_path / "pipe.zip")
    small.rename(tmp_path / "checkpoint.zip")
    with pytest.raises(
        UserError, match=r"is a folder, not a checkpoint: load the file in it, .*checkpoint.zip"
    ):
        NPG.load(tmp_path)
