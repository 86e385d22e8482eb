"""The sockets a node listens on: one port number, the same for TCP and UDP, IPv4 and IPv6.

A member is known by one list of (host, port), so datagrams and streams must share the number.
"""

from __future__ import annotations

import errno
import socket
from typing import Final, final

from swarm.core.errors import ConfigError

PORT: Final = 7117
DISCOVERY_PORT: Final = 7118
"""Where hellos by multicast and broadcast go; shared by all nodes of a host."""

_TRIES: Final = 200
_BACKLOG: Final = 128
_UDP_BUFFER_BYTES: Final = 1 << 20
_ABSENT: Final = (errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT, errno.EADDRNOTAVAIL)


@final
class NodeSockets:
    """Bound, non-blocking sockets; the TCP ones listen.

    Attributes:
        port: the number they share.
        tcp, udp: one per address family that this host has; at least one of each.
    """

    def __init__(self, port: int, tcp: list[socket.socket], udp: list[socket.socket]) -> None:
        """Take over bound sockets."""
        self.port: Final = port
        self.tcp: Final = tcp
        self.udp: Final = udp

    def close(self) -> None:
        """Close all; again does no harm."""
        for sock in self.tcp + self.udp:
            sock.close()


def open_sockets(port: int | None = None, listen: str = "") -> NodeSockets:
    """Bind the sockets of a node.

    Args:
        port: 1 to 65535; 0 for any free one; None for 7117 or the next free one.
        listen: a numeric address to bind to; "" for all addresses of both families.

    Raises:
        ConfigError: the port is in use, not allowed, or `listen` is no address of this host.
    """
    if port is not None and not 0 <= port <= 65535:
        raise ConfigError(f"port {port} is not in 0 to 65535")
    candidates = [port] if port else [0] * 20
    if port is None:
        candidates = [number for number in range(PORT, PORT + _TRIES) if number != DISCOVERY_PORT] + [0]
    failure: OSError | None = None
    for candidate in candidates:
        try:
            return _open(candidate, listen)
        except OSError as error:
            failure = error
            if error.errno != errno.EADDRINUSE:
                break
    assert failure is not None, "no port was tried"
    if failure.errno == errno.EADDRINUSE:
        raise ConfigError(f"port {port} is in use on this host: choose another with --port, or 0 for any")
    if failure.errno == errno.EACCES:
        raise ConfigError(f"port {port} needs privileges on this host: choose one above 1023 with --port")
    where = f"{listen or 'any address'} port {port or PORT}"
    raise ConfigError(f"cannot listen on {where}: {failure.strerror or failure}")


def _open(port: int, listen: str) -> NodeSockets:
    """Bind all sockets to one port; OSError when any of them cannot be bound, with none left open."""
    tcp: list[socket.socket] = []
    udp: list[socket.socket] = []
    absent: OSError | None = None
    try:
        for family, host in _families(listen):
            try:
                tcp.append(_bound(family, socket.SOCK_STREAM, host, port))
                port = port or int(tcp[0].getsockname()[1])
                udp.append(_bound(family, socket.SOCK_DGRAM, host, port))
            except OSError as error:
                if error.errno not in _ABSENT:
                    raise
                absent = error
        if not udp or len(tcp) != len(udp):
            raise absent or OSError(errno.EAFNOSUPPORT, "this host has neither IPv4 nor IPv6")
        for sock in tcp:
            sock.listen(_BACKLOG)
    except OSError:
        for sock in tcp + udp:
            sock.close()
        raise
    return NodeSockets(port, tcp, udp)


def _families(listen: str) -> list[tuple[socket.AddressFamily, str]]:
    if not listen:
        return [(socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")]  # noqa: S104 - a node serves its network
    if ":" in listen:
        return [(socket.AF_INET6, listen)]
    return [(socket.AF_INET, listen)]


def _bound(family: socket.AddressFamily, kind: socket.SocketKind, host: str, port: int) -> socket.socket:
    try:
        sockaddr = socket.getaddrinfo(host, port, family, kind, flags=socket.AI_NUMERICHOST)[0][4]
    except socket.gaierror as error:
        raise OSError(errno.EINVAL, f"{host!r} is not a numeric address ({error})") from None
    sock = socket.socket(family, kind)
    try:
        sock.setblocking(False)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if kind == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _UDP_BUFFER_BYTES)
        sock.bind(sockaddr)
    except OSError:
        sock.close()
        raise
    return sock
