"""What a checkpoint may hold: a file that is whole may still have been made or edited by hand."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arguments import Bounds, whole
from .checkpoint import DamagedCheckpointError
from .errors import UserError
from .whole_files import user_path

Arrays = Mapping[str, NDArray[Any]]

_COUNTER = Bounds(at_least=0, at_most=2**63 - 1)
_COUNTERS = ("iteration", "steps", "episodes")

_POSITIVE = frozenset({"scale", "bandwidth", "damping"})
_NOT_NEGATIVE = frozenset({"count", "sum_square", "time", "times", "resets"})
_RECENT = re.compile(r"(baseline/recent\d+)/(observations|times|targets)")


@contextmanager
def read_from(path: str | PathLike[str]) -> Iterator[None]:
    """Turn an error about the content of a checkpoint into a DamagedCheckpointError that names the file."""
    try:
        yield
    except UserError:
        raise
    except KeyError as error:
        raise DamagedCheckpointError(user_path(path), f"{error} is missing") from error
    except (AttributeError, TypeError, ValueError) as error:
        raise DamagedCheckpointError(user_path(path), error) from error


def check_header(header: Mapping[str, Any]) -> None:
    """Raise a KeyError, ValueError or TypeError that names what no training state says of itself."""
    if not isinstance(header["custom_policy"], bool):
        raise TypeError(f"custom_policy: expected true or false, got {header['custom_policy']!r}")
    counters = header["counters"]
    if set(counters) != set(_COUNTERS):
        raise ValueError(f"counters: expected {', '.join(_COUNTERS)}, got {', '.join(counters)}")
    iteration, steps, episodes = (whole(counters[name], name, _COUNTER) for name in _COUNTERS)
    if max(iteration, episodes) > steps or (iteration == 0) != (steps == 0):
        raise ValueError(
            f"counters: {steps} steps do not make {iteration} iterations and {episodes} episodes"
        )
    last = header.get("last_return", math.nan)
    if isinstance(last, bool) or not isinstance(last, (int, float)) or math.isinf(last):
        raise ValueError(f"last_return: expected a finite number or NaN, got {last!r}")
    best = header.get("best", {"return": -math.inf, "iteration": 0})
    mean, when = best["return"], whole(best["iteration"], "best iteration", _COUNTER)
    if isinstance(mean, bool) or not isinstance(mean, (int, float)) or math.isnan(mean) or mean == math.inf:
        raise ValueError(f"best return: expected a finite number, or minus infinity before any, got {mean!r}")
    if when > iteration or (when == 0) != (mean == -math.inf):
        raise ValueError(f"best: {iteration} iterations do not have one of {mean} after {when} of them")


def refuse_import(path: str | PathLike[str], env: str) -> None:
    """Raise a UserError where the environment that a file names is of a module that is not imported yet."""
    module = env.rpartition(":")[0]
    if module and module not in sys.modules:
        raise UserError(
            f"{path} was trained on {env}, and loading runs no code that a file names: "
            f"import {module} first, or pass the environment: NPG.load(path, env={env!r})"
        )


def check_arrays(arrays: Arrays, fresh: Arrays, *, version: int, custom_policy: bool) -> None:
    """Raise a ValueError that names the first array which no training state has.

    ``fresh`` is the state of an agent of the same config before its first iteration, which has all names,
    shapes and types but those of what comes later.  Of a policy of the user's own the parameters are
    checked alone.  A file of version 1 may lack what was not kept then.
    """
    forms = {name: (array.dtype, array.shape) for name, array in fresh.items()} | _later(arrays, fresh)
    for name in forms.keys() & fresh.keys() if version > 1 else ():
        if name not in arrays:
            raise ValueError(f"{name} is missing")
    for name, array in arrays.items():
        if custom_policy and name.startswith("policy/") and name != "policy/parameters":
            continue
        if name not in forms:
            raise ValueError(f"{name} is no part of this agent's state")
        if (array.dtype, array.shape) != forms[name]:
            dtype, shape = forms[name]
            raise ValueError(
                f"{name}: expected {dtype} of shape {shape}, got {array.dtype} of shape {array.shape}, "
                "which is that of another environment or config"
            )
        _check_values(name, array)


def _later(arrays: Arrays, fresh: Arrays) -> dict[str, tuple[np.dtype[Any], tuple[int, ...]]]:
    """Return type and shape of the arrays that a state has only after its first iteration."""
    real, integer = np.dtype(np.float64), np.dtype(np.int64)
    forms: dict[str, tuple[np.dtype[Any], tuple[int, ...]]] = {}
    forms["stepper/previous"] = real, fresh["policy/parameters"].shape
    if "rollouts/resets" in arrays:
        forms["rollouts/resets"] = integer, (arrays["rollouts/resets"].size,)
    for name in arrays:
        if match := _RECENT.fullmatch(name):
            batch, part = match.groups()
            rows = arrays[f"{batch}/times"].size
            shape = (rows, *fresh["moments/mean"].shape) if part == "observations" else (rows,)
            forms[name] = (integer if part == "times" else real), shape
    return forms


def _check_values(name: str, array: NDArray[Any]) -> None:
    leaf = name.rpartition("/")[2]
    # An RBF policy has no bandwidth before its first batch.
    if not np.isfinite(array).all() and not (leaf == "bandwidth" and np.isnan(array).all()):
        raise ValueError(f"{name}: expected finite numbers")
    of_scale = array[1:] if name == "baseline/targets" else array  # the mean and the scale of the targets
    if (leaf in _POSITIVE or name == "baseline/targets") and (of_scale <= 0).any():
        raise ValueError(f"{name}: expected numbers > 0")
    if leaf in _NOT_NEGATIVE and (array < 0).any():
        raise ValueError(f"{name}: expected numbers >= 0")
