"""What a node says about the machine it runs on: the facts that travel with its rumour.

Read once at start. `speed` is a short benchmark of the interpreter, 1.0 on a desktop core of about 2020, so
that a Pi is 0.1 to 0.4; what tasks really take replaces it soon. `fitness` orders members for the council and
hardly ever changes: mains power, a wired network and memory count, phones come last.
"""

from __future__ import annotations

import os
import platform
import socket
import sys
import time
from hashlib import blake2b
from pathlib import Path
from typing import Final

HOST_DIGEST_SIZE: Final = 8
REFERENCE_LOOPS_PER_S: Final = 20_000_000.0
_LOOPS: Final = 100_000
_GIB: Final = 1024**3


def host_name() -> str:
    """Return the machine's name without its domain; "node" when it has none."""
    return socket.gethostname().split(".")[0] or "node"


def core_count() -> float:
    """Return the cores that this process may use: its affinity, lowered by a cgroup quota."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = float(len(affinity(0)) if affinity is not None else os.cpu_count() or 1)
    quota = _first_line(Path("/sys/fs/cgroup/cpu.max")).split()
    if len(quota) == 2 and quota[0].isdecimal() and quota[1].isdecimal() and int(quota[1]) > 0:
        cores = min(cores, max(round(int(quota[0]) / int(quota[1]), 2), 0.1))
    return cores


def memory_bytes() -> int:
    """Return the memory that this process may use: all of the machine's, or its cgroup's limit."""
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        memory = _GIB
    limit = _first_line(Path("/sys/fs/cgroup/memory.max"))
    return min(memory, int(limit)) if limit.isdecimal() else memory


def host_digest() -> bytes:
    """Return 8 bytes that are equal for all nodes of one machine and differ between machines."""
    for path in ("/proc/sys/kernel/random/boot_id", "/etc/machine-id"):
        text = _first_line(Path(path))
        if text:
            return blake2b(text.encode(), digest_size=HOST_DIGEST_SIZE).digest()
    import uuid

    text = f"{socket.gethostname()} {uuid.getnode()}"
    return blake2b(text.encode(), digest_size=HOST_DIGEST_SIZE).digest()


def fingerprint() -> str:
    """Return text that tells this machine from others, also from one that a copy of its disk runs in.

    Made of the machine id, the board's serial number and the addresses of its real network cards, as far as
    they can be read. A card that is plugged in later changes it: it only says that a home *may* have moved.
    """
    parts = [_first_line(Path("/etc/machine-id"))]
    for serial in ("/proc/device-tree/serial-number", "/sys/class/dmi/id/product_uuid"):
        parts.append(_first_line(Path(serial)).strip("\0"))
    try:
        cards = sorted(Path("/sys/class/net").iterdir())
    except OSError:
        cards = []
    parts += [_first_line(card / "address") for card in cards if (card / "device").exists()]
    if not any(parts):
        parts.append(socket.gethostname())
    return blake2b("\n".join(parts).encode(), digest_size=HOST_DIGEST_SIZE).hexdigest()


def measure_speed() -> float:
    """Return how fast this interpreter runs here, 1.0 for the reference; takes about 20 ms.

    The best of five short runs, so that a neighbour's burst does not count.
    """
    best_s = min([_loop_s() for _ in range(5)])
    return round(_LOOPS / best_s / REFERENCE_LOOPS_PER_S, 3)


def _loop_s() -> float:
    start = time.perf_counter()
    total = 0
    for number in range(_LOOPS):
        total = (total + number * 7) & 0xFFFF
    return max(time.perf_counter() - start, 1e-6)


def facts(tags: list[str]) -> dict[str, object]:
    """Return the static facts of this node; the node itself adds its cores and memory.

    Args:
        tags: texts ``key=value`` or ``key``.
    """
    return {
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
        "arch": platform.machine(),
        "platform": _platform(),
        "speed": measure_speed(),
        "tags": tags,
        "host": host_digest(),
        "started": int(time.time()),
    }


def fitness(memory: int) -> int:
    """Return how fit this machine is for the council as far as that stays, 8 to 152.

    8 for everybody, 50 for not being a phone, 30 for a wired network, and up to 64 for memory. What changes
    is added by `swarm.daemon.fitness`.

    Args:
        memory: bytes that the owner gives to the mesh.
    """
    score = 8 + min(memory // _GIB * 2, 64)
    score += 0 if _is_phone() else 50
    score += 30 if _has_wire() else 0
    return int(score)


def _is_phone() -> bool:
    return hasattr(sys, "getandroidapilevel") or "ANDROID_ROOT" in os.environ


def _platform() -> str:
    return "android" if _is_phone() else sys.platform


def _has_wire() -> bool:
    try:
        interfaces = sorted(Path("/sys/class/net").iterdir())
    except OSError:
        return False
    return any(
        _first_line(interface / "operstate") == "up"
        and (interface / "device").exists()
        and not (interface / "wireless").exists()
        for interface in interfaces
    )


def _first_line(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").split("\n", 1)[0].strip()
    except OSError:
        return ""
