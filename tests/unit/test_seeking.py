"""Looking where hellos do not reach: at a bounded rate, in private networks only, never giving up."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from ipaddress import IPv4Network

import pytest
import trio
import trio.testing

from swarm.core.hosts import is_numeric
from swarm.core.ids import Address
from swarm.daemon import seeking
from swarm.daemon.hearing import Hearing
from swarm.daemon.seeking import SCAN_COUNT_MAX, Seeker, likely_routers, scan_networks
from swarm.net.interfaces import Interface


def interface(host: str, network: str) -> Interface:
    return Interface("eth0", 2, False, [(host, "")], [], (IPv4Network(network),))


class FakeGround:
    """A node that notes what it is asked."""

    def __init__(self, *interfaces: Interface) -> None:
        self.found = list(interfaces)
        self.others: list[list[Address]] = []
        self.greeted: list[tuple[float, Address]] = []
        self.events: list[tuple[str, dict[str, object]]] = []

    def interfaces(self) -> list[Interface]:
        return self.found

    def members(self) -> list[list[Address]]:
        return self.others

    def greet(self, places: Sequence[Address]) -> None:
        self.greeted += [(trio.current_time(), place) for place in places]

    def note(self, event: str, values: dict[str, object]) -> None:
        self.events.append((event, values))


def seek(
    ground: FakeGround, seconds: float, names: Sequence[Address] = (), scan: bool = False, port: int = 7117
) -> None:
    """Let a seeker look for so long, under a clock that skips waits."""

    async def main() -> None:
        hearing = Hearing(trio.current_time, 4.0)
        seeker = Seeker(ground, hearing, names, is_scanning=scan, port=port)
        with trio.move_on_after(seconds):
            await seeker.run()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


LAN = interface("192.168.1.9", "192.168.1.0/24")


def test_a_scan_asks_every_host_of_the_own_network_once() -> None:
    ground = FakeGround(LAN)
    seek(ground, 9.0, scan=True)
    for port in (7117, 7118):
        asked = [host for _, (host, number) in ground.greeted if number == port]
        assert len(asked) == len(set(asked)) == 253
        assert sorted(asked, key=lambda host: int(host.rpartition(".")[2]))[::252] == [
            "192.168.1.1",
            "192.168.1.254",
        ]
        assert "192.168.1.9" not in asked


def test_scans_are_slow_and_ever_more_seldom() -> None:
    ground = FakeGround(LAN)
    seek(ground, 3600.0, scan=True)
    scanned = [(when, place) for when, place in ground.greeted if place != ("192.168.1.1", 7117)]
    times = [when for when, _ in scanned]
    for start in range(0, len(times) - 101, 100):
        assert times[start + 100] - times[start] >= 0.9, "a hundred a second at most"
    rounds = [when for when, place in ground.greeted if place == ("192.168.1.200", 7117)]
    gaps = [round(later - sooner) for sooner, later in itertools.pairwise(rounds)]
    assert gaps == sorted(gaps)
    assert 300 < gaps[-1] < 320
    assert len(scanned) <= SCAN_COUNT_MAX * 2 * len(rounds)


def test_a_node_in_a_mesh_scans_seldom_and_leaves_out_whom_it_knows() -> None:
    ground = FakeGround(LAN)
    ground.others = [[("192.168.1.20", 7117)]]
    seek(ground, 599.0, scan=True)
    hosts = [host for _, (host, _) in ground.greeted]
    assert len(hosts) == 252
    assert "192.168.1.20" not in hosts


def test_another_port_of_our_own_is_asked_for_too() -> None:
    ground = FakeGround(LAN)
    seek(ground, 30.0, scan=True, port=9000)
    assert {port for _, (_, port) in ground.greeted} == {7117, 7118, 9000}


def test_only_private_networks_are_scanned_and_no_more_than_a_24() -> None:
    def networks(host: str, network: str) -> list[str]:
        return [str(found) for found in scan_networks([interface(host, network)])]

    assert networks("10.1.2.3", "10.0.0.0/8") == ["10.1.2.0/24"]
    assert networks("172.16.5.130", "172.16.5.128/25") == ["172.16.5.128/25"]
    assert networks("169.254.3.4", "169.254.0.0/16") == ["169.254.3.0/24"]
    for host, network in (
        ("8.8.8.8", "8.8.8.0/24"),
        ("172.32.0.1", "172.32.0.0/24"),
        ("10.0.0.1", "10.0.0.1/32"),
    ):
        assert networks(host, network) == []
    assert scan_networks([Interface("default", 0, False, [("10.0.0.1", "")], [])]) == [], (
        "its network is unknown"
    )


def test_without_networks_a_scan_waits_for_one() -> None:
    ground = FakeGround()
    seek(ground, 100.0, scan=True)
    assert ground.greeted == []


def test_a_lonely_node_greets_its_router() -> None:
    assert likely_routers([LAN]) == ["192.168.1.1"]
    assert likely_routers([interface("192.168.43.1", "192.168.43.0/24")]) == [], "that is us"
    ground = FakeGround(LAN)
    seek(ground, 100.0)
    assert [place for _, place in ground.greeted] == [("192.168.1.1", 7117)] * 3
    ground = FakeGround(LAN)
    ground.others = [[("192.168.1.20", 7117)]]
    seek(ground, 100.0)
    assert ground.greeted == []


def test_names_are_resolved_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[list[Address]] = [[], [], [("10.0.0.7", 7117)], [("10.0.0.8", 7117)]]

    async def resolve(names: Sequence[Address]) -> list[Address]:
        assert names == [("pi.local", 7117)]
        return answers.pop(0) if len(answers) > 1 else answers[0]

    monkeypatch.setattr(seeking, "resolve_addresses", resolve)
    ground = FakeGround(interface("8.8.8.8", "8.8.8.0/24"))
    seek(ground, 22.0, [("pi.local", 7117)])
    assert [(round(when), place[0]) for when, place in ground.greeted] == [
        (10, "10.0.0.7"),
        (15, "10.0.0.8"),
        (20, "10.0.0.8"),
    ]


def test_a_way_that_dies_is_noted_once() -> None:
    ground = FakeGround(LAN)
    ground.others = [[("192.168.1.20", 7117)]]
    seek(ground, 60.0)
    assert [(event, values["dead"]) for event, values in ground.events] == [("ways_heard", ["multicast"])]


def test_names_and_numbers() -> None:
    assert all(is_numeric(host) for host in ("10.0.0.1", "255.255.255.255", "fe80::1%eth0", "::1"))
    assert not any(
        is_numeric(host) for host in ("pi", "pi.local", "1.2.3", "1.2.3.4.5", "1.2.3.256", "1.2.3.x", "")
    )
