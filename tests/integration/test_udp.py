"""Datagrams over real sockets on loopback."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from ipaddress import IPv4Network

import pytest
import trio

from swarm.core.errors import ConfigError
from swarm.core.hosts import is_link_local
from swarm.core.ids import Address
from swarm.net import interfaces, udp
from swarm.net.discovery_sockets import BROADCAST, MULTICAST, MULTICAST_IPV6, UNICAST, way_of
from swarm.net.interfaces import (
    Interface,
    choose_usable,
    list_interfaces,
    own_hosts,
    with_scopes,
)
from swarm.net.keys import MeshKeys
from swarm.net.seal import BadSeal, Sealer
from swarm.net.sockets import DISCOVERY_PORT, PORT, open_sockets
from swarm.net.udp import UdpEndpoint
from tests.integration.mesh_sockets import until

KEYS = MeshKeys(bytes(32))


class End:
    """One endpoint and what it was told; on a discovery port of the test's own."""

    def __init__(self, port: int, named: Sequence[str] = ("lo",), *, use_multicast: bool = True) -> None:
        self.packets: list[tuple[bytes, Address]] = []
        self.refused: list[Address] = []
        self.batches = 0
        self.sockets = open_sockets(0)
        self.udp = UdpEndpoint(
            self.sockets,
            lambda datagram, source: self.packets.append((datagram, source)),
            self.refused.append,
            interfaces=named,
            use_multicast=use_multicast,
            discovery_port=port,
            on_batch_end=self._batch,
        )

    def _batch(self) -> None:
        self.batches += 1


@asynccontextmanager
async def ends(
    count: int, named: Sequence[str] = ("lo",), *, use_multicast: bool = True
) -> AsyncIterator[list[End]]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    made = [End(port, named, use_multicast=use_multicast) for _ in range(count)]
    try:
        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                for end in made:
                    await nursery.start(end.udp.run)
                yield made
                nursery.cancel_scope.cancel()
    finally:
        for end in made:
            end.sockets.close()


def _has_ipv6() -> bool:
    return any("::1" in interface.ipv6 for interface in list_interfaces())


async def _unicast() -> None:
    async with ends(2) as (a, b):
        a.udp.send_nowait(("127.0.0.1", b.sockets.port), b"hello")
        await until(lambda: b.packets)
        assert b.packets == [(b"hello", ("127.0.0.1", a.sockets.port))]
        if _has_ipv6():
            a.udp.send_nowait(("::1", b.sockets.port), b"six")
            await until(lambda: len(b.packets) == 2)
            assert b.packets[1] == (b"six", ("::1", a.sockets.port))
        b.udp.send_nowait(b.packets[-1][1], b"back")
        await until(lambda: a.packets)
        assert b.udp.statistics()["packets_out"] == 1
        assert b.batches >= 1


def test_a_datagram_comes_from_the_port_to_answer_to() -> None:
    trio.run(_unicast)


async def _burst() -> None:
    async with ends(2) as (a, b):
        for number in range(300):
            a.udp.send_nowait(("127.0.0.1", b.sockets.port), b"%d" % number)
        await until(lambda: len(b.packets) == 300)
        assert b.batches < 20
        assert b.udp.statistics()["packets_in"] == 300


def test_many_datagrams_are_read_at_once() -> None:
    trio.run(_burst)


async def _hello() -> None:
    async with ends(4) as all_ends:
        a = all_ends[0]
        a.udp.send_everywhere_nowait(b"anybody?")
        for end in all_ends:
            await until(lambda end=end: end.packets)
            assert end.packets[0][0] == b"anybody?"
            assert end.packets[0][1][1] == a.sockets.port
        assert all_ends[3].udp.addresses()[0] == ("127.0.0.1", all_ends[3].sockets.port)


def test_several_nodes_of_one_host_hear_each_other_on_loopback() -> None:
    trio.run(_hello)


async def _no_multicast() -> None:
    async with ends(2, use_multicast=False) as (a, b):
        a.udp.send_everywhere_nowait(b"anybody?")
        a.udp.send_nowait(("127.0.0.1", b.sockets.port), b"only you")
        await until(lambda: b.packets)
        assert [datagram for datagram, _ in a.packets + b.packets] == [b"only you"]
        assert a.udp.statistics()["packets_out"] == 1


def test_multicast_can_be_switched_off() -> None:
    trio.run(_no_multicast)


async def _refused() -> None:
    free = open_sockets(0)
    free.close()
    async with ends(2) as (a, b):
        a.udp.send_nowait(("127.0.0.1", free.port), b"hello")
        await until(lambda: a.refused)
        assert a.refused == [("127.0.0.1", free.port)]
        # The news of one dead neighbour does not disturb the others.
        for _ in range(20):
            a.udp.send_nowait(("127.0.0.1", free.port), b"hello")
            a.udp.send_nowait(("127.0.0.1", b.sockets.port), b"hello")
        await until(lambda: len(b.packets) == 20)
        assert a.udp.statistics()["send_failed"] == 0


@pytest.mark.skipif(not udp._IS_LINUX, reason="only Linux tells unconnected sockets of refusals")
def test_a_refused_datagram_is_told() -> None:
    trio.run(_refused)


async def _unreachable() -> None:
    async with ends(1) as (a,):
        for host in ("no name", "256.1.1.1", "", "fe80::1%nowhere", "\0", "é" * 70, "240.0.0.1"):
            a.udp.send_nowait((host, 7117), b"hello")
        for port in (0, -1, 70000):
            a.udp.send_nowait(("127.0.0.1", port), b"hello")
        statistics = a.udp.statistics()
        assert statistics["send_unreachable"] + statistics["send_failed"] + statistics["packets_out"] == 10
        assert statistics["send_unreachable"] >= 8
        a.udp.send_nowait(("127.0.0.1", 9), bytes(70_000))
        assert a.udp.statistics()["send_failed"] == statistics["send_failed"] + 1


def test_sending_never_raises() -> None:
    trio.run(_unreachable)


async def _outsiders() -> None:
    async with ends(2) as (a, b):
        sealer_a, sealer_b = Sealer(KEYS, b"a" * 16), Sealer(KEYS, b"b" * 16)
        stranger = Sealer(MeshKeys(b"x" * 32), b"c" * 16)
        good = sealer_a.seal(b"payload")
        datagrams = [stranger.seal(b"payload"), good, good, os.urandom(100), os.urandom(1), b"", good[:50]]
        for datagram in datagrams:
            a.udp.send_nowait(("127.0.0.1", b.sockets.port), datagram)
        await until(lambda: len(b.packets) == len(datagrams))
        opened = []
        for datagram, source in b.packets:
            try:
                opened.append(sealer_b.open_untrusted(datagram, source))
            except BadSeal:
                continue
        assert opened == [b"payload"]
        statistics = sealer_b.statistics()
        # The cut one counts as replayed: its header is that of one taken before.
        assert statistics["refused_replay"] == 2
        assert statistics["refused_tag"] + statistics["refused_short"] == 4


def test_datagrams_of_outsiders_are_counted_and_dropped() -> None:
    trio.run(_outsiders)


async def _refresh(monkeypatch: pytest.MonkeyPatch) -> None:
    async with ends(1, ()) as (a,):
        told: list[list[Address]] = []
        a.udp._on_addresses = told.append  # type: ignore[misc]  # the fixture gives none
        real = list_interfaces()
        monkeypatch.setattr(interfaces, "list_interfaces", list)
        a.udp.refresh()
        assert a.udp.addresses() == []
        assert told == [[]]
        a.udp.send_everywhere_nowait(b"into nothing")
        monkeypatch.setattr(interfaces, "list_interfaces", lambda: real)
        a.udp.refresh()
        assert told[1] == a.udp.addresses() != []
        a.udp.refresh()
        assert len(told) == 2
        a.udp.send_everywhere_nowait(b"hello")
        await until(lambda: a.packets)


def test_an_interface_that_went_and_came_back_is_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    trio.run(_refresh, monkeypatch)


async def _link_down(monkeypatch: pytest.MonkeyPatch) -> None:
    async with ends(1) as (a,):
        before = a.udp.statistics()["refreshes"]
        a.udp._failed(errno.ENETUNREACH)
        await until(lambda: a.udp.statistics()["refreshes"] > before)


def test_an_error_makes_it_look_again(monkeypatch: pytest.MonkeyPatch) -> None:
    trio.run(_link_down, monkeypatch)


def test_the_own_interfaces_are_found() -> None:
    found = list_interfaces()
    loopback = [interface for interface in found if interface.is_loopback]
    assert "127.0.0.1" in [address for address, _ in loopback[0].ipv4]
    assert loopback[0].index == socket.if_nametoindex(loopback[0].name)


def test_the_ways_to_find_interfaces_agree() -> None:
    pytest.importorskip("psutil", reason="one of the sources that are compared")

    def shape(found: list[Interface]) -> list[object]:
        return [
            (item.name, item.index, item.is_loopback, [ip for ip, _ in item.ipv4], sorted(item.ipv6))
            for item in found
        ]

    assert shape(interfaces._list_by_ioctl()) == shape(interfaces._list_by_psutil())
    assert interfaces._list_by_ioctl() == interfaces._list_by_getifaddrs()
    assert [item.networks for item in interfaces._list_by_psutil()] == [
        item.networks for item in interfaces._list_by_ioctl()
    ]
    for item in interfaces._list_by_probe():
        assert {ip for ip, _ in item.ipv4} <= {ip for other in list_interfaces() for ip, _ in other.ipv4}


def test_without_any_list_the_probe_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    def denied() -> list[Interface]:
        raise PermissionError("netlink is denied")

    monkeypatch.setattr(interfaces, "_list_by_ioctl", denied)
    monkeypatch.setattr(interfaces, "_list_by_getifaddrs", denied)
    monkeypatch.setattr(interfaces, "_list_by_psutil", denied)
    monkeypatch.setattr(
        interfaces, "_list_by_probe", lambda: [Interface("default", 0, False, [("10.0.0.1", "")], [])]
    )
    assert [interface.name for interface in list_interfaces()] == ["default"]


def test_where_proc_is_denied_addresses_come_from_the_c_library(monkeypatch: pytest.MonkeyPatch) -> None:
    class Denied:
        def read_text(self, _encoding: str) -> str:
            raise PermissionError("not for apps")

    expected = list_interfaces()
    monkeypatch.setattr(interfaces, "_IF_INET6", Denied())
    assert list_interfaces() == expected


def test_an_interface_that_vanishes_while_it_is_looked_at_hides_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = [interface.name for interface in list_interfaces()]
    real = interfaces._ipv4_addresses
    monkeypatch.setattr(interfaces, "_ipv4_addresses", lambda fd: {**real(fd), "gone0": [bytes(4)]})
    assert [interface.name for interface in list_interfaces()] == expected


def test_which_addresses_are_on_a_link() -> None:
    wide = Interface("eth0", 2, False, [("10.0.1.5", "")], ["fe80::5"], (IPv4Network("10.0.0.0/16"),))
    assert wide.is_link_of("10.0.200.7")
    assert wide.is_link_of("fe80::1%eth0")
    assert wide.is_link_of("fe80::1")
    for host in ("10.1.0.1", "fe80::1%wlan0", "fd00::1", "pi.local", ""):
        assert not wide.is_link_of(host)


async def _ways() -> None:
    heard: list[tuple[bytes, str]] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    sockets = open_sockets(0)
    end = UdpEndpoint(
        sockets,
        lambda *_: None,
        lambda _: None,
        interfaces=("lo",),
        discovery_port=port,
        on_hello=lambda datagram, _, way: heard.append((datagram, way)),
    )
    expected = {(b"all", MULTICAST), (b"one", UNICAST)}
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            await nursery.start(end.run)
            end.send_everywhere_nowait(b"all")
            end.send_nowait(("127.0.0.1", port), b"one")
            await until(lambda: expected <= set(heard))
            end._joined_at = -1000.0
            end.refresh()
            end.send_everywhere_nowait(b"again")
            await until(lambda: (b"again", MULTICAST) in heard)
            assert end.join_error() == ""
            nursery.cancel_scope.cancel()
    sockets.close()


def test_a_hello_is_told_with_its_way_and_groups_are_joined_again() -> None:
    trio.run(_ways)


def test_a_way_that_the_system_does_not_tell_counts_as_multicast() -> None:
    assert way_of(socket.AF_INET, []) == MULTICAST
    assert way_of(socket.AF_INET6, []) == MULTICAST_IPV6
    own, everybody = socket.inet_aton("10.0.0.5"), socket.inet_aton("10.0.0.255")
    told = [(socket.IPPROTO_IP, 8, bytes(4) + own + everybody)]
    assert way_of(socket.AF_INET, told) == BROADCAST
    assert way_of(socket.AF_INET, [(socket.IPPROTO_IP, 8, bytes(4) + own + own)]) == UNICAST
    assert way_of(socket.AF_INET6, [(socket.IPPROTO_IPV6, 50, bytes(20))]) == UNICAST


ETH = Interface("eth0", 2, False, [("10.0.0.5", "10.0.0.255")], ["fd00::5", "fe80::5"])
LO = Interface("lo", 1, True, [("127.0.0.1", "")], ["::1"])
DOCKER = Interface("docker0", 3, False, [("172.17.0.1", "172.17.255.255")], [])
VETH = Interface("veth12", 4, False, [("10.9.0.1", "")], ["fe80::9"])


def test_virtual_interfaces_are_skipped_unless_named() -> None:
    assert choose_usable([LO, ETH, DOCKER, VETH]) == [ETH]
    assert choose_usable([LO, DOCKER]) == [LO]
    assert choose_usable([LO, ETH, VETH], ["veth12", "lo"]) == [LO, VETH]
    assert choose_usable([LO, ETH], ["wlan0"]) == []
    assert choose_usable([]) == []


def test_own_addresses_leave_out_what_others_cannot_use() -> None:
    assert own_hosts([ETH]) == ["10.0.0.5", "fd00::5"]
    assert own_hosts([Interface("eth0", 2, False, [], ["fe80::5"])]) == ["fe80::5"]
    fallback = Interface("eth0", 2, False, [("169.254.7.7", "")], ["fd00::5", "fe80::5"])
    assert own_hosts([fallback]) == ["fd00::5"]
    assert own_hosts([fallback, ETH]) == ["10.0.0.5", "fd00::5", "fd00::5"]
    assert own_hosts([LO]) == ["127.0.0.1", "::1"]
    assert own_hosts([]) == []


def test_link_local_addresses_get_a_scope() -> None:
    assert is_link_local("fe80::1%eth0")
    assert not is_link_local("fd00::1")
    assert not is_link_local("fe80.example.org")
    assert with_scopes(("fe80::7", 1), [ETH, VETH]) == [("fe80::7%eth0", 1), ("fe80::7%veth12", 1)]
    assert with_scopes(("fe80::7%eth0", 1), [ETH, VETH]) == [("fe80::7%eth0", 1)]
    assert with_scopes(("10.0.0.1", 1), [ETH]) == [("10.0.0.1", 1)]


def test_broadcast_addresses() -> None:
    def ip(text: str) -> bytes:
        return socket.inet_aton(text)

    assert interfaces._broadcast(ip("10.1.2.3"), ip("255.255.255.0")) == "10.1.2.255"
    assert interfaces._broadcast(ip("10.1.2.3"), ip("255.255.252.0")) == "10.1.3.255"
    assert interfaces._broadcast(ip("10.1.2.3"), ip("255.255.255.255")) == ""
    assert interfaces._broadcast(ip("10.1.2.3"), ip("255.255.255.254")) == ""


async def _resolve() -> None:
    found = await interfaces.resolve_addresses(
        [("localhost", 7), ("no-such-host.invalid", 7), ("10.0.0.1", 8)]
    )
    assert ("10.0.0.1", 8) in found
    assert {port for _, port in found} == {7, 8}
    assert all(host[0].isdigit() or ":" in host for host, _ in found)


def test_names_are_resolved_and_unknown_ones_left_out() -> None:
    trio.run(_resolve)


def test_one_port_for_everything() -> None:
    sockets = open_sockets()
    try:
        assert sockets.port != DISCOVERY_PORT
        assert sockets.port >= PORT
        assert {sock.getsockname()[1] for sock in sockets.tcp + sockets.udp} == {sockets.port}
        assert len(sockets.tcp) == len(sockets.udp)
        with pytest.raises(ConfigError, match=f"port {sockets.port} is in use"):
            open_sockets(sockets.port)
        another = open_sockets()
        assert another.port != sockets.port
        another.close()
    finally:
        sockets.close()


@pytest.mark.parametrize(
    ("port", "listen", "reason"),
    [
        (70000, "", "not in 0 to 65535"),
        (-1, "", "not in 0 to 65535"),
        (0, "not-a-number", "not a numeric address"),
        (0, "192.0.2.99", "cannot listen on 192.0.2.99"),
    ],
)
def test_wrong_ports_and_addresses_are_named(port: int, listen: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        open_sockets(port, listen)


def test_listening_on_one_address_tells_only_that_one() -> None:
    sockets = open_sockets(0, "127.0.0.1")
    try:
        end = UdpEndpoint(sockets, lambda *_: None, lambda _: None, use_multicast=False)
        assert end.addresses() == [("127.0.0.1", sockets.port)]
        assert [interface.is_loopback for interface in end.usable_interfaces()] == [True]
    finally:
        sockets.close()


def test_a_host_without_ipv6_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.socket

    def only_ipv4(family: int = -1, *rest: int) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        return real(family, *rest)

    monkeypatch.setattr(socket, "socket", only_ipv4)
    sockets = open_sockets(0)
    try:
        assert [sock.family for sock in sockets.udp] == [socket.AF_INET]
    finally:
        sockets.close()
