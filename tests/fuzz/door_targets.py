"""Targets: what comes in by the doors: datagrams, TLS, HTTP, WebSockets, the local API, invitations."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import trio
from cryptography.utils import CryptographyDeprecationWarning

from sims.observer import PACKET
from swarm.core.errors import (
    ConfigError,
    ConnectionLost,
    DecodeError,
    RemoteProtocolError,
)
from swarm.core.ids import NO_BALLOT, object_path, parse_object_path, parse_short, short
from swarm.daemon.api import LocalApi, from_json_value
from swarm.daemon.home import Home
from swarm.daemon.json_text import from_json, to_json
from swarm.net.certificates import identity_in_untrusted
from swarm.net.http import ObjectServer
from swarm.net.identity import NodeKey
from swarm.net.invitation import CLIENT_PREFIX, NODE_PREFIX, Invitation, _armour, _unarmour
from swarm.net.keys import MeshKeys
from swarm.net.object_files import parse_range
from swarm.net.seal import BadSeal, Sealer
from swarm.net.upgrade import message_in_untrusted, receive_upgrade_untrusted, request_upgrade
from swarm.net.websocket import WebSocket
from swarm.wire.codec import Stamp, pack_frame, unpack_frame_untrusted
from swarm.wire.messages import CLIENT_REPLY
from tests.fuzz.mutation import JSON, MSGPACK
from tests.fuzz.target import Act, Target, Traffic, folder, plain
from tests.unit.scheduler_builder import JOB, ME, ONE

KEYS = MeshKeys(bytes(range(32)))
SOURCE = ("10.0.0.2", 7117)
NOBODY = Stamp(b"", NO_BALLOT, 0)
PUT = b"PUT /objects/%s HTTP/1.1\r\nhost: x\r\nx-swarm-encoding: 0\r\ncontent-length: 4\r\n\r\ndata"
UPGRADE = (
    b"GET /peer HTTP/1.1\r\nhost: swarm\r\nupgrade: websocket\r\nconnection: upgrade\r\nswarm-boot: b\r\n"
    b"sec-websocket-key: AAAA\r\nsec-websocket-version: 13\r\n\r\n\x82\x80\x00\x00\x00\x00"
)


class Pipe:
    """A stream that gives bytes in two pieces, then ends, and forgets what is sent."""

    def __init__(self, data: bytes) -> None:
        half = len(data) // 2
        self._pieces = [piece for piece in (data[:half], data[half:]) if piece]
        self.sent_bytes = 0

    async def receive_some(self, size: int | None = None) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""

    async def send_all(self, data: bytes) -> None:
        self.sent_bytes += len(data)

    async def aclose(self) -> None:
        self._pieces.clear()


def _run(work: Callable[[Any], Awaitable[object]]) -> Act:
    """Return what gives an input to an asynchronous decoder as a stream."""

    def act(data: bytes) -> None:
        trio.run(work, Pipe(data))

    return act


# Datagrams


def _sealer() -> Act:
    sealer = Sealer(KEYS, ME)
    return lambda datagram: sealer.open_untrusted(datagram, SOURCE)


def _datagrams(traffic: Traffic) -> list[bytes]:
    other = Sealer(KEYS, ONE)
    return [other.seal(payload) for payload in traffic[PACKET][:20]] + [b"", KEYS.tag]


# Streams


async def _serve_websocket(pipe: Any) -> None:
    await _read_all(WebSocket(pipe, is_client=False, message_size_max=2000))


async def _dial_websocket(pipe: Any) -> None:
    await _read_all(WebSocket(pipe, is_client=True, message_size_max=2000))


async def _read_all(websocket: WebSocket) -> None:
    for _ in range(3000):
        await websocket.receive_messages()
    raise AssertionError("the end was not noticed")


def _websocket_streams(mask: int) -> Callable[[Traffic], list[bytes]]:
    key = bytes(4) if mask else b""
    hello = bytes([0x82, mask | 5]) + key + b"hello"
    parts = (
        bytes([0x02, mask | 1])
        + key
        + b"a"
        + bytes([0x89, mask])
        + key
        + bytes([0x80, mask | 1])
        + key
        + b"b"
    )
    long = bytes([0x82, mask | 126, 0, 200]) + key + bytes(200)
    close = bytes([0x88, mask | 2]) + key + b"\x03\xe8"
    return lambda traffic: [hello, parts, long, close, hello + parts + long + close]


async def _ask_upgrade(pipe: Any) -> None:
    await request_upgrade(pipe, "/client", b"boot")


def _http() -> Act:
    store = folder("store")

    async def answer(rest: str) -> object:
        return {"rest": rest}

    def noted(name: tuple[bytes, int, int], digest: bytes, size: int, encoding: int) -> None:
        path = store / object_path(name)
        assert path.stat().st_size == size, "an object lies under its own name"

    server = ObjectServer(store, noted, 100_000, lambda: {"name": "me", "time": 0.0}, {"services": answer})

    def act(data: bytes) -> None:
        async def main() -> None:
            with trio.fail_after(20):
                await server.serve(Pipe(data))  # type: ignore[arg-type]  # all that it uses of a stream

        trio.run(main)

    return act


def _http_requests(traffic: Traffic) -> list[bytes]:
    name = object_path((JOB, 0, 0)).encode()
    get = b"GET /objects/%s HTTP/1.1\r\nhost: x\r\nrange: bytes=1-2\r\n\r\n" % name
    health = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n"
    asked = b"GET /services/web%20x HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    return [PUT % name, get, health, asked, b"HEAD" + get[3:], health + asked]


def _range(data: bytes) -> None:
    found = parse_range(data, 1000)
    assert found is None or 0 <= found[0] < found[1] <= 1000


# TLS and invitations


def _certificates(traffic: Traffic) -> list[bytes]:
    key = NodeKey(bytes(32))
    return [KEYS.node_credentials(key).certificate, KEYS.client_credentials(key).certificate]


def _invitation(data: bytes) -> None:
    """Half of the inputs are texts, half are what is in them behind a right check."""
    if data[:1] == b"\x93":
        text = _armour(NODE_PREFIX, data)
    elif data[:1] == b"\x96":
        text = _armour(CLIENT_PREFIX, data)
    else:
        text = data.decode("utf-8", "surrogateescape")
    found = Invitation.from_text(text)
    assert Invitation.from_text(found.to_text()) == found, (
        "an invitation says the same after it was passed on"
    )


def _invitations(traffic: Traffic) -> list[bytes]:
    node = Invitation(bytes(range(32)), None, "home", [("10.0.0.1", 7117), ("fe80::1", 7118)]).to_text()
    credentials = KEYS.client_credentials(NodeKey(bytes(32)))
    client = Invitation(b"", credentials, "home", [("10.0.0.1", 7117)]).to_text()
    return [node.encode(), client.encode(), _unarmour(node)[1], _unarmour(client)[1]]


def _object_name(data: bytes) -> None:
    text = data.decode("latin-1")
    assert object_path(parse_object_path(text)) == text.lower(), "an object has one name"


def _short(data: bytes) -> None:
    text = data.decode("latin-1")
    assert parse_short(short(parse_short(text, 10)), 10) == parse_short(text, 10)


# The local API


class _Driver:
    """Answers what the API passes on."""

    def __init__(self) -> None:
        self.answer: Callable[[int, bytes], object] = print

    def on_client_opened(self, session: int, role: str) -> None:
        pass

    def receive_client(self, session: int, payload: bytes) -> None:
        number, op, args = unpack_frame_untrusted(payload).body
        self.answer(session, pack_frame(CLIENT_REPLY, NOBODY, [number, op != "job", args]))

    def on_client_closed(self, session: int) -> None:
        pass


def _api(token: str) -> Callable[[], Act]:
    def prepare() -> Act:
        async def echo(args: dict[str, object]) -> object:
            return args

        driver: Any = _Driver()
        api = LocalApi(Home(folder("api")), driver, {"echo": echo}, dict)
        api._token = token
        driver.answer = api.deliver

        def act(data: bytes) -> None:
            async def main() -> None:
                with trio.fail_after(10):
                    await api._serve(Pipe(data))  # type: ignore[arg-type]  # all that it uses of a stream

            trio.run(main)
            assert api.statistics()["open"] == 0

        return act

    return prepare


def _requests(traffic: Traffic) -> list[bytes]:
    lines = [
        b'{"id": 1, "op": "echo", "args": {"a": [1, 2.5, null, true, "x", {"base64": "YWE="}]}}',
        b'{"id": "two", "op": "job", "args": {"job": {"base64": "YWE="}}}',
        b'{"id": null, "op": "status"}',
    ]
    return [*(line + b"\n" for line in lines), b"\n".join([*lines, b""])]


def _greetings(traffic: Traffic) -> list[bytes]:
    return [b'{"token": "secret"}\n' + _requests(traffic)[0], b'{"token": "wrong"}\n']


def _json_value(data: bytes) -> None:
    try:
        value = from_json(data)
    except ValueError:
        return
    from_json_value(value)


def _json(data: bytes) -> None:
    value = from_json(data)
    text = to_json(value)
    text.encode("utf-8", "replace")


DOOR_TARGETS = [
    Target("seal", _sealer, _datagrams, errors=(BadSeal,)),
    Target(
        "websocket-server",
        plain(_run(_serve_websocket)),
        _websocket_streams(0x80),
        errors=(ConnectionLost, RemoteProtocolError),
    ),
    Target(
        "websocket-client",
        plain(_run(_dial_websocket)),
        _websocket_streams(0),
        errors=(ConnectionLost, RemoteProtocolError),
    ),
    Target(
        "upgrade-request",
        plain(_run(receive_upgrade_untrusted)),
        lambda _: [UPGRADE],
        errors=(RemoteProtocolError,),
    ),
    Target(
        "upgrade-answer",
        plain(_run(_ask_upgrade)),
        lambda _: [
            b"HTTP/1.1 101 Switching\r\nupgrade: websocket\r\nsec-websocket-accept: x\r\n\r\n",
            b'HTTP/1.1 400 Refused\r\ncontent-length: 16\r\n\r\n{"message":"no"}',
        ],
        errors=(RemoteProtocolError,),
    ),
    Target("refusal", plain(message_in_untrusted), lambda _: [b'{"message": "no"}'], JSON),
    Target("http", _http, _http_requests),
    Target("range", plain(_range), lambda _: [b"bytes=1-2", b"bytes=-5", b"bytes=7-"], errors=(ValueError,)),
    Target(
        "certificate",
        plain(identity_in_untrusted),
        _certificates,
        errors=(RemoteProtocolError, CryptographyDeprecationWarning),  # a warning that tests make an error
    ),
    Target("invitation", plain(_invitation), _invitations, MSGPACK, (ConfigError,)),
    Target(
        "object-name",
        plain(_object_name),
        lambda _: [object_path((JOB, 1, 12)).encode()],
        errors=(ValueError,),
    ),
    Target("short-id", plain(_short), lambda _: [short(JOB).encode()], errors=(ValueError,)),
    Target("local-api", _api(""), _requests, JSON),
    Target("local-api-token", _api("secret"), _greetings),
    Target("json", plain(_json), lambda _: [b'{"a": [1, 2.5, "x\\u00e9", null, true]}'], JSON, (ValueError,)),
    Target("json-value", plain(_json_value), lambda _: [b'{"a": {"base64": "YWE="}}'], JSON, (DecodeError,)),
]
