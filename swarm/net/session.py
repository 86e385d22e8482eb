"""Sessions of clients: WebSockets at /client, each with a number that the node knows it by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import trio

from swarm.core.errors import RemoteProtocolError
from swarm.net.websocket import (
    CLOSE_GOING_AWAY,
    CLOSE_NORMAL,
    CLOSE_PROTOCOL_ERROR,
    CLOSE_TRY_LATER,
    LinkLost,
    WebSocket,
)

SESSION_COUNT_MAX: Final = 256
QUEUE_BYTES_MAX: Final = 128 * 1024 * 1024
"""Bytes waiting for one client; one that reads too slowly is cut off, comes back and asks again."""
QUEUE_COUNT_MAX: Final = 200_000
SEND_COUNT_MAX: Final = 4096
"""Messages handed to one write."""

_COUNTERS: Final = (
    "opened",
    "refused",
    "frames_in",
    "frames_out",
    "bytes_in",
    "bytes_out",
    "dropped",
    "queue_full",
    "garbage",
)


class _Session:
    __slots__ = ("queue", "queue_bytes", "scope", "wake")

    def __init__(self) -> None:
        self.queue: list[bytes] = []
        self.queue_bytes = 0
        self.wake = trio.Event()
        self.scope = trio.CancelScope()


class Sessions:
    """The sessions of all clients that are attached to this node."""

    def __init__(
        self,
        on_open: Callable[[int, str, bytes], None],
        on_frame: Callable[[int, bytes], None],
        on_close: Callable[[int], None],
        on_batch_end: Callable[[], None] | None = None,
    ) -> None:
        """Prepare.

        Args:
            on_open: gets a new session, the role of its holder ("node" or "client") and the holder's id.
            on_frame: gets a session and one frame, which is as untrusted as its sender.
            on_close: the session is over; called once for each that was opened.
            on_batch_end: called after the last callback of one read.
        """
        self._on_open: Final = on_open
        self._on_frame: Final = on_frame
        self._on_close: Final = on_close
        self._on_batch_end: Final = on_batch_end
        self._sessions: Final[dict[int, _Session]] = {}
        self._next = 1
        self._counts: Final[dict[str, int]] = dict.fromkeys(_COUNTERS, 0)

    def send_nowait(self, session: int, payload: bytes) -> None:
        """Queue a frame for a session; dropped when it is over. One that overflows is closed."""
        state = self._sessions.get(session)
        if state is None:
            self._counts["dropped"] += 1
        elif len(state.queue) >= QUEUE_COUNT_MAX or state.queue_bytes + len(payload) > QUEUE_BYTES_MAX:
            self._counts["queue_full"] += 1
            state.scope.cancel()
        else:
            state.queue.append(payload)
            state.queue_bytes += len(payload)
            state.wake.set()

    def close_nowait(self, session: int) -> None:
        """End a session, if there still is one."""
        state = self._sessions.get(session)
        if state is not None:
            state.scope.cancel()

    async def serve(self, websocket: WebSocket, role: str, identity: bytes) -> None:
        """Serve a client's WebSocket until it ends, and close it."""
        if len(self._sessions) >= SESSION_COUNT_MAX:
            self._counts["refused"] += 1
            await websocket.aclose(CLOSE_TRY_LATER)
            return
        session, self._next = self._next, self._next + 1
        state = self._sessions[session] = _Session()
        self._counts["opened"] += 1
        code = CLOSE_GOING_AWAY
        try:
            self._on_open(session, role, identity)
            self._end_batch()
            with state.scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._send, websocket, state)
                    code = await self._receive(websocket, session)
                    nursery.cancel_scope.cancel()
        finally:
            del self._sessions[session]
            self._counts["dropped"] += len(state.queue)
            self._on_close(session)
            self._end_batch()
            await websocket.aclose(code)

    def statistics(self) -> dict[str, int]:
        """Return counts since the start, and how many sessions are open."""
        queued = sum(state.queue_bytes for state in self._sessions.values())
        return {**self._counts, "sessions": len(self._sessions), "queued_bytes": queued}

    async def _receive(self, websocket: WebSocket, session: int) -> int:
        """Hand on frames until the WebSocket ends; return the code to close it with."""
        counts = self._counts
        try:
            while True:
                for payload in await websocket.receive_messages():
                    counts["frames_in"] += 1
                    counts["bytes_in"] += len(payload)
                    self._on_frame(session, payload)
                self._end_batch()
        except LinkLost:
            return CLOSE_NORMAL
        except RemoteProtocolError:
            counts["garbage"] += 1
            return CLOSE_PROTOCOL_ERROR

    async def _send(self, websocket: WebSocket, state: _Session) -> None:
        counts = self._counts
        while True:
            if not state.queue:
                state.wake = trio.Event()
                await state.wake.wait()
            batch = state.queue[:SEND_COUNT_MAX]
            size = sum(map(len, batch))
            del state.queue[: len(batch)]
            state.queue_bytes -= size
            try:
                await websocket.send_messages(batch)
            except LinkLost:
                return  # the receiver finds out why
            counts["frames_out"] += len(batch)
            counts["bytes_out"] += size

    def _end_batch(self) -> None:
        if self._on_batch_end is not None:
            self._on_batch_end()
