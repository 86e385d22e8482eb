"""HTTP/1.1 on a TLS stream: h11 does the protocol, this moves its bytes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final, TypeAlias

import h11

from swarm.net.websocket import TlsStream

HEADER_SIZE_MAX: Final = 16 * 1024
RECEIVE_SIZE: Final = 64 * 1024

Headers: TypeAlias = Sequence[tuple[bytes, bytes]]


class HttpStream:
    """One HTTP connection, on either side."""

    def __init__(self, stream: TlsStream, role: type[h11.CLIENT] | type[h11.SERVER]) -> None:
        self.stream: Final = stream
        self.connection: Final = h11.Connection(role, max_incomplete_event_size=HEADER_SIZE_MAX)

    async def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """Return the next event of the peer; never `h11.NEED_DATA`.

        Raises:
            h11.RemoteProtocolError: the peer does not speak HTTP/1.1.
            trio.BrokenResourceError: the connection broke.
        """
        while True:
            event = self.connection.next_event()
            if event is not h11.NEED_DATA:
                return event
            if self.connection.they_are_waiting_for_100_continue:
                await self.send(h11.InformationalResponse(status_code=100, headers=[]))
            self.connection.receive_data(bytes(await self.stream.receive_some(RECEIVE_SIZE)))

    async def send(self, event: h11.Event) -> None:
        """Send an event; bodies go out uncopied."""
        parts = self.connection.send_with_data_passthrough(event) or []
        for part in parts:
            if len(part):
                await self.stream.send_all(part)

    async def answer_json(
        self, status: int, value: object, extra: Headers = (), *, is_head: bool = False
    ) -> None:
        """Answer the request with a JSON body."""
        body = json.dumps(value).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), *extra]
        await self.send(h11.Response(status_code=status, headers=headers))
        if not is_head:
            await self.send(h11.Data(data=body))
        await self.send(h11.EndOfMessage())
