"""Real listeners of the network layer on loopback, with lists of what they were told."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from swarm.core.ids import Address, NodeId, ObjectName
from swarm.net.http import ObjectServer
from swarm.net.identity import NodeKey
from swarm.net.invitation import new_secret
from swarm.net.keys import Credentials, KeyContext, MeshKeys
from swarm.net.peers import PeerLinks
from swarm.net.server import Server
from swarm.net.session import Sessions
from swarm.net.sockets import open_sockets

SECRET = new_secret()


class Station:
    """One node's side of the network: a server, its links and sessions, and everything they said."""

    def __init__(self, store: Path, secret: bytes = SECRET, key: NodeKey | None = None) -> None:
        self.keys = MeshKeys(secret)
        self.key = key or NodeKey.generate()
        self.credentials: Credentials = self.keys.node_credentials(self.key)
        self.node_id: NodeId = self.key.node_id
        self.store = store
        self.messages: list[tuple[NodeId, bytes]] = []
        self.connected: list[NodeId] = []
        self.lost: list[tuple[NodeId, bool]] = []
        self.sessions_opened: list[tuple[int, str, bytes]] = []
        self.frames: list[tuple[int, bytes]] = []
        self.sessions_closed: list[int] = []
        self.puts: list[tuple[ObjectName, bytes, int, int]] = []
        self.sockets = open_sockets(0, "127.0.0.1")
        self.links = PeerLinks(
            self.credentials,
            lambda peer, payload: self.messages.append((peer, payload)),
            self.connected.append,
            lambda peer, was_refused: self.lost.append((peer, was_refused)),
        )
        self.sessions = Sessions(
            lambda session, role, identity: self.sessions_opened.append((session, role, identity)),
            lambda session, payload: self.frames.append((session, payload)),
            self.sessions_closed.append,
        )
        self.objects = ObjectServer(
            store,
            lambda name, digest, size, encoding: self.puts.append((name, digest, size, encoding)),
            10_000_000,
            lambda: {"status": "ok"},
        )
        self.server = Server(self.sockets, self.credentials, self.links, self.sessions, self.objects)
        self.scope = trio.CancelScope()

    @property
    def address(self) -> Address:
        return ("127.0.0.1", self.sockets.port)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        try:
            with self.scope:
                async with trio.open_nursery() as nursery:
                    await nursery.start(self.links.run)
                    await nursery.start(self.server.run)
                    task_status.started()
        finally:
            self.sockets.close()

    def send(self, other: Station, payload: bytes) -> None:
        self.links.send_nowait(other.node_id, [other.address], payload)

    def stop(self) -> None:
        self.scope.cancel()


@asynccontextmanager
async def stations(path: Path, count: int, secret: bytes = SECRET) -> AsyncIterator[list[Station]]:
    """Give `count` running stations of one mesh; all are stopped afterwards."""
    made = [Station(path / f"store{number}", secret) for number in range(count)]
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            for station in made:
                await nursery.start(station.run)
            yield made
            nursery.cancel_scope.cancel()


async def until(condition: object, timeout_s: float = 5.0) -> None:
    """Wait until a callable returns something true."""
    assert callable(condition)
    with trio.fail_after(timeout_s):
        while not condition():  # noqa: ASYNC110 - what is waited for is anything that can be looked at
            await trio.sleep(0.005)


async def raw_tls(address: Address, context: ssl.SSLContext) -> trio.SSLStream[trio.SocketStream]:
    """Return a TLS stream after its handshake, without any check of who answers."""
    name = context.server_name if isinstance(context, KeyContext) else None
    transport = await trio.open_tcp_stream(*address)
    stream = trio.SSLStream(transport, context, server_hostname=name, https_compatible=True)
    await stream.do_handshake()
    return stream
