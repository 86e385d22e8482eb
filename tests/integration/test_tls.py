"""Mutual TLS between nodes, clients and strangers, on loopback."""

from __future__ import annotations

import contextlib
import ssl
from pathlib import Path

import pytest
import trio

from swarm.core.errors import ConnectFailed, ConnectionLost
from swarm.net.dial import DialError, dial, open_tls
from swarm.net.identity import NodeKey
from swarm.net.invitation import Invitation, new_secret
from swarm.net.keys import ALPN_HTTP, ALPN_SWARM, Credentials, MeshKeys, peer_identity
from tests.integration.mesh_sockets import raw_tls, stations, until


async def _node_to_node(path: Path) -> None:
    async with stations(path, 2) as (a, b):
        stream, identity = await open_tls(b.address, a.credentials.client_context(ALPN_SWARM), b.node_id)
        assert identity == b.node_id
        assert peer_identity(stream) == ("node", b.node_id)
        assert stream.version() == "TLSv1.3"
        assert stream.selected_alpn_protocol() == "swarm/1"
        await trio.aclose_forcefully(stream)
        with pytest.raises(DialError, match="another node answers"):
            await open_tls(b.address, a.credentials.client_context(ALPN_SWARM), a.node_id)


def test_nodes_of_a_mesh_know_each_other(tmp_path: Path) -> None:
    trio.run(_node_to_node, tmp_path)


async def _client(path: Path) -> None:
    async with stations(path, 1) as (a,):
        invitation = Invitation(b"", a.keys.client_credentials(), "home", [a.address])
        credentials = Invitation.from_text(invitation.to_text()).credentials
        assert credentials is not None
        context = credentials.client_context(ALPN_SWARM)
        websocket, node = await dial(a.address, context, "/client")
        assert node == a.node_id
        await until(lambda: a.sessions_opened)
        assert a.sessions_opened == [(1, "client", credentials.identity)]
        await websocket.send_messages([b"hello", b"", b"there"])
        await until(lambda: len(a.frames) == 3)
        assert a.frames == [(1, b"hello"), (1, b""), (1, b"there")]
        a.sessions.send_nowait(1, b"welcome")
        assert await websocket.receive_messages() == [b"welcome"]
        await websocket.aclose()
        await until(lambda: a.sessions_closed)
        assert a.sessions_closed == [1]
        a.sessions.send_nowait(1, b"too late")
        assert a.sessions.statistics()["dropped"] == 1


def test_a_clients_invitation_opens_a_session(tmp_path: Path) -> None:
    trio.run(_client, tmp_path)


async def _client_on_peer(path: Path) -> None:
    async with stations(path, 1) as (a,):
        context = a.keys.client_credentials().client_context(ALPN_SWARM)
        with pytest.raises(ConnectFailed, match="only other nodes"):
            await dial(a.address, context, "/peer")
        with pytest.raises(ConnectFailed, match="404"):
            await dial(a.address, context, "/else")
        statistics = a.server.statistics()
        assert (statistics["wrong_role"], statistics["wrong_path"]) == (1, 1)
        assert a.connected == []


def test_a_client_is_no_peer(tmp_path: Path) -> None:
    trio.run(_client_on_peer, tmp_path)


async def _own_identity(path: Path) -> None:
    async with stations(path, 1) as (a,):
        with pytest.raises(ConnectFailed, match="only other nodes"):
            await dial(a.address, a.credentials.client_context(ALPN_SWARM), "/peer")


def test_a_node_does_not_take_itself_for_a_peer(tmp_path: Path) -> None:
    trio.run(_own_identity, tmp_path)


async def _wrong_mesh(path: Path) -> None:
    async with stations(path, 1) as (a,):
        stranger = MeshKeys(new_secret()).node_credentials(NodeKey.generate())
        with pytest.raises(ConnectFailed, match="another mesh"):
            await dial(a.address, stranger.client_context(ALPN_SWARM), "/client")
        # One who trusts our authority, but whose own certificate is of another mesh, learns why, too.
        mixed = Credentials(
            "node", stranger.identity, a.credentials.authority, stranger.certificate, stranger.key_seed
        )
        with pytest.raises(ConnectFailed, match="does not accept this invitation"):
            await dial(a.address, mixed.client_context(ALPN_SWARM), "/client")
        await until(lambda: a.server.statistics()["tls_failed"] == 2)
        assert a.sessions_opened == []


def test_another_mesh_is_told_so(tmp_path: Path) -> None:
    trio.run(_wrong_mesh, tmp_path)


async def _no_certificate(path: Path) -> None:
    async with stations(path, 1) as (a,):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_alpn_protocols([ALPN_HTTP])
        stream = await raw_tls(a.address, context)  # in TLS 1.3 the refusal comes after the client is done
        answer = b""
        with contextlib.suppress(trio.BrokenResourceError):
            await stream.send_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
            answer = bytes(await stream.receive_some(100))
        assert answer == b""
        await until(lambda: a.server.statistics()["tls_failed"] == 1)
        assert a.objects.statistics()["requests"] == 0
        await trio.aclose_forcefully(stream)


def test_without_a_certificate_nothing_is_served(tmp_path: Path) -> None:
    trio.run(_no_certificate, tmp_path)


async def _client_as_server(path: Path) -> None:
    async with stations(path, 1) as (a,):
        # A client's certificate must not pass for a node's, whatever its holder makes of it.
        impostor = a.keys.client_credentials()
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        context = impostor.server_context()
        received: list[bytes] = []

        async def serve(stream: trio.SocketStream) -> None:
            tls = trio.SSLStream(stream, context, server_side=True)
            with contextlib.suppress(trio.BrokenResourceError):
                await tls.do_handshake()
                received.append(bytes(await tls.receive_some(1)))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, serve, listeners)
            with pytest.raises(ConnectFailed):
                await open_tls(
                    ("127.0.0.1", listeners[0].socket.getsockname()[1]),
                    a.credentials.client_context(ALPN_SWARM),
                )
            nursery.cancel_scope.cancel()
        assert b"".join(received) == b""


def test_a_client_cannot_pass_for_a_node(tmp_path: Path) -> None:
    trio.run(_client_as_server, tmp_path)


def test_a_certificate_without_its_key_is_of_no_use() -> None:
    owner = MeshKeys(new_secret()).node_credentials(NodeKey.generate())
    seed = NodeKey.generate().private_key.private_bytes_raw()
    stolen = Credentials("node", owner.identity, owner.authority, owner.certificate, seed)
    with pytest.raises(ssl.SSLError):
        stolen.server_context()


async def _nobody(path: Path) -> None:
    async with stations(path, 1) as (a,):
        context = a.credentials.client_context(ALPN_SWARM)
        with pytest.raises(DialError) as caught:
            await dial(("127.0.0.1", 1), context, "/client")
        assert caught.value.was_refused
        with pytest.raises(DialError) as caught:
            await dial(("no-such-host.invalid", 7117), context, "/client")
        assert not caught.value.was_refused
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        silent = ("127.0.0.1", listeners[0].socket.getsockname()[1])
        with pytest.raises(DialError, match="no answer within"):
            await dial(silent, context, "/client", timeout_s=0.2)
        await listeners[0].aclose()


def test_dialling_nobody_says_why(tmp_path: Path) -> None:
    trio.run(_nobody, tmp_path)


async def _sessions_end(path: Path) -> None:
    async with stations(path, 1) as (a,):
        context = a.keys.client_credentials().client_context(ALPN_SWARM)
        websocket, _ = await dial(a.address, context, "/client")
        await until(lambda: a.sessions_opened)
        a.sessions.close_nowait(1)
        with pytest.raises(ConnectionLost):
            await websocket.receive_messages()
        await until(lambda: a.sessions_closed == [1])
        await websocket.aclose()
        assert a.sessions.statistics()["sessions"] == 0


def test_a_node_may_end_a_session(tmp_path: Path) -> None:
    trio.run(_sessions_end, tmp_path)


async def _slow_reader(path: Path) -> None:
    async with stations(path, 1) as (a,):
        context = a.keys.client_credentials().client_context(ALPN_SWARM)
        websocket, _ = await dial(a.address, context, "/client")
        await until(lambda: a.sessions_opened)
        piece = bytes(8 * 1024 * 1024)
        for _ in range(20):  # 160 MiB, and nobody reads
            a.sessions.send_nowait(1, piece)
        await until(lambda: a.sessions_closed)
        assert a.sessions.statistics()["queue_full"] >= 1
        await websocket.aclose()


def test_a_client_that_does_not_read_is_cut_off(tmp_path: Path) -> None:
    trio.run(_slow_reader, tmp_path)
