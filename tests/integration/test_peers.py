"""Links between nodes over real TLS on loopback."""

from __future__ import annotations

import os
import socket
import ssl
import struct
from pathlib import Path

import pytest
import trio

from swarm.core.errors import ConnectionLost
from swarm.core.ids import NodeId
from swarm.net import peers as peers_module
from swarm.net.dial import dial
from swarm.net.identity import NodeKey
from swarm.net.invitation import new_secret
from swarm.net.keys import ALPN_SWARM
from swarm.net.peers import PeerLinks
from swarm.net.sockets import open_sockets
from tests.integration.mesh_sockets import Station, stations, until


async def _exchange(path: Path) -> None:
    async with stations(path, 2) as (a, b):
        a.send(b, b"one")
        a.send(b, b"")
        a.send(b, b"three")
        await until(lambda: len(b.messages) == 3)
        assert b.messages == [(a.node_id, b"one"), (a.node_id, b""), (a.node_id, b"three")]
        b.send(a, b"back")
        await until(lambda: a.messages)
        # The answer came over the link that was there; nobody dialled twice.
        assert b.links.statistics()["dials"] == 0
        assert a.links.statistics()["dials"] == 1
        assert a.links.statistics()["batches_out"] == 1
        assert a.connected == [b.node_id]
        assert b.connected == [a.node_id]
        assert a.links.connected() == [b.node_id]
        assert a.lost == b.lost == []


def test_messages_arrive_in_order_and_answers_use_the_same_link(tmp_path: Path) -> None:
    trio.run(_exchange, tmp_path)


async def _big(path: Path) -> None:
    async with stations(path, 2) as (a, b):
        big = os.urandom(64 * 1024 * 1024)
        expected = [b"before", big, b"after"]
        for payload in expected:
            a.send(b, payload)
        await until(lambda: len(b.messages) == 3, 20)
        assert [payload for _, payload in b.messages] == expected


def test_a_job_part_of_64_mib_travels_between_small_messages(tmp_path: Path) -> None:
    trio.run(_big, tmp_path)


async def _many(path: Path) -> None:
    async with stations(path, 2) as (a, b):
        for number in range(10_000):
            a.send(b, b"%d" % number)
            b.send(a, b"%d" % number)
        await until(lambda: len(a.messages) == len(b.messages) == 10_000)
        expected = [b"%d" % number for number in range(10_000)]
        assert [payload for _, payload in a.messages] == expected
        assert [payload for _, payload in b.messages] == expected
        assert a.links.statistics()["batches_out"] < 100
        assert a.lost == b.lost == []


def test_both_may_dial_at_once_and_nothing_is_lost(tmp_path: Path) -> None:
    trio.run(_many, tmp_path)


async def _refused(path: Path) -> None:
    async with stations(path, 1) as (a,):
        free = open_sockets(0, "127.0.0.1")
        free.close()
        nobody = NodeKey.generate().node_id
        a.links.send_nowait(nobody, [("127.0.0.1", free.port)], b"x")
        a.links.send_nowait(nobody, [("127.0.0.1", free.port)], b"y")
        await until(lambda: a.lost)
        assert a.lost == [(nobody, True)]
        assert a.links.statistics()["dropped"] == 2
        a.links.send_nowait(nobody, [], b"no address")
        await until(lambda: len(a.lost) == 2)
        assert a.lost[1] == (nobody, False)


def test_a_refused_dial_is_hard_evidence(tmp_path: Path) -> None:
    trio.run(_refused, tmp_path)


async def _race(path: Path) -> None:
    async with stations(path, 2) as (a, b):
        # The first address is silent (a listener that never answers), the second is right.
        with trio.socket.socket() as silent:
            await silent.bind(("127.0.0.1", 0))
            silent.listen(5)
            addresses = [silent.getsockname(), ("127.0.0.1", 1), b.address]
            started = trio.current_time()
            a.links.send_nowait(b.node_id, addresses, b"hello")
            await until(lambda: b.messages)
            assert trio.current_time() - started < 1.5


def test_addresses_are_raced(tmp_path: Path) -> None:
    trio.run(_race, tmp_path)


async def _wrong_peer(path: Path) -> None:
    async with stations(path, 2) as (a, b):
        wanted = NodeKey.generate().node_id
        a.links.send_nowait(wanted, [b.address], b"not for you")
        await until(lambda: a.lost)
        assert a.lost == [(wanted, False)]
        assert b.messages == []


def test_another_node_at_the_address_gets_nothing(tmp_path: Path) -> None:
    trio.run(_wrong_peer, tmp_path)


async def _other_mesh(path: Path) -> None:
    async with stations(path / "a", 1) as (a,), stations(path / "b", 1, new_secret()) as (b,):
        a.send(b, b"hello")
        await until(lambda: a.lost)
        assert a.lost == [(b.node_id, False)]
        await until(lambda: b.server.statistics()["tls_failed"])
        assert b.messages == []


def test_nodes_of_two_meshes_cannot_talk(tmp_path: Path) -> None:
    trio.run(_other_mesh, tmp_path)


async def _break(path: Path) -> None:
    async with stations(path, 2) as (a, b):
        a.send(b, b"hello")
        b.send(a, b"hello")  # perhaps on a second link
        await until(lambda: a.messages and b.messages)
        b.stop()
        await until(lambda: a.lost and not a.links.connected())
        assert [peer for peer, _ in a.lost] == [b.node_id]
        a.send(b, b"are you there")
        await until(lambda: len(a.lost) == 2)
        assert a.lost[1] == (b.node_id, True)


def test_a_stopped_peer_is_lost_once(tmp_path: Path) -> None:
    trio.run(_break, tmp_path)


async def _kill(path: Path) -> None:
    async with stations(path, 2) as (a, b):
        b.send(a, b"hello")
        await until(lambda: a.messages)
        # What a kill -9 looks like from outside: the stream ends without any goodbye.
        for link in b.links._peers[a.node_id].links:
            await trio.aclose_forcefully(link.websocket._stream)
        await until(lambda: a.lost)
        assert a.lost == [(b.node_id, True)]


def test_an_end_without_goodbye_is_hard_evidence(tmp_path: Path) -> None:
    trio.run(_kill, tmp_path)


async def _reset(path: Path) -> None:
    async with stations(path, 2) as (a, b):
        b.send(a, b"hello")
        await until(lambda: a.messages)
        for link in b.links._peers[a.node_id].links:
            # A reset instead of an end, as after a connection that the other host has forgotten.
            stream = link.websocket._stream.transport_stream
            stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            await trio.aclose_forcefully(link.websocket._stream)
        await until(lambda: a.lost)
        assert a.lost == [(b.node_id, False)]


def test_a_reset_is_no_evidence(tmp_path: Path) -> None:
    """A process that is well gives up a connection too, when the other host slept or was cut off."""
    trio.run(_reset, tmp_path)


def _newcomer(station: Station) -> tuple[NodeKey, ssl.SSLContext]:
    """A node that the station has not met, and what it dials with."""
    key = NodeKey.generate()
    return key, station.keys.node_credentials(key).client_context(ALPN_SWARM)


async def _half_a_frame(path: Path) -> None:
    async with stations(path, 1) as (a,):
        key, context = _newcomer(a)
        websocket, _ = await dial(a.address, context, "/peer", boot=b"1")
        await websocket.send_batch([b"hello"])
        await until(lambda: a.messages)
        with trio.move_on_after(0.5) as writing:
            while True:  # until the socket takes no more, which ends this in the middle of a frame
                await websocket.send_batch([b"x" * 10_000_000])
        assert writing.cancelled_caught
        await websocket.aclose()
        await until(lambda: a.lost)
        assert a.lost == [(key.node_id, False)]


def test_who_cannot_say_goodbye_any_more_is_not_taken_for_dead(tmp_path: Path) -> None:
    """A link is closed in the middle of a frame when another one to the same peer broke."""
    trio.run(_half_a_frame, tmp_path)


async def _new_boot(path: Path) -> None:
    async with stations(path, 1) as (a,):
        key, context = _newcomer(a)
        first, _ = await dial(a.address, context, "/peer", boot=b"1")
        await first.send_batch([b"from the first life"])
        await until(lambda: a.messages)
        second, _ = await dial(a.address, context, "/peer", boot=b"2")
        await until(lambda: len(a.connected) == 2)
        assert a.lost == [(key.node_id, False)]
        with pytest.raises(ConnectionLost):
            await first.receive_messages()
        a.links.send_nowait(key.node_id, [], b"to the second life")
        assert await second.receive_messages()
        await second.aclose()
        await first.aclose()


def test_a_peer_with_a_new_boot_loses_its_old_links(tmp_path: Path) -> None:
    trio.run(_new_boot, tmp_path)


async def _unused(path: Path) -> None:
    async with stations(path, 4) as (a, b, c, d):
        for other in (b, c):
            a.send(other, b"hello")
            await until(lambda other=other: other.messages)
        a.send(d, b"hello")
        await until(lambda: d.messages)
        await until(lambda: b.node_id not in a.links.connected())
        assert sorted(a.links.connected()) == sorted([c.node_id, d.node_id])
        await until(lambda: not b.links.connected())
        assert a.lost == b.lost == []
        assert a.links.statistics()["closed_unused"] == 1
        b.send(a, b"again")
        await until(lambda: a.messages)


def test_the_link_not_used_for_longest_makes_room_and_is_no_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers_module, "LINK_COUNT_MAX", 2)
    trio.run(_unused, tmp_path)


async def _accepted(path: Path) -> None:
    async with stations(path, 4) as (a, b, c, d):
        b.send(a, b"hello")
        await until(lambda: a.messages)
        for other in (c, d):
            await trio.sleep(0.01)
            a.send(other, b"hello")
            await until(lambda other=other: other.messages)
        await until(lambda: not c.links.connected())
        assert sorted(a.links.connected()) == sorted([b.node_id, d.node_id])
        assert a.links.statistics()["closed_unused"] == 1
        assert a.lost == c.lost == []


def test_a_link_that_the_peer_has_dialled_is_kept_rather_than_an_own_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers_module, "LINK_COUNT_MAX", 2)
    trio.run(_accepted, tmp_path)


async def _accepted_only(path: Path) -> None:
    async with stations(path, 3) as (a, b, c):
        for other in (b, c):
            other.send(a, b"hello")
            await until(lambda other=other: a.node_id in other.links.connected())
            await trio.sleep(0.01)
        await until(lambda: not b.links.connected())
        assert a.links.connected() == [c.node_id]


def test_where_all_links_were_dialled_by_peers_one_of_them_makes_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers_module, "LINK_COUNT_MAX", 1)
    monkeypatch.setattr(peers_module, "ACCEPTED_COUNT_MAX", 1)
    trio.run(_accepted_only, tmp_path)


async def _behind(path: Path) -> None:
    async with stations(path, 2) as (a, b):
        with trio.socket.socket() as silent:
            await silent.bind(("127.0.0.1", 0))
            silent.listen(5)
            # A dial that nobody answers, as behind a translator; the peer's own link comes meanwhile.
            a.links.send_nowait(b.node_id, [silent.getsockname()], b"a question")
            await until(lambda: a.links.statistics()["dials"] == 1)
            b.send(a, b"here I am")
            await until(lambda: b.messages)
            assert b.messages == [(a.node_id, b"a question")]
            await until(lambda: a.links.statistics()["dials_failed"] == 1, 8.0)
            a.links.send_nowait(b.node_id, [silent.getsockname()], b"another")
            await until(lambda: len(b.messages) == 2)
            assert a.lost == b.lost == []


def test_what_waits_for_a_dial_leaves_on_the_link_that_the_peer_opens(tmp_path: Path) -> None:
    trio.run(_behind, tmp_path)


async def _overflow(path: Path) -> None:
    async with stations(path, 2) as (a, b):
        for _ in range(5):
            a.send(b, bytes(40))
        assert a.lost == []  # never told from inside send_nowait
        await until(lambda: a.lost)
        assert a.lost[0] == (b.node_id, False)
        assert a.links.statistics()["queue_full"] >= 1


def test_a_full_queue_is_a_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers_module, "QUEUE_BYTES_MAX", 100)
    trio.run(_overflow, tmp_path)


async def _drop(path: Path) -> None:
    async with stations(path, 2) as (a, b):
        a.send(b, b"hello")
        await until(lambda: b.messages)
        a.links.drop_nowait(b.node_id)
        await until(lambda: b.lost)
        await trio.sleep(0.02)
        assert a.lost == []
        assert a.links.connected() == b.links.connected() == []


def test_dropping_a_peer_is_silent_on_the_own_side(tmp_path: Path) -> None:
    trio.run(_drop, tmp_path)


async def _batch_end(path: Path) -> None:
    seen: list[str] = []
    async with stations(path, 1) as (a,):
        key = NodeKey.generate()

        def on_message(_: NodeId, payload: bytes) -> None:
            seen.append(payload.decode())

        links = PeerLinks(
            a.keys.node_credentials(key),
            on_message,
            lambda _: None,
            lambda *_: None,
            lambda: seen.append("|"),
        )
        async with trio.open_nursery() as nursery:
            await nursery.start(links.run)
            links.send_nowait(a.node_id, [a.address], b"x")
            await until(lambda: a.messages)
            seen.clear()
            for payload in (b"1", b"2", b"3"):
                a.links.send_nowait(key.node_id, [], payload)
            await until(lambda: seen)
            assert seen == ["1", "2", "3", "|"]
            nursery.cancel_scope.cancel()


def test_the_end_of_a_batch_is_told_once(tmp_path: Path) -> None:
    trio.run(_batch_end, tmp_path)
