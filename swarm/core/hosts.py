"""Which of a node's addresses to prefer, and how to write one."""

from __future__ import annotations

from typing import Final

from swarm.core.ids import EVERYWHERE, Address

ROUTABLE_IPV4: Final = 0
ROUTABLE_IPV6: Final = 1
LINK_LOCAL: Final = 2
LOOPBACK: Final = 3


def is_link_local(host: str) -> bool:
    """Return whether `host` is an IPv6 link-local address, with its scope or without."""
    return ":" in host and host.lower().startswith(("fe8", "fe9", "fea", "feb"))


def host_rank(host: str) -> int:
    """Return the place of a host among a node's addresses, least first; names count as routable IPv4.

    IPv4 gets through most often; a link-local address works on one link only; loopback means another host
    to everybody else.
    """
    if ":" not in host:
        if host.startswith("127.") or host == "localhost":
            return LOOPBACK
        return LINK_LOCAL if host.startswith("169.254.") else ROUTABLE_IPV4
    if is_link_local(host):
        return LINK_LOCAL
    return LOOPBACK if host == "::1" else ROUTABLE_IPV6


def address_for_others(addresses: list[Address]) -> Address:
    """Return the one of a node's addresses to tell to somebody who is neither this host nor that node.

    Of equal ones the first. A scope is an interface of this host and means nothing elsewhere: it is taken
    off. EVERYWHERE when there is no address.
    """
    best = EVERYWHERE
    best_rank = LOOPBACK + 1
    for host, port in addresses:
        rank = host_rank(host)
        if rank < best_rank:
            best, best_rank = (host.partition("%")[0], port), rank
    return best


def address_text(address: Address) -> str:
    """Return ``host:port``, an IPv6 host in brackets."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_numeric(host: str) -> bool:
    """Return whether a host is an address rather than a name: IPv6, or four numbers of IPv4."""
    if ":" in host:
        return True
    parts = host.split(".")
    return len(parts) == 4 and all([part.isdecimal() and len(part) < 4 and int(part) < 256 for part in parts])
