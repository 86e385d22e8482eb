"""Our WebSockets against another implementation of RFC 6455: trio-websocket, on either side."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import trio
from trio_websocket import WebSocketConnection, wrap_client_stream, wrap_server_stream

from swarm.net.dial import dial
from swarm.net.keys import ALPN_SWARM
from swarm.net.websocket import LinkLost
from tests.integration.mesh_sockets import raw_tls, stations, until

SIZES = (0, 1, 125, 126, 127, 65535, 65536, 200_000)


async def _their_client(path: Path) -> None:
    async with stations(path, 1) as (a,), trio.open_nursery() as nursery:
        context = a.keys.client_credentials().client_context(ALPN_SWARM)
        stream = await raw_tls(a.address, context)
        theirs: WebSocketConnection = await wrap_client_stream(
            nursery, stream, "node", "/client", max_message_size=10**6, message_queue_size=len(SIZES)
        )
        messages = [os.urandom(size) for size in SIZES]
        for message in messages:
            await theirs.send_message(message)
        await until(lambda: len(a.frames) == len(messages))
        assert [frame for _, frame in a.frames] == messages
        for message in messages:
            a.sessions.send_nowait(1, message)
        assert [await theirs.get_message() for _ in messages] == messages
        await theirs.ping(b"are you there")
        await theirs.aclose()
        await until(lambda: a.sessions_closed)
        assert a.sessions.statistics()["garbage"] == 0
        nursery.cancel_scope.cancel()


def test_their_client_and_our_server(tmp_path: Path) -> None:
    trio.run(_their_client, tmp_path)


async def _their_text(path: Path) -> None:
    async with stations(path, 1) as (a,), trio.open_nursery() as nursery:
        stream = await raw_tls(a.address, a.keys.client_credentials().client_context(ALPN_SWARM))
        theirs: WebSocketConnection = await wrap_client_stream(nursery, stream, "node", "/client")
        await theirs.send_message("text is not spoken here")
        await until(lambda: theirs.closed is not None)
        assert theirs.closed is not None
        assert theirs.closed.code == 1002
        assert a.sessions.statistics()["garbage"] == 1
        await trio.aclose_forcefully(stream)
        nursery.cancel_scope.cancel()


def test_text_is_refused_with_a_close_code(tmp_path: Path) -> None:
    trio.run(_their_text, tmp_path)


async def _their_server(path: Path) -> None:
    async with stations(path, 1) as (a,):
        context = a.credentials.server_context()
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")

        async def echo(transport: trio.SocketStream) -> None:
            stream = trio.SSLStream(transport, context, server_side=True, https_compatible=True)
            async with trio.open_nursery() as nursery:
                request = await wrap_server_stream(nursery, stream, max_message_size=10**6)
                theirs = await request.accept()
                for _ in SIZES:
                    await theirs.send_message(await theirs.get_message())
                await theirs.aclose(1001)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, echo, listeners)
            address = ("127.0.0.1", listeners[0].socket.getsockname()[1])
            ours, _ = await dial(address, a.keys.client_credentials().client_context(ALPN_SWARM), "/client")
            messages = [os.urandom(size) for size in SIZES]
            nursery.start_soon(ours.send_messages, messages)
            received: list[bytes] = []
            with trio.fail_after(10):
                while len(received) < len(messages):
                    received.extend(await ours.receive_messages())
                with pytest.raises(LinkLost) as caught:
                    await ours.receive_messages()
                assert caught.value.code == 1001
            assert received == messages
            await ours.aclose()
            nursery.cancel_scope.cancel()


def test_our_client_and_their_server(tmp_path: Path) -> None:
    trio.run(_their_server, tmp_path)
