"""The local API: JSON lines on a Unix socket in the home directory, for the command line and any language.

A request is one line ``{"id": ..., "op": "...", "args": {...}}``, its answer one line ``{"id": ..., "ok":
true, "value": ...}`` or ``{"id": ..., "ok": false, "error": {"code": ..., "message": "..."}}`` with an
exit code of the command line. Answers may come in another order than their requests. Bytes are written
``{"base64": "..."}`` both ways. Operations of the daemon itself are answered here; all others go to the
node as CLIENT_CALL frames of a session with the role "local".

Who may open the socket may command the node: it is readable by its owner only. Where Unix sockets are
missing or the path is too long for one, the API listens on the loopback interface; its port and a token
are in ``api.json`` (0600), and the first line of a connection must be ``{"token": "..."}``.
"""

from __future__ import annotations

import base64
import hmac
import os
import secrets
import socket
from collections.abc import Awaitable, Callable
from typing import Final, Protocol, TypeAlias, final

import trio

from swarm.core.errors import ConfigError, DecodeError, SwarmError
from swarm.core.ids import NO_BALLOT
from swarm.daemon.home import Home, write_private
from swarm.daemon.json_text import from_json, to_json
from swarm.wire.codec import Body, Stamp, pack_frame, unpack_frame_untrusted
from swarm.wire.messages import CLIENT_CALL, CLIENT_REPLY

Operation: TypeAlias = Callable[[dict[str, object]], Awaitable[object]]

FIRST_SESSION: Final = 2**40
"""Sessions of this API are numbered from here, those of the network from 1."""

LINE_SIZE_MAX: Final = 4 * 1024 * 1024
CONNECTION_COUNT_MAX: Final = 64
ANSWERS_QUEUED_MAX: Final = 1024
CALLS_OPEN_MAX: Final = 256
ID_SIZE_MAX: Final = 256
SOCKET_PATH_SIZE_MAX: Final = 100
CODE_FAILED: Final = 1
CODE_USAGE: Final = 2
LAST_ANSWERS_S: Final = 30.0
_STAMP: Final = Stamp(b"", NO_BALLOT, 0)
_READ_SIZE: Final = 65536


def to_json_value(value: object) -> object:
    """Return `value` as JSON can hold it: bytes become ``{"base64": ...}``, odd map keys text."""
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode("ascii")}
    if isinstance(value, (list, tuple)):
        return [to_json_value(item) for item in value]
    if isinstance(value, dict):
        return {str(key): to_json_value(item) for key, item in value.items()}
    return value


def from_json_value(value: object) -> object:
    """Return what :func:`to_json_value` was given.

    Raises:
        DecodeError: a ``{"base64": ...}`` does not hold base64.
    """
    if isinstance(value, list):
        return [from_json_value(item) for item in value]
    if isinstance(value, dict):
        text = value.get("base64")
        if len(value) == 1 and isinstance(text, str):
            try:
                return base64.b64decode(text, validate=True)
            except ValueError as error:  # letters that are not ASCII are one, too
                raise DecodeError(f"bad base64: {error}") from None
        return {str(key): from_json_value(item) for key, item in value.items()}
    return value


@final
class _Connection:
    """One client of the API."""

    def __init__(self, session: int, stream: trio.abc.Stream) -> None:
        self.session: Final = session
        self.stream: Final = stream
        self.calls: dict[int, tuple[object, str]] = {}
        self.call_count = 0
        self.is_open_at_node = False
        self.is_ending = False
        self.scope: Final = trio.CancelScope()
        self.answers, self.queued = trio.open_memory_channel[bytes](ANSWERS_QUEUED_MAX)

    def answer(self, number: int, value: object) -> None:
        if number in self.calls:
            request, _ = self.calls.pop(number)
            try:
                self._send({"id": request, "ok": True, "value": to_json_value(value)}, request)
            except RecursionError:
                self.refuse_line(request, CODE_FAILED, "the answer is nested too deeply")
            self._end_if_done()

    def refuse(self, number: int, code: int, message: str) -> None:
        if number in self.calls:
            self.refuse_line(self.calls.pop(number)[0], code, message)
            self._end_if_done()

    def refuse_line(self, request: object, code: int, message: str) -> None:
        self._send({"id": request, "ok": False, "error": {"code": code, "message": message}}, request)

    def end(self) -> None:
        """The other side will ask nothing more: close once everything is answered."""
        self.is_ending = True
        self.scope.deadline = trio.current_time() + LAST_ANSWERS_S
        self._end_if_done()

    def _end_if_done(self) -> None:
        if self.is_ending and not self.calls:
            self.answers.close()

    def _send(self, line: dict[str, object], request: object) -> None:
        try:
            text = to_json(line)
        except (TypeError, ValueError) as error:
            failure = {"code": CODE_FAILED, "message": f"the answer is no JSON: {error}"}
            text = to_json({"id": request, "ok": False, "error": failure})
        try:
            self.answers.send_nowait(text.encode("utf-8", "replace") + b"\n")
        except trio.WouldBlock:
            self.scope.cancel()
        except trio.ClosedResourceError:
            pass


class Answerer(Protocol):
    """Who stands behind the API: the driver of the node, or who answers in its place."""

    def on_client_opened(self, session: int, role: str) -> None:
        """A session began."""

    def receive_client(self, session: int, payload: bytes) -> None:
        """Take a frame of a session; answers come by :meth:`LocalApi.deliver`."""

    def on_client_closed(self, session: int) -> None:
        """A session ended."""


@final
class LocalApi:
    """Serves the local API of one node.

    Args:
        home: where the socket lies.
        driver: the node behind it.
        operations: the operations answered by the daemon itself, by name.
        about: what the daemon adds to the node's answer to "status".
    """

    def __init__(
        self,
        home: Home,
        driver: Answerer,
        operations: dict[str, Operation],
        about: Callable[[], dict[str, object]],
    ) -> None:
        self._home = home
        self._driver: Answerer = driver
        self._operations = operations
        self._about = about
        self._connections: dict[int, _Connection] = {}
        self._next_session = FIRST_SESSION
        self._token = ""
        self._counts = {"connections": 0, "requests": 0, "refused": 0, "bad": 0}

    def owns(self, session: int) -> bool:
        """Return whether a session of the node is one of this API's."""
        return session >= FIRST_SESSION

    def deliver(self, session: int, payload: bytes) -> None:
        """Pass on a frame that the node sends to one of our sessions; one that is gone gets nothing."""
        connection = self._connections.get(session)
        if connection is None:
            return
        frame = unpack_frame_untrusted(payload)
        if frame.kind != CLIENT_REPLY:
            return
        body = Body(frame.body)
        number, is_ok, value = body.take_int(), body.take_bool(), body.take_any()
        if is_ok:
            _, op = connection.calls.get(number, (None, ""))
            if op == "status" and isinstance(value, dict):
                value = {**value, **self._about()}
            connection.answer(number, value)
        elif isinstance(value, dict) and isinstance(value.get("code"), int):
            connection.refuse(number, value["code"], str(value.get("message", "")))
        else:
            connection.refuse(number, CODE_FAILED, str(value))

    def stand_in(self, answerer: Answerer) -> None:
        """Let somebody else answer from now on, also what the node has been asked and has not answered."""
        self._driver = answerer
        for connection in list(self._connections.values()):
            for number, (_, op) in list(connection.calls.items()):
                if op not in self._operations:
                    answerer.receive_client(
                        connection.session, pack_frame(CLIENT_CALL, _STAMP, [number, op, {}])
                    )

    def statistics(self) -> dict[str, int]:
        """Return counters."""
        return {**self._counts, "open": len(self._connections)}

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen and serve until cancelled; the socket is removed at the end.

        Raises:
            ConfigError: the socket cannot be made.
        """
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(self._listen()))
        try:
            async with trio.open_nursery() as nursery:
                task_status.started()
                await trio.serve_listeners(self._serve, [listener], handler_nursery=nursery)
        finally:
            self._home.api_socket.unlink(missing_ok=True)
            self._home.api_address.unlink(missing_ok=True)

    def _listen(self) -> socket.socket:
        path = self._home.api_socket
        path.unlink(missing_ok=True)
        self._home.api_address.unlink(missing_ok=True)
        if hasattr(socket, "AF_UNIX") and len(os.fsencode(path)) <= SOCKET_PATH_SIZE_MAX:
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            mask = os.umask(0o177)
            try:
                listener.bind(os.fspath(path))
            except OSError as error:
                listener.close()
                raise ConfigError(f"cannot make the socket {path}: {error.strerror}") from None
            finally:
                os.umask(mask)
        else:
            listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            listener.bind(("127.0.0.1", 0))
            self._token = secrets.token_urlsafe(24)
            address = {"host": "127.0.0.1", "port": listener.getsockname()[1], "token": self._token}
            write_private(self._home.api_address, to_json(address))
        listener.listen(CONNECTION_COUNT_MAX)
        return listener

    async def _serve(self, stream: trio.SocketStream) -> None:
        self._counts["connections"] += 1
        if len(self._connections) >= CONNECTION_COUNT_MAX:
            self._counts["refused"] += 1
            await stream.aclose()
            return
        self._next_session += 1
        connection = _Connection(self._next_session, stream)
        self._connections[connection.session] = connection
        try:
            with connection.scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._write, connection)
                    await self._read(connection, nursery)
                    connection.end()
        finally:
            del self._connections[connection.session]
            connection.answers.close()
            if connection.is_open_at_node:
                self._driver.on_client_closed(connection.session)
            await trio.aclose_forcefully(stream)

    async def _write(self, connection: _Connection) -> None:
        async for line in connection.queued:
            lines = [line]
            while True:
                try:
                    lines.append(connection.queued.receive_nowait())
                except (trio.WouldBlock, trio.EndOfChannel):
                    break
            try:
                await connection.stream.send_all(b"".join(lines))
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                connection.scope.cancel()
                return

    async def _read(self, connection: _Connection, nursery: trio.Nursery) -> None:
        buffer = bytearray()
        is_trusted = not self._token
        while True:
            try:
                data = await connection.stream.receive_some(_READ_SIZE)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return
            if not data:
                return
            searched = len(buffer)
            buffer += data
            while (end := buffer.find(b"\n", searched)) >= 0:
                line = bytes(buffer[:end])
                del buffer[: end + 1]
                searched = 0
                if is_trusted:
                    self._request(connection, line, nursery)
                elif not self._has_token(line):
                    self._counts["refused"] += 1
                    return
                is_trusted = True
            if len(buffer) > LINE_SIZE_MAX:
                self._counts["bad"] += 1
                return

    def _has_token(self, line: bytes) -> bool:
        try:
            greeting = from_json(line)
        except ValueError:
            return False
        given = greeting.get("token") if isinstance(greeting, dict) else None
        if not isinstance(given, str):
            return False
        # JSON can hold halves of letters, which are no text.
        return hmac.compare_digest(given.encode("utf-8", "replace"), self._token.encode())

    def _request(self, connection: _Connection, line: bytes, nursery: trio.Nursery) -> None:
        if not line.strip():
            return
        self._counts["requests"] += 1
        request: object = None
        try:
            fields = from_json(line)
            if not isinstance(fields, dict):
                raise DecodeError("a request is a JSON object")
            if len(to_json(fields.get("id"))) > ID_SIZE_MAX:
                raise DecodeError(f"the id of a request is at most {ID_SIZE_MAX} letters of JSON")
            request = fields.get("id")
            op, args = fields.get("op"), from_json_value(fields.get("args") or {})
            if not isinstance(op, str) or not isinstance(args, dict):
                raise DecodeError('a request is {"id": ..., "op": text, "args": {...}}')
        except (ValueError, DecodeError, RecursionError) as error:
            self._counts["bad"] += 1
            connection.refuse_line(request, CODE_USAGE, f"bad request: {error}")
            return
        if len(connection.calls) >= CALLS_OPEN_MAX:
            self._counts["refused"] += 1
            connection.refuse_line(request, CODE_FAILED, f"{CALLS_OPEN_MAX} requests are open already")
            return
        connection.call_count += 1
        connection.calls[connection.call_count] = (request, op)
        operation = self._operations.get(op)
        if operation is None:
            self._forward(connection, connection.call_count, op, args)
        else:
            nursery.start_soon(self._operate, connection, connection.call_count, operation, args)

    def _forward(self, connection: _Connection, number: int, op: str, args: dict[str, object]) -> None:
        try:
            payload = pack_frame(CLIENT_CALL, _STAMP, [number, op, args])
        except (OverflowError, ValueError, TypeError, RecursionError) as error:
            connection.refuse(number, CODE_USAGE, f"bad request: {error}")
            return
        if not connection.is_open_at_node:
            connection.is_open_at_node = True
            self._driver.on_client_opened(connection.session, "local")
        self._driver.receive_client(connection.session, payload)

    async def _operate(
        self, connection: _Connection, number: int, operation: Operation, args: dict[str, object]
    ) -> None:
        try:
            connection.answer(number, await operation(args))
        except ConfigError as error:
            connection.refuse(number, CODE_USAGE, str(error))
        except SwarmError as error:
            connection.refuse(number, CODE_FAILED, str(error))
