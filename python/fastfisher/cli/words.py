"""What several commands share: kinds of command-line words, and the check of their bounds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import FlagCreatePairsOff
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from ..arguments import check_fields
from ..training.errors import UserError
from ..training.whole_files import user_path

KINDS = ConstructorRegistry()
"""How words become whole numbers, of which ``1e6`` is one, and paths, in which ``~`` is the home folder."""


@KINDS.primitive_rule
def _whole_numbers(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[int] | None:
    if info.type is not int:
        return None
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="INT",
        instance_from_str=lambda words: _whole_number(words[0]),
        is_instance=lambda value: isinstance(value, int),
        str_from_instance=lambda value: [str(value)],
    )


def _whole_number(word: str) -> int:
    try:
        return int(word)
    except ValueError:
        value = float(word)
        if not value.is_integer():
            raise ValueError(f"expected a whole number, got {word}") from None
        return int(value)


@KINDS.primitive_rule
def _paths(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Path] | None:
    if info.type is not Path:
        return None
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="PATH",
        instance_from_str=lambda words: user_path(words[0]),
        is_instance=lambda value: isinstance(value, Path),
        str_from_instance=lambda value: [str(value)],
    )


Switch = Annotated[bool, FlagCreatePairsOff]
"""A flag without its ``--no-`` twin."""


def _json_object(words: list[str]) -> dict[str, Any]:
    value = json.loads(words[0])
    if not isinstance(value, dict):
        raise ValueError(f"expected a JSON object, got {words[0]}")
    return value


JsonObject = Annotated[
    dict[str, Any],
    PrimitiveConstructorSpec(
        nargs=1,
        metavar="JSON",
        instance_from_str=_json_object,
        is_instance=lambda value: isinstance(value, dict),
        str_from_instance=lambda value: [json.dumps(value)],
    ),
]


def check_flags(command: object) -> None:
    """Hold the fields of a command to the bounds beside them; a UserError names the flag of a wrong one."""
    try:
        check_fields(command, type(command), lambda name: f"--{name.replace('_', '-')}")
    except (TypeError, ValueError) as error:
        raise UserError(str(error)) from error
