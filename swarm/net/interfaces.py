"""The host's network interfaces and addresses, found without netlink and without any package.

Android denies netlink and /proc, small boards lack psutil: so each source is tried and may fail. Linux:
`SIOCGIFCONF` and its sisters for IPv4, ``/proc/net/if_inet6`` for IPv6 (it tells which addresses are not
usable yet), or `getifaddrs` where that cannot be read. Elsewhere: `getifaddrs`, else psutil when it is
installed. Where nothing answers, a UDP socket that is connected (which sends nothing) tells the address
that packets would leave from.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import struct
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, final

import trio

from swarm.core.hosts import LINK_LOCAL, LOOPBACK, ROUTABLE_IPV6, host_rank, is_link_local
from swarm.core.ids import Address
from swarm.core.records import Record

SKIPPED_PREFIXES: Final = (
    "docker",
    "veth",
    "br-",
    "virbr",
    "lxcbr",
    "lxdbr",
    "incusbr",
    "podman",
    "cni",
    "flannel",
    "cali",
    "vmnet",
    "vboxnet",
    "tun",
    "tap",
    "utun",
    "awdl",
    "llw",
    "rmnet",
    "ccmni",
    "dummy",
)
"""Interfaces that lead nowhere, into private networks of this host, through tunnels without multicast, or to
a mobile carrier, unless named by the operator."""

_IFF_UP: Final = 0x1
_IFF_LOOPBACK: Final = 0x8
_SIOCGIFCONF: Final = 0x8912
_SIOCGIFFLAGS: Final = 0x8913
_SIOCGIFNETMASK: Final = 0x891B
_SIOCGIFINDEX: Final = 0x8933
_IFREQ_SIZE: Final = 40 if sys.maxsize > 2**32 else 32
_IFCONF_BYTES: Final = 128 * _IFREQ_SIZE
_IF_INET6: Final = Path("/proc/net/if_inet6")
_UNUSABLE_IPV6: Final = 0x40 | 0x08  # tentative, duplicate
_PROBES: Final = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))


@final
class Interface(Record):
    """One interface that is up.

    Attributes:
        name, index: as the system knows it; index 0 when it could not be found out.
        is_loopback: whether it leads to this host only.
        ipv4: list of (address, broadcast address or "").
        ipv6: addresses without scope.
        networks: those that its IPv4 addresses lie in, in the same order; empty when they are not known.
    """

    __slots__ = ("index", "ipv4", "ipv6", "is_loopback", "name", "networks")

    def __init__(
        self,
        name: str,
        index: int,
        is_loopback: bool,
        ipv4: list[tuple[str, str]],
        ipv6: list[str],
        networks: tuple[ipaddress.IPv4Network, ...] = (),
    ) -> None:
        self.name: Final = name
        self.index: Final = index
        self.is_loopback: Final = is_loopback
        self.ipv4: Final = ipv4
        self.ipv6: Final = ipv6
        self.networks: Final = networks

    def fields(self) -> tuple[object, ...]:
        return (self.name, self.index, self.is_loopback, self.ipv4, self.ipv6, self.networks)

    def is_link_of(self, host: str) -> bool:
        """Return whether another host's numeric address is on a link of this interface, by its network."""
        if is_link_local(host):
            scope = host.partition("%")[2]
            return bool(self.ipv6) and scope in ("", self.name)
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        return any([address in network for network in self.networks])


def list_interfaces() -> list[Interface]:
    """Return the interfaces that are up and have an address; empty when there is none. Never raises."""
    found: list[Interface] = []
    if sys.platform.startswith("linux"):
        with contextlib.suppress(OSError, ValueError, struct.error, ImportError):
            found = _list_by_ioctl()
    if not found:
        with contextlib.suppress(ImportError, OSError, ValueError):
            found = _list_by_getifaddrs()
    if not found:
        with contextlib.suppress(ImportError, OSError, RuntimeError):
            found = _list_by_psutil()
    if all(interface.is_loopback for interface in found):
        found = found + _list_by_probe()
    return found


def choose_usable(interfaces: Sequence[Interface], named: Sequence[str] = ()) -> list[Interface]:
    """Return the interfaces on which to look for other nodes.

    Args:
        interfaces: all that are up.
        named: the operator's choice by name. Empty: all but loopback and `SKIPPED_PREFIXES`, and loopback
            when nothing else is there, so that the nodes of a lone host find each other.
    """
    if named:
        return [interface for interface in interfaces if interface.name in named]
    usable = [
        interface
        for interface in interfaces
        if not interface.is_loopback and not interface.name.startswith(SKIPPED_PREFIXES)
    ]
    return usable or [interface for interface in interfaces if interface.is_loopback]


def own_hosts(usable: Sequence[Interface]) -> list[str]:
    """Return the own addresses that others can reach, best first: routable IPv4, then global IPv6.

    Link-local ones mean nothing without the reader's own scope: they are given, without scope, only when
    there is nothing better, and loopback ones only when there is nothing else at all.
    """
    ipv4 = [address for interface in usable for address, _ in interface.ipv4]
    ipv6 = [address for interface in usable for address in interface.ipv6]
    ranked = sorted([(host_rank(host), host) for host in ipv4 + ipv6], key=_rank_of)
    for worst in (ROUTABLE_IPV6, LINK_LOCAL, LOOPBACK):
        found = [host for rank, host in ranked if rank <= worst]
        if found:
            return found
    return []


def _rank_of(ranked: tuple[int, str]) -> int:
    return ranked[0]


def with_scopes(address: Address, usable: Sequence[Interface]) -> list[Address]:
    """Return `address`, or for an IPv6 link-local one without scope one per usable interface."""
    host, port = address
    if not is_link_local(host) or "%" in host:
        return [address]
    return [(f"{host}%{interface.name}", port) for interface in usable if interface.ipv6]


async def resolve_addresses(addresses: Sequence[Address]) -> list[Address]:
    """Return numeric addresses for hosts that may be names; those that cannot be resolved are left out."""
    resolved: list[Address] = []
    for host, port in addresses:
        try:
            found = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
        except (OSError, UnicodeError):
            continue
        for _, _, _, _, sockaddr in found:
            numeric = source_address(sockaddr)
            if numeric not in resolved:
                resolved.append(numeric)
    return resolved


def source_address(sockaddr: tuple[str | bytes | int, ...]) -> Address:
    """Return the address for what the socket module gave; link-local IPv6 with its scope by name."""
    host, port = str(sockaddr[0]), int(sockaddr[1])
    if len(sockaddr) == 4 and sockaddr[3] and "%" not in host:
        index = int(sockaddr[3])
        try:
            host = f"{host}%{socket.if_indextoname(index)}"
        except OSError:
            host = f"{host}%{index}"
    return (host, port)


def _list_by_ioctl() -> list[Interface]:
    import fcntl

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:

        def ask(request: int, name: str, address: bytes = bytes(4)) -> bytes:
            ifreq = struct.pack("16sHH4s", name.encode(), socket.AF_INET, 0, address)
            return fcntl.ioctl(sock.fileno(), request, ifreq.ljust(_IFREQ_SIZE, b"\0"))

        addresses = _ipv4_addresses(sock.fileno())
        ipv6 = _ipv6_addresses()
        found: list[Interface] = []
        for name in sorted({*addresses, *ipv6}):
            try:
                flags = struct.unpack_from("H", ask(_SIOCGIFFLAGS, name), 16)[0]
                index = struct.unpack_from("i", ask(_SIOCGIFINDEX, name), 16)[0]
                ipv4: list[tuple[str, str]] = []
                networks: list[ipaddress.IPv4Network] = []
                for address in addresses.get(name, []):
                    mask = ask(_SIOCGIFNETMASK, name, address)[20:24]
                    ipv4.append((socket.inet_ntoa(address), _broadcast(address, mask)))
                    networks.append(_network(address, mask))
            except OSError:  # it went away while it was looked at
                continue
            if flags & _IFF_UP:
                is_loopback = bool(flags & _IFF_LOOPBACK)
                found.append(Interface(name, index, is_loopback, ipv4, ipv6.get(name, []), tuple(networks)))
    return found


def _list_by_getifaddrs() -> list[Interface]:
    from swarm.net.ifaddrs import find_addresses

    by_name: dict[str, list[tuple[int, str, int]]] = {}
    loopbacks: list[str] = []
    for item in find_addresses():
        if item.flags & _IFF_UP:
            by_name.setdefault(item.name, []).append((item.family, item.host, item.prefix_bits))
            if item.flags & _IFF_LOOPBACK:
                loopbacks.append(item.name)
    found: list[Interface] = []
    for name, items in sorted(by_name.items()):
        ipv4: list[tuple[str, str]] = []
        networks: list[ipaddress.IPv4Network] = []
        for family, host, bits in items:
            if family == socket.AF_INET:
                address = socket.inet_aton(host)
                mask = ((0xFFFFFFFF << (32 - bits)) & 0xFFFFFFFF).to_bytes(4, "big")
                ipv4.append((host, _broadcast(address, mask)))
                networks.append(_network(address, mask))
        ipv6 = sorted([host for family, host, _ in items if family == socket.AF_INET6], key=is_link_local)
        found.append(Interface(name, _index_of(name), name in loopbacks, ipv4, ipv6, tuple(networks)))
    return found


def _ipv4_addresses(descriptor: int) -> dict[str, list[bytes]]:
    """Return interface name -> IPv4 addresses, aliases included, by `SIOCGIFCONF`."""
    import array
    import fcntl

    buffer = array.array("B", bytes(_IFCONF_BYTES))
    ifconf = struct.pack("iP", _IFCONF_BYTES, buffer.buffer_info()[0])
    filled = struct.unpack("iP", fcntl.ioctl(descriptor, _SIOCGIFCONF, ifconf))[0]
    content = buffer.tobytes()[:filled]
    found: dict[str, list[bytes]] = {}
    for start in range(0, len(content), _IFREQ_SIZE):
        name = content[start : start + 16].split(b"\0", 1)[0].decode("ascii", "replace")
        found.setdefault(name.split(":", 1)[0], []).append(content[start + 20 : start + 24])
    return found


def _ipv6_addresses() -> dict[str, list[str]]:
    """Return interface name -> usable IPv6 addresses, global ones first."""
    found: dict[str, list[str]] = {}
    try:
        lines = _IF_INET6.read_text("ascii").splitlines()
    except FileNotFoundError:  # no IPv6 on this host
        return found
    except (OSError, UnicodeError):  # not allowed to look
        return _ipv6_by_getifaddrs()
    for line in lines:
        fields = line.split()
        if len(fields) == 6 and not int(fields[4], 16) & _UNUSABLE_IPV6:
            address = socket.inet_ntop(socket.AF_INET6, bytes.fromhex(fields[0]))
            found.setdefault(fields[5], []).append(address)
    for addresses in found.values():
        addresses.sort(key=is_link_local)
    return found


def _ipv6_by_getifaddrs() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    with contextlib.suppress(OSError, ValueError, ImportError):
        found = {interface.name: interface.ipv6 for interface in _list_by_getifaddrs() if interface.ipv6}
    return found


def _list_by_psutil() -> list[Interface]:
    import psutil

    states = psutil.net_if_stats()
    found: list[Interface] = []
    for name, addresses in sorted(psutil.net_if_addrs().items()):
        if name not in states or not states[name].isup:
            continue
        ipv4: list[tuple[str, str]] = []
        ipv6: list[str] = []
        networks: list[ipaddress.IPv4Network] = []
        for item in addresses:
            if item.family == socket.AF_INET:
                ipv4.append((item.address, item.broadcast or ""))
                mask = socket.inet_aton(item.netmask or "255.255.255.255")
                networks.append(_network(socket.inet_aton(item.address), mask))
            elif item.family == socket.AF_INET6:
                ipv6.append(item.address.split("%", 1)[0])
        if ipv4 or ipv6:
            hosts = [address for address, _ in ipv4] + ipv6
            is_loopback = all(ipaddress.ip_address(host).is_loopback for host in hosts)
            ipv6.sort(key=is_link_local)
            found.append(Interface(name, _index_of(name), is_loopback, ipv4, ipv6, tuple(networks)))
    return found


def _list_by_probe() -> list[Interface]:
    ipv4: list[tuple[str, str]] = []
    ipv6: list[str] = []
    for family, target in _PROBES:
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.connect((target, 9))
            host = str(sock.getsockname()[0])
            if ipaddress.ip_address(host).is_loopback:
                continue
            if family == socket.AF_INET:
                ipv4.append((host, ""))
            else:
                ipv6.append(host)
    return [Interface("default", 0, is_loopback=False, ipv4=ipv4, ipv6=ipv6)] if ipv4 or ipv6 else []


def _index_of(name: str) -> int:
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return 0


def _broadcast(address: bytes, mask: bytes) -> str:
    """Return the broadcast address of a network, "" where there is none (point to point)."""
    host, net = int.from_bytes(address, "big"), int.from_bytes(mask, "big")
    if net >= 0xFFFFFFFE:
        return ""
    return socket.inet_ntoa((host | (net ^ 0xFFFFFFFF)).to_bytes(4, "big"))


def _network(address: bytes, mask: bytes) -> ipaddress.IPv4Network:
    """Return the network that an address with a netmask lies in."""
    return ipaddress.IPv4Network((address, int.from_bytes(mask, "big").bit_count()), strict=False)
