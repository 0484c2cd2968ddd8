"""Sphinx: ``sphinx-build -W --keep-going docs docs/_build``, after ``pip install ".[docs]"``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS / "_extensions"))

from inventories import write_inventories  # noqa: E402

from fastfisher import __version__  # noqa: E402

project = "fastfisher"
author = "the fastfisher authors"
version = release = __version__
copyright = author  # noqa: A001  the name is Sphinx's

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.intersphinx",
    "sphinx.ext.mathjax",
    "fields",
    "events",
    "bridges",
    "repository_links",
]
exclude_patterns = ["_build"]
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence", "deflist"]
suppress_warnings = ["myst.header"]  # a page of the repository may begin where another one includes it

smartquotes = False  # two hyphens begin a flag

# In docstrings single backticks are names of the package where there is such a name, else code.
default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # numpydoc's sections have the types, with shapes
numpydoc_show_class_members = False

# Other projects' names.  Without a network the few names that docstrings use come from inventories that are
# made here, so that a build never depends on another site.
_fallback = write_inventories(DOCS / "_build" / "inventories")
intersphinx_mapping = {
    name: (url, (None, str(_fallback[name])) if _online else (str(_fallback[name]),))
    for _online in (os.environ.get("FASTFISHER_DOCS_ONLINE", "") == "1",)
    for name, url in {
        "python": "https://docs.python.org/3",
        "numpy": "https://numpy.org/doc/stable",
        "gymnasium": "https://gymnasium.farama.org",
        "torch": "https://docs.pytorch.org/docs/stable",
    }.items()
}
intersphinx_timeout = 10

highlight_language = "none"  # a block without a language is output, or a drawing
pygments_dark_style = "github-dark"

html_theme = "furo"
html_title = f"fastfisher {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False
