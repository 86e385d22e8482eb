"""Which loaded modules are the user's own: not installed, so that other machines do not have them.

What such a module defines travels by value, like what a script defines itself (``__main__``).
"""

from __future__ import annotations

import os
import site
import sys
import sysconfig
import threading
from pathlib import Path
from types import ModuleType
from typing import Final, final

_SUFFIXES: Final = (".py", ".pyc")


@final
class LocalModules:
    """The modules of this process that are not installed; each is looked at once."""

    def __init__(self) -> None:
        self._looked_at: set[str] = set()
        self._names: list[bytes] = [b"__main__"]
        self._folders: tuple[str, ...] = ()
        self._lock = threading.Lock()

    def names(self) -> list[bytes]:
        """Return how they are called in pickles, after telling cloudpickle about new ones."""
        if len(sys.modules) != len(self._looked_at):
            with self._lock:
                self._look()
        return self._names

    def are_named_in(self, data: bytes) -> bool:
        """Return whether a pickle may refer to something that only this process has."""
        return any([name in data for name in self.names()])

    def _look(self) -> None:
        folders = self._folders = self._folders or _installed_folders()
        names = self._names[:]
        for name, module in list(sys.modules.items()):
            if name in self._looked_at:
                continue
            self._looked_at.add(name)
            if _is_own_file(name, module) and not os.path.realpath(_file_of(module)).startswith(folders):
                import cloudpickle

                cloudpickle.register_pickle_by_value(module)
                names.append(name.encode())
        self._looked_at.intersection_update(sys.modules)
        self._names = names


def _is_own_file(name: str, module: object) -> bool:
    """Return whether this is a module by its own name, made from a file of Python."""
    if name.startswith("__") or not isinstance(module, ModuleType) or module.__dict__.get("__name__") != name:
        return False
    return _file_of(module).endswith(_SUFFIXES)


def _file_of(module: ModuleType) -> str:
    path = module.__dict__.get("__file__")  # getattr would wake modules that load themselves late
    return path if isinstance(path, str) else ""


def _installed_folders() -> tuple[str, ...]:
    folders = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    folders.update(site.getsitepackages())
    folders.update((site.getusersitepackages(), str(Path(__file__).parents[1])))
    return tuple(sorted([os.path.realpath(folder) + os.sep for folder in folders]))
