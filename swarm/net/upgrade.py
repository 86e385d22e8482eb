"""The opening handshake of a WebSocket (RFC 6455 §4), with h11 doing the HTTP."""

from __future__ import annotations

import base64
import json
import os
from hashlib import sha1
from typing import Final, final

import h11
import trio

from swarm.core.errors import RemoteProtocolError
from swarm.core.records import Record
from swarm.net.websocket import MESSAGE_SIZE_MAX, TlsStream, WebSocket

HEADER_SIZE_MAX: Final = 16 * 1024
BOOT_HEADER: Final = b"swarm-boot"
"""Names one life of a process: a peer that comes back with another boot has lost its older links."""

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_RECEIVE_SIZE: Final = 16 * 1024
_ANSWER_SIZE_MAX: Final = 4096


@final
class Upgrade(Record):
    """A request for a WebSocket, not answered yet.

    Attributes:
        path: what it wants to talk to.
        key: its ``Sec-WebSocket-Key``.
        boot: which life of the other process asks, b"" when it does not say.
        trailing: bytes that came behind the request.
    """

    __slots__ = ("boot", "key", "path", "trailing")

    def __init__(self, path: str, key: bytes, boot: bytes, trailing: bytes) -> None:
        self.path: Final = path
        self.key: Final = key
        self.boot: Final = boot
        self.trailing: Final = trailing

    def fields(self) -> tuple[object, ...]:
        return (self.path, self.key, self.boot, self.trailing)


async def receive_upgrade_untrusted(stream: TlsStream) -> Upgrade:
    """Return the request that opens a connection for WebSockets.

    Raises:
        RemoteProtocolError: it is something else, or the connection ended before it was complete.
    """
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=HEADER_SIZE_MAX)
    try:
        while (event := connection.next_event()) is h11.NEED_DATA:
            connection.receive_data(bytes(await stream.receive_some(_RECEIVE_SIZE)))
    except (h11.RemoteProtocolError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
        raise RemoteProtocolError(f"no request for a WebSocket: {error}") from None
    if not isinstance(event, h11.Request):
        raise RemoteProtocolError("the connection ended before its request")
    headers = dict(event.headers)
    if event.method != b"GET" or headers.get(b"upgrade", b"").lower() != b"websocket":
        raise RemoteProtocolError("the request does not ask for a WebSocket")
    key = headers.get(b"sec-websocket-key", b"")
    if not key or headers.get(b"sec-websocket-version") != b"13":
        raise RemoteProtocolError("the request is for another version of WebSockets")
    path = event.target.decode("ascii", "replace")
    return Upgrade(path, key, headers.get(BOOT_HEADER, b""), connection.trailing_data[0])


async def accept_upgrade(
    stream: TlsStream, upgrade: Upgrade, boot: bytes = b"", message_size_max: int = MESSAGE_SIZE_MAX
) -> WebSocket:
    """Agree to the request and return the open WebSocket, which takes messages of up to so many bytes.

    Raises:
        trio.BrokenResourceError: the other side is gone.
    """
    lines = [
        b"HTTP/1.1 101 Switching Protocols",
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Sec-WebSocket-Accept: " + _accept_value(upgrade.key),
    ]
    if boot:
        lines.append(BOOT_HEADER + b": " + boot)
    await stream.send_all(b"\r\n".join([*lines, b"", b""]))
    return WebSocket(stream, is_client=False, buffered=upgrade.trailing, message_size_max=message_size_max)


async def refuse_upgrade(stream: TlsStream, status: int, reason: str) -> None:
    """Refuse the request with a status of 400 or more and a reason for people, and close the stream."""
    body = json.dumps({"message": reason}).encode()
    head = f"HTTP/1.1 {status} Refused\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    await stream.send_all(head.encode() + body)
    await stream.aclose()


async def request_upgrade(stream: TlsStream, path: str, boot: bytes = b"") -> tuple[WebSocket, bytes]:
    """Ask the server for a WebSocket at `path`; return it and the server's boot.

    Raises:
        RemoteProtocolError: the server refused, with its reason, or broke the protocol.
        trio.BrokenResourceError: the connection broke.
    """
    key = base64.b64encode(os.urandom(16))
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEADER_SIZE_MAX)
    headers = [
        (b"host", b"swarm"),
        (b"upgrade", b"websocket"),
        (b"connection", b"upgrade"),
        (b"sec-websocket-key", key),
        (b"sec-websocket-version", b"13"),
    ]
    if boot:
        headers.append((BOOT_HEADER, boot))
    request = connection.send(h11.Request(method=b"GET", target=path.encode(), headers=headers))
    await stream.send_all((request or b"") + (connection.send(h11.EndOfMessage()) or b""))
    refusal: h11.Response | None = None
    answer = b""
    try:
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                data = bytes(await stream.receive_some(_RECEIVE_SIZE))
                if not data and refusal is None:
                    raise RemoteProtocolError(
                        "the node closed the connection: it does not accept this invitation, or stops"
                    )
                connection.receive_data(data)
            elif isinstance(event, h11.InformationalResponse) and event.status_code == 101:
                found = dict(event.headers)
                if found.get(b"sec-websocket-accept") != _accept_value(key):
                    raise RemoteProtocolError("the answer to a WebSocket's request does not fit it")
                trailing = connection.trailing_data[0]
                return WebSocket(stream, is_client=True, buffered=trailing), found.get(BOOT_HEADER, b"")
            elif isinstance(event, h11.Response):
                refusal = event
            elif isinstance(event, h11.Data) and len(answer) < _ANSWER_SIZE_MAX:
                answer += bytes(event.data)
            elif not isinstance(event, (h11.Data, h11.InformationalResponse)):
                break
    except h11.RemoteProtocolError as error:
        raise RemoteProtocolError(f"the answer to a WebSocket's request is wrong: {error}") from None
    status = refusal.status_code if refusal is not None else 0
    raise RemoteProtocolError(f"refused ({status}): {message_in_untrusted(answer)}")


def message_in_untrusted(answer: bytes) -> str:
    """Return the reason in the JSON body of a refusal, whatever it is."""
    try:
        return str(json.loads(answer)["message"])[:300]
    except (ValueError, KeyError, TypeError, RecursionError):
        return "no reason given"


def _accept_value(key: bytes) -> bytes:
    """Return ``Sec-WebSocket-Accept`` for a key (RFC 6455 §4.2.2); SHA-1 protects nothing here."""
    return base64.b64encode(sha1(key + _GUID, usedforsecurity=False).digest())
