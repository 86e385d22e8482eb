"""Datagrams of a node: unicast from its own port, hellos to everybody near by.

Hellos go out on every usable interface three ways, because each of them is lost somewhere: to an
administratively scoped IPv4 group (RFC 2365), to the IPv4 broadcast address (never pruned by switches
that snoop), and to an IPv6 link-local group. They leave from the unicast sockets, so whoever hears one
answers to the node's own port. They are heard on one discovery port that all nodes of a host share.

Interfaces are looked at again every 5 s (2 s while there is only loopback), when sending fails and when
asked; no error is permanent. The groups are left and joined again every 100 s: that makes the host report
them, as switches that snoop want to be told every few minutes where no router asks (RFC 4541).
Of each hello it is told by which way it came, so that a way that is dead can be noticed.
 Where the system tells of ICMP "port unreachable" (Linux's error queue),
`on_refused` is called: proof that nobody listens there.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
import sys
import time
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import trio

from swarm.core.ids import Address
from swarm.net import interfaces as host_interfaces
from swarm.net.discovery_sockets import (
    GROUP_IPV4,
    GROUP_IPV6,
    discovery_socket,
    join_group,
    memberships,
    multicast_interface,
    way_of,
)
from swarm.net.interfaces import Interface, source_address
from swarm.net.sockets import DISCOVERY_PORT, NodeSockets

REFRESH_INTERVAL_S: Final = 5.0
REJOIN_INTERVAL_S: Final = 100.0
"""Shorter than the 260 s after which a membership nobody reports ends (RFC 3376 §8.4)."""
LONELY_INTERVAL_S: Final = 2.0
"""Between looks while there is no interface but loopback, as on a board that starts before its Wi-Fi."""
REFRESH_GAP_S: Final = 1.0
BATCH_COUNT_MAX: Final = 64
"""Datagrams read from a socket before other tasks get a turn."""
TARGET_COUNT_MAX: Final = 4096
"""Addresses whose socket form is remembered; when full, all are forgotten."""

_RECEIVE_SIZE: Final = 65535
_ERROR_QUEUE_DRAIN_MAX: Final = 256
_IS_LINUX: Final = sys.platform.startswith("linux")
_IP_RECVERR: Final = 11
_IPV6_RECVERR: Final = 25
_ANCILLARY_SIZE: Final = 128
_EXTENDED_ERROR: Final = struct.Struct("=IBBBBII")
_LINK_ERRORS: Final = (errno.ENETUNREACH, errno.ENETDOWN, errno.ENODEV, errno.EADDRNOTAVAIL, errno.ENXIO)

_Target: TypeAlias = tuple[socket.socket, tuple[str, int] | tuple[str, int, int, int]]


class UdpEndpoint:
    """Sends and receives the datagrams of one node. Sending never blocks and never raises."""

    def __init__(
        self,
        sockets: NodeSockets,
        on_packet: Callable[[bytes, Address], None],
        on_refused: Callable[[Address], None],
        *,
        interfaces: Sequence[str] = (),
        use_multicast: bool = True,
        discovery_port: int = DISCOVERY_PORT,
        on_addresses: Callable[[list[Address]], None] | None = None,
        on_batch_end: Callable[[], None] | None = None,
        on_hello: Callable[[bytes, Address, str], None] | None = None,
    ) -> None:
        """Use the UDP sockets of `sockets`, which stay the caller's to close.

        Args:
            sockets: bound sockets of the node.
            on_packet: gets each datagram and its source.
            on_refused: gets the address of a datagram that was refused by its host.
            interfaces: names of the interfaces for hellos; empty for all usable ones.
            use_multicast: False sends and hears no hellos at all.
            discovery_port: where hellos go; equal on all nodes of a mesh.
            on_addresses: called when the own addresses changed.
            on_batch_end: called after the last `on_packet` or `on_refused` of one wake-up.
            on_hello: gets, in place of `on_packet`, what comes to the discovery port, its source and its way.
        """
        self._port: Final = sockets.port
        self._on_packet: Final = on_packet
        self._on_refused: Final = on_refused
        self._on_addresses: Final = on_addresses
        self._on_batch_end: Final = on_batch_end
        self._on_hello: Final = on_hello
        self._named: Final = tuple(interfaces)
        self._use_multicast: Final = use_multicast
        self._discovery_port: Final = discovery_port
        self._by_family: Final = {sock.family: sock for sock in sockets.udp}
        self._bound_to: Final = _bound_host(sockets.udp)
        self._discovery: Final[dict[int, socket.socket]] = {}
        self._joined: set[tuple[int, str, int]] = set()
        self._join_error = ""
        self._joined_at = -REJOIN_INTERVAL_S
        self._usable: list[Interface] = []
        self._targets: dict[Address, list[_Target]] = {}
        self._counts: Final[dict[str, int]] = dict.fromkeys(_COUNTERS, 0)
        self._refresh_wanted = trio.Event()
        for sock in sockets.udp:
            _set_options(sock)
        self._look()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Receive until cancelled."""
        try:
            async with trio.open_nursery() as nursery:
                for sock in self._by_family.values():
                    nursery.start_soon(self._receive, sock)
                nursery.start_soon(self._look_forever, nursery)
                task_status.started()
        finally:
            for sock in self._discovery.values():
                sock.close()
            self._discovery.clear()

    def send_nowait(self, address: Address, datagram: bytes) -> None:
        """Send to one address; what cannot be sent now is dropped and counted.

        A host must be numeric. An IPv6 link-local one without scope goes out on every usable interface.
        """
        targets = self._targets.get(address)
        if targets is None:
            targets = self._find_targets(address)
        for sock, sockaddr in targets:
            self._send(sock, sockaddr, datagram)

    def send_everywhere_nowait(self, datagram: bytes) -> None:
        """Send by every means of discovery; see the head of this module."""
        if not self._use_multicast:
            return
        for interface in self._usable:
            ipv4 = self._by_family.get(socket.AF_INET)
            if ipv4 is not None and interface.ipv4:
                self._send_ipv4_hello(ipv4, interface, datagram)
            ipv6 = self._by_family.get(socket.AF_INET6)
            if ipv6 is not None and interface.ipv6 and interface.index:
                self._send(ipv6, (GROUP_IPV6, self._discovery_port, 0, interface.index), datagram)

    def addresses(self) -> list[Address]:
        """Return the own addresses that others may reach, best first."""
        if self._bound_to:
            return [(self._bound_to, self._port)]
        hosts = host_interfaces.own_hosts(self._usable)
        has_ipv6 = socket.AF_INET6 in self._by_family
        return [(host, self._port) for host in hosts if has_ipv6 or ":" not in host]

    def usable_interfaces(self) -> list[Interface]:
        """Return the interfaces on which hellos go out."""
        return self._usable[:]

    def refresh(self) -> None:
        """Look at the interfaces again now, for example after the host woke up."""
        before = self.addresses()
        self._look()
        after = self.addresses()
        if after != before and self._on_addresses is not None:
            self._on_addresses(after)

    def statistics(self) -> dict[str, int]:
        """Return counts since the start: datagrams, bytes, and everything that went wrong."""
        return {**self._counts, "interfaces": len(self._usable)}

    def join_error(self) -> str:
        """Return why a group could not be joined the last time that this failed, "" when it never did."""
        return self._join_error

    def _look(self) -> None:
        """Find the usable interfaces and join the groups on those that are new."""
        self._counts["refreshes"] += 1
        self._targets.clear()
        usable = host_interfaces.choose_usable(host_interfaces.list_interfaces(), self._named)
        if self._bound_to:
            usable = [interface for interface in usable if _has_host(interface, self._bound_to)] or [
                interface
                for interface in host_interfaces.list_interfaces()
                if _has_host(interface, self._bound_to)
            ]
        self._usable = usable
        if self._use_multicast:
            self._join_groups()

    def _join_groups(self) -> None:
        for family in self._by_family:
            if int(family) not in self._discovery:
                try:
                    self._discovery[int(family)] = discovery_socket(family, self._discovery_port)
                except OSError:
                    self._counts["discovery_failed"] += 1
        wanted = [
            (int(family), address, interface.index)
            for interface in self._usable
            for family, address in memberships(interface)
        ]
        now = time.monotonic()
        if now - self._joined_at >= REJOIN_INTERVAL_S:
            self._joined_at = now
            self._joined.clear()
        for membership in wanted:
            sock = self._discovery.get(membership[0])
            if sock is not None and membership not in self._joined:
                try:
                    join_group(sock, membership[1], membership[2])
                except OSError as error:
                    self._counts["join_failed"] += 1
                    self._join_error = f"{membership[1]}: {error.strerror or error}"
                    continue
                self._joined.add(membership)
        # One that went away left its groups: when it comes back it must join again.
        self._joined.intersection_update(wanted)

    async def _look_forever(self, nursery: trio.Nursery) -> None:
        """Refresh when due, and receive hellos from the sockets that could be made by then."""
        heard: list[int] = []
        while True:
            for family in [family for family in self._discovery if family not in heard]:
                heard.append(family)
                nursery.start_soon(self._receive, self._discovery[family], True)
            interval_s = LONELY_INTERVAL_S if self._is_lonely() else REFRESH_INTERVAL_S
            with trio.move_on_after(interval_s):
                await self._refresh_wanted.wait()
            self._refresh_wanted = trio.Event()
            self.refresh()
            await trio.sleep(REFRESH_GAP_S)

    def _is_lonely(self) -> bool:
        """Return whether the network may still be coming up: nothing usable, or loopback in its place."""
        is_chosen = bool(self._named and self._usable) or bool(self._bound_to)
        return not is_chosen and all(interface.is_loopback for interface in self._usable)

    async def _receive(self, sock: socket.socket, is_discovery: bool = False) -> None:
        take = self._receive_hellos if is_discovery and self._on_hello is not None else self._receive_batch
        while True:
            await trio.lowlevel.wait_readable(sock)
            if take(sock) and self._on_batch_end is not None:
                self._on_batch_end()
            await trio.lowlevel.cancel_shielded_checkpoint()

    def _receive_batch(self, sock: socket.socket) -> int:
        """Handle what waits in the socket, at most `BATCH_COUNT_MAX`; return how many callbacks were made."""
        counts = self._counts
        for received in range(BATCH_COUNT_MAX):
            try:
                datagram, sockaddr = sock.recvfrom(_RECEIVE_SIZE)
            except BlockingIOError:
                return received or self._drain_errors(sock)
            except OSError:
                counts["receive_failed"] += 1
                return received + self._drain_errors(sock)
            counts["packets_in"] += 1
            counts["bytes_in"] += len(datagram)
            self._on_packet(datagram, source_address(sockaddr))
        return BATCH_COUNT_MAX

    def _receive_hellos(self, sock: socket.socket) -> int:
        """Handle what waits in a socket of the discovery port, with the way that each datagram came."""
        assert self._on_hello is not None, "whoever wants to know the ways gives a callback"
        for received in range(BATCH_COUNT_MAX):
            try:
                datagram, extra, _, sockaddr = sock.recvmsg(_RECEIVE_SIZE, _ANCILLARY_SIZE)
            except BlockingIOError:
                return received
            except OSError:
                self._counts["receive_failed"] += 1
                return received
            self._counts["packets_in"] += 1
            self._counts["bytes_in"] += len(datagram)
            self._on_hello(datagram, source_address(sockaddr), way_of(sock.family, extra))
        return BATCH_COUNT_MAX

    def _drain_errors(self, sock: socket.socket) -> int:
        """Read the socket's queue of ICMP errors; return how many were refusals."""
        if not _IS_LINUX:
            return 0
        refused = 0
        for _ in range(_ERROR_QUEUE_DRAIN_MAX):
            try:
                _, extra, _, sockaddr = sock.recvmsg(0, 512, socket.MSG_ERRQUEUE)
            except OSError:
                break
            self._counts["icmp_errors"] += 1
            if sockaddr and any(_is_refusal(data) for _, _, data in extra):
                refused += 1
                self._counts["refused"] += 1
                self._on_refused(source_address(sockaddr))
        return refused

    def _find_targets(self, address: Address) -> list[_Target]:
        targets: list[_Target] = []
        for host, port in host_interfaces.with_scopes(address, self._usable):
            target = self._target(host, port)
            if target is not None:
                targets.append(target)
        if not targets:
            self._counts["send_unreachable"] += 1
            return targets
        if len(self._targets) >= TARGET_COUNT_MAX:
            self._targets.clear()
        self._targets[address] = targets
        return targets

    def _target(self, host: str, port: int) -> _Target | None:
        """Return socket and sockaddr for a numeric host, None when there is no way to it."""
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST)
        except (OSError, UnicodeError, OverflowError):
            return None
        family, _, _, _, sockaddr = found[0]
        sock = self._by_family.get(family)
        if sock is None or len(sockaddr) not in (2, 4) or not 0 < port < 65536:
            return None
        if len(sockaddr) == 4:
            return (sock, (str(sockaddr[0]), port, 0, int(sockaddr[3])))
        return (sock, (str(sockaddr[0]), port))

    def _send_ipv4_hello(self, sock: socket.socket, interface: Interface, datagram: bytes) -> None:
        try:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, multicast_interface(interface))
        except OSError:
            self._failed(errno.ENODEV)
        else:
            self._send(sock, (GROUP_IPV4, self._discovery_port), datagram)
        for _, broadcast in interface.ipv4:
            if broadcast and not interface.is_loopback:
                self._send(sock, (broadcast, self._discovery_port), datagram)

    def _send(
        self, sock: socket.socket, sockaddr: tuple[str, int] | tuple[str, int, int, int], datagram: bytes
    ) -> None:
        for _ in range(2):
            try:
                sock.sendto(datagram, sockaddr)
            except BlockingIOError:
                self._counts["send_full"] += 1
                return
            except ConnectionRefusedError:
                continue  # news about an earlier datagram: the receiving task reads its details
            except OSError as error:
                self._failed(error.errno or 0)
                return
            self._counts["packets_out"] += 1
            self._counts["bytes_out"] += len(datagram)
            return
        self._counts["send_failed"] += 1

    def _failed(self, code: int) -> None:
        self._counts["send_failed"] += 1
        if code in _LINK_ERRORS:
            self._refresh_wanted.set()


_COUNTERS: Final = (
    "packets_in",
    "bytes_in",
    "packets_out",
    "bytes_out",
    "send_full",
    "send_failed",
    "send_unreachable",
    "receive_failed",
    "icmp_errors",
    "refused",
    "refreshes",
    "join_failed",
    "discovery_failed",
)


def _bound_host(udp: Sequence[socket.socket]) -> str:
    """Return the one address the sockets are bound to, "" when they take all."""
    hosts = [source_address(sock.getsockname())[0] for sock in udp]
    return "" if len(hosts) != 1 or hosts[0] in ("0.0.0.0", "::") else hosts[0]  # noqa: S104 - only compared


def _has_host(interface: Interface, host: str) -> bool:
    plain = host.partition("%")[0]
    return plain in interface.ipv6 or plain in [address for address, _ in interface.ipv4]


def _set_options(sock: socket.socket) -> None:
    """Prepare a unicast socket for hellos and for errors."""
    options: list[tuple[int, int, int]] = []
    if sock.family == socket.AF_INET:
        options.append((socket.SOL_SOCKET, socket.SO_BROADCAST, 1))
        options.append((socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1))
        options.append((socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1))
        if _IS_LINUX:
            options.append((socket.IPPROTO_IP, _IP_RECVERR, 1))
    else:
        options.append((socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 1))
        options.append((socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 1))
        if _IS_LINUX:
            options.append((socket.IPPROTO_IPV6, _IPV6_RECVERR, 1))
    for level, option, value in options:
        with contextlib.suppress(OSError):  # each makes something better; none is needed for unicast
            sock.setsockopt(level, option, value)


def _is_refusal(extended_error: bytes) -> bool:
    """Return whether one `sock_extended_err` tells of a refused port, and came from the network."""
    if len(extended_error) < _EXTENDED_ERROR.size:
        return False
    code, origin, *_ = _EXTENDED_ERROR.unpack_from(extended_error)
    return bool(code == errno.ECONNREFUSED and origin >= 2)
