"""The includes of the C++ sources point strictly downward.

    layers.py [--expect-offences] ROOT

checks ROOT/src, by its folders, and ROOT/include, whose public headers know nothing of src.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path

# What each folder may include besides itself and the public headers.
BELOW: dict[str, set[str]] = {"runtime": set(), "kernels": {"runtime"}}
BELOW["scores"] = BELOW["factor"] = BELOW["kernels"] | {"kernels"}  # and so nothing of one another
BELOW["solvers"] = BELOW["scores"] | {"scores", "factor"}
BELOW["step"] = BELOW["solvers"] | {"solvers"}
BELOW["network"] = BELOW["scores"] | {"scores"}

QUOTED = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"([^"]+)"', re.MULTILINE)
BRACKETED = re.compile(r"^[ \t]*#[ \t]*include[ \t]*<([^>]+)>", re.MULTILINE)


def offences(root: Path, file: Path) -> Iterator[str]:
    """Yield what a file includes and may not, and a folder that is in no layer."""
    tree, folder = file.relative_to(root).parts[:2]
    text = file.read_text()
    public = tree == "include"
    if not public and folder not in BELOW:
        yield f"the folder {folder} is in no layer"
        return
    for name in QUOTED.findall(text):
        into = name.split("/")[0] if "/" in name else folder
        if into not in {"fastfisher", folder} | (set() if public else BELOW[folder]):
            yield f"{folder} includes {name}"
    for name in BRACKETED.findall(text) if public else ():
        if not name.isidentifier():  # a header of the standard library has neither folder nor suffix
            yield f"a public header includes <{name}>"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--expect-offences", action="store_true", help="succeed if every file has one")
    parser.add_argument("root", type=Path)
    arguments = parser.parse_args()

    paths = [path for tree in ("src", "include") for path in sorted((arguments.root / tree).rglob("*"))]
    files = [path for path in paths if path.is_file()]
    found = {file: list(offences(arguments.root, file)) for file in files}
    for file, texts in found.items():
        print(*(f"{file}: {text}" for text in texts), sep="\n", end="\n" if texts else "")
    if not files:
        sys.exit(f"no sources under {arguments.root}")
    return 0 if (all(found.values()) if arguments.expect_offences else not any(found.values())) else 1


if __name__ == "__main__":
    sys.exit(main())
