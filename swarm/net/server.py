"""The one TCP port of a node: mutual TLS for everybody, then by ALPN.

``swarm/1`` is a WebSocket, at /peer for nodes and at /client for clients and nodes; ``http/1.1`` is the
object server. Whoever shows no certificate of this mesh is cut off in the handshake; whatever else goes
wrong on a connection ends that connection and is counted. Who has not shown a certificate yet waits in a
bounded room (`swarm.net.handshakes`), from which strangers cannot keep newcomers out.
"""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final

import trio

from swarm.core.errors import RemoteProtocolError
from swarm.core.ids import NodeId
from swarm.net.dial import keep_alive
from swarm.net.handshakes import Handshake, Handshakes
from swarm.net.http import ObjectServer
from swarm.net.keys import ALPN_SWARM, ROLE_NODE, Credentials, key_of, peer_identity
from swarm.net.peers import PeerLinks
from swarm.net.session import Sessions
from swarm.net.sockets import NodeSockets
from swarm.net.tls_ring import TlsRing, ring_of
from swarm.net.upgrade import accept_upgrade, receive_upgrade_untrusted, refuse_upgrade
from swarm.net.websocket import TlsStream, WebSocket

UPGRADE_TIMEOUT_S: Final = 10.0
CONNECTION_COUNT_MAX: Final = 1024
KEYS_SIZE_MAX: Final = 1024 * 1024
"""Bytes of a message at /keys: three keys with four lists of 4,096 ids. Holders of old keys may send some."""
ACCEPT_PAUSE_S: Final = 0.1

_BUSY_ERRORS: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_COUNTERS: Final = (
    "accepted",
    "accept_failed",
    "too_many",
    "tls_failed",
    "tls_timed_out",
    "tls_dropped",
    "bad_certificate",
    "bad_upgrade",
    "wrong_role",
    "old_key",
    "wrong_path",
)


class Server:
    """Accepts connections and hands them to whom they are for."""

    def __init__(
        self,
        sockets: NodeSockets,
        credentials: Credentials | TlsRing,
        links: PeerLinks,
        sessions: Sessions,
        objects: ObjectServer,
        keys: Callable[[WebSocket, NodeId], Awaitable[None]] | None = None,
    ) -> None:
        """Prepare to serve on the TCP sockets of `sockets`, which stay the caller's to close.

        Args:
            sockets: bound and listening.
            credentials: of this node.
            links: gets the WebSockets of nodes.
            sessions: gets those of clients.
            objects: gets HTTP.
            keys: gets the WebSockets of nodes that exchange keys, None when there is nothing to exchange.
        """
        self._sockets: Final = sockets
        self._ring: Final = ring_of(credentials)
        self._ring.listen(self._close_under)
        self._scopes: Final[dict[trio.CancelScope, bytes]] = {}
        self._keys: Final = keys
        self._links: Final = links
        self._sessions: Final = sessions
        self._objects: Final = objects
        self._handshakes: Final = Handshakes()
        self._connections = 0
        self._counts: Final[dict[str, int]] = dict.fromkeys(_COUNTERS, 0)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled."""
        listeners = [trio.socket.from_stdlib_socket(sock.dup()) for sock in self._sockets.tcp]
        try:
            async with trio.open_nursery() as nursery:
                for listener in listeners:
                    nursery.start_soon(self._accept, listener, nursery)
                task_status.started()
        finally:
            for listener in listeners:
                listener.close()

    def statistics(self) -> dict[str, int]:
        """Return counts since the start, and how many connections are open."""
        return {**self._counts, "connections": self._connections}

    async def _accept(self, listener: trio.socket.SocketType, nursery: trio.Nursery) -> None:
        while True:
            try:
                sock, source = await listener.accept()
            except OSError as error:
                self._counts["accept_failed"] += 1
                if error.errno in _BUSY_ERRORS:
                    await trio.sleep(ACCEPT_PAUSE_S)
                continue
            if self._connections >= CONNECTION_COUNT_MAX:
                self._counts["too_many"] += 1
                sock.close()
                continue
            self._counts["accepted"] += 1
            try:
                stream = trio.SocketStream(sock)
            except OSError:  # it is gone already
                sock.close()
                continue
            keep_alive(stream)
            self._connections += 1
            nursery.start_soon(self._serve, stream, self._handshakes.enter(source[0]))

    async def _serve(self, transport: trio.SocketStream, handshake: Handshake) -> None:
        stream: TlsStream = trio.SSLStream(
            transport, self._ring.server_context(), server_side=True, https_compatible=True
        )
        try:
            if not await self._handshake(stream, handshake):
                return
            role, identity = peer_identity(stream)
            if stream.selected_alpn_protocol() == ALPN_SWARM:
                await self._serve_websocket(stream, role, identity)
            elif not key_of(stream).is_open:
                self._counts["old_key"] += 1
            else:
                with self._closable(stream):
                    await self._objects.serve(stream)
        except RemoteProtocolError:
            self._counts["bad_certificate"] += 1
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # it went away in the middle of something, which is its right
        finally:
            self._connections -= 1
            await trio.aclose_forcefully(stream)

    async def _handshake(self, stream: TlsStream, handshake: Handshake) -> bool:
        try:
            with handshake.scope:
                await stream.do_handshake()
                return True
            self._counts["tls_dropped" if handshake.is_dropped else "tls_timed_out"] += 1
        except (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
            self._counts["tls_failed"] += 1
        finally:
            self._handshakes.leave(handshake)
        return False

    async def _serve_websocket(self, stream: TlsStream, role: str, identity: bytes) -> None:
        try:
            with trio.fail_after(UPGRADE_TIMEOUT_S):
                upgrade = await receive_upgrade_untrusted(stream)
        except (RemoteProtocolError, trio.TooSlowError):
            self._counts["bad_upgrade"] += 1
            return
        is_other_node = role == ROLE_NODE and identity != self._ring.identity
        if upgrade.path in ("/peer", "/keys") and not is_other_node:
            self._counts["wrong_role"] += 1
            await refuse_upgrade(stream, 403, f"only other nodes of the mesh may open {upgrade.path}")
        elif upgrade.path == "/keys" and self._keys is not None:
            websocket = await accept_upgrade(stream, upgrade, message_size_max=KEYS_SIZE_MAX)
            await self._keys(websocket, identity)
        elif not key_of(stream).is_open:
            self._counts["old_key"] += 1
            await refuse_upgrade(
                stream, 403, "the mesh has a new key: ask for a new invitation (`swarm invite` on a node)"
            )
        elif upgrade.path == "/peer":
            websocket = await accept_upgrade(stream, upgrade, self._links.boot)
            await self._links.serve(websocket, identity, upgrade.boot)
        elif upgrade.path == "/client":
            websocket = await accept_upgrade(stream, upgrade)
            with self._closable(stream):
                await self._sessions.serve(websocket, role, identity)
        else:
            self._counts["wrong_path"] += 1
            await refuse_upgrade(stream, 404, "a node has WebSockets at /peer, /keys and /client only")

    @contextmanager
    def _closable(self, stream: TlsStream) -> Iterator[None]:
        """Let what happens on a stream end when its key does not open any more."""
        scope = trio.CancelScope()
        self._scopes[scope] = key_of(stream).fingerprint
        try:
            with scope:
                yield
        finally:
            del self._scopes[scope]

    def _close_under(self, fingerprint: bytes) -> None:
        for scope, key in self._scopes.items():
            if key == fingerprint:
                scope.cancel()
