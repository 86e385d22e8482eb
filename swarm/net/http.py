"""The objects of a node over HTTP/1.1, for nodes and clients of the mesh.

``GET`` and ``HEAD /objects/<job>.<task>.<output>``, with one range; ``PUT`` of the same with a length and
``X-Swarm-Encoding: 0|1``; ``GET /health``; and ``GET`` of what the
daemon answers, such as ``/services/<name>``. Answers that are no object are JSON, refusals with a "message".
Files are read and written in worker threads, a piece at a time.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import BinaryIO, Final
from urllib.parse import unquote

import h11
import trio

from swarm.core.ids import ObjectName, parse_object_path
from swarm.net.http_stream import HttpStream
from swarm.net.object_files import (
    READ_SIZE,
    IncomingObject,
    ObjectConflict,
    is_disk_full,
    parse_range,
    store_size,
)
from swarm.net.websocket import TlsStream
from swarm.wire.messages import ENCODING_PICKLE, ENCODING_RAW

IDLE_TIMEOUT_S: Final = 60.0
"""A connection without a request for so long is closed."""
STALL_TIMEOUT_S: Final = 60.0
"""A transfer without progress for so long is given up."""
LINGER_S: Final = 5.0
"""How long the rest of a refused body is taken in and thrown away."""
WRITE_SIZE: Final = 1024 * 1024
"""Bytes of a PUT gathered before they go to the disk."""

_PREFIX: Final = "/objects/"
_COUNTERS: Final = (
    "requests",
    "gets",
    "puts",
    "questions",
    "bytes_in",
    "bytes_out",
    "not_found",
    "bad_requests",
    "bad_ranges",
    "quota_reached",
    "conflicts",
    "garbage",
    "broken",
    "stalled",
    "store_failed",
)


class _Refused(Exception):
    def __init__(self, status: int, message: str, counter: str) -> None:
        super().__init__(message)
        self.status = status
        self.counter = counter


class ObjectServer:
    """Serves the object store of one node."""

    def __init__(
        self,
        store: Path,
        on_put: Callable[[ObjectName, bytes, int, int], None],
        store_bytes_max: int,
        health: Callable[[], dict[str, object]],
        answers: Mapping[str, Callable[[str], Awaitable[object]]] | None = None,
    ) -> None:
        """Prepare.

        Args:
            store: directory of the objects.
            on_put: gets name, digest, size in bytes and encoding of an object that was put here.
            store_bytes_max: a PUT that would make the store bigger is refused.
            health: gives the answer to ``GET /health``, JSON values.
            answers: what answers ``GET /<first>/<rest>`` with JSON values, by first; gets the rest decoded.
        """
        self._store: Final = store
        self._on_put: Final = on_put
        self._store_bytes_max: Final = store_bytes_max
        self._health: Final = health
        self._answers: Final = answers or {}
        self._incoming_bytes = 0
        self._put_count = 0
        self._counts: Final[dict[str, int]] = dict.fromkeys(_COUNTERS, 0)

    def statistics(self) -> dict[str, int]:
        """Return counts since the start."""
        return dict(self._counts)

    async def serve(self, stream: TlsStream) -> None:
        """Answer the requests of one connection until it ends."""
        http = HttpStream(stream, h11.SERVER)
        try:
            while await self._serve_request(http):
                http.connection.start_next_cycle()
        except (h11.RemoteProtocolError, h11.LocalProtocolError):
            self._counts["garbage"] += 1
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self._counts["broken"] += 1
        except trio.TooSlowError:
            self._counts["stalled"] += 1
        except OSError:  # the disk failed in the middle of an object
            self._counts["store_failed"] += 1

    async def _serve_request(self, http: HttpStream) -> bool:
        """Answer one request; return whether another may follow."""
        with trio.move_on_after(IDLE_TIMEOUT_S) as waiting:
            event = await http.next_event()
        if waiting.cancelled_caught or not isinstance(event, h11.Request):
            return False
        self._counts["requests"] += 1
        is_head = event.method == b"HEAD"
        try:
            await self._answer(http, event, is_head=is_head)
        except _Refused as refusal:
            self._counts[refusal.counter] += 1
            close = [(b"connection", b"close")]
            answer = {"message": str(refusal)}
            with trio.fail_after(STALL_TIMEOUT_S):
                await http.answer_json(refusal.status, answer, close, is_head=is_head)
            # Closing on a body that is still coming would reset the connection, and the answer with it.
            with trio.move_on_after(LINGER_S):
                while isinstance(await http.next_event(), h11.Data):
                    continue
            return False
        if http.connection.their_state is h11.SEND_BODY:  # else it is over, or must be
            with trio.fail_after(STALL_TIMEOUT_S):
                await http.next_event()
        return http.connection.states == {h11.CLIENT: h11.DONE, h11.SERVER: h11.DONE}

    async def _answer(self, http: HttpStream, request: h11.Request, *, is_head: bool) -> None:
        path = request.target.decode("ascii", "replace")
        if path == "/health" and request.method in (b"GET", b"HEAD"):
            await http.answer_json(200, self._health(), is_head=is_head)
            return
        first, _, rest = path.removeprefix("/").partition("/")
        if first in self._answers and request.method in (b"GET", b"HEAD"):
            self._counts["questions"] += 1
            await http.answer_json(200, await self._answers[first](unquote(rest)), is_head=is_head)
            return
        if not path.startswith(_PREFIX):
            raise _Refused(404, f"there is nothing at {path[:100]}", "not_found")
        try:
            name = parse_object_path(path.removeprefix(_PREFIX))
        except ValueError as error:
            raise _Refused(400, str(error)[:200], "bad_requests") from None
        if request.method in (b"GET", b"HEAD"):
            await self._get(http, request, path.removeprefix(_PREFIX).lower(), is_head=is_head)
        elif request.method == b"PUT":
            await self._put(http, request, name, path.removeprefix(_PREFIX).lower())
        else:
            raise _Refused(405, "objects are read with GET and written with PUT", "bad_requests")

    async def _get(self, http: HttpStream, request: h11.Request, file_name: str, *, is_head: bool) -> None:
        self._counts["gets"] += 1
        try:
            file, size = await trio.to_thread.run_sync(_open, self._store / file_name)
        except OSError:
            raise _Refused(404, f"this node does not hold the object {file_name}", "not_found") from None
        try:
            await self._send_file(http, request, file, size, is_head=is_head)
        finally:
            file.close()

    async def _send_file(
        self, http: HttpStream, request: h11.Request, file: BinaryIO, size: int, *, is_head: bool
    ) -> None:
        start, end, status = 0, size, 200
        headers = [(b"content-type", b"application/octet-stream"), (b"accept-ranges", b"bytes")]
        wanted = dict(request.headers).get(b"range")
        if wanted is not None:
            try:
                found = parse_range(wanted, size)
            except ValueError as error:
                raise _Refused(416, f"{error} of {size} bytes", "bad_ranges") from None
            if found is not None:
                start, end = found
                status = 206
                headers.append((b"content-range", b"bytes %d-%d/%d" % (start, end - 1, size)))
        headers.append((b"content-length", b"%d" % (end - start)))
        with trio.fail_after(STALL_TIMEOUT_S) as stall:
            await http.send(h11.Response(status_code=status, headers=headers))
            if not is_head:
                file.seek(start)
                while start < end:
                    data = await trio.to_thread.run_sync(file.read, min(READ_SIZE, end - start))
                    if not data:
                        raise trio.BrokenResourceError("an object became shorter while it was sent")
                    await http.send(h11.Data(data=data))
                    start += len(data)
                    self._counts["bytes_out"] += len(data)
                    stall.deadline = trio.current_time() + STALL_TIMEOUT_S
            await http.send(h11.EndOfMessage())

    async def _put(self, http: HttpStream, request: h11.Request, name: ObjectName, file_name: str) -> None:
        self._counts["puts"] += 1
        headers = dict(request.headers)
        encoding = {b"0": ENCODING_RAW, b"1": ENCODING_PICKLE}.get(headers.get(b"x-swarm-encoding", b""))
        if encoding is None:
            raise _Refused(400, "a PUT needs the header X-Swarm-Encoding: 0 or 1", "bad_requests")
        length = headers.get(b"content-length", b"")
        if not length:
            raise _Refused(411, "a PUT needs a Content-Length", "bad_requests")
        size = int(length)  # h11 has checked that it is a number
        await self._check_quota(size)
        self._incoming_bytes += size
        try:
            digest = await self._receive_file(http, self._store / file_name, size)
        except ObjectConflict as error:
            raise _Refused(409, str(error), "conflicts") from None
        except OSError as error:
            status = 507 if is_disk_full(error) else 500
            raise _Refused(
                status, f"the store cannot be written: {error.strerror}", "quota_reached"
            ) from None
        finally:
            self._incoming_bytes -= size
        self._on_put(name, digest, size, encoding)
        await http.answer_json(201, {"digest": digest.hex(), "size": size})

    async def _check_quota(self, size: int) -> None:
        """Refuse what does not fit; PUTs under way count in full, and what they wrote a second time."""
        used = await trio.to_thread.run_sync(store_size, self._store) if self._store.exists() else 0
        free = self._store_bytes_max - used - self._incoming_bytes
        if size > free:
            message = f"the object has {size} bytes and the store room for {max(free, 0)}"
            raise _Refused(507, message, "quota_reached")

    async def _receive_file(self, http: HttpStream, path: Path, size: int) -> bytes:
        """Write the body of a PUT; return its digest."""
        self._put_count += 1
        self._store.mkdir(parents=True, exist_ok=True)
        incoming = IncomingObject(path, self._put_count)
        try:
            gathered: list[bytes] = []
            gathered_bytes = received = 0
            while received < size:
                with trio.fail_after(STALL_TIMEOUT_S):
                    event = await http.next_event()
                if not isinstance(event, h11.Data):
                    break
                gathered.append(bytes(event.data))
                gathered_bytes += len(event.data)
                received += len(event.data)
                if gathered_bytes >= WRITE_SIZE or received == size:
                    await trio.to_thread.run_sync(incoming.write, b"".join(gathered))
                    self._counts["bytes_in"] += gathered_bytes
                    gathered, gathered_bytes = [], 0
            digest = incoming.digest()
            await trio.to_thread.run_sync(incoming.finish)
        except BaseException:
            incoming.abandon()
            raise
        return digest


def _open(path: Path) -> tuple[BinaryIO, int]:
    """Return an object's file and its size in bytes."""
    file = path.open("rb")
    return file, os.fstat(file.fileno()).st_size
