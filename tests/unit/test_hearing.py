"""Which ways of discovery are alive: who is expected, which copies count, and that everything is bounded."""

from __future__ import annotations

from ipaddress import IPv4Network

from swarm.core.ids import Address
from swarm.daemon.hearing import COPIES_MAX, FOREIGN_LASTS_S, FOREIGN_MAX, HOSTS_MAX, Hearing
from swarm.net.discovery_sockets import BROADCAST, MULTICAST, MULTICAST_IPV6, UNICAST
from swarm.net.interfaces import Interface

ETH = Interface("eth0", 2, False, [("10.0.0.5", "10.0.0.255")], ["fe80::5"], (IPv4Network("10.0.0.0/24"),))
NEAR: list[Address] = [("10.0.0.7", 7117)]
FAR: list[Address] = [("192.0.2.7", 7117)]
LOCAL: list[Address] = [("10.0.0.5", 7119)]


class Ear:
    """A Hearing with a clock of its own, that expects a hello every four seconds."""

    def __init__(self) -> None:
        self.now = 100.0
        self.hearing = Hearing(lambda: self.now, 4.0)
        self.number = 0

    def hello(self, host: str, *ways: str) -> None:
        """Let one hello come by some ways: the first copy is opened, the others are refused as seen."""
        self.number += 1
        datagram = bytes(60) + self.number.to_bytes(16, "big")
        for place, way in enumerate(ways):
            if place == 0:
                self.hearing.note_opened(datagram, host, way)
            else:
                self.hearing.note_copy(datagram, host, way)

    def dead(self, *members: list[Address]) -> list[str]:
        return self.hearing.look([ETH], list(members))


def test_a_way_is_dead_when_nobody_is_heard_by_it_for_three_pauses() -> None:
    ear = Ear()
    assert ear.dead(NEAR) == []
    for _ in range(5):
        ear.now += 3.0
        ear.hello("10.0.0.7", BROADCAST)
    last = ear.dead(NEAR)
    assert last == [MULTICAST]
    assert ear.hearing.notice(last) == (
        "IPv4 multicast of other hosts is not heard, though a member is on this network;"
        " new nodes are heard by IPv4 broadcast"
    )
    ear.hello("10.0.0.7", BROADCAST, MULTICAST)
    assert ear.dead(NEAR) == []
    assert ear.hearing.notice([]) == ""


def test_when_nothing_is_heard_at_all_a_cure_is_named() -> None:
    ear = Ear()
    ear.dead(NEAR, NEAR)
    ear.now += 13.0
    told = ear.hearing.notice(ear.dead(NEAR, NEAR))
    assert told.endswith("though 2 members are on this network; new nodes need an address or --scan")


def test_nobody_is_expected_from_afar_from_the_own_host_or_alone() -> None:
    ear = Ear()
    for members in ((), (FAR,), (LOCAL,), (FAR, LOCAL)):
        for _ in range(3):
            assert ear.dead(*members) == []
            ear.now += 100.0


def test_nodes_of_the_own_host_are_no_proof_and_lengthen_the_patience() -> None:
    """They speak too, so that the neighbour seldom has to."""
    ear = Ear()
    members = [NEAR, LOCAL, LOCAL, LOCAL]
    ear.dead(*members)
    ear.now += 40.0
    ear.hello("10.0.0.5", MULTICAST, BROADCAST)
    assert ear.dead(*members) == []
    ear.now += 10.0
    assert ear.dead(*members) == [MULTICAST, BROADCAST]
    assert ear.hearing.view([ETH])[MULTICAST] == {"count": 1, "hosts": [], "age_s": None, "own_age_s": None}


def test_ipv6_is_expected_of_whoever_has_it() -> None:
    ear = Ear()
    for members in ([NEAR], [[("fe80::7%eth0", 7117)]]):
        ear.dead(*members)
        ear.now += 13.0
    assert ear.dead([("fe80::7%eth0", 7117)]) == [MULTICAST_IPV6]
    assert ear.hearing.look([Interface("eth0", 2, False, ETH.ipv4, [], ETH.networks)], [NEAR]) == []


def test_a_forged_copy_is_no_proof() -> None:
    ear = Ear()
    ear.hearing.note_copy(bytes(80), "10.0.0.7", MULTICAST)
    assert ear.hearing.view([ETH])[MULTICAST]["count"] == 0
    for _ in range(COPIES_MAX + 1):
        ear.hello("10.0.0.7", BROADCAST)
    ear.hearing.note_copy(bytes(60) + (1).to_bytes(16, "big"), "10.0.0.7", MULTICAST)
    assert ear.hearing.view([ETH])[MULTICAST]["count"] == 0, "too long ago to be remembered"
    ear.hello("10.0.0.7", UNICAST)
    assert ear.hearing.view([ETH])[BROADCAST]["count"] == COPIES_MAX + 1


def test_who_was_heard_how_long_ago() -> None:
    ear = Ear()
    ear.hello("10.0.0.7", MULTICAST)
    ear.hearing.note_own(MULTICAST)
    ear.now += 2.5
    ear.hello("10.0.0.8", MULTICAST)
    ear.now += 1.0
    seen = ear.hearing.view([ETH])[MULTICAST]
    assert seen == {"count": 2, "hosts": ["10.0.0.7", "10.0.0.8"], "age_s": 1.0, "own_age_s": 3.5}
    for number in range(3 * HOSTS_MAX):
        ear.hello(f"10.0.1.{number}", MULTICAST)
    hosts = ear.hearing.view([ETH])[MULTICAST]["hosts"]
    assert isinstance(hosts, list)
    assert len(hosts) == HOSTS_MAX


def test_other_meshes_are_told_of_once_and_in_a_bounded_number() -> None:
    ear = Ear()
    tags = [bytes([number]) * 8 for number in range(100)]
    first = [ear.hearing.note_foreign(tag + bytes(50), f"10.0.0.{number}") for number, tag in enumerate(tags)]
    assert first == [True] * FOREIGN_MAX + [False] * (100 - FOREIGN_MAX)
    assert not ear.hearing.note_foreign(tags[0] + bytes(50), "fe80::9%eth0")
    assert ear.hearing.foreign_hosts() == [f"10.0.0.{number}" for number in range(FOREIGN_MAX)]
    ear.now += FOREIGN_LASTS_S + 1.0
    assert ear.hearing.foreign_hosts() == []
