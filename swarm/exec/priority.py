"""Making a process yield to everybody else, and die with its parent.

Every measure is optional: where the system has none of it (phones, containers, other Unixes) it is left
out, and :func:`lower_priority` tells which ones took hold.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import platform
import resource
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

NICE: Final = 19
"""The lowest priority of ordinary scheduling."""

OOM_SCORE: Final = 800
"""Of -1000..1000: executors are killed before nearly everything else when memory runs out."""

_IOPRIO_SET_64: Final = {"x86_64": 251, "aarch64": 30, "riscv64": 30, "ppc64le": 273}
_IOPRIO_SET_32: Final = {
    "x86_64": 289,
    "i686": 289,
    "i386": 289,
    "aarch64": 314,
    "armv7l": 314,
    "armv6l": 314,
}
"""Numbers of the system call, by machine and by the width of this process."""
_IOPRIO_WHO_PROCESS: Final = 1
_IOPRIO_IDLE: Final = 3 << 13
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NAME: Final = 15
_PR_SET_CHILD_SUBREAPER: Final = 36


def lower_priority() -> list[str]:
    """Give this process, and all it will start, the lowest priority.

    Returns:
        The measures that took hold, of "nice", "sched_idle", "ionice", "oom".
    """
    done: list[str] = []
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, NICE)
        done.append("nice")
    if hasattr(os, "SCHED_IDLE"):
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
            done.append("sched_idle")
    if _set_io_idle():
        done.append("ionice")
    if _write("/proc/self/oom_score_adj", str(OOM_SCORE)):
        done.append("oom")
    return done


def lower_session_priority() -> bool:
    """Lower the weight of this session: with autogroups, as on desktops, nice counts only inside one.

    Source: sched(7), "The autogroup feature".
    """
    return _write("/proc/self/autogroup", str(NICE))


def die_with_parent() -> bool:
    """Ask the kernel to kill this process when its parent ends; True when it will (Linux)."""
    return _prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))


def adopt_orphans() -> bool:
    """Become the parent of descendants whose own parent ends, so that none escapes; True where possible."""
    return _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def set_process_name(name: str) -> None:
    """Name this process for `ps` and `top` (15 bytes), where possible."""
    _prctl(_PR_SET_NAME, ctypes.create_string_buffer(name.encode()[:15]))


def forbid_core_dumps() -> None:
    """Keep a crashing task from writing its memory to the owner's disk."""
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


@contextlib.contextmanager
def limited_memory(memory_bytes: int) -> Iterator[None]:
    """Bound the address space inside the block to `memory_bytes` more than is in use now; 0 is no bound."""
    if memory_bytes <= 0:
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = _address_space_bytes() + memory_bytes
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    try:
        resource.setrlimit(resource.RLIMIT_AS, (wanted, hard))
    except (OSError, ValueError):
        yield
        return
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def flush_c_streams() -> None:
    """Push out what C code in this process has printed and its library still holds."""
    library = _c_library()
    if library is not None:
        library.fflush(None)


def children_of(pid: int) -> list[int]:
    """Return the child processes of `pid`, zombies too; empty where /proc does not tell."""
    found: list[int] = []
    try:
        for listing in Path(f"/proc/{pid}/task").glob("*/children"):
            found += [int(word) for word in listing.read_text().split()]
        if found or Path(f"/proc/{pid}/task/{pid}/children").exists():
            return found
        for status in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                fields = status.read_text(errors="replace").rpartition(")")[2].split()
                if int(fields[1]) == pid:
                    found.append(int(status.parent.name))
    except (OSError, ValueError, IndexError):
        pass
    return found


def _address_space_bytes() -> int:
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except (OSError, ValueError, IndexError):
        return 64 * 1024 * 1024


def _write(path: str, text: str) -> bool:
    try:
        Path(path).write_text(text, encoding="ascii")
    except OSError:
        return False
    return True


@functools.cache
def _c_library() -> Any:
    try:
        return ctypes.CDLL(None, use_errno=True)
    except OSError:
        return None


def _prctl(option: int, argument: Any) -> bool:
    library = _c_library()
    if library is None or not sys.platform.startswith("linux") or not hasattr(library, "prctl"):
        return False
    wide = ctypes.c_ulong(argument) if isinstance(argument, int) else argument
    return bool(library.prctl(option, wide, ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0)) == 0)


def _set_io_idle() -> bool:
    library = _c_library()
    numbers = _IOPRIO_SET_64 if ctypes.sizeof(ctypes.c_void_p) == 8 else _IOPRIO_SET_32
    number = numbers.get(platform.machine())
    if library is None or number is None or not sys.platform.startswith("linux"):
        return False
    return bool(library.syscall(ctypes.c_long(number), _IOPRIO_WHO_PROCESS, 0, _IOPRIO_IDLE) == 0)
