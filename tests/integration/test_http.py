"""Objects over HTTP: ranges, resuming, digests, quotas, and what bad requests get."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import h11
import pytest
import trio

from swarm.core.errors import ConnectFailed, StorageError
from swarm.core.ids import JOB_ID_SIZE, ObjectName, object_path
from swarm.net import dial as dial_module
from swarm.net import object_client as object_client_module
from swarm.net.http_stream import HttpStream
from swarm.net.keys import ALPN_HTTP
from swarm.net.object_client import FetchFailed, ObjectClient
from swarm.net.object_files import IncomingObject, parse_range
from swarm.wire.facts import digest_of
from tests.integration.mesh_sockets import Station, raw_tls, stations, until

JOB = bytes(range(JOB_ID_SIZE))
NAME: ObjectName = (JOB, 3, 0)
FILE = object_path(NAME)
DATA = os.urandom(3_000_000)


def _hold(station: Station, data: bytes = DATA) -> None:
    station.store.mkdir(parents=True, exist_ok=True)
    (station.store / FILE).write_bytes(data)


async def _request(
    station: Station, method: str, path: str, headers: list[tuple[str, str]], body: bytes = b""
) -> tuple[int, dict[bytes, bytes], bytes]:
    """Return status, headers and body of one request by a client."""
    context = station.keys.client_credentials().client_context(ALPN_HTTP)
    http = HttpStream(await raw_tls(station.address, context), h11.CLIENT)
    await http.send(h11.Request(method=method, target=path, headers=[("host", "x"), *headers]))
    if body:
        await http.send(h11.Data(data=body))
    await http.send(h11.EndOfMessage())
    answer = b""
    response = await http.next_event()
    assert isinstance(response, h11.Response)
    while isinstance(event := await http.next_event(), h11.Data):
        answer += bytes(event.data)
    await trio.aclose_forcefully(http.stream)
    return response.status_code, dict(response.headers), answer


async def _get(path: Path) -> None:
    async with stations(path, 1) as (a,):
        _hold(a)
        status, headers, body = await _request(a, "GET", f"/objects/{FILE}", [])
        assert (status, body) == (200, DATA)
        status, headers, body = await _request(
            a, "GET", f"/objects/{FILE.upper()}", [("range", "bytes=10-19")]
        )
        assert (status, body) == (206, DATA[10:20])
        assert headers[b"content-range"] == b"bytes 10-19/3000000"
        assert (await _request(a, "GET", f"/objects/{FILE}", [("range", "bytes=-5")]))[2] == DATA[-5:]
        assert (await _request(a, "GET", f"/objects/{FILE}", [("range", "bytes=2999990-")]))[2] == DATA[-10:]
        assert (await _request(a, "GET", f"/objects/{FILE}", [("range", "bytes=3000000-")]))[0] == 416
        status, headers, body = await _request(a, "HEAD", f"/objects/{FILE}", [])
        assert (status, headers[b"content-length"], body) == (200, b"3000000", b"")
        status, _, body = await _request(a, "GET", "/health", [])
        assert (status, json.loads(body)) == (200, {"status": "ok"})
        assert a.objects.statistics()["bad_ranges"] == 1


def test_objects_are_read_whole_and_by_ranges(tmp_path: Path) -> None:
    trio.run(_get, tmp_path)


async def _bad(path: Path) -> None:
    async with stations(path, 1) as (a,):
        a.store.mkdir()
        (path / "secret").write_bytes(b"not yours")
        (a.store / ".put-draft").write_bytes(b"not yet")
        raw = [("x-swarm-encoding", "0")]
        cases = [
            ("GET", f"/objects/{FILE}", [], 404),
            ("GET", "/", [], 404),
            ("GET", "/objects/", [], 400),
            ("GET", "/objects/../secret", [], 400),
            ("GET", "/objects/.put-draft", [], 400),
            ("GET", "/objects/%2e%2e/secret", [], 400),
            ("GET", f"/objects/{FILE}/../x", [], 400),
            ("GET", "/objects/aaaa.1.0", [], 400),
            ("DELETE", f"/objects/{FILE}", [], 405),
            ("POST", "/health", [("content-length", "0")], 404),
            ("PUT", f"/objects/{FILE}", [("content-length", "1")], 400),
            ("PUT", f"/objects/{FILE}", [("content-length", "1"), ("x-swarm-encoding", "7")], 400),
            ("PUT", f"/objects/{FILE}", [*raw, ("transfer-encoding", "chunked")], 411),
            ("PUT", f"/objects/{FILE}", [*raw, ("content-length", "99999999999")], 507),
            ("PUT", "/objects/x", [*raw, ("content-length", "1")], 400),
        ]
        for method, target, headers, status in cases:
            context = a.keys.client_credentials().client_context(ALPN_HTTP)
            http = HttpStream(await raw_tls(a.address, context), h11.CLIENT)
            await http.send(h11.Request(method=method, target=target, headers=[("host", "x"), *headers]))
            response = await http.next_event()
            assert isinstance(response, h11.Response)
            assert response.status_code == status, (method, target)
            event = await http.next_event()
            assert isinstance(event, h11.Data)
            assert json.loads(bytes(event.data))["message"]
            await trio.aclose_forcefully(http.stream)
        statistics = a.objects.statistics()
        assert (statistics["not_found"], statistics["bad_requests"], statistics["quota_reached"]) == (
            3,
            11,
            1,
        )
        assert a.puts == []
        _hold(a)
        assert (await _request(a, "GET", f"/objects/{FILE}", []))[0] == 200


def test_bad_requests_are_refused_with_a_reason(tmp_path: Path) -> None:
    trio.run(_bad, tmp_path)


async def _keep_alive(path: Path) -> None:
    async with stations(path, 1) as (a,):
        _hold(a)
        context = a.keys.client_credentials().client_context(ALPN_HTTP)
        http = HttpStream(await raw_tls(a.address, context), h11.CLIENT)
        for number in range(5):
            await http.send(h11.Request(method="GET", target=f"/objects/{FILE}", headers=[("host", "x")]))
            await http.send(h11.EndOfMessage())
            assert isinstance(await http.next_event(), h11.Response)
            size = 0
            while isinstance(event := await http.next_event(), h11.Data):
                size += len(event.data)
            assert size == len(DATA)
            http.connection.start_next_cycle()
            assert a.objects.statistics()["gets"] == number + 1
        assert a.server.statistics()["accepted"] == 1
        await trio.aclose_forcefully(http.stream)


def test_one_connection_serves_many_requests(tmp_path: Path) -> None:
    trio.run(_keep_alive, tmp_path)


async def _fetch(path: Path) -> None:
    async with stations(path, 2) as (a, b), ObjectClient(b.credentials) as client:
        _hold(a)
        for number in range(3):
            store = path / f"copy{number}"
            sources = [(a.node_id, [a.address])]
            found = await client.fetch_object(NAME, digest_of(DATA), len(DATA), sources, store)
            assert found == store / FILE
            assert found.read_bytes() == DATA
            assert [file.name for file in store.iterdir()] == [FILE]
        assert (
            await client.fetch_object(NAME, digest_of(DATA), len(DATA), [], path / "copy0")
            == path / "copy0" / FILE
        )
        statistics = client.statistics()
        assert (statistics["fetched"], statistics["reused"], statistics["idle"]) == (3, 2, 1)
        assert a.server.statistics()["accepted"] == 1


def test_an_object_is_copied_and_connections_are_kept(tmp_path: Path) -> None:
    trio.run(_fetch, tmp_path)


async def _fallback(path: Path) -> None:
    async with stations(path, 4) as (empty, wrong, right, b), ObjectClient(b.credentials) as client:
        _hold(wrong, bytes(len(DATA)))
        _hold(right)
        dead = bytes(16)
        sources = [
            (dead, [("127.0.0.1", 1)]),
            (empty.node_id, [empty.address]),
            (wrong.node_id, [wrong.address]),
            (right.node_id, [right.address]),
        ]
        await client.fetch_object(NAME, digest_of(DATA), len(DATA), sources, b.store)
        assert (b.store / FILE).read_bytes() == DATA
        assert client.statistics()["bad_digest"] == 1
        (b.store / FILE).unlink()
        with pytest.raises(FetchFailed, match="does not hold") as caught:
            await client.fetch_object(NAME, digest_of(DATA), len(DATA), sources[:3], b.store)
        assert caught.value.failed == [dead, empty.node_id, wrong.node_id]
        assert list(b.store.iterdir()) == []
        with pytest.raises(FetchFailed, match="no node is known"):
            await client.fetch_object(NAME, digest_of(DATA), len(DATA), [], b.store)


def test_bad_sources_are_passed_over_and_named(tmp_path: Path) -> None:
    trio.run(_fallback, tmp_path)


async def _resume(path: Path) -> None:
    async with stations(path, 4) as (short, wrong, right, b), ObjectClient(b.credentials) as client:
        _hold(short, DATA[:1_000_000])
        _hold(right)
        sources = [(station.node_id, [station.address]) for station in (short, right)]
        await client.fetch_object(NAME, digest_of(DATA), len(DATA), sources, b.store)
        assert (b.store / FILE).read_bytes() == DATA
        assert client.statistics()["resumed"] == 1
        assert right.objects.statistics()["bytes_out"] == 2_000_000
        # A first part that was wrong does not spoil the second source for good.
        (b.store / FILE).unlink()
        _hold(wrong, bytes(1_000_000))
        sources = [(station.node_id, [station.address]) for station in (wrong, right)]
        await client.fetch_object(NAME, digest_of(DATA), len(DATA), sources, b.store)
        assert (b.store / FILE).read_bytes() == DATA
        assert client.statistics()["bad_digest"] == 1


def test_a_broken_copy_goes_on_at_the_next_source(tmp_path: Path) -> None:
    trio.run(_resume, tmp_path)


async def _server_restarts(path: Path) -> None:
    async with stations(path, 2) as (a, b), ObjectClient(b.credentials) as client:
        _hold(a)
        await client.fetch_object(NAME, digest_of(DATA), len(DATA), [(a.node_id, [a.address])], path / "one")
        # The server closes the idle connection; the client notices before it uses it.
        kept = client._idle[0][2].stream
        await kept.transport_stream.send_eof()
        await trio.lowlevel.wait_readable(kept.transport_stream.socket)
        await client.fetch_object(NAME, digest_of(DATA), len(DATA), [(a.node_id, [a.address])], path / "two")
        assert client.statistics()["reused"] == 0


def test_a_kept_connection_that_ended_is_not_used(tmp_path: Path) -> None:
    trio.run(_server_restarts, tmp_path)


async def _server_restarts_under_several(path: Path) -> None:
    async with stations(path, 2) as (a, b), ObjectClient(b.credentials) as client:
        _hold(a)
        number = 0

        async def fetch() -> None:
            nonlocal number
            number += 1
            sources = [(a.node_id, [a.address])]
            await client.fetch_object(NAME, digest_of(DATA), len(DATA), sources, path / str(number))

        for _ in range(2):
            async with trio.open_nursery() as nursery:
                for _ in range(4):
                    nursery.start_soon(fetch)
            kept = [http.stream for _, _, http in client._idle]
            assert len(kept) == 4
            for stream in kept:
                await stream.transport_stream.send_eof()
                await trio.lowlevel.wait_readable(stream.transport_stream.socket)
        assert client.statistics()["reused"] == 0


def test_several_fetches_that_find_their_kept_connections_ended_do_not_meet(tmp_path: Path) -> None:
    trio.run(_server_restarts_under_several, tmp_path)


async def _put(path: Path) -> None:
    async with stations(path, 1) as (a,), ObjectClient(a.keys.client_credentials()) as client:
        assert await client.put_object(a.address, NAME, DATA, 1) == digest_of(DATA)
        assert a.puts == [(NAME, digest_of(DATA), len(DATA), 1)]
        assert (a.store / FILE).read_bytes() == DATA
        assert [file.name for file in a.store.iterdir()] == [FILE]
        # The same again is fine, other bytes under the name are not.
        assert await client.put_object(a.address, NAME, DATA, 1) == digest_of(DATA)
        with pytest.raises(StorageError, match="other content"):
            await client.put_object(a.address, NAME, DATA[:-1] + b"?", 1)
        assert (a.store / FILE).read_bytes() == DATA
        source = path / "source"
        source.write_bytes(DATA[:1000])
        assert await client.put_object(a.address, (JOB, 4, 0), source, 0) == digest_of(DATA[:1000])
        assert await client.put_object(a.address, (JOB, 5, 0), b"", 0) == digest_of(b"")
        assert len(a.puts) == 4
        with pytest.raises(StorageError, match="room for"):
            await client.put_object(a.address, (JOB, 6, 0), bytes(8_000_000), 0)
        assert a.objects.statistics()["quota_reached"] == 1
        with pytest.raises(ConnectFailed):
            await client.put_object(("127.0.0.1", 1), NAME, b"x", 0)
        assert sorted(file.name for file in a.store.iterdir()) == [
            FILE,
            object_path((JOB, 4, 0)),
            object_path((JOB, 5, 0)),
        ]


def test_objects_are_put_once_and_within_the_quota(tmp_path: Path) -> None:
    trio.run(_put, tmp_path)


async def _cut_put(path: Path) -> None:
    async with stations(path, 1) as (a,):
        context = a.keys.client_credentials().client_context(ALPN_HTTP)
        http = HttpStream(await raw_tls(a.address, context), h11.CLIENT)
        headers = [("host", "x"), ("content-length", "5000"), ("x-swarm-encoding", "0")]
        await http.send(h11.Request(method="PUT", target=f"/objects/{FILE}", headers=headers))
        await http.send(h11.Data(data=bytes(3000)))
        await http.stream.transport_stream.send_eof()
        await until(lambda: a.objects.statistics()["garbage"])
        assert a.puts == []
        assert list(a.store.iterdir()) == []
        await trio.aclose_forcefully(http.stream)


def test_half_an_object_is_no_object(tmp_path: Path) -> None:
    trio.run(_cut_put, tmp_path)


async def _disk_full(path: Path) -> None:
    async with stations(path, 1) as (a,), ObjectClient(a.keys.client_credentials()) as client:
        with pytest.raises(StorageError, match="cannot be written"):
            await client.put_object(a.address, NAME, DATA, 1)
        assert a.puts == []
        assert list(a.store.iterdir()) == []


def test_a_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(self: IncomingObject, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(IncomingObject, "write", write)
    trio.run(_disk_full, tmp_path)


Behaviour = Callable[[trio.SSLStream[trio.SocketStream]], Awaitable[None]]


async def _sources(path: Path, *behaviours: Behaviour | None, reason: str) -> None:
    """Fetch from nodes that behave like this after the handshake (None: that never begin it)."""
    async with (
        stations(path, 1) as (b,),
        ObjectClient(b.credentials) as client,
        trio.open_nursery() as nursery,
    ):
        sources = []
        for number, behaviour in enumerate(behaviours):

            async def serve(stream: trio.SocketStream, behaviour: Behaviour | None = behaviour) -> None:
                if behaviour is not None:
                    tls = trio.SSLStream(stream, b.credentials.server_context(), server_side=True)
                    await tls.do_handshake()
                    with contextlib.suppress(trio.BrokenResourceError):
                        await behaviour(tls)
                await trio.sleep_forever()

            listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
            nursery.start_soon(trio.serve_listeners, serve, listeners)
            node = b.node_id if behaviour is not None else bytes([number]) * 16
            sources.append((node, [("127.0.0.1", listeners[0].socket.getsockname()[1])]))
        with trio.fail_after(10), pytest.raises(FetchFailed, match=reason) as caught:
            await client.fetch_object(NAME, digest_of(DATA), len(DATA), sources, path / "x")
        assert caught.value.failed == list(dict.fromkeys([node for node, _ in sources]))
        assert list((path / "x").iterdir()) == []
        nursery.cancel_scope.cancel()


async def _say_nothing(stream: trio.SSLStream[trio.SocketStream]) -> None:
    await trio.sleep_forever()


async def _stop_in_the_header(stream: trio.SSLStream[trio.SocketStream]) -> None:
    await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-le")


async def _stop_in_the_body(stream: trio.SSLStream[trio.SocketStream]) -> None:
    await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(DATA) + DATA[:100_000])


async def _refuse_for_ever(stream: trio.SSLStream[trio.SocketStream]) -> None:
    await stream.send_all(b"HTTP/1.1 404 No\r\ntransfer-encoding: chunked\r\n\r\n")
    while True:
        await stream.send_all(b"1000\r\n" + bytes(0x1000) + b"\r\n")


async def _part_of_nothing(stream: trio.SSLStream[trio.SocketStream]) -> None:
    """Answer with a part although the whole was asked for."""
    await stream.send_all(
        b"HTTP/1.1 206 Partial\r\ncontent-length: 5\r\ncontent-range: bytes 0-4/9\r\n\r\nwhole"
    )


@pytest.mark.parametrize(
    ("behaviours", "reason"),
    [
        ([_say_nothing], "no progress"),
        ([_stop_in_the_header], "no progress"),
        ([_stop_in_the_body], "no progress"),
        ([None], "no answer within 0.2 s"),
        ([_refuse_for_ever], "the holder answers"),
        ([_part_of_nothing], "gave 5 of 3000000 bytes"),
        ([None, _say_nothing, _stop_in_the_body, _part_of_nothing, _stop_in_the_header], "no progress"),
    ],
)
def test_every_bad_source_is_given_up_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, behaviours: list[Behaviour | None], reason: str
) -> None:
    monkeypatch.setattr(object_client_module, "STALL_TIMEOUT_S", 0.1)
    monkeypatch.setattr(dial_module, "DIAL_TIMEOUT_S", 0.2)
    trio.run(partial(_sources, tmp_path, *behaviours, reason=reason))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"bytes=0-0", (0, 1)),
        (b"bytes=5-", (5, 100)),
        (b"bytes=5-1000", (5, 100)),
        (b"bytes=-7", (93, 100)),
        (b"bytes=-700", (0, 100)),
        (b" bytes = 1-2", (1, 3)),
        (b"bytes=-", None),
        (b"bytes=1-2,5-6", None),
        (b"lines=1-2", None),
        (b"bytes=a-b", None),
        (b"bytes=1", None),
        (b"\xff", None),
        (b"bytes=" + b"1" * 30 + b"-", None),
    ],
)
def test_ranges(value: bytes, expected: tuple[int, int] | None) -> None:
    assert parse_range(value, 100) == expected


@pytest.mark.parametrize("value", [b"bytes=100-", b"bytes=9-5", b"bytes=-0"])
def test_ranges_outside_are_refused(value: bytes) -> None:
    with pytest.raises(ValueError, match="outside"):
        parse_range(value, 100)
