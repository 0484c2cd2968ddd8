"""What several commands share: kinds of command-line words, and the check of their bounds."""

from __future__ import annotations

import json
from typing import Annotated, Any

from tyro.conf import FlagCreatePairsOff
from tyro.constructors import PrimitiveConstructorSpec

from ..arguments import check_fields
from ..training.errors import UserError

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
