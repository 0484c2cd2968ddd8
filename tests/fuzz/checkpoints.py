"""Damaged checkpoints: one loads to the bits that were saved, or is refused; no code of a file's is run."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import json
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from calls import Array, chance, one_of
from driver import BrokenPromiseError, hold
from environments import Random
from numpy.random import Generator
from training import same_state, state_of

import fastfisher as ff
from fastfisher.training.config import TrainConfig
from fastfisher.training.errors import UserError

ENVIRONMENTS = (3, 7)
"""Seeds of two environments, of a Box of actions and of Discrete ones, say."""
FIELDS: tuple[dict[str, Any], ...] = (
    {"policy": "linear", "momentum": 0.5},
    {"policy": "mlp", "hidden": (3,), "normalize_rewards": True, "damping_rule": "adaptive"},
    {"policy": "rbf", "rbf_features": 8, "baseline": "linear"},
    {"policy": "linear", "num_envs": 2, "baseline": "mlp", "baseline_batches": 2},
)
MARK = "run"
"""The file that code of a checkpoint's would write."""
EVIL = "evil"
"""A module that does so when it is imported."""


class Good(NamedTuple):
    """A checkpoint that is whole, and what it holds."""

    content: bytes
    environment: functools.partial[Random]
    state: dict[str, Array]
    counters: tuple[int, int, int]
    config: TrainConfig


@functools.cache
def good(index: int) -> Good:
    """Return one of the checkpoints that are damaged."""
    environment = functools.partial(Random, ENVIRONMENTS[index % len(ENVIRONMENTS)])
    fields = FIELDS[index // len(ENVIRONMENTS)]
    with ff.NPG(environment, workers=1, batch_steps=40, **fields) as agent:
        agent.learn(1)
        agent.save("good.zip")
        return Good(
            Path("good.zip").read_bytes(), environment, _state_of(agent), _counters(agent), agent.config
        )


def _state_of(agent: ff.NPG) -> dict[str, Array]:
    """Return all that a checkpoint keeps in arrays."""
    return state_of(agent) | {f"rollouts/{name}": value for name, value in agent._rollouts_state.items()}


def _names_a_module(content: bytes) -> bool:
    """Tell whether a checkpoint says that its environment is another module's."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return b"evil:" in archive.read("checkpoint.json")
    except Exception:  # a damaged archive may raise anything
        return False


def _counters(agent: ff.NPG) -> tuple[int, int, int]:
    return agent.iteration, agent.steps, agent.episodes


class Runs:
    """An object that runs code when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path(MARK),))


Entries = dict[str, bytes]
Damage = Callable[[Generator, bytes], bytes]


def _flipped(rng: Generator, content: bytes) -> bytes:
    """Flip a bit or a few: anywhere, in the directory at the end, or in the header's own entry."""
    first, last = one_of(rng, ((0, len(content)), (content.index(b"PK\1\2"), len(content)), (0, 400)))
    data = bytearray(content)
    for place in rng.integers(first, last, size=int(one_of(rng, (1, 1, 1, 2, 8)))):
        data[place] ^= 1 << int(rng.integers(8))
    return bytes(data)


def _cut(rng: Generator, content: bytes) -> bytes:
    """Lose the end, the beginning, or a piece, put zeros in its place, or add what does not belong there."""
    start, end = sorted(map(int, rng.integers(len(content), size=2)))
    return [
        content[:end],
        content[start:],
        content[:start] + content[end:],
        content[:start] + bytes(end - start) + content[end:],
        content[:start] + rng.bytes(20) + content[start:],
        content + content,
    ][int(rng.integers(6))]


def _array(entries: Entries, name: str) -> Any:
    return np.load(io.BytesIO(entries[name]))


def _npy(array: Array, *, pickled: bool = False) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=pickled)
    return buffer.getvalue()


def _spoil_an_array(rng: Generator, entries: Entries) -> None:
    """Change the numbers, the shape, the dtype or the name of an array."""
    names = [name for name in entries if name.endswith(".npy")]
    name, other = one_of(rng, names), one_of(rng, names)
    array = _array(entries, name)
    spoilt = np.array(array, dtype=float).ravel()
    match rng.integers(13):
        case 0:
            spoilt[:1] = one_of(rng, (np.nan, np.inf, -np.inf, -1.0, 1e100))
            entries[name] = _npy(spoilt.reshape(array.shape).astype(array.dtype, casting="unsafe"))
        case 1:
            entries[name] = _npy(-array if array.dtype.kind == "f" else array + 1)
        case 2:
            entries[name] = _npy(
                array.astype(one_of(rng, (np.float32, np.float64, np.int64, complex, bool, "U5")))
            )
        case 3:
            entries[name] = _npy(np.asfortranarray(array))  # the same numbers: it may load
        case 4:
            shapes = (
                array[None],
                array[..., None],
                array.ravel(),
                np.resize(array, array.size + 1),
                array.ravel()[:0],
            )
            entries[name] = _npy(
                one_of(rng, [a for a in shapes if a.ndim]) if array.ndim else np.resize(array, 2)
            )
        case 5:
            entries[name], entries[other] = entries[other], entries[name]
        case 6:
            del entries[name]
        case 7:
            entries["policy/more.npy"] = entries[name]
        case 8:
            entries[one_of(rng, (f"{name[:-4]}x.npy", name.upper(), f"/{name}", f"../{name}"))] = entries.pop(
                name
            )
        case 9:
            entries[name] = _npy(np.array([Runs()], dtype=object), pickled=True)
        case 10:
            size = one_of(
                rng, (b"(9999999999999,)", b"(-1,)", b"(" * 300, b"[3]", b"(" + b"9" * 5000 + b",)")
            )
            head = b"{'descr': '<f8', 'fortran_order': False, 'shape': " + size + b", }\n"
            entries[name] = b"\x93NUMPY\1\0" + len(head).to_bytes(2, "little") + head + entries[name][128:]
        case 11:
            entries[name] = entries[name][: rng.integers(len(entries[name]))]
        case _:
            entries[name] = rng.bytes(200)


def _spoil_the_header(rng: Generator, entries: Entries) -> None:
    """Change a value of the header, or how it is written."""
    (name,) = (name for name in entries if name.endswith(".json"))
    header = json.loads(entries[name])
    values: tuple[Any, ...] = (None, -1, "x", [], {}, 1e400, 2**80, True)
    match rng.integers(6):
        case 0:
            header[one_of(rng, list(header))] = one_of(rng, values)
        case 1:
            header.pop(one_of(rng, list(header)))
        case 2:
            header["counters"][one_of(rng, list(header["counters"]))] = one_of(
                rng, (None, -1, "x", [], {}, True)
            )
        case 3:
            header["config"]["env"] = f"{EVIL}:CartPole-v1"
        case 4:
            header["config"][one_of(rng, list(header["config"]))] = one_of(rng, values)
        case _:
            deep = b"[" * 100_000, b"", b"null", b"\xff\xfe", b"{" + entries[name], b'{"format": NaN}'
            entries[name] = one_of(rng, deep)
            return
    entries[name] = json.dumps(header).encode()


def _rewritten(rng: Generator, content: bytes) -> bytes:
    """Write the archive again with another header, array, order or compression."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        comment, entries = archive.comment, {name: archive.read(name) for name in archive.namelist()}
    match rng.integers(8):
        case 0 | 1 | 2 | 3:
            _spoil_an_array(rng, entries)
        case 4 | 5:
            _spoil_the_header(rng, entries)
        case 6:
            names = list(entries)
            rng.shuffle(names)
            entries = {name: entries[name] for name in names}
    buffer = io.BytesIO()
    ways = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    with zipfile.ZipFile(buffer, "w", one_of(rng, ways)) as archive:
        archive.comment = comment
        for name, data in entries.items():
            archive.writestr(name, data)
        if chance(rng, 0.05):
            archive.writestr(*one_of(rng, list(entries.items())))  # twice
    written = buffer.getvalue()
    return _flipped(rng, written) if chance(rng, 0.2) else written


def _sealed(content: bytes) -> bytes:
    """Return the file with the digest that its bytes have: as made by somebody, and not damaged."""
    before = content[: -hashlib.sha256().digest_size * 2]
    return before + hashlib.sha256(before).hexdigest().encode()


def run(rng: Generator) -> str:
    """Run a case: damage a checkpoint, and load it."""
    warnings.simplefilter("ignore")
    whole = good(int(rng.integers(len(ENVIRONMENTS) * len(FIELDS))))
    damage: Damage = one_of(rng, (_flipped, _cut, _rewritten, _rewritten, _rewritten))
    content, sealed = damage(rng, whole.content), chance(rng, 0.6)
    content = _sealed(content) if sealed else content
    what = f"{damage.__name__}{' and sealed' * sealed}"
    path = Path("checkpoint.zip")
    path.write_bytes(content)
    Path(f"{EVIL}.py").write_text(f"open({MARK!r}, 'w').close()\n")
    sys.path.insert(0, "")
    try:
        with ff.NPG.load(path, None if _names_a_module(content) else whole.environment) as agent:
            outcome = _check_loaded(agent, whole, sealed)
    except UserError as error:
        named = any(name in str(error) for name in (path.name, "init_noise"))  # which the environment refuses
        hold("\n" not in str(error) and named, f"{what}: {error}")
        outcome = "refused"
    except BrokenPromiseError as broken:
        raise BrokenPromiseError(f"{what}: {broken}") from None
    finally:
        sys.path.remove("")
        sys.modules.pop(EVIL, None)
    hold(not Path(MARK).exists(), f"{what}: code of the checkpoint was run")
    hold(path.read_bytes() == content, f"{what}: loading has changed the file")
    return outcome


def _check_loaded(agent: ff.NPG, whole: Good, sealed: bool) -> str:
    """Hold what was loaded to what was saved; of a file that somebody made, to what a state may be."""
    state, counters = _state_of(agent), _counters(agent)
    if same_state(state, whole.state) and counters == whole.counters:
        return "loaded whole"
    differing = [
        name
        for name in whole.state
        if name not in state or not same_state(*({name: s[name]} for s in (state, whole.state)))
    ]
    hold(sealed, f"other bits of {differing}, counters {counters} for {whole.counters}")
    hold(min(counters) >= 0 and all(type(counter) is int for counter in counters), f"counters: {counters}")
    for name, array in state.items():
        as_saved = whole.state.get(name)
        hold(np.isfinite(array).all() or "bandwidth" in name, f"{name} is not finite")
        form = None if as_saved is None else (as_saved.shape, as_saved.dtype)
        hold(form == (array.shape, array.dtype), f"{name}: {array.shape}, {array.dtype}, saved as {form}")
    if agent.config == whole.config:
        with contextlib.suppress(
            ValueError, OverflowError
        ):  # of scores, say, that have left the range of float64
            agent.learn(1)
        wild = [name for name, array in state_of(agent).items() if not np.isfinite(array).all()]
        hold(not wild, f"of other {differing}; trained it has {wild} that are not finite")
    return "loaded as made"
