"""What a host says about its own network, without sending anything."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_SIOCGIFMTU: Final = 0x8921
_IFREQ_SIZE: Final = 40


def mtu_bytes(names: Sequence[str]) -> dict[str, int]:
    """Return how many bytes each interface carries in one frame, as far as that can be found out."""
    found: dict[str, int] = {}
    for name in names:
        with contextlib.suppress(OSError, ValueError, struct.error):
            found[name] = _mtu_by_file(name) or _mtu_by_ioctl(name)
    return found


def is_root() -> bool:
    """Return whether this process may do anything."""
    return hasattr(os, "geteuid") and os.geteuid() == 0


def is_phone() -> bool:
    """Return whether this is Android."""
    return hasattr(sys, "getandroidapilevel") or "ANDROID_ROOT" in os.environ


def _mtu_by_file(name: str) -> int:
    try:
        return int((Path("/sys/class/net") / name / "mtu").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0


def _mtu_by_ioctl(name: str) -> int:
    import fcntl

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        ifreq = struct.pack("16si", name.encode(), 0).ljust(_IFREQ_SIZE, b"\0")
        answer = fcntl.ioctl(sock.fileno(), _SIOCGIFMTU, ifreq)
    return int(struct.unpack_from("i", answer, 16)[0])
