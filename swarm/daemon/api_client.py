"""The caller's side of the local API: one blocking connection, standard library only.

Used by the command line, and by the launcher to stop a node. See `swarm.daemon.api` for the protocol.
"""

from __future__ import annotations

import base64
import json
import os
import socket
import types
from typing import Any, Final, Self, final

from swarm.core.errors import ConnectFailed, ConnectionLost, ProtocolError
from swarm.daemon.home import Home, read_json_file

TIMEOUT_S: Final = 30.0


class CallRefused(ProtocolError):
    """The node answered with an error; what was asked for was not done.

    Attributes:
        code: the exit code for the command line.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@final
class LocalConnection:
    """A connection to the node of a home.

    Raises:
        ConnectFailed: no node runs there.
    """

    def __init__(self, home: Home, timeout_s: float = TIMEOUT_S) -> None:
        self._socket = _connect(home, timeout_s)
        self._file = self._socket.makefile("rb")
        self._number = 0

    def call(self, op: str, args: dict[str, Any] | None = None) -> Any:
        """Return the answer to one request, with bytes where the node sent bytes.

        Raises:
            CallRefused: the node says no.
            ConnectionLost: the node went away, or did not answer in time; it may or may not have acted.
        """
        self._number += 1
        request = {"id": self._number, "op": op, "args": _to_json(args or {})}
        try:
            self._socket.sendall(json.dumps(request).encode() + b"\n")
            while True:
                line = self._file.readline()
                if not line.endswith(b"\n"):
                    raise ConnectionLost(f"the node went away during {op!r}")
                answer = json.loads(line, object_hook=_from_json)
                if answer.get("id") == self._number:
                    break
        except TimeoutError:
            raise ConnectionLost(f"the node did not answer {op!r} in time") from None
        except OSError as error:
            raise ConnectionLost(f"the node went away during {op!r}: {error}") from None
        if answer.get("ok"):
            return answer.get("value")
        error_fields = answer.get("error", {})
        raise CallRefused(int(error_fields.get("code", 1)), str(error_fields.get("message", "")))

    def close(self) -> None:
        """Close the connection."""
        self._file.close()
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: types.TracebackType | None,
    ) -> None:
        self.close()


def call_local(home: Home, op: str, args: dict[str, Any] | None = None, timeout_s: float = TIMEOUT_S) -> Any:
    """Return the answer of the node of `home` to one request; see :meth:`LocalConnection.call`."""
    with LocalConnection(home, timeout_s) as connection:
        return connection.call(op, args)


def _connect(home: Home, timeout_s: float) -> socket.socket:
    failed = f"no node runs in {home.root}; start one with `swarm join`"
    address = read_json_file(home.api_address)
    try:
        if address is not None:
            connection = socket.create_connection((address["host"], address["port"]), timeout=timeout_s)
            connection.sendall(json.dumps({"token": address["token"]}).encode() + b"\n")
            return connection
        if not hasattr(socket, "AF_UNIX"):
            raise ConnectFailed(failed)
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(timeout_s)
        try:
            connection.connect(os.fspath(home.api_socket))
        except OSError:
            connection.close()
            raise
    except PermissionError:
        raise ConnectFailed(f"the node in {home.root} belongs to somebody else") from None
    except (OSError, KeyError):
        raise ConnectFailed(failed) from None
    return connection


def _to_json(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode("ascii")}
    if isinstance(value, (list, tuple)):
        return [_to_json(item) for item in value]
    if isinstance(value, dict):
        return {key: _to_json(item) for key, item in value.items()}
    return value


def _from_json(value: dict[str, Any]) -> Any:
    text = value.get("base64")
    return base64.b64decode(text) if len(value) == 1 and isinstance(text, str) else value
