"""Pages made of dataclasses: what is a field, its help and its default is said once, in the code.

``{config-fields}``   every hyper-parameter of ``TrainConfig``
``{commands}``        every command of ``fastfisher`` with its flags
``{columns}``         every column of ``progress.csv``
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import math
import textwrap
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from fastfisher.arguments import Bounds
from fastfisher.cli import COMMANDS
from fastfisher.training.config import TrainConfig
from fastfisher.training.iteration import IterationInfo

Entry = tuple[str, str, str, list[str]]
"""A name, how it is shown, facts of it, and paragraphs about it."""


def helps(kind: type) -> dict[str, str]:
    """Return the docstring under each field of a dataclass, those of its bases included."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if not dataclasses.is_dataclass(base):
            continue
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        assert isinstance(definition, ast.ClassDef)
        for field, text in zip(definition.body, definition.body[1:], strict=False):
            if (
                isinstance(field, ast.AnnAssign)
                and isinstance(field.target, ast.Name)
                and isinstance(text, ast.Expr)
                and isinstance(text.value, ast.Constant)
            ):
                found[field.target.id] = inspect.cleandoc(text.value.value)
    return found


def bounds_in_words(kind: Any) -> str:
    """Return the range of an annotated field, or an empty string."""
    if get_origin(kind) is not Annotated:
        return ""
    words = []
    for bounds in get_args(kind)[1:]:
        if isinstance(bounds, Bounds):
            for name in ("at_least", "above", "at_most", "below"):
                if math.isfinite(limit := getattr(bounds, name)):
                    words.append(f"{name.replace('_', ' ')} {limit:g}")
    return ", ".join(words)


def choices_in_words(kind: Any) -> str:
    """Return the choices of a field that has some, or an empty string."""
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    literal = [k for k in (kind, *get_args(kind)) if get_origin(k) is Literal]
    return ", ".join(str(value) for k in literal for value in get_args(k))


def default_in_words(field: dataclasses.Field[Any]) -> str:
    """Return a field's default as it would be typed."""
    if field.default is not dataclasses.MISSING:
        value = field.default
    elif field.default_factory is not dataclasses.MISSING:
        value = field.default_factory()
    else:
        return ""
    if isinstance(value, tuple):
        return " ".join(map(str, value)) or "none"
    return f"{value:,}".replace(",", "_") if isinstance(value, int) and value >= 10_000 else str(value)


class Entries(SphinxDirective):
    """A directive that becomes definitions: a term, and paragraphs about it."""

    def described(self, entries: Iterable[Entry], prefix: str) -> nodes.definition_list:
        """Return the definitions, each with an address of its own."""
        self.env.note_reread()  # the code may have changed
        listed = nodes.definition_list(classes=["fields"])
        for name, term, facts, paragraphs in entries:
            anchor = nodes.make_id(f"{prefix}-{name}")
            words = nodes.term("", "", nodes.literal(text=term), ids=[anchor])
            if facts:
                words += nodes.inline(text=f"  {facts}", classes=["facts"])
            body = nodes.definition()
            for paragraph in paragraphs:
                body += nodes.paragraph(text=paragraph)
            listed += nodes.definition_list_item("", words, body)
        return listed


def fields_of(kind: type, *, flags: bool, without: Iterable[str] = ()) -> Iterator[Entry]:
    """Return the entries of a dataclass's fields."""
    said, kinds = helps(kind), get_type_hints(kind, include_extras=True)
    for field in dataclasses.fields(kind):
        if field.name in without:
            continue
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        facts = [choices_in_words(kinds[field.name]), bounds_in_words(kinds[field.name])]
        if not required and field.default is not None:
            facts.append(f"default {default_in_words(field)}")
        positional = flags and (required or field.name == "runs")
        term = f"--{field.name.replace('_', '-')}" if flags and not positional else field.name
        if positional:
            term = {"env": "ENV", "run_folder": "RUN", "runs": "RUN [RUN ...]"}[field.name]
            facts = ["required"]
        yield field.name, term, "; ".join(filter(None, facts)), [said[field.name]]


class ConfigFields(Entries):
    """Every hyper-parameter."""

    def run(self) -> list[nodes.Node]:
        return [self.described(fields_of(TrainConfig, flags=False), "config")]


class Commands(Entries):
    """Every command, and every flag that is not a hyper-parameter."""

    def run(self) -> list[nodes.Node]:
        found: list[nodes.Node] = []
        shared = {field.name for field in dataclasses.fields(TrainConfig)} - {"env", "env_kwargs"}
        for name, kind in COMMANDS.items():
            section = nodes.section(ids=[nodes.make_id(f"fastfisher-{name}")])
            section += nodes.title("", "", nodes.literal(text=f"fastfisher {name}"))
            section += nodes.paragraph(text=inspect.cleandoc(kind.__doc__ or "").partition("\n\n")[0])
            without = shared if issubclass(kind, TrainConfig) else ()
            section += self.described(fields_of(kind, flags=True, without=without), name)
            found.append(section)
        return found


class Columns(Entries):
    """Every column of the log."""

    def run(self) -> list[nodes.Node]:
        said = helps(IterationInfo)
        entries = [
            (field.name, field.name, "", [said[field.name]] if field.name in said else [])
            for field in dataclasses.fields(IterationInfo)
        ]
        return [self.described(entries, "column")]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives."""
    app.add_directive("config-fields", ConfigFields)
    app.add_directive("commands", Commands)
    app.add_directive("columns", Columns)
    return {"parallel_read_safe": True}
