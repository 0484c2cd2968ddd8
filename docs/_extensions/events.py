"""``{events}``: a page's table of the step's events, held to where they are defined.

The body has a line an event, ``code: what it means | what to do``.  Codes, their order and their numbers are
read from the core's sources; a code that the page lacks, or has too much, is a warning, and so ends a build.
"""

from __future__ import annotations

import re
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).parents[2]
HEADER = ROOT / "cpp" / "include" / "fastfisher" / "events.hpp"
SOURCE = ROOT / "cpp" / "src" / "step" / "events.cpp"
_LOGGER = logging.getLogger(__name__)


def codes() -> list[str]:
    """Return the codes of the enumeration, in its order."""
    enumeration = re.search(r"enum class EventCode \{(.*?)\};", HEADER.read_text("utf-8"), re.DOTALL)
    assert enumeration is not None
    return re.findall(r"^\s*(\w+),", enumeration[1], re.MULTILINE)


def numbers() -> dict[str, list[str]]:
    """Return the names of each code's numbers."""
    rows = re.findall(r'\{EventCode::\w+,\s*"(\w+)",\s*\{([^}]*)\},', SOURCE.read_text("utf-8"))
    return {code: re.findall(r'"(\w+)"', names) for code, names in rows}


def written(lines: list[str]) -> dict[str, tuple[str, str]]:
    """Return what a page says of each code: its meaning, and what to do."""
    found = {}
    for line in filter(str.strip, lines):
        code, _, words = line.partition(":")
        meaning, _, advice = words.partition("|")
        found[code.strip()] = (meaning.strip(), advice.strip())
    return found


class Events(SphinxDirective):
    """Every event of a step."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        for source in (HEADER, SOURCE):
            self.env.note_dependency(str(source))
        said, figures = written(list(self.content)), numbers()
        for code in set(said) ^ set(codes()):
            problem = "is not an event" if code in said else "is not explained"
            _LOGGER.warning("%s %s", code, problem, location=self.get_location())
        listed = nodes.definition_list(classes=["fields"])
        for code in codes():
            meaning, advice = said.get(code, ("", ""))
            term = nodes.term("", "", nodes.literal(text=code), ids=[nodes.make_id(f"event-{code}")])
            if figures[code]:
                term += nodes.inline(text=f"  numbers: {', '.join(figures[code])}", classes=["facts"])
            advised = nodes.paragraph("", "", nodes.strong(text="Do: "))
            body = nodes.definition("", *self.parse_inline_paragraph(meaning), advised)
            advised += self.parse_inline(advice)[0]
            listed += nodes.definition_list_item("", term, body)
        return [listed]

    def parse_inline_paragraph(self, text: str) -> list[nodes.Node]:
        """Return a paragraph of a line of Markdown."""
        return [nodes.paragraph("", "", *self.parse_inline(text)[0])]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("events", Events)
    return {"parallel_read_safe": True}
