"""One node's clock and disk in the hands of a test: the shim of `shim.c`, compiled, and its control file."""

from __future__ import annotations

import atexit
import functools
import mmap
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path
from typing import Final

SOURCE: Final = Path(__file__).with_name("shim.c")
LAYOUT: Final = struct.Struct("=qq")
NS: Final = 1_000_000_000


@functools.cache
def compiler() -> str:
    """Return the C compiler, "" when there is none: then clocks and disks cannot be bent."""
    return shutil.which("cc") or shutil.which("gcc") or ""


@functools.cache
def compiled_shim() -> Path:
    """Return the shared library, compiled once for each process that asks and removed with it."""
    folder = tempfile.mkdtemp(prefix="swshim")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    target = Path(folder) / "shim.so"
    command = [compiler(), "-O1", "-Wall", "-shared", "-fPIC", "-o", str(target), str(SOURCE), "-ldl"]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return target


class Control:
    """The control file of one node.

    Args:
        path: of the file, which is made here; it has to exist as long as the node runs.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.write_bytes(LAYOUT.pack(0, 0))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), LAYOUT.size)

    def environment(self) -> dict[str, str]:
        """Return the variables with which a node has to be started."""
        return {"LD_PRELOAD": str(compiled_shim()), "CHAOS_CONTROL": str(self.path)}

    def step_wall_clock(self, offset_s: float) -> None:
        """Let the wall clock differ from the machine's by so many seconds from now on."""
        struct.pack_into("=q", self._map, 0, int(offset_s * NS))

    def stall_disk(self, is_stalled: bool) -> None:
        """Let no fsync return from now on, or let all of them go on."""
        struct.pack_into("=q", self._map, 8, int(is_stalled))

    def break_disk(self, is_broken: bool) -> None:
        """Let every fsync fail from now on, or none."""
        struct.pack_into("=q", self._map, 8, 2 if is_broken else 0)

    def close(self) -> None:
        """Let everything go on as usual; nodes that still run keep the mapping."""
        self._map[:] = LAYOUT.pack(0, 0)
        self._map.close()
