"""Whatever strangers and members send to the port: it is counted, and the server goes on."""

from __future__ import annotations

import os
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from swarm.core.errors import ConnectionLost, DecodeError, RemoteProtocolError
from swarm.net import handshakes
from swarm.net.dial import dial
from swarm.net.identity import NodeKey
from swarm.net.keys import ALPN_HTTP, ALPN_SWARM
from swarm.net.websocket import LinkLost, TlsStream, WebSocket, split_batch_untrusted
from tests.integration.mesh_sockets import Station, raw_tls, stations, until


async def _still_serves(station: Station) -> None:
    """Show that a decent client is served and a decent peer heard."""
    opened = len(station.sessions_opened)
    context = station.keys.client_credentials().client_context(ALPN_SWARM)
    websocket, _ = await dial(station.address, context, "/client")
    await until(lambda: len(station.sessions_opened) > opened)
    await websocket.aclose()
    key = NodeKey.generate()
    peer, _ = await dial(
        station.address, station.keys.node_credentials(key).client_context(ALPN_SWARM), "/peer"
    )
    await peer.send_batch([b"fine"])
    await until(lambda: (key.node_id, b"fine") in station.messages)
    await peer.aclose()


def _client_hello() -> bytes:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    tls = context.wrap_bio(incoming, outgoing)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


async def _raw_bytes(path: Path) -> None:
    async with stations(path, 1) as (a,):
        hello = _client_hello()
        pieces = [
            b"",
            b"\x00",
            b"GET / HTTP/1.1\r\n\r\n",
            b"SSH-2.0-OpenSSH_9.2\r\n",
            os.urandom(10_000),
            hello[: len(hello) // 2],
            hello,
            hello + os.urandom(100),
            bytes([22, 3, 1, 255, 255]) + bytes(70_000),
        ]
        for piece in pieces:
            stream = await trio.open_tcp_stream(*a.address)
            try:
                await stream.send_all(piece)
                await stream.send_eof()
                while await stream.receive_some():
                    pass
            except trio.BrokenResourceError:
                pass
            await stream.aclose()
        await until(lambda: a.server.statistics()["tls_failed"] == len(pieces))
        await until(lambda: a.server.statistics()["connections"] == 0)
        await _still_serves(a)


def test_truncated_handshakes_and_random_bytes_are_counted(tmp_path: Path) -> None:
    trio.run(_raw_bytes, tmp_path)


async def _slow_handshake(path: Path) -> None:
    async with stations(path, 1) as (a,):
        streams = [await trio.open_tcp_stream(*a.address) for _ in range(300)]
        await until(lambda: a.server.statistics()["tls_dropped"] == 300 - handshakes.SOURCE_COUNT_MAX)
        await _still_serves(a)
        await until(lambda: a.server.statistics()["connections"] == 0)
        assert a.server.statistics()["tls_timed_out"] > 0
        for stream in streams:
            await stream.aclose()


def test_handshakes_that_never_end_keep_nobody_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handshakes, "TIMEOUT_S", 2.0)
    trio.run(_slow_handshake, tmp_path)


UPGRADE = (
    b"GET /client HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


async def _bad_upgrades(path: Path) -> None:
    async with stations(path, 1) as (a,):
        context = a.keys.client_credentials().client_context(ALPN_SWARM)
        requests = [
            b"",
            b"\r\n\r\n\r\n",
            os.urandom(3000),
            b"GET /client HTTP/1.1\r\nhost: x\r\n\r\n",
            b"POST" + UPGRADE[3:],
            UPGRADE.replace(b": 13", b": 8"),
            UPGRADE.replace(b"sec-websocket-key", b"x-key"),
            b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n",
            UPGRADE[:50],
        ]
        for request in requests:
            stream = await raw_tls(a.address, context)
            try:
                await stream.send_all(request)
                await stream.transport_stream.send_eof()
                while await stream.receive_some():
                    pass
            except trio.BrokenResourceError:
                pass
            await trio.aclose_forcefully(stream)
        await until(lambda: a.server.statistics()["bad_upgrade"] == len(requests))
        assert a.sessions_opened == []
        await _still_serves(a)


def test_bad_requests_for_a_websocket_are_counted(tmp_path: Path) -> None:
    trio.run(_bad_upgrades, tmp_path)


async def _open(station: Station, path: str) -> TlsStream:
    """Return a stream after the WebSocket's opening, to write what a WebSocket would not."""
    context = station.keys.node_credentials(NodeKey.generate()).client_context(ALPN_SWARM)
    websocket, _ = await dial(station.address, context, path)
    return websocket._stream


GARBAGE_FRAMES = {
    "random bytes": b"\xff" + os.urandom(500),
    "not masked": b"\x82\x05hello",
    "reserved bits": b"\xc2\x80\x00\x00\x00\x00",
    "text": b"\x81\x80\x00\x00\x00\x00",
    "unknown opcode": b"\x83\x80\x00\x00\x00\x00",
    "unknown control opcode": b"\x8b\x80\x00\x00\x00\x00",
    "long ping": b"\x89\xfe\x00\xff\x00\x00\x00\x00",
    "fragmented ping": b"\x09\x80\x00\x00\x00\x00",
    "continuation of nothing": b"\x80\x80\x00\x00\x00\x00",
    "start inside a message": b"\x02\x80\x00\x00\x00\x00" * 2,
    "a terabyte": b"\x82\xff\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00",
}


async def _garbage_frames(path: Path, where: str, count_of: Callable[[Station], int]) -> None:
    async with stations(path, 1) as (a,):
        for number, frame in enumerate(GARBAGE_FRAMES.values(), 1):
            stream = await _open(a, where)
            await stream.send_all(frame)
            answer = b""
            try:
                while data := await stream.receive_some():
                    answer += data
            except trio.BrokenResourceError:
                pass
            assert answer[:1] == b"\x88", "the peer is told by a close frame"
            await until(lambda number=number: count_of(a) == number)
            await trio.aclose_forcefully(stream)
        assert a.messages == []
        assert a.frames == []
        await until(lambda: a.server.statistics()["connections"] == 0)
        await _still_serves(a)


def test_garbage_frames_of_a_client_end_its_session(tmp_path: Path) -> None:
    trio.run(_garbage_frames, tmp_path, "/client", lambda a: a.sessions.statistics()["garbage"])


def test_garbage_frames_of_a_peer_end_its_link(tmp_path: Path) -> None:
    trio.run(_garbage_frames, tmp_path, "/peer", lambda a: a.links.statistics()["garbage"])


async def _garbage_batch(path: Path) -> None:
    async with stations(path, 1) as (a,):
        key = NodeKey.generate()
        context = a.keys.node_credentials(key).client_context(ALPN_SWARM)
        for number, message in enumerate([b"\x00", b"\x00\x00\x00\x05four", b"\xff" * 10], 1):
            websocket, _ = await dial(a.address, context, "/peer")
            await websocket.send_messages([message])
            with pytest.raises(LinkLost) as caught:
                await websocket.receive_messages()
            assert caught.value.code == 1002
            await until(lambda number=number: a.links.statistics()["garbage"] == number)
            await websocket.aclose()
        assert a.lost == [(key.node_id, False)] * 3
        await _still_serves(a)


def test_a_batch_that_does_not_add_up_ends_the_link(tmp_path: Path) -> None:
    trio.run(_garbage_batch, tmp_path)


async def _garbage_http(path: Path) -> None:
    async with stations(path, 1) as (a,):
        context = a.keys.client_credentials().client_context(ALPN_HTTP)
        requests = [os.urandom(2000), b"GET\r\n\r\n", b"x" * 40_000, b"PUT /objects/a HTTP/1.1\r\nhost"]
        for request in requests:
            stream = await raw_tls(a.address, context)
            try:
                await stream.send_all(request)
                await stream.transport_stream.send_eof()
                while await stream.receive_some():
                    pass
            except trio.BrokenResourceError:
                pass
            await trio.aclose_forcefully(stream)
        await until(lambda: a.objects.statistics()["garbage"] == len(requests))
        await _still_serves(a)


def test_garbage_instead_of_http_is_counted(tmp_path: Path) -> None:
    trio.run(_garbage_http, tmp_path)


def _run_pair(body: Callable[[WebSocket, trio.abc.Stream], Awaitable[None]]) -> None:
    """Run with the server's end of a WebSocket and the bare stream at its other end, in memory."""

    async def main() -> None:
        near, far = trio.testing.memory_stream_pair()
        websocket = WebSocket(near, is_client=False, message_size_max=10_000)  # type: ignore[arg-type]  # no TLS
        await body(websocket, far)

    trio.run(main)


@given(st.binary(max_size=300), st.lists(st.integers(1, 60), max_size=8))
@settings(max_examples=150)
def test_any_bytes_raise_protocol_errors_only(data: bytes, cuts: list[int]) -> None:
    async def body(websocket: WebSocket, far: trio.abc.Stream) -> None:
        rest = data
        for cut in cuts:
            await far.send_all(rest[:cut])
            rest = rest[cut:]
        await far.send_all(rest)
        await far.aclose()
        for _ in range(len(data) + 1):  # a frame has two bytes or more
            try:
                assert await websocket.receive_messages()
            except (ConnectionLost, RemoteProtocolError):
                return
        pytest.fail("the end was not noticed")

    _run_pair(body)


@given(
    st.lists(st.binary(max_size=400), min_size=1, max_size=10),
    st.integers(1, 200),
    st.binary(min_size=4, max_size=4),
)
@settings(max_examples=60)
def test_messages_come_whole_however_they_are_cut(messages: list[bytes], cut: int, mask: bytes) -> None:
    async def body(websocket: WebSocket, far: trio.abc.Stream) -> None:
        sent = b""
        for message in messages:
            # Each message in two fragments with a ping between them, masked.
            half = len(message) // 2
            for first, part in ((0x02, message[:half]), (0x89, b"?"), (0x80, message[half:])):
                length = (
                    bytes([0x80 | len(part)]) if len(part) < 126 else b"\xfe" + len(part).to_bytes(2, "big")
                )
                masked = bytes([byte ^ mask[at % 4] for at, byte in enumerate(part)])
                sent += bytes([first]) + length + mask + masked
        received: list[bytes] = []

        async def feed() -> None:
            for start in range(0, len(sent), cut):
                await far.send_all(sent[start : start + cut])

        async with trio.open_nursery() as nursery:
            nursery.start_soon(feed)
            while len(received) < len(messages):
                received.extend(await websocket.receive_messages())
        assert received == messages

    _run_pair(body)


@given(st.binary(max_size=100))
def test_any_batch_is_split_or_refused(data: bytes) -> None:
    try:
        payloads = split_batch_untrusted(data)
    except DecodeError:
        return
    assert b"".join([len(payload).to_bytes(4, "big") + payload for payload in payloads]) == data
