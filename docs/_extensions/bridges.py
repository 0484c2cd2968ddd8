"""``{bridge} fastfisher.torch torch``: the reference of a bridge, where its framework is installed.

A bridge imports its framework, and nobody who builds this site has to have all of them.
"""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class Bridge(SphinxDirective):
    """The public names of a bridge."""

    required_arguments = 2

    def run(self) -> list[nodes.Node]:
        self.env.note_reread()  # what is installed may be other than before
        name, framework = self.arguments
        if importlib.util.find_spec(framework) is None or importlib.util.find_spec(name) is None:
            words = f"Not in this build of the site: it needs {framework}. help({name}) has the same words."
            return [nodes.note("", nodes.paragraph(text=words))]
        module = importlib.import_module(name)
        lines = [f".. automodule:: {name}", "   :no-members:", ""]
        for public in public_names(module):
            value = getattr(module, public)
            kind = "class" if isinstance(value, type) else "function" if callable(value) else "data"
            lines += [f".. auto{kind}:: {name}.{public}", *(["   :members:"] if kind == "class" else []), ""]
        rst = nodes.container()
        parse_rst(self, lines, rst)
        return rst.children


def public_names(module: ModuleType) -> list[str]:
    """Return what a module says is public, or what it defines without an underscore."""
    own = [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", "") == module.__name__
    ]
    return list(getattr(module, "__all__", own))


def parse_rst(directive: SphinxDirective, lines: list[str], into: nodes.Element) -> None:
    """Parse reStructuredText within a page of Markdown, as MyST's eval-rst does."""
    text = "```{eval-rst}\n" + "\n".join(lines) + "\n```"
    directive.state.nested_parse(StringList(text.splitlines(), "bridge"), directive.content_offset, into)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("bridge", Bridge)
    return {"parallel_read_safe": True}
