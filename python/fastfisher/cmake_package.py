"""Where CMake finds the C++ library that the wheel carries."""

from __future__ import annotations

from pathlib import Path

from . import _core


def get_cmake_dir() -> str:
    """Folder of fastfisherConfig.cmake, for `find_package(fastfisher CONFIG REQUIRED)` as fastfisher_DIR.

    Raises
    ------
    FileNotFoundError
        If the extension module was built in place, without installing the C++ library beside it.
    """
    # Beside the extension module: an editable installation has the Python files elsewhere.
    folder = Path(_core.__file__).parent / "lib" / "cmake" / "fastfisher"
    if not (folder / "fastfisherConfig.cmake").is_file():
        raise FileNotFoundError(f"no fastfisherConfig.cmake in {folder}: install fastfisher with pip")
    return str(folder)
