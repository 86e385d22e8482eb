"""Frames between a node and its executors: u32 little-endian length, then one msgpack array.

To an executor: ``[RUN, handle, kind, name, function | nil, payload, inputs, output_count, stem,
memory_bytes]`` where function and each input are ``[digest, encoding, data | nil, file name | nil]`` and
`stem` is ``<job>.<task>``: output i larger than INLINE_SIZE_MAX is written to ``<store>/<stem>.<i>``. A
function's data and file name are nil when this executor was given it before.

From an executor: ``[READY, pid]``, ``[DONE, handle, outputs, duration_s]`` (outputs as in
`swarm.wire.facts`), ``[FAILED, handle, failure, duration_s]``, ``[OUTPUT, handle, stream, data]``. The node's
end of the channel adds ``[RECALLED, handles]``: tasks that the executor will not run (`swarm.exec.permits`).
"""

from __future__ import annotations

from typing import Final

import msgpack

from swarm.core.errors import DecodeError
from swarm.wire.codec import pack

RUN: Final = 1
READY: Final = 2
DONE: Final = 3
FAILED: Final = 4
OUTPUT: Final = 5
RECALLED: Final = 6

FRAME_SIZE_MAX: Final = 256 * 1024 * 1024
_PREFIX: Final = 4


def pack_executor_frame(fields: list[object]) -> bytes:
    """Return a frame: its length and its msgpack."""
    payload = pack(fields)
    return len(payload).to_bytes(_PREFIX, "little") + payload


class ExecutorFrameReader:
    """Cuts a byte stream into frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[list[object]]:
        """Return the frames completed by `data`, oldest first.

        Raises:
            DecodeError: these are not frames; the stream is of no further use.
        """
        self._buffer += data
        frames: list[list[object]] = []
        start = 0
        buffer = self._buffer
        while len(buffer) - start >= _PREFIX:
            size = int.from_bytes(buffer[start : start + _PREFIX], "little")
            if size > FRAME_SIZE_MAX:
                raise DecodeError(f"an executor's frame of {size} bytes")
            if len(buffer) - start - _PREFIX < size:
                break
            start += _PREFIX
            frames.append(_frame_untrusted(bytes(buffer[start : start + size])))
            start += size
        if start:
            del buffer[:start]
        return frames


def _frame_untrusted(payload: bytes) -> list[object]:
    try:
        fields = msgpack.unpackb(payload, strict_map_key=False)
    except (ValueError, TypeError, msgpack.exceptions.UnpackException) as error:
        raise DecodeError(f"an executor's frame is not msgpack: {error}") from None
    if not isinstance(fields, list) or not fields or not isinstance(fields[0], int):
        raise DecodeError("an executor's frame is an array that starts with its kind")
    return fields
