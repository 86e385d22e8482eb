"""The sockets on which hellos to everybody are heard, and the groups that they join."""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
from collections.abc import Sequence
from typing import Final

from swarm.net.interfaces import Interface

GROUP_IPV4: Final = "239.255.71.17"
GROUP_IPV6: Final = "ff12::7117"

UNICAST: Final = "unicast"
MULTICAST: Final = "multicast"
BROADCAST: Final = "broadcast"
MULTICAST_IPV6: Final = "multicast6"
WAYS: Final = (MULTICAST, BROADCAST, MULTICAST_IPV6)
"""By which a hello to everybody comes; the system may not say, then it counts as multicast."""

_IS_LINUX: Final = sys.platform.startswith("linux")
_IP_MULTICAST_ALL: Final = 49
_IP_PKTINFO: Final = 8
_IP_RECVDSTADDR: Final = 7
_IPV6_RECVPKTINFO: Final = 49 if _IS_LINUX else 61


def discovery_socket(family: socket.AddressFamily, port: int, group: str = "") -> socket.socket:
    """Return a socket on a discovery port that other nodes of this host can share.

    Args:
        family: of addresses.
        port: of all nodes of a mesh, or of another protocol.
        group: hear what is sent to this multicast group only, "" for everything.

    Raises:
        OSError: the port cannot be had.
    """
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if not _IS_LINUX and hasattr(socket, "SO_REUSEPORT"):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind((group or "::", port))
        else:
            if _IS_LINUX:
                sock.setsockopt(socket.IPPROTO_IP, _IP_MULTICAST_ALL, 0)
            sock.bind((group, port))
        _ask_for_destinations(sock)
    except OSError:
        sock.close()
        raise
    return sock


def _ask_for_destinations(sock: socket.socket) -> None:
    """Let the socket tell to which address a datagram was sent, where that can be had."""
    level, option = socket.IPPROTO_IP, _IP_PKTINFO if _IS_LINUX else _IP_RECVDSTADDR
    if sock.family == socket.AF_INET6:
        level, option = socket.IPPROTO_IPV6, _IPV6_RECVPKTINFO
    with contextlib.suppress(OSError):
        sock.setsockopt(level, option, 1)


def way_of(family: int, extra: Sequence[tuple[int, int, bytes]]) -> str:
    """Return by which way a datagram came, from what the socket says besides."""
    if family == socket.AF_INET6:
        for level, _, data in extra:
            if level == socket.IPPROTO_IPV6 and len(data) >= 20:
                return MULTICAST_IPV6 if data[0] == 0xFF else UNICAST
        return MULTICAST_IPV6
    for level, kind, data in extra:
        if level == socket.IPPROTO_IP and (kind, len(data)) in ((_IP_PKTINFO, 12), (_IP_RECVDSTADDR, 4)):
            destination = data[-4:]
            if 224 <= destination[0] < 240:
                return MULTICAST
            # `ipi_spec_dst` is the own address, which a unicast datagram was sent to.
            return UNICAST if len(data) == 12 and data[4:8] == destination else BROADCAST
    return MULTICAST


def memberships(interface: Interface) -> list[tuple[socket.AddressFamily, str]]:
    """Return (family, own address) for each group to join on an interface."""
    found: list[tuple[socket.AddressFamily, str]] = []
    if interface.ipv4:
        found.append((socket.AF_INET, interface.ipv4[0][0]))
    if interface.ipv6 and interface.index:
        found.append((socket.AF_INET6, interface.ipv6[0]))
    return found


def join_group(sock: socket.socket, address: str, index: int, group: str = "") -> None:
    """Join a group anew: an interface that lost its last address has left it, and nobody was told.

    Args:
        sock: of either family.
        address: the interface's own.
        index: of the interface, 0 where it is not known.
        group: dotted IPv4, or an IPv6 address; "" for the one of hellos.

    Raises:
        OSError: it cannot be joined.
    """
    if sock.family == socket.AF_INET:
        request = socket.inet_aton(group or GROUP_IPV4) + socket.inet_aton(address)
        if index:
            request += struct.pack("@i", index)
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_DROP_MEMBERSHIP, request)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
    else:
        request = socket.inet_pton(socket.AF_INET6, group or GROUP_IPV6) + struct.pack("@I", index)
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_LEAVE_GROUP, request)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, request)


def multicast_interface(interface: Interface) -> bytes:
    """Return the value of `IP_MULTICAST_IF`: by index where it is known, else by address."""
    address = socket.inet_aton(interface.ipv4[0][0])
    return bytes(4) + address + struct.pack("@i", interface.index) if interface.index else address
