"""The host's addresses by `getifaddrs` of the C library, through ctypes.

Present on Linux, Android (bionic lets apps read addresses this way where it denies netlink and /proc to
them), macOS and the BSDs; the structures differ a little between the last two and the others.
"""

from __future__ import annotations

import ctypes
import socket
import sys
from typing import Final, final

from swarm.core.records import Record

_HAS_LENGTH: Final = sys.platform == "darwin" or "bsd" in sys.platform
"""Whether a sockaddr begins with one byte of length and one of family."""
_ENTRIES_MAX: Final = 4096


@final
class FoundAddress(Record):
    """One address of one interface.

    Attributes:
        name: of the interface.
        flags: IFF_… bits.
        family: AF_INET or AF_INET6.
        host: numeric, without scope.
        prefix_bits: length of the network's prefix, 0 when it is not known.
    """

    __slots__ = ("family", "flags", "host", "name", "prefix_bits")

    def __init__(self, name: str, flags: int, family: int, host: str, prefix_bits: int) -> None:
        self.name: Final = name
        self.flags: Final = flags
        self.family: Final = family
        self.host: Final = host
        self.prefix_bits: Final = prefix_bits

    def fields(self) -> tuple[object, ...]:
        return (self.name, self.flags, self.family, self.host, self.prefix_bits)


class _Entry(ctypes.Structure):
    pass


_Entry._fields_ = [
    ("next", ctypes.POINTER(_Entry)),
    ("name", ctypes.c_char_p),
    ("flags", ctypes.c_uint),
    ("address", ctypes.c_void_p),
    ("netmask", ctypes.c_void_p),
    ("other", ctypes.c_void_p),
    ("data", ctypes.c_void_p),
]


def find_addresses() -> list[FoundAddress]:
    """Return all IPv4 and IPv6 addresses of interfaces, those of interfaces that are down too.

    Raises:
        OSError: the system has no such function, or it failed.
    """
    try:
        library = ctypes.CDLL(None, use_errno=True)
        getifaddrs, freeifaddrs = library.getifaddrs, library.freeifaddrs
    except (OSError, AttributeError, TypeError) as error:
        raise OSError(f"no getifaddrs here: {error}") from None
    getifaddrs.argtypes = [ctypes.POINTER(ctypes.POINTER(_Entry))]
    getifaddrs.restype = ctypes.c_int
    freeifaddrs.argtypes = [ctypes.POINTER(_Entry)]
    freeifaddrs.restype = None
    first = ctypes.POINTER(_Entry)()
    if getifaddrs(ctypes.byref(first)) != 0:
        raise OSError(ctypes.get_errno(), "getifaddrs failed")
    found: list[FoundAddress] = []
    try:
        entry = first
        for _ in range(_ENTRIES_MAX):
            try:
                content = entry.contents
            except ValueError:  # a null pointer: the end
                break
            family, host = _read_sockaddr(content.address)
            if host:
                name = (content.name or b"").decode("utf-8", "replace")
                bits = _prefix_bits(content.netmask, family)
                found.append(FoundAddress(name, int(content.flags), family, host, bits))
            entry = content.next
    finally:
        freeifaddrs(first)
    return found


def _read_sockaddr(place: int | None, family: int = 0) -> tuple[int, str]:
    """Return (family, host) of the sockaddr at a place in memory, (0, "") for what is neither IPv4 nor IPv6.

    Args:
        place: its address, None for none.
        family: known from elsewhere; 0 to read it.
    """
    if not place:
        return (0, "")
    head = ctypes.string_at(place, 2)
    family = family or (head[1] if _HAS_LENGTH else int.from_bytes(head, sys.byteorder))
    if family == socket.AF_INET:
        return (family, socket.inet_ntop(family, ctypes.string_at(place + 4, 4)))
    if family == socket.AF_INET6:
        raw = bytearray(ctypes.string_at(place + 8, 16))
        if raw[0] == 0xFE and raw[1] & 0xC0 == 0x80 and _HAS_LENGTH:
            raw[2:4] = bytes(2)  # these kernels keep the scope inside
        return (family, socket.inet_ntop(family, bytes(raw)))
    return (0, "")


def _prefix_bits(place: int | None, family: int) -> int:
    _, mask = _read_sockaddr(place, family)
    return sum([byte.bit_count() for byte in socket.inet_pton(family, mask)]) if mask else 0
