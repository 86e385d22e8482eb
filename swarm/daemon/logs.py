"""The log of a daemon: one JSON object per line, bounded in size by rotation.

Each line has `time` (UTC, ISO 8601), `node`, `incarnation`, `event` and the event's own fields. The same
file receives what the daemon's children print, so a rotation moves the standard descriptors along.
"""

from __future__ import annotations

import math
import os
import time
from pathlib import Path
from typing import Final, TextIO, final

from swarm.core.ids import short
from swarm.daemon.json_text import to_json

SIZE_MAX_BYTES: Final = 4 * 1024 * 1024
VALUE_SIZE_MAX: Final = 4096


def plain_value(value: object) -> object:
    """Return `value` as JSON can hold it: bytes as the short form of an id, other things as text."""
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, str):
        return value if len(value) <= VALUE_SIZE_MAX else value[:VALUE_SIZE_MAX] + "…"
    if isinstance(value, bytes):
        return short(value)
    if isinstance(value, (list, tuple)):
        return [plain_value(item) for item in value]
    if isinstance(value, dict):
        return {
            key if isinstance(key, str) else str(plain_value(key)): plain_value(item)
            for key, item in value.items()
        }
    return str(value)


@final
class Log:
    """Writes events to a file, and to a stream for somebody who watches.

    Args:
        path: the file, None for none.
        echo: a stream that gets every event too, None for none.
        echo_json: whether the stream gets JSON lines instead of text for people.
        size_max_bytes: the file is renamed to ``<name>.1`` (replacing that) when it grows beyond.
    """

    def __init__(
        self,
        path: Path | None,
        echo: TextIO | None = None,
        echo_json: bool = False,
        size_max_bytes: int = SIZE_MAX_BYTES,
    ) -> None:
        self._path = path
        self._echo = echo
        self._echo_json = echo_json
        self._size_max_bytes = size_max_bytes
        self._context: dict[str, object] = {}
        self._descriptor = -1
        self._size = 0
        self._is_torn = False
        self.lost_count = 0
        if path is not None:
            self._open(path)

    def bind(self, node: bytes, incarnation: int) -> None:
        """Put who speaks on every later line."""
        self._context = {"node": short(node), "incarnation": incarnation}

    def event(self, event: str, values: dict[str, object]) -> None:
        """Write one event; a disk that cannot take it is counted, never raised."""
        now = time.time()
        moment = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now))}.{int(now * 1000) % 1000:03d}Z"
        line: dict[str, object] = {"time": moment, **self._context, "event": event}
        for key, value in values.items():
            line[key if key not in line else f"{key}_"] = plain_value(value)
        text = to_json(line)
        if self._path is not None:
            self._write(self._path, text.encode("utf-8", "replace") + b"\n")
        if self._echo is not None:
            self._say(self._echo, text if self._echo_json else _human(event, values))

    def close(self) -> None:
        """Close the file; later events reach the stream only."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1
        self._path = None

    def _open(self, path: Path) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        try:
            self._descriptor = os.open(path, flags, 0o600)
            self._size = os.fstat(self._descriptor).st_size
        except OSError:
            self._descriptor = -1
            self.lost_count += 1

    def _write(self, path: Path, data: bytes) -> None:
        if self._descriptor < 0:
            self._open(path)
        elif self._size + len(data) > self._size_max_bytes:
            self._rotate(path)
        if self._descriptor < 0:
            return
        if self._is_torn:
            data = b"\n" + data
        try:
            written = os.write(self._descriptor, data)
        except OSError:
            self.lost_count += 1
            return
        self._size += written
        # A disk that is filling up takes a part; what comes next must not stand on the same line.
        self._is_torn = written < len(data)
        self.lost_count += self._is_torn

    def _rotate(self, path: Path) -> None:
        try:
            os.replace(path, path.with_name(path.name + ".1"))
        except OSError:
            self.lost_count += 1
            return
        old = self._descriptor
        self._open(path)
        if self._descriptor >= 0:
            for standard in (1, 2):
                if _is_same_file(standard, old):
                    os.dup2(self._descriptor, standard)
        os.close(old)

    def _say(self, stream: TextIO, text: str) -> None:
        try:
            stream.write(text + "\n")
            stream.flush()
        except (OSError, ValueError):
            self._echo = None


def _human(event: str, values: dict[str, object]) -> str:
    fields = " ".join([f"{key}={plain_value(value)}" for key, value in values.items()])
    return f"{time.strftime('%H:%M:%S')} {event} {fields}".rstrip()


def _is_same_file(first: int, second: int) -> bool:
    try:
        one, other = os.fstat(first), os.fstat(second)
    except OSError:
        return False
    return (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
