"""The recorder: a file of everything that was put into a node, from which the run can be repeated.

The file is a sequence of frames: u32 little-endian length, then one msgpack array. The first is ``["swarm
recording", version, seed, restored, settings]`` with `restored` the journal's rows and `settings` a map
that names the node; each other one is ``[method, arguments, now]`` for a call of `swarm.node.Node` in the
order in which they happened. A recording is of no use without its beginning: a file that is full ends
there.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, final

from swarm.core.errors import DecodeError, StorageError
from swarm.wire.codec import pack, unpack_untrusted

MAGIC: Final = "swarm recording"
VERSION: Final = 1
SIZE_MAX_BYTES: Final = 256 * 1024 * 1024
_FLUSH_BYTES: Final = 64 * 1024
_PREFIX: Final = 4


@final
class Recorder:
    """Writes one recording, replacing an older one at the same path.

    Args:
        path: where.
        header: what the first frame holds behind magic and version: [seed, restored, settings].
        size_max_bytes: the recording ends when the file has grown so far.

    Raises:
        StorageError: the file cannot be made.
    """

    def __init__(self, path: Path, header: list[object], size_max_bytes: int = SIZE_MAX_BYTES) -> None:
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StorageError(f"cannot record into {path}: {error.strerror}") from None
        self._descriptor = descriptor
        self._size_max_bytes = size_max_bytes
        self._size = 0
        self._buffer = bytearray()
        self.is_full = False
        self._append([MAGIC, VERSION, *header])

    def record(self, method: str, arguments: tuple[object, ...], now: float) -> None:
        """Add one input; dropped once the file is full."""
        if not self.is_full:
            self._append([method, list(arguments), now])

    def close(self) -> None:
        """Write what is buffered and close the file; a disk that is full ends the recording early."""
        if self._descriptor >= 0:
            self._flush()
            os.close(self._descriptor)
        self._descriptor = -1
        self.is_full = True

    def _append(self, fields: list[object]) -> None:
        payload = pack(fields)
        if self._size + _PREFIX + len(payload) > self._size_max_bytes:
            self.is_full = True
            return
        self._size += _PREFIX + len(payload)
        self._buffer += len(payload).to_bytes(_PREFIX, "little") + payload
        if len(self._buffer) >= _FLUSH_BYTES:
            self._flush()

    def _flush(self) -> None:
        data = bytes(self._buffer)
        self._buffer.clear()
        while data:
            try:
                data = data[os.write(self._descriptor, data) :]
            except OSError:
                self.is_full = True
                return


def read_recording(path: Path) -> tuple[list[object], list[list[object]]]:
    """Return (header, inputs) of a recording; a torn last frame is left out.

    Raises:
        StorageError: the file cannot be read or is not a recording.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise StorageError(f"cannot read the recording {path}: {error.strerror}") from None
    frames: list[list[object]] = []
    start = 0
    while start + _PREFIX <= len(data):
        size = int.from_bytes(data[start : start + _PREFIX], "little")
        if start + _PREFIX + size > len(data):
            break
        try:
            fields = unpack_untrusted(data[start + _PREFIX : start + _PREFIX + size])
        except DecodeError as error:
            raise StorageError(f"the recording {path} is damaged: {error}") from None
        if not isinstance(fields, list):
            raise StorageError(f"the recording {path} is damaged: a frame is no array")
        frames.append(fields)
        start += _PREFIX + size
    if not frames or frames[0][:2] != [MAGIC, VERSION]:
        raise StorageError(f"{path} is not a recording of this version")
    return frames[0][2:], frames[1:]
