"""The sockets of a multicast group: joined on every usable interface, which come and go."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from collections.abc import Sequence
from typing import Final, final

from swarm.net.discovery_sockets import discovery_socket, join_group, multicast_interface
from swarm.net.interfaces import Interface, choose_usable, list_interfaces

QUESTION_HOPS: Final = 2
ANSWER_HOPS: Final = 1


def usable_interfaces(named: Sequence[str]) -> list[Interface]:
    """Return the interfaces with an IPv4 address on which to listen and ask; `named`: only those."""
    return [interface for interface in choose_usable(list_interfaces(), named) if interface.ipv4]


def networks_of(interfaces: Sequence[Interface]) -> list[ipaddress.IPv4Network]:
    """Return the networks that interfaces are in; where they are not known, the own addresses alone."""
    found: list[ipaddress.IPv4Network] = []
    for interface in interfaces:
        found += interface.networks or [ipaddress.IPv4Network(address) for address, _ in interface.ipv4]
    return found


@final
class GroupSocket:
    """Hears what is sent to one multicast group (or, for "", to this host), at MarcoPolo's port.

    Args:
        group: dotted IPv4, "" for datagrams to this host itself.
        port: shared with other nodes of this host.

    Raises:
        OSError: the port cannot be had.
    """

    def __init__(self, group: str, port: int) -> None:
        self.group: Final = group
        self._joined: set[tuple[str, int]] = set()
        self.socket: Final = discovery_socket(socket.AF_INET, port, group)
        self.socket.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ANSWER_HOPS)

    def join(self, interfaces: Sequence[Interface]) -> int:
        """Be in the group on these interfaces; return on how many that failed."""
        if not self.group:
            return 0
        failed = 0
        wanted = [(interface.ipv4[0][0], interface.index) for interface in interfaces]
        for address, index in wanted:
            if (address, index) in self._joined:
                continue
            try:
                join_group(self.socket, address, index, self.group)
            except OSError:
                failed += 1
            else:
                self._joined.add((address, index))
        # One that went away left the group with its address: when it comes back it must join again.
        self._joined.intersection_update(wanted)
        return failed

    def close(self) -> None:
        """Close it."""
        self.socket.close()


@final
class AskingSocket:
    """Sends questions to a group on every usable interface; answers come back to it."""

    def __init__(self) -> None:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setblocking(False)
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, QUESTION_HOPS)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)
        sock.bind(("", 0))
        self.socket: Final = sock

    def send_to_group(self, datagram: bytes, group: str, port: int, interfaces: Sequence[Interface]) -> int:
        """Send on each interface; return on how many it went out."""
        sent = 0
        for interface in interfaces:
            try:
                choice = multicast_interface(interface)
                self.socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, choice)
                self.socket.sendto(datagram, (group, port))
            except OSError:
                continue
            sent += 1
        return sent

    def send_to(self, datagram: bytes, host: str, port: int) -> bool:
        """Send to one host; return whether it went out."""
        try:
            self.socket.sendto(datagram, (host, port))
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Close it."""
        self.socket.close()
