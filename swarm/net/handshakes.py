"""The room for connections that have not shown a certificate yet, bounded so that strangers cannot fill it.

Whoever can reach the port can open connections and say nothing. When the room is full, or one source has its
share of it, not the newcomer goes but the connection that has waited longest among those of the source that
has most: a stranger displaces his own, and a member's handshake, which takes milliseconds, is not noticed.
"""

from __future__ import annotations

import ipaddress
from typing import Final, final

import trio

TIMEOUT_S: Final = 10.0
HURRIED_TIMEOUT_S: Final = 2.0
"""For connections that come while the room is more than half full."""
COUNT_MAX: Final = 128
SOURCE_COUNT_MAX: Final = 64
"""Of one address (IPv6: of one /64); a mesh of that many nodes on one host, started at once, fits."""

_PREFIX_BITS: Final = 64


@final
class Handshake:
    """A connection that has not shown a certificate yet.

    Attributes:
        source: where it comes from, as far as sources are told apart.
        scope: ends it, at its deadline or when it is dropped.
        is_dropped: it had to make room.
    """

    __slots__ = ("is_dropped", "scope", "source")

    def __init__(self, source: str, timeout_s: float) -> None:
        self.source: Final = source
        self.scope: Final = trio.CancelScope(deadline=trio.current_time() + timeout_s)
        self.is_dropped = False


@final
class Handshakes:
    """All of them, those of each source in the order of their coming."""

    def __init__(self) -> None:
        self._by_source: dict[str, dict[Handshake, None]] = {}
        self._count = 0

    def enter(self, host: str) -> Handshake:
        """Return the handshake of a connection from an address; another one may have to make room for it."""
        source = source_of(host)
        if len(self._by_source.get(source, ())) >= SOURCE_COUNT_MAX:
            self._drop_oldest(source)
        elif self._count >= COUNT_MAX:
            self._drop_oldest(max(self._by_source, key=self._count_of))
        handshake = Handshake(source, HURRIED_TIMEOUT_S if self._count >= COUNT_MAX // 2 else TIMEOUT_S)
        self._by_source.setdefault(source, {})[handshake] = None
        self._count += 1
        return handshake

    def leave(self, handshake: Handshake) -> None:
        """Forget a handshake that is over; harmless the second time."""
        there = self._by_source.get(handshake.source)
        if there is None or handshake not in there:
            return
        del there[handshake]
        self._count -= 1
        if not there:
            del self._by_source[handshake.source]

    def __len__(self) -> int:
        return self._count

    def _count_of(self, source: str) -> int:
        return len(self._by_source[source])

    def _drop_oldest(self, source: str) -> None:
        oldest = next(iter(self._by_source[source]))
        oldest.is_dropped = True
        oldest.scope.cancel()
        self.leave(oldest)


def source_of(host: str) -> str:
    """Return what counts as one source: an IPv4 address, or the /64 network of an IPv6 address."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if address.version == 4:
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((int(address), _PREFIX_BITS), strict=False))
