"""What a kernel object of one SIMD level may contain, checked with binutils.

The linker keeps one copy of every weak symbol.  If an inline function compiled for AVX-512 escaped from its
level's namespaces, that copy could be called on a machine without AVX-512: an illegal instruction far from
its cause.  The same goes for code that runs when the library is loaded, for wide registers in an object of
a narrower level, and for what the linker is to compile once more.

    symbol_hygiene.py [--nm NM] [--objdump OBJDUMP] [--expect-offences] LEVEL OBJECT...
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Iterator

# Symbols that the linker may merge with another object's: weak, weak object, unique.
MERGEABLE = {"W", "V", "u"}
SYMBOL = re.compile(r"^[0-9a-f]+ (?P<kind>\w) (?P<name>.+)$")
BYTECODE = re.compile(r"^\s*\d+ (?P<name>\.(?:gnu\.lto_|llvm\.lto)\S*)", re.MULTILINE)
INITIALISERS = re.compile(r"^\s*\d+ (?P<name>\.(?:init_array|ctors|preinit_array)\S*)", re.MULTILINE)

ABOVE_V3 = r"%zmm\d+|%[xy]mm(?:1[6-9]|2\d|3[01])\b|%k[0-7]\b"  # EVEX: wide, high or mask registers
ABOVE_BASELINE = ABOVE_V3 + r"|%ymm\d+|\tv[a-z]\w+"  # VEX: wide registers, or three operands (v...)
FORBIDDEN = {"baseline": re.compile(ABOVE_BASELINE), "v3": re.compile(ABOVE_V3)}


def foreign_symbols(symbols: str, level: str) -> Iterator[str]:
    """Mergeable symbols, from `nm -C`, outside of the level's own namespaces."""
    own = re.compile(rf"\b(?:Eigen_{level}|fastfisher::detail::level_{level})::")
    for line in symbols.splitlines():
        found = SYMBOL.match(line)
        if found and found["kind"] in MERGEABLE and not own.search(found["name"]):
            yield f"mergeable symbol outside the level's namespaces: {found['name']}"


def initialisers(sections: str) -> Iterator[str]:
    """Sections, from `objdump -h`, whose code runs when the library is loaded."""
    for found in INITIALISERS.finditer(sections):
        yield f"code that runs at load: section {found['name']}"


def bytecode(sections: str) -> Iterator[str]:
    """The first section, from `objdump -h`, that is left to the linker to compile, levels side by side."""
    found = BYTECODE.search(sections)
    if found:
        yield f"bytecode for link-time optimisation: section {found['name']}"


def wide_instructions(disassembly: str, level: str) -> Iterator[str]:
    """The first instruction, from `objdump -d`, that the level does not have."""
    forbidden = FORBIDDEN.get(level)
    for line in disassembly.splitlines() if forbidden else ():
        if forbidden.search(line):
            yield f"instruction above {level}: {line.strip()}"
            return


def offences(level: str, path: str, nm: str, objdump: str) -> list[list[str]]:
    """Return the offences of an object, by check."""

    def output(*command: str) -> str:
        return subprocess.run([*command, path], check=True, capture_output=True, text=True).stdout

    return [
        list(foreign_symbols(output(nm, "-C"), level)),
        list(initialisers(output(objdump, "-h"))),
        list(bytecode(output(objdump, "-h"))),
        list(wide_instructions(output(objdump, "-d", "--no-show-raw-insn"), level)),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nm", default="nm")
    parser.add_argument("--objdump", default="objdump")
    parser.add_argument(
        "--expect-offences", action="store_true", help="succeed if every check finds something"
    )
    parser.add_argument("level")
    parser.add_argument("objects", nargs="+")
    arguments = parser.parse_args()

    succeeded = True
    for path in arguments.objects:
        checks = offences(arguments.level, path, arguments.nm, arguments.objdump)
        for found in checks:
            print(*(f"{path}: {text}" for text in found), sep="\n", end="\n" if found else "")
        succeeded &= all(checks) if arguments.expect_offences else not any(checks)
    return 0 if succeeded else 1


if __name__ == "__main__":
    sys.exit(main())
