"""What several commands share: kinds of command-line words, and the check of their bounds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import FlagCreatePairsOff
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from ..arguments import check_fields
from ..training.errors import UserError
from ..training.whole_files import user_path

Switch = Annotated[bool, FlagCreatePairsOff]
"""A flag without its ``--no-`` twin."""


def _one_word(
    kind: type, metavar: str, read: Callable[[str], Any], shown: Callable[[Any], str] = str
) -> PrimitiveConstructorSpec[Any]:
    """Return how one word becomes a value of this kind, and how that is shown."""
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar=metavar,
        instance_from_str=lambda words: read(words[0]),
        is_instance=lambda value: isinstance(value, kind),
        str_from_instance=lambda value: [shown(value)],
    )


def _whole_number(word: str) -> int:
    try:
        return int(word)
    except ValueError:
        value = float(word)
        if not value.is_integer():
            raise ValueError(f"expected a whole number, got {word}") from None
        return int(value)


def _json_object(word: str) -> dict[str, Any]:
    value = json.loads(word)
    if not isinstance(value, dict):
        raise ValueError(f"expected a JSON object, got {word}")
    return value


JsonObject = Annotated[dict[str, Any], _one_word(dict, "JSON", _json_object, json.dumps)]

KINDS = ConstructorRegistry()
"""How words become whole numbers, of which ``1e6`` is one, and paths, in which ``~`` is the home folder."""
_BY_TYPE = {int: _one_word(int, "INT", _whole_number), Path: _one_word(Path, "PATH", user_path)}


@KINDS.primitive_rule
def _by_type(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    return _BY_TYPE.get(info.type)


def check_flags(command: object) -> None:
    """Hold the fields of a command to the bounds beside them; a UserError names the flag of a wrong one."""
    try:
        check_fields(command, type(command), lambda name: f"--{name.replace('_', '-')}")
    except (TypeError, ValueError) as error:
        raise UserError(str(error)) from error
