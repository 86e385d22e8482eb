"""What is heard by each way of discovery: the bookkeeping behind "multicast is not heard here".

A path for multicast can die without a sign: a switch that snoops forgets a group, an access point stops to
forward between its clients, a firewall drops it. Members go on reaching each other by unicast; only newcomers
are not heard. So for every way it is kept when somebody of the mesh on another host was heard by it last. One
hello comes by several ways as equal copies, of which the seal opens the first only: the copies count too.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final, final

from swarm.core.hosts import host_rank
from swarm.core.ids import Address
from swarm.net.discovery_sockets import BROADCAST, MULTICAST, MULTICAST_IPV6, WAYS
from swarm.net.interfaces import Interface
from swarm.net.seal import TAG_SIZE

HOSTS_MAX: Final = 64
COPIES_MAX: Final = 64
FOREIGN_MAX: Final = 8
"""Other meshes that are told apart; of more nothing is said, for anybody can make them up."""
FOREIGN_LASTS_S: Final = 60.0
QUIET_INTERVALS: Final = 3
"""A way is dead when in so many of the longest pauses between hellos nothing came by it."""
_TAIL_SIZE: Final = 16
_NAMES: Final = {
    MULTICAST: "IPv4 multicast",
    BROADCAST: "IPv4 broadcast",
    MULTICAST_IPV6: "IPv6 multicast",
}


@final
class Hearing:
    """Who was heard when by which way.

    Args:
        clock: gives monotonic seconds.
        hello_interval_s: the longest pause between two hellos of a healthy mesh.
    """

    def __init__(self, clock: Callable[[], float], hello_interval_s: float) -> None:
        self._clock: Final = clock
        self.quiet_after_s: Final = QUIET_INTERVALS * hello_interval_s
        self._heard: Final[dict[str, OrderedDict[str, float]]] = {way: OrderedDict() for way in WAYS}
        self._counts: Final[dict[str, int]] = dict.fromkeys(WAYS, 0)
        self._own_at: Final[dict[str, float]] = {}
        self._copies: Final[OrderedDict[bytes, None]] = OrderedDict()
        self._foreign: Final[dict[bytes, tuple[str, float]]] = {}
        self._neighbours: list[str] = []
        self._since: dict[str, float] = {}

    # What happens

    def note_opened(self, datagram: bytes, host: str, way: str) -> None:
        """A hello of a member was opened."""
        self._copies[datagram[-_TAIL_SIZE:]] = None
        if len(self._copies) > COPIES_MAX:
            self._copies.popitem(last=False)
        self._note(host, way)

    def note_copy(self, datagram: bytes, host: str, way: str) -> None:
        """A datagram was refused as seen before; only a copy of a hello opened lately counts."""
        if datagram[-_TAIL_SIZE:] in self._copies:
            self._note(host, way)

    def note_own(self, way: str) -> None:
        """A hello of our own came back."""
        self._own_at[way] = self._clock()

    def note_foreign(self, datagram: bytes, host: str) -> bool:
        """A datagram of another mesh came; return whether that mesh is heard for the first time."""
        tag = datagram[:TAG_SIZE]
        before = self._foreign.get(tag)
        if before is None and len(self._foreign) >= FOREIGN_MAX:
            return False
        # People know a host by its IPv4 address.
        best = host if before is None or host_rank(host) <= host_rank(before[0]) else before[0]
        self._foreign[tag] = (best, self._clock())
        return before is None

    # What follows

    def foreign_hosts(self) -> list[str]:
        """Return a host of each other mesh heard lately."""
        now = self._clock()
        return sorted({host for host, when in self._foreign.values() if now - when <= FOREIGN_LASTS_S})

    def look(self, interfaces: Sequence[Interface], members: Sequence[Sequence[Address]]) -> list[str]:
        """Take who should be heard, and return the dead ways; call it every few seconds.

        Args:
            interfaces: those on which hellos go out.
            members: the addresses of each living member but this node.

        Returns:
            Ways by which nobody is heard though somebody on a link of ours should be, best first.
        """
        now = self._clock()
        self._neighbours = _neighbours(interfaces, members)
        own = own_hosts(interfaces)
        # Nodes of this host speak too, and who has heard two in a pause says nothing.
        quiet_after_s = self.quiet_after_s * len(members) / max(1, len(self._neighbours))
        dead: list[str] = []
        for way in WAYS:
            if not _is_expected(way, interfaces, self._neighbours):
                self._since.pop(way, None)
                continue
            since = self._since.setdefault(way, now)
            last = max([when for host, when in self._heard[way].items() if host not in own], default=since)
            if now - max(last, since) > quiet_after_s:
                dead.append(way)
        return dead

    def view(self, interfaces: Sequence[Interface]) -> dict[str, dict[str, object]]:
        """Return for each way how often it was heard, from which hosts, and how many seconds ago."""
        now = self._clock()
        own = own_hosts(interfaces)
        view: dict[str, dict[str, object]] = {}
        for way in WAYS:
            others = {host: when for host, when in self._heard[way].items() if host not in own}
            last = max(others.values(), default=None)
            own_at = self._own_at.get(way)
            view[way] = {
                "count": self._counts[way],
                "hosts": sorted(others),
                "age_s": None if last is None else round(now - last, 1),
                "own_age_s": None if own_at is None else round(now - own_at, 1),
            }
        return view

    def notice(self, dead: Sequence[str]) -> str:
        """Return for people what it means that these ways are dead, "" for none."""
        if not dead:
            return ""
        names = " and ".join([_NAMES[way] for way in dead])
        alive = [_NAMES[way] for way in WAYS if way in self._since and way not in dead]
        rest = (
            f"new nodes are heard by {' and '.join(alive)}"
            if alive
            else "new nodes need an address or --scan"
        )
        many = len(self._neighbours)
        whom = "a member is" if many == 1 else f"{many} members are"
        return f"{names} of other hosts is not heard, though {whom} on this network; {rest}"

    def _note(self, host: str, way: str) -> None:
        heard = self._heard.get(way)
        if heard is None:
            return
        self._counts[way] += 1
        heard[host] = self._clock()
        heard.move_to_end(host)
        if len(heard) > HOSTS_MAX:
            heard.popitem(last=False)


def own_hosts(interfaces: Sequence[Interface]) -> list[str]:
    """Return all addresses of this host, link-local ones with their scope too."""
    hosts: list[str] = []
    for interface in interfaces:
        hosts += [host for host, _ in interface.ipv4] + interface.ipv6
        hosts += [f"{host}%{interface.name}" for host in interface.ipv6]
    return hosts


def _neighbours(interfaces: Sequence[Interface], members: Sequence[Sequence[Address]]) -> list[str]:
    """Return one address of each member on another host of a link of ours."""
    own = own_hosts(interfaces)
    found: list[str] = []
    for addresses in members:
        hosts = [host for host, _ in addresses]
        if any([host in own for host in hosts]):
            continue
        for host in hosts:
            if any([interface.is_link_of(host) for interface in interfaces]):
                found.append(host)
                break
    return found


def _is_expected(way: str, interfaces: Sequence[Interface], neighbours: Sequence[str]) -> bool:
    """Return whether neighbours should be heard by a way: both sides must have its family."""
    if way == MULTICAST_IPV6:
        return any([":" in host for host in neighbours]) and any([bool(item.ipv6) for item in interfaces])
    if not any([":" not in host for host in neighbours]):
        return False
    if way == BROADCAST:
        return any([broadcast for item in interfaces for _, broadcast in item.ipv4])
    return True
