"""Looking for members where no hello to everybody gets through: names, the router, the own network.

The core greets the seeds and remembered addresses that it was given, for ever. What needs the system around
it is done here: names given with ``--peer`` are resolved again and again, for the network may come up after
the node, and hosts move; a lonely node greets the router of its network, which on a phone's hot spot is the
phone; with ``--scan`` it asks every host of its own /24, at a bounded rate and in private networks only.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from typing import Final, Protocol, final

import trio

from swarm.core.ids import Address
from swarm.daemon.hearing import Hearing, own_hosts
from swarm.net.interfaces import Interface, resolve_addresses
from swarm.net.sockets import DISCOVERY_PORT, PORT

LOOK_INTERVAL_S: Final = 2.5
NAME_INTERVAL_S: Final = 30.0
LONELY_NAME_INTERVAL_S: Final = 5.0
ROUTER_INTERVAL_S: Final = 30.0
SCAN_DELAY_S: Final = 2.0
"""Before the first scan: whoever hears hellos has answered by then."""
SCAN_INTERVAL_MIN_S: Final = 5.0
SCAN_INTERVAL_MAX_S: Final = 300.0
SCAN_INTERVAL_IN_MESH_S: Final = 600.0
"""A node with members scans too, seldom: there may be another part of its mesh."""
SCAN_COUNT_MAX: Final = 254
"""Datagrams of one scan."""
SCAN_BATCH_COUNT: Final = 5
SCAN_BATCH_S: Final = 0.05
_SCAN_BITS: Final = 24
_ROUTERS_MAX: Final = 4
_PRIVATE: Final = tuple(
    [
        ipaddress.IPv4Network(text)
        for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10")
    ]
)


class Ground(Protocol):
    """What the seeker sees of its node; the daemon's parts, or a test's."""

    def interfaces(self) -> list[Interface]:
        """Return the interfaces on which hellos go out."""
        ...

    def members(self) -> list[list[Address]]:
        """Return the addresses of each living member but this node."""
        ...

    def greet(self, places: Sequence[Address]) -> None:
        """Say hello to addresses."""
        ...

    def note(self, event: str, values: dict[str, object]) -> None:
        """Write into the log."""
        ...


@final
class Seeker:
    """Looks for members, and at who is heard.

    Args:
        ground: its node.
        hearing: what is heard; looked at here.
        names: addresses whose host is a name.
        is_scanning: whether the own networks are asked host by host.
        port: the own one, which others of the mesh may have too.
        clock: gives monotonic seconds.
    """

    def __init__(
        self,
        ground: Ground,
        hearing: Hearing,
        names: Sequence[Address],
        *,
        is_scanning: bool,
        port: int,
        clock: Callable[[], float] = trio.current_time,
    ) -> None:
        self._ground: Final = ground
        self._hearing: Final = hearing
        self._names: Final = list(names)
        self._is_scanning: Final = is_scanning
        self._ports: Final = list(dict.fromkeys([PORT, DISCOVERY_PORT, port]))
        self._clock: Final = clock
        self._scan_wait_s = SCAN_INTERVAL_MIN_S
        self._resolved: list[Address] = []
        self.dead_ways: list[str] = []
        self._counts: Final[dict[str, int]] = dict.fromkeys(
            ("names_resolved", "names_unknown", "routers_greeted", "scans", "scanned"), 0
        )

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Look until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._listen)
            nursery.start_soon(self._greet_routers)
            if self._names:
                nursery.start_soon(self._resolve)
            if self._is_scanning:
                nursery.start_soon(self._scan)
            task_status.started()

    def statistics(self) -> dict[str, int]:
        """Return counts since the start."""
        return dict(self._counts)

    def is_lonely(self) -> bool:
        """Return whether no other member is alive."""
        return not self._ground.members()

    async def _listen(self) -> None:
        """Notice ways that die and come back; say so once each time."""
        while True:
            before = self.dead_ways
            self.dead_ways = self._hearing.look(self._ground.interfaces(), self._ground.members())
            if self.dead_ways != before:
                text = self._hearing.notice(self.dead_ways) or "every way by which hellos come is heard"
                self._ground.note("ways_heard", {"dead": self.dead_ways, "text": text})
            await trio.sleep(LOOK_INTERVAL_S)

    async def _resolve(self) -> None:
        while True:
            known = [place for addresses in self._ground.members() for place in addresses]
            found = await resolve_addresses(self._names)
            self._counts["names_resolved" if found else "names_unknown"] += 1
            self._ground.greet([place for place in found if place not in known])
            await trio.sleep(LONELY_NAME_INTERVAL_S if self.is_lonely() else NAME_INTERVAL_S)

    async def _greet_routers(self) -> None:
        while True:
            await trio.sleep(ROUTER_INTERVAL_S)
            if self.is_lonely():
                routers = likely_routers(self._ground.interfaces())
                self._counts["routers_greeted"] += len(routers)
                self._ground.greet([(host, PORT) for host in routers])

    async def _scan(self) -> None:
        await trio.sleep(SCAN_DELAY_S)
        number = 0
        while True:
            networks = scan_networks(self._ground.interfaces())
            if networks:
                # A round asks one network on one port; so all come in turn.
                network = networks[number // len(self._ports) % len(networks)]
                await self._scan_once(network, self._ports[number % len(self._ports)])
                number += 1
            if not self.is_lonely():
                self._scan_wait_s = SCAN_INTERVAL_MIN_S
                await trio.sleep(SCAN_INTERVAL_IN_MESH_S)
            elif number % len(self._ports) == 0:
                await trio.sleep(self._scan_wait_s)
                self._scan_wait_s = min(2 * self._scan_wait_s, SCAN_INTERVAL_MAX_S)

    async def _scan_once(self, network: ipaddress.IPv4Network, port: int) -> None:
        self._counts["scans"] += 1
        known = [host for addresses in self._ground.members() for host, _ in addresses]
        own = own_hosts(self._ground.interfaces())
        hosts = [str(host) for host in network.hosts()]
        targets = [(host, port) for host in hosts if host not in known and host not in own][:SCAN_COUNT_MAX]
        for start in range(0, len(targets), SCAN_BATCH_COUNT):
            batch = targets[start : start + SCAN_BATCH_COUNT]
            self._counts["scanned"] += len(batch)
            self._ground.greet(batch)
            await trio.sleep(SCAN_BATCH_S)


def scan_networks(interfaces: Sequence[Interface]) -> list[ipaddress.IPv4Network]:
    """Return what a scan asks: of each private network of ours the /24 around the own address, or less."""
    found: list[ipaddress.IPv4Network] = []
    for interface in interfaces:
        for (host, _), network in zip(interface.ipv4, interface.networks, strict=False):
            around = ipaddress.IPv4Network(f"{host}/{_SCAN_BITS}", strict=False)
            chosen = network if network.prefixlen > around.prefixlen else around
            if chosen.prefixlen < 31 and any([chosen.subnet_of(private) for private in _PRIVATE]):
                found.append(chosen)
    return list(dict.fromkeys(found))


def likely_routers(interfaces: Sequence[Interface]) -> list[str]:
    """Return where routers of our private networks usually are: at the first address.

    Asking the system for the real one needs netlink or /proc, which phones deny.
    """
    own = own_hosts(interfaces)
    first = [str(network.network_address + 1) for network in scan_networks(interfaces)]
    return [host for host in first if host not in own][:_ROUTERS_MAX]
