"""fastfisher's threads under threadpoolctl: `threadpool_limits` holds for them, `threadpool_info` lists them.

threadpoolctl knows a library by a controller that is registered with it, so the two have to meet, whichever
is imported first.  fastfisher does without threadpoolctl, and does not import it where it is installed: that
would change the environment of the process.  It waits until somebody else imports it.
"""

from __future__ import annotations

import ctypes
import importlib.abc
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_NAME = "threadpoolctl"


def obey() -> None:
    """Register with threadpoolctl, now if it is imported, else once it is."""
    threadpoolctl = sys.modules.get(_NAME)
    if threadpoolctl is None:
        sys.meta_path.insert(0, _Finder())
    else:
        _register(threadpoolctl)


def _register(threadpoolctl: ModuleType) -> None:
    if not hasattr(threadpoolctl, "register"):  # version 3.2 is the first that takes controllers of others
        return

    base: Any = threadpoolctl.LibController

    class Controller(base):  # type: ignore[misc]
        """The core's number of threads, by the C functions that it exports."""

        user_api = "fastfisher"
        internal_api = "fastfisher"
        filename_prefixes = ("_core",)
        # Other packages have a _core as well.
        check_symbols = ("fastfisher_get_num_threads",)

        def get_num_threads(self) -> int:
            threads: int = self.dynlib.fastfisher_get_num_threads()
            return threads

        def set_num_threads(self, num_threads: int) -> None:
            self.dynlib.fastfisher_set_num_threads(num_threads)

        def get_version(self) -> str | None:
            # It is asked for before the symbols are checked, so also of other packages' libraries.
            version = getattr(self.dynlib, "fastfisher_version", None)
            if version is None:
                return None
            version.restype = ctypes.c_char_p
            text: bytes = version()
            return text.decode()

    threadpoolctl.register(Controller)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds threadpoolctl where the finders after it do, and has it loaded by a :class:`_Loader`."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != _NAME:
            return None
        for finder in sys.meta_path[sys.meta_path.index(self) + 1 :]:
            spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _Loader(spec.loader)
                return spec
        return None


class _Loader(importlib.abc.Loader):
    """Loads a module as its own loader does, which it gets back, and registers with it."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None
        module.__loader__ = module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        _register(module)
