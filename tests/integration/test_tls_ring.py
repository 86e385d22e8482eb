"""TLS under several keys of the mesh: who has a key in common meets, and an old one lets nobody in."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from swarm.core.errors import ConnectFailed
from swarm.core.ids import NodeId
from swarm.net.dial import dial, open_tls
from swarm.net.identity import NodeKey
from swarm.net.keys import ALPN_HTTP, ALPN_SWARM, MeshKeys
from swarm.net.tls_ring import TlsRing
from swarm.net.websocket import LinkLost, WebSocket
from tests.integration.mesh_sockets import Station, raw_tls, stations, until

OLD, NEW = MeshKeys(b"o" * 32), MeshKeys(b"n" * 32)


def ring_of(station: Station, *opening: MeshKeys, returning: tuple[MeshKeys, ...] = ()) -> None:
    """Let a running station have these keys."""
    ring = station.server._ring
    ring.replace(
        [keys.node_credentials(station.key) for keys in opening],
        [keys.node_credentials(station.key) for keys in returning],
    )


def dialler(*opening: MeshKeys) -> TlsRing:
    key = NodeKey.generate()
    ring = TlsRing(opening[0].node_credentials(key))
    ring.replace([keys.node_credentials(key) for keys in opening], [])
    return ring


async def _common(path: Path) -> None:
    async with stations(path, 1, b"o" * 32) as (a,):
        both = dialler(NEW, OLD)
        for opening in ((OLD,), (OLD, NEW), (NEW, OLD), (NEW,)):
            ring_of(a, *opening)
            stream, identity = await open_tls(a.address, both.dial_contexts(ALPN_SWARM), a.node_id)
            assert identity == a.node_id
            wanted = NEW if NEW in opening else OLD
            assert stream.context.fingerprint == wanted.fingerprint
            await trio.aclose_forcefully(stream)
        with pytest.raises(ConnectFailed, match="another mesh"):
            await open_tls(a.address, dialler(OLD).dial_contexts(ALPN_SWARM))


def test_the_first_common_key_is_used(tmp_path: Path) -> None:
    trio.run(_common, tmp_path)


async def _returning(path: Path) -> None:
    async with stations(path, 1, b"o" * 32) as (a,):
        met: list[tuple[bytes, NodeId]] = []

        async def meet(websocket: WebSocket, peer: NodeId) -> None:
            met.append((websocket.key_fingerprint, peer))
            await websocket.aclose()

        a.server._keys = meet  # type: ignore[misc]  # in the place of the daemon's
        ring_of(a, NEW, returning=(OLD,))
        node = dialler(OLD)
        context = node.dial_contexts(ALPN_SWARM)
        for where in ("/peer", "/client"):
            with pytest.raises(ConnectFailed, match="the mesh has a new key: ask for a new invitation"):
                await dial(a.address, context, where)
        websocket, _ = await dial(a.address, context, "/keys")
        await until(lambda: met == [(OLD.fingerprint, node.identity)])
        await websocket.aclose()
        client = TlsRing(OLD.client_credentials())
        with pytest.raises(ConnectFailed, match="new key"):
            await dial(a.address, client.dial_contexts(ALPN_SWARM), "/client")
        with pytest.raises(ConnectFailed, match="only other nodes"):
            await dial(a.address, client.dial_contexts(ALPN_SWARM), "/keys")
        stream = await raw_tls(a.address, node.dial_contexts(ALPN_HTTP)[0])
        assert await stream.receive_some() == b""
        await trio.aclose_forcefully(stream)
        assert a.server.statistics()["old_key"] == 4, "twice to each of /peer and /client, and HTTP once"
        assert len(met) == 1
        assert a.connected == []


def test_under_a_returning_key_only_keys_are_exchanged(tmp_path: Path) -> None:
    trio.run(_returning, tmp_path)


async def _closed(path: Path) -> None:
    async with stations(path, 2, b"o" * 32) as (a, b):
        for station in (a, b):
            station.links._ring.replace(
                [OLD.node_credentials(station.key), NEW.node_credentials(station.key)], []
            )
            ring_of(station, OLD, NEW)
        client = OLD.client_credentials()
        session, _ = await dial(a.address, client.client_context(ALPN_SWARM), "/client")
        a.send(b, b"first")
        await until(lambda: b.messages == [(a.node_id, b"first")])
        for station in (a, b):
            station.links._ring.replace(
                [NEW.node_credentials(station.key)], [OLD.node_credentials(station.key)]
            )
            ring_of(station, NEW, returning=(OLD,))
        for number in range(100):
            a.send(b, b"%d" % number)
        await until(lambda: len(b.messages) == 101)
        assert [payload for _, payload in b.messages[1:]] == [b"%d" % number for number in range(100)]
        assert a.lost == b.lost == [], "a key that ends loses nobody"
        await until(lambda: len(a.sessions_closed) == 1)
        with pytest.raises(LinkLost):
            await session.receive_messages()
        await session.aclose()


def test_links_move_to_the_new_key_without_a_loss_and_old_sessions_end(tmp_path: Path) -> None:
    trio.run(_closed, tmp_path)


async def _client(path: Path) -> None:
    """What the holder of a client invitation can do, besides talking at /client and moving objects."""
    async with stations(path, 1) as (a,):
        credentials = a.keys.client_credentials()
        context = credentials.client_context(ALPN_SWARM)
        for where in ("/peer", "/keys"):
            with pytest.raises(ConnectFailed, match="only other nodes"):
                await dial(a.address, context, where)
        websocket, _ = await dial(a.address, context, "/client")
        await until(lambda: a.sessions_opened[-1:] == [(1, "client", credentials.identity)])
        await websocket.aclose()
        # It holds neither the secret nor the authority's key: nothing to seal datagrams or make a node with.
        held = b"".join([credentials.authority, credentials.certificate, credentials.key_seed])
        assert a.keys.gossip_key not in held
        assert a.keys._secret not in held
        assert a.connected == []


def test_a_client_invitation_opens_sessions_and_nothing_of_the_nodes(tmp_path: Path) -> None:
    trio.run(_client, tmp_path)
