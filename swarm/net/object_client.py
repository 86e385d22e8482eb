"""Getting objects from other nodes and giving them, over HTTP; connections are kept for the next one."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO, Final

import h11
import trio

from swarm.core.errors import ConnectionLost, RemoteProtocolError, StorageError, TransportError
from swarm.core.ids import DIGEST_SIZE, Address, NodeId, ObjectName, object_path
from swarm.net.dial import race_tls
from swarm.net.http_stream import HttpStream
from swarm.net.keys import ALPN_HTTP, Credentials
from swarm.net.object_files import READ_SIZE
from swarm.net.tls_ring import TlsRing, ring_of
from swarm.net.upgrade import message_in_untrusted
from swarm.net.websocket import TlsStream
from swarm.wire.facts import digest_of

IDLE_COUNT_MAX: Final = 16
"""Connections kept for later; the one not used for longest is closed."""
IDLE_TIMEOUT_S: Final = 30.0
"""Half of what a server waits, so that a kept connection is still good."""
STALL_TIMEOUT_S: Final = 15.0
"""A transfer without a byte for so long goes on at another source. With `dial.DIAL_TIMEOUT_S` it bounds how
long a silent source can take; there is no bound on a transfer that moves."""
WRITE_SIZE: Final = 1024 * 1024
_ANSWER_SIZE_MAX: Final = 4096
_COUNTERS: Final = (
    "fetched",
    "put",
    "bytes_in",
    "bytes_out",
    "reused",
    "source_failed",
    "bad_digest",
    "resumed",
)


class FetchFailed(TransportError):
    """No source gave the object; nothing of it is kept.

    Attributes:
        failed: the sources that were tried.
    """

    def __init__(self, message: str, failed: list[NodeId]) -> None:
        super().__init__(message)
        self.failed = failed


class ObjectClient:
    """The client's side of `swarm.net.http`."""

    def __init__(self, credentials: Credentials | TlsRing) -> None:
        self._ring: Final = ring_of(credentials)
        self._idle: Final[list[tuple[tuple[Address, ...], float, HttpStream]]] = []
        self._counts: Final[dict[str, int]] = dict.fromkeys(_COUNTERS, 0)
        self._drafts = 0

    async def __aenter__(self) -> ObjectClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections that were kept."""
        while self._idle:
            await trio.aclose_forcefully(self._idle.pop()[2].stream)

    def statistics(self) -> dict[str, int]:
        """Return counts since the start."""
        return {**self._counts, "idle": len(self._idle)}

    async def fetch_object(
        self,
        name: ObjectName,
        digest: bytes,
        size: int,
        sources: Sequence[tuple[NodeId, Sequence[Address]]],
        store: Path,
    ) -> Path:
        """Copy an object into `store`, unless it is there, and return its path.

        A transfer that breaks goes on at the next source where it stopped. A copy with a wrong digest is
        thrown away, and each source gets one chance to give all of it.

        Args:
            name, digest, size: of the object, size in bytes.
            sources: holders and their addresses, tried in this order; an id of b"" is any node.
            store: directory; made when it is not there.

        Raises:
            FetchFailed: no source gave it.
            OSError: the store cannot be written.
        """
        path = store / object_path(name)
        if _is_there(path):
            return path
        self._drafts += 1
        draft = store / f".get-{id(self):x}-{self._drafts}-{path.name}"
        attempt = _Fetch(path.name, digest, size, draft)
        try:
            for _ in range(2):
                for node, addresses in sources:
                    if await self._fetch_from(attempt, node, addresses):
                        draft.replace(path)
                        self._counts["fetched"] += 1
                        return path
                if not attempt.is_mixed:
                    break
                attempt.is_resuming = False  # one of several gave wrong bytes: each must give all of it
        finally:
            draft.unlink(missing_ok=True)
        raise FetchFailed("; ".join(attempt.reasons) or "no node is known to hold the object", attempt.failed)

    async def put_object(
        self, address: Address, name: ObjectName, data: bytes | Path, encoding: int
    ) -> bytes:
        """Give an object to the node at `address`; return its digest.

        Args:
            address: of any node of the mesh.
            name: of the object.
            data: the bytes, or a file that holds them.
            encoding: `ENCODING_RAW` or `ENCODING_PICKLE`.

        Raises:
            ConnectFailed: the node cannot be reached.
            ConnectionLost: it went away on the way; the object may or may not have arrived.
            StorageError: the node refused it, with the node's reason.
        """
        size = _size_of(data)
        headers = [
            (b"content-length", b"%d" % size),
            (b"x-swarm-encoding", b"%d" % encoding),
            (b"expect", b"100-continue"),
        ]
        target = f"/objects/{object_path(name)}"
        async with self._request(b"", [address], b"PUT", target, headers) as http:
            event = await self._event(http)
            if isinstance(event, h11.InformationalResponse):
                with contextlib.suppress(trio.BrokenResourceError):  # there may be a refusal to read
                    await self._send_body(http, data)
                event = await self._response(http)
            if not isinstance(event, h11.Response):
                raise ConnectionLost("the node gave no answer")
            response, body = event, await self._body(http)
        if response.status_code != 201:
            raise StorageError(f"{address[0]} refused the object: {message_in_untrusted(body)}")
        self._counts["put"] += 1
        try:
            digest = bytes.fromhex(json.loads(body)["digest"])
        except (ValueError, KeyError, TypeError, RecursionError):
            raise ConnectionLost(f"{address[0]} gave no usable answer to an object") from None
        if isinstance(data, bytes) and digest != digest_of(data):
            raise ConnectionLost(f"{address[0]} received other bytes than were sent")
        return digest

    async def get_json(
        self, node: NodeId, addresses: Sequence[Address], target: str, size_max: int
    ) -> object:
        """Return the JSON that a node answers with.

        Args:
            node, addresses: whom to ask and where; an id of b"" is any node.
            target: what to get, percent-encoded.
            size_max: bytes that the answer may have.

        Raises:
            ConnectFailed: the node cannot be reached.
            ConnectionLost: it went away, was too slow, or has no such thing.
            RemoteProtocolError: its answer is no JSON, or too long.
        """
        async with self._request(node, addresses, b"GET", target, []) as http:
            response = await self._response(http)
            body = await self._body(http, size_max + 1)
        if response.status_code != 200:
            raise ConnectionLost(f"the node answers: {message_in_untrusted(body)}")
        if len(body) > size_max:
            raise RemoteProtocolError(f"an answer of more than {size_max} bytes")
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            raise RemoteProtocolError("an answer that is no JSON") from None

    async def _fetch_from(self, attempt: _Fetch, node: NodeId, addresses: Sequence[Address]) -> bool:
        """Take what is missing from one source; return whether the object is whole and right."""
        try:
            await self._fetch_rest(attempt, node, addresses)
        except (TransportError, RemoteProtocolError) as error:
            attempt.blame(node, str(error))
        else:
            if attempt.hash.digest() == attempt.digest:
                return True
            self._counts["bad_digest"] += 1
            attempt.is_mixed = attempt.is_mixed or attempt.givers > 1
            attempt.blame(node, "the bytes received do not have the object's digest")
            attempt.draft.unlink()
        self._counts["source_failed"] += 1
        return False

    async def _fetch_rest(self, attempt: _Fetch, node: NodeId, addresses: Sequence[Address]) -> None:
        """Append to the draft what is missing of the object.

        Raises:
            TransportError, RemoteProtocolError: this source could not give (all of) it.
        """
        start = attempt.draft.stat().st_size if attempt.is_resuming and attempt.draft.exists() else 0
        headers = [(b"range", b"bytes=%d-" % start)] if start else []
        target = f"/objects/{attempt.file_name}"
        async with self._request(node, addresses, b"GET", target, headers) as http:
            response = await self._response(http)
            if response.status_code not in (200, 206):
                raise ConnectionLost(f"the holder answers: {message_in_untrusted(await self._body(http))}")
            if response.status_code == 200:
                start = 0
            self._counts["resumed"] += bool(start)
            attempt.givers = attempt.givers + 1 if start else 1
            if not start:
                attempt.hash = blake2b(digest_size=DIGEST_SIZE)
            with attempt.draft.open("ab" if start else "wb") as file:
                await self._receive_file(http, attempt, file, attempt.size - start)

    async def _receive_file(self, http: HttpStream, attempt: _Fetch, file: BinaryIO, size: int) -> None:
        """Write exactly `size` bytes of body to a file, in pieces."""
        gathered: list[bytes] = []
        gathered_bytes = received = 0
        try:
            while isinstance(event := await self._event(http), h11.Data):
                gathered.append(bytes(event.data))
                gathered_bytes += len(event.data)
                received += len(event.data)
                if received > size:
                    raise RemoteProtocolError("the holder gave more bytes than the object has")
                if gathered_bytes >= WRITE_SIZE:
                    piece, gathered, gathered_bytes = b"".join(gathered), [], 0
                    await trio.to_thread.run_sync(attempt.append, file, piece)
        finally:  # what came is good for resuming
            attempt.append(file, b"".join(gathered))
            self._counts["bytes_in"] += received
        if received < size:
            raise ConnectionLost(f"the holder gave {received} of {size} bytes")

    async def _send_body(self, http: HttpStream, data: bytes | Path) -> None:
        """Send the body of a PUT; a node that refuses it meanwhile may cut it short."""
        if isinstance(data, bytes):
            for start in range(0, len(data), READ_SIZE):
                await self._send_piece(http, data[start : start + READ_SIZE])
        else:
            with data.open("rb") as file:
                while piece := await trio.to_thread.run_sync(file.read, READ_SIZE):
                    await self._send_piece(http, piece)
        with trio.fail_after(STALL_TIMEOUT_S):
            await http.send(h11.EndOfMessage())

    async def _send_piece(self, http: HttpStream, piece: bytes) -> None:
        with trio.fail_after(STALL_TIMEOUT_S):
            await http.send(h11.Data(data=piece))
        self._counts["bytes_out"] += len(piece)

    async def _response(self, http: HttpStream) -> h11.Response:
        while isinstance(event := await self._event(http), h11.InformationalResponse):
            continue
        if not isinstance(event, h11.Response):
            raise ConnectionLost("the node gave no answer")
        return event

    async def _body(self, http: HttpStream, size_max: int = _ANSWER_SIZE_MAX) -> bytes:
        """Return the body of a short answer; what is too long is cut and spoils the connection."""
        body = b""
        while len(body) < size_max and isinstance(event := await self._event(http), h11.Data):
            body += bytes(event.data)
        return body

    async def _event(self, http: HttpStream) -> object:
        with trio.fail_after(STALL_TIMEOUT_S):
            return await http.next_event()

    @asynccontextmanager
    async def _request(
        self,
        node: NodeId,
        addresses: Sequence[Address],
        method: bytes,
        target: str,
        headers: Sequence[tuple[bytes, bytes]],
    ) -> AsyncIterator[HttpStream]:
        """Give a connection on which a request was sent; keep it afterwards if it is at a good place.

        Raises:
            ConnectFailed, ConnectionLost, RemoteProtocolError: also for what the body of the `with` meets.
        """
        key = tuple(addresses)
        http = await self._connection(node, key)
        is_good = False
        try:
            with trio.fail_after(STALL_TIMEOUT_S):
                await http.send(
                    h11.Request(
                        method=method, target=target.encode(), headers=[(b"host", b"swarm"), *headers]
                    )
                )
                if method == b"GET":
                    await http.send(h11.EndOfMessage())
            yield http
            is_good = http.connection.states == {h11.CLIENT: h11.DONE, h11.SERVER: h11.DONE}
        except h11.ProtocolError as error:
            raise RemoteProtocolError(f"no HTTP of a node: {error}") from None
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise ConnectionLost("the connection to the node broke") from None
        except trio.TooSlowError:
            raise ConnectionLost(f"the node made no progress for {STALL_TIMEOUT_S:g} s") from None
        finally:
            if not is_good:
                await trio.aclose_forcefully(http.stream)
        if not is_good:
            return
        http.connection.start_next_cycle()
        self._idle.append((key, trio.current_time(), http))
        if len(self._idle) > IDLE_COUNT_MAX:
            await trio.aclose_forcefully(self._idle.pop(0)[2].stream)

    async def _connection(self, node: NodeId, addresses: tuple[Address, ...]) -> HttpStream:
        """Return a kept connection to these addresses, or a new one."""
        while (kept := self._take_idle(addresses)) is not None:
            since, http = kept
            if trio.current_time() - since < IDLE_TIMEOUT_S and _is_quiet(http.stream):
                self._counts["reused"] += 1
                return http
            await trio.aclose_forcefully(http.stream)
        stream, _ = await race_tls(addresses, self._ring.dial_contexts(ALPN_HTTP), node or None)
        return HttpStream(stream, h11.CLIENT)

    def _take_idle(self, addresses: tuple[Address, ...]) -> tuple[float, HttpStream] | None:
        """Take the connection to these addresses that was used last, with the time of that; None for none.

        To be asked anew after every wait: others take connections meanwhile.
        """
        for number in range(len(self._idle) - 1, -1, -1):
            if self._idle[number][0] == addresses:
                _, since, http = self._idle.pop(number)
                return since, http
        return None


class _Fetch:
    """One object on its way, from source to source."""

    __slots__ = (
        "digest",
        "draft",
        "failed",
        "file_name",
        "givers",
        "hash",
        "is_mixed",
        "is_resuming",
        "reasons",
        "size",
    )

    def __init__(self, file_name: str, digest: bytes, size: int, draft: Path) -> None:
        self.file_name = file_name
        self.digest = digest
        self.size = size
        self.draft = draft
        self.failed: list[NodeId] = []
        self.reasons: list[str] = []
        self.givers = 0  # sources of what is in the draft
        self.is_mixed = False  # bytes of several sources made a wrong object
        self.is_resuming = True
        self.hash = blake2b(digest_size=DIGEST_SIZE)

    def append(self, file: BinaryIO, data: bytes) -> None:
        """Write and digest what arrived next."""
        self.hash.update(data)
        file.write(data)

    def blame(self, node: NodeId, reason: str) -> None:
        """Note that a source failed, and why."""
        self.reasons.append(reason)
        if node not in self.failed:
            self.failed.append(node)


def _is_there(path: Path) -> bool:
    """Return whether an object is in a store already; make the store when it is not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.exists()


def _size_of(data: bytes | Path) -> int:
    return len(data) if isinstance(data, bytes) else data.stat().st_size


def _is_quiet(stream: TlsStream) -> bool:
    """Return whether an idle connection is still open: nothing came, not even its end."""
    try:
        # The socket is in non-blocking mode; looking does not take anything away.
        with socket.socket(fileno=os.dup(stream.transport_stream.socket.fileno())) as sock:
            sock.setblocking(False)
            sock.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
