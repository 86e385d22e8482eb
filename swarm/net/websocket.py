"""WebSocket (RFC 6455) on a TLS stream: framing and closing; the opening handshake is in `upgrade`.

Why not a library's: at tens of microseconds per message its task switches and copies were the largest
part of the path of a small message (docs/decisions has the figures). Here a read gives all messages that
came with it, many messages leave in one write, and large ones are not copied in one piece.

Frames of a client carry the masking key zero. Masks keep scripts in browsers from steering proxies (RFC
6455 §10.3); inside mutual TLS there is neither, and XORing with zero costs nothing. Any key is understood.

Two layouts of a binary message: one frame of our protocol (sessions of clients), or a *batch* of them,
each behind its length in 4 bytes, big endian (between nodes).
"""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
from collections.abc import Sequence
from typing import Final, TypeAlias

import trio

from swarm.core.errors import ConnectionLost, DecodeError, RemoteProtocolError
from swarm.net.keys import key_of

MESSAGE_SIZE_MAX: Final = 65 * 1024 * 1024
"""Bytes of a message: a job part of 64 MiB and what is around it."""
WRITE_SIZE: Final = 256 * 1024
"""Bytes given to TLS at once; more are cut, fewer are gathered."""
CLOSE_TIMEOUT_S: Final = 1.0

CLOSE_NORMAL: Final = 1000
CLOSE_GOING_AWAY: Final = 1001
CLOSE_PROTOCOL_ERROR: Final = 1002
CLOSE_UNSUPPORTED: Final = 1003
CLOSE_TOO_BIG: Final = 1009
CLOSE_TRY_LATER: Final = 1013

_RECEIVE_SIZE: Final = 65536
_CONTINUATION: Final = 0
_BINARY: Final = 2
_CLOSE: Final = 8
_PING: Final = 9
_PONG: Final = 10
_CONTROL_SIZE_MAX: Final = 125
_MASK_SIZE: Final = 4
_NO_MASK: Final = bytes(_MASK_SIZE)
_LENGTH: Final = struct.Struct(">I")
_END_ERRORS: Final = (errno.EPIPE,)
"""What a socket says after the other end was closed. A reset is none: it also comes from a process that is
well and gave up a connection on which nothing came, because our host slept or was cut off."""

_RESET: Final = struct.pack("ii", 1, 0)
"""SO_LINGER: do not wait for what is unsent, reset."""

Buffer: TypeAlias = bytes | bytearray | memoryview
TlsStream: TypeAlias = trio.SSLStream[trio.SocketStream]


class LinkLost(ConnectionLost):
    """A WebSocket ended.

    Attributes:
        code: the close code that the peer sent, None when it ended without.
        was_closed: the peer's host closed it without a goodbye: the process ended.
    """

    def __init__(self, message: str, code: int | None = None, *, was_closed: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.was_closed = was_closed


class WebSocket:
    """One end of an open WebSocket. One task may receive while others send."""

    def __init__(
        self,
        stream: TlsStream,
        *,
        is_client: bool,
        buffered: bytes = b"",
        message_size_max: int = MESSAGE_SIZE_MAX,
    ) -> None:
        """Go on where the opening handshake ended.

        Args:
            stream: the TLS stream, owned from now on.
            is_client: which end this is: clients mask, servers do not.
            buffered: bytes that came behind the handshake.
            message_size_max: a peer that announces more is cut off.
        """
        self._stream: Final = stream
        self._is_client: Final = is_client
        self._message_size_max: Final = message_size_max
        self._buffer: Final = bytearray(buffered)
        self._fragments: list[bytes] = []
        self._fragments_bytes = 0
        self._replies: list[tuple[int, bytes]] = []
        self._send_lock: Final = trio.StrictFIFOLock()
        self._is_broken = False
        self._is_close_sent = False
        self._close_code: int | None = None
        self._failure: RemoteProtocolError | None = None

    @property
    def key_fingerprint(self) -> bytes:
        """Name of the key of the mesh under which the stream was opened."""
        return key_of(self._stream).fingerprint

    async def send_messages(self, payloads: Sequence[Buffer]) -> None:
        """Send each payload as a message of its own, all in as few writes as possible.

        Raises:
            LinkLost: it ended; how much arrived is not known.
        """
        parts: list[Buffer] = []
        for payload in payloads:
            parts.append(self._header(_BINARY, len(payload)))
            parts.append(payload)
        await self._write(parts)

    async def send_batch(self, payloads: Sequence[Buffer]) -> None:
        """Send all payloads as one message; see `split_batch_untrusted`.

        Raises:
            LinkLost: it ended; how much arrived is not known.
        """
        parts: list[Buffer] = [b""]
        size = 0
        for payload in payloads:
            parts.append(_LENGTH.pack(len(payload)))
            parts.append(payload)
            size += _LENGTH.size + len(payload)
        parts[0] = self._header(_BINARY, size)
        await self._write(parts)

    async def receive_messages(self) -> list[bytes]:
        """Return the next messages, at least one, in order.

        Raises:
            LinkLost: it ended.
            RemoteProtocolError: the peer broke the protocol and was told so; close the WebSocket.
        """
        while True:
            messages = self._parse() if self._failure is None and self._close_code is None else []
            if messages:
                return messages  # what ended the link, if anything, is told by the next call
            if self._replies:
                await self._reply()
            if self._failure is not None:
                raise self._failure
            if self._close_code is not None:
                raise LinkLost(f"the peer closed the connection ({self._close_code})", self._close_code)
            try:
                data = await self._stream.receive_some(_RECEIVE_SIZE)
            except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                raise _lost(error) from None
            if not data:
                raise LinkLost("the connection ended without a goodbye", was_closed=True)
            self._buffer.extend(data)

    async def send_close(self, code: int = CLOSE_NORMAL) -> None:
        """Begin to close: nothing can be sent any more, the peer's messages are received to their end."""
        if not self._is_close_sent:
            self._is_close_sent = True
            await self._write([self._header(_CLOSE, 2), struct.pack(">H", code)], is_close=True)

    async def aclose(self, code: int = CLOSE_NORMAL) -> None:
        """Say goodbye if that is possible at once, and close the stream.

        Where it is not possible the stream is reset: to the other end, a stream that merely ends without a
        goodbye is evidence that this process has ended.
        """
        with trio.CancelScope(shield=True), trio.move_on_after(CLOSE_TIMEOUT_S):
            try:
                if not self._is_broken:
                    await self.send_close(code)
                    await self._stream.aclose()
            except (LinkLost, trio.BrokenResourceError, trio.BusyResourceError):
                pass
        if self._is_broken or not self._is_close_sent:
            with contextlib.suppress(OSError):
                self._stream.transport_stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        await trio.aclose_forcefully(self._stream)

    async def _reply(self) -> None:
        """Answer pings and closes that were read."""
        replies, self._replies = self._replies, []
        for opcode, payload in replies:
            if opcode == _CLOSE:
                if self._is_close_sent:
                    continue
                self._is_close_sent = True
            try:
                parts: list[Buffer] = [self._header(opcode, len(payload)), payload]
                await self._write(parts, is_close=opcode == _CLOSE)
            except LinkLost:
                return  # the receiver is about to find out why

    def _header(self, opcode: int, size: int) -> bytes:
        first = 0x80 | opcode
        if size < 126:
            header = bytes((first, size | 0x80 if self._is_client else size))
        elif size < 65536:
            header = struct.pack(">BBH", first, 254 if self._is_client else 126, size)
        else:
            header = struct.pack(">BBQ", first, 255 if self._is_client else 127, size)
        return header + _NO_MASK if self._is_client else header

    async def _write(self, parts: list[Buffer], *, is_close: bool = False) -> None:
        async with self._send_lock:
            if self._is_broken or (self._is_close_sent and not is_close):
                raise LinkLost("the connection is closed", self._close_code)
            self._is_broken = True  # until everything is out: a cancelled write leaves half a frame behind
            try:
                for chunk in _chunks(parts):
                    await self._stream.send_all(chunk)
            except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                raise _lost(error) from None
            self._is_broken = False

    def _parse(self) -> list[bytes]:
        """Take all complete messages out of the buffer; remember replies, a close and a failure."""
        messages: list[bytes] = []
        position = 0
        with memoryview(self._buffer) as view:
            try:
                while self._close_code is None:
                    end = self._parse_frame(view, position, messages)
                    if end == 0:
                        break
                    position = end
            except RemoteProtocolError as error:
                self._failure = error
                code = CLOSE_TOO_BIG if "size" in str(error) else CLOSE_PROTOCOL_ERROR
                self._replies.append((_CLOSE, struct.pack(">H", code)))
        if position:
            del self._buffer[:position]
        return messages

    def _parse_frame(self, view: memoryview, start: int, messages: list[bytes]) -> int:
        """Handle the frame at `start`; return where it ends, 0 when it is not complete yet."""
        available = len(view) - start
        if available < 2:
            return 0
        first, second = view[start], view[start + 1]
        if first & 0x70:
            raise RemoteProtocolError("a WebSocket frame has reserved bits set")
        if bool(second & 0x80) == self._is_client:
            raise RemoteProtocolError("a WebSocket frame is masked by the wrong end")
        size, body = second & 0x7F, start + 2
        if size >= 126:
            width = 2 if size == 126 else 8
            if available < 2 + width:
                return 0
            size, body = int.from_bytes(view[body : body + width], "big"), body + width
        opcode = first & 0x0F
        if size > (_CONTROL_SIZE_MAX if opcode >= _CLOSE else self._message_size_max - self._fragments_bytes):
            raise RemoteProtocolError(f"a WebSocket frame has a size of {size} bytes, too much")
        mask = _NO_MASK
        if not self._is_client:
            mask, body = bytes(view[body : body + _MASK_SIZE]), body + _MASK_SIZE
        end = body + size
        if end > len(view):
            return 0
        payload = bytes(view[body:end])
        if mask != _NO_MASK:
            payload = _unmask(payload, mask)
        self._take_frame(opcode, bool(first & 0x80), payload, messages)
        return end

    def _take_frame(self, opcode: int, is_final: bool, payload: bytes, messages: list[bytes]) -> None:
        if opcode >= _CLOSE:
            if not is_final:
                raise RemoteProtocolError("a WebSocket control frame is fragmented")
            self._take_control(opcode, payload)
            return
        if opcode not in (_BINARY, _CONTINUATION):
            raise RemoteProtocolError(f"a WebSocket frame has opcode {opcode}: only binary is spoken")
        if (opcode == _CONTINUATION) != bool(self._fragments):
            raise RemoteProtocolError("a WebSocket message starts or goes on in the wrong place")
        if is_final and not self._fragments:
            messages.append(payload)
            return
        self._fragments.append(payload)
        self._fragments_bytes += len(payload) + 1  # so that empty fragments come to an end, too
        if is_final:
            messages.append(b"".join(self._fragments))
            self._fragments = []
            self._fragments_bytes = 0

    def _take_control(self, opcode: int, payload: bytes) -> None:
        if opcode == _CLOSE:
            self._close_code = int.from_bytes(payload[:2], "big") if len(payload) >= 2 else 1005
            self._replies.append((_CLOSE, payload[:2]))
        elif opcode == _PING:
            if len(self._replies) < 16:
                self._replies.append((_PONG, payload))
        elif opcode != _PONG:
            raise RemoteProtocolError(f"a WebSocket frame has opcode {opcode}")


def split_batch_untrusted(message: bytes) -> list[bytes]:
    """Return the payloads of a batch (each behind its length in 4 bytes).

    Raises:
        DecodeError: the lengths do not add up.
    """
    payloads: list[bytes] = []
    position, size = 0, len(message)
    while position < size:
        start = position + _LENGTH.size
        if start > size:
            raise DecodeError("a batch ends inside a length")
        position = start + int.from_bytes(message[position:start], "big")
        if position > size:
            raise DecodeError("a batch ends inside a payload")
        payloads.append(message[start:position])
    return payloads


def _chunks(parts: list[Buffer]) -> list[Buffer]:
    """Return the bytes of `parts` in pieces of about `WRITE_SIZE`: small ones joined, large ones cut."""
    total = 0
    for part in parts:
        total += len(part)
    if total <= WRITE_SIZE:
        return [b"".join(parts)]
    chunks: list[Buffer] = []
    gathered: list[Buffer] = []
    gathered_bytes = 0
    for part in parts:
        view = memoryview(part)
        while len(view) > 0:
            piece = view[: WRITE_SIZE - gathered_bytes]
            gathered.append(piece)
            gathered_bytes += len(piece)
            view = view[len(piece) :]
            if gathered_bytes == WRITE_SIZE:
                chunks.append(gathered[0] if len(gathered) == 1 else b"".join(gathered))
                gathered, gathered_bytes = [], 0
    if gathered:
        chunks.append(b"".join(gathered))
    return chunks


def _unmask(payload: bytes, mask: bytes) -> bytes:
    size = len(payload)
    key = (mask * (size // _MASK_SIZE + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(size, "big")


def _lost(error: BaseException) -> LinkLost:
    """Return what a broken stream means; the reason is somewhere in the chain of causes."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError):
            is_end = cause.errno in _END_ERRORS
            return LinkLost(f"the connection broke: {cause.strerror or cause}", was_closed=is_end)
        cause = cause.__cause__ or cause.__context__
    return LinkLost(f"the connection broke: {error.__cause__ or repr(error)}")
