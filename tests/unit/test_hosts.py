"""Which address of a node others are told, and how it is written."""

from __future__ import annotations

import pytest

from swarm.core.hosts import (
    LINK_LOCAL,
    LOOPBACK,
    ROUTABLE_IPV4,
    ROUTABLE_IPV6,
    address_for_others,
    address_text,
    host_rank,
)
from swarm.core.ids import EVERYWHERE
from swarm.gossip.members import Member
from swarm.node_members import view_of
from swarm.node_views import node_row


@pytest.mark.parametrize(
    ("host", "rank"),
    [
        ("10.0.0.1", ROUTABLE_IPV4),
        ("attic.local", ROUTABLE_IPV4),
        ("fd00::1", ROUTABLE_IPV6),
        ("2001:db8::7", ROUTABLE_IPV6),
        ("fe80::1", LINK_LOCAL),
        ("FEB0::1%eth0", LINK_LOCAL),
        ("169.254.1.2", LINK_LOCAL),
        ("127.0.0.1", LOOPBACK),
        ("localhost", LOOPBACK),
        ("::1", LOOPBACK),
    ],
)
def test_ranks(host: str, rank: int) -> None:
    assert host_rank(host) == rank


def test_the_address_for_others() -> None:
    scoped, global_ipv6, ipv4 = ("fe80::1%eth3", 7117), ("fd00::1", 7117), ("10.0.0.1", 7118)
    assert address_for_others([scoped, global_ipv6, ipv4, ("10.0.0.2", 1)]) == ipv4
    assert address_for_others([scoped, global_ipv6]) == global_ipv6
    assert address_for_others([("127.0.0.1", 1), scoped]) == ("fe80::1", 7117)
    assert address_for_others([("::1", 1), ("127.0.0.1", 2)]) == ("::1", 1)
    assert address_for_others([]) == EVERYWHERE


def test_ipv6_in_brackets() -> None:
    assert address_text(("fd00::1", 7117)) == "[fd00::1]:7117"
    assert address_text(("10.0.0.1", 7117)) == "10.0.0.1:7117"


def test_clients_and_people_get_it() -> None:
    node = b"n" * 16
    member = Member(node, "pi", [("fe80::1%eth3", 7117), ("10.0.0.1", 7117)], 1, "alive", {}, 0.0)
    assert view_of([member], b"m" * 16).peers == [[node, "pi", "10.0.0.1", 7117]]
    assert view_of([member], b"m" * 16).reachable == [(node, ("fe80::1%eth3", 7117))]
    assert node_row(member, b"")["address"] == "10.0.0.1:7117"
    only = Member(node, "pi", [("fe80::1%eth3", 7117)], 1, "alive", {}, 0.0)
    assert node_row(only, b"")["address"] == "[fe80::1]:7117"
