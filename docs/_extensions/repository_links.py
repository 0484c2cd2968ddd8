"""Links from pages to the rest of the repository.

In the repository a link to a script, a result or a folder leads there.  On the site it leads to the same
file at FASTFISHER_REPOSITORY (such as ``https://host/owner/name/blob/main``) where that is set; without it
the words stay, with the path beside them.  A page that includes a file of the root has that file's links.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
_PAGES = {"README.md": "index.md", "CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}
_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)\s#]+)(#[^)\s]*)?\)")
_INCLUDE = re.compile(r"^```\{include\} (\S+)\n```$", re.MULTILINE)


def rewritten(text: str, folder: Path, page: Path, repository: str) -> str:
    """Return a page's text, read in ``folder``, with its links as the site of ``page`` has them."""

    def link(found: re.Match[str]) -> str:
        words, target, anchor = found[1], found[2], found[3] or ""
        if "://" in target or target.startswith("mailto:"):
            return found[0]
        path = (folder / target).resolve()
        if path.parent == ROOT and path.name in _PAGES:
            path = DOCS / _PAGES[path.name]
        if path.is_relative_to(DOCS):
            return f"[{words}]({os.path.relpath(path, page.parent)}{anchor})"
        below = path.relative_to(ROOT).as_posix()
        if repository:
            return f"[{words}]({repository}/{below}{anchor})"
        if words.strip("`") in (below, path.name):
            return f"`{below}`"
        return f"{words} (`{below}`)"

    return _LINK.sub(link, text)


def read(app: Sphinx, docname: str, source: list[str]) -> None:
    """Rewrite a page before it is parsed."""
    page = Path(app.env.doc2path(docname))
    repository = os.environ.get("FASTFISHER_REPOSITORY", "").rstrip("/")

    def included(found: re.Match[str]) -> str:
        file = (page.parent / found[1]).resolve()
        app.env.note_dependency(str(file))
        return rewritten(file.read_text("utf-8"), file.parent, page, repository)

    text = rewritten(source[0], page.parent, page, repository)
    source[0] = _INCLUDE.sub(included, text)


def setup(app: Sphinx) -> dict[str, bool]:
    """Listen to pages as they are read."""
    app.connect("source-read", read)
    return {"parallel_read_safe": True}
