"""Encoding and decoding of frames: one msgpack array, `[kind, sender, counter, node, beat, body]`.

`sender` is the node id of whoever sent the frame, (counter, node) its fence and `beat` the last beat it
knows of that ballot: a leader is followed by its growing beat, which rides on every message
(docs/PROTOCOL.md). Nothing here trusts its input: only :class:`DecodeError` comes out.
"""

from __future__ import annotations

import math
from typing import Any, Final, final

import msgpack

from swarm.core.errors import DecodeError
from swarm.core.ids import NODE_ID_SIZE, Ballot, NodeId
from swarm.core.records import Record

COUNTER_MAX: Final = 2**62
INDEX_MAX: Final = 2**31


@final
class Stamp(Record):
    """What rides on every frame: who sent it, and what that node knows of the leadership.

    Attributes:
        sender: node id of the sender, b"" for a client.
        ballot: the sender's fence.
        beat: the last beat the sender knows of that ballot, 0 when none.
    """

    __slots__ = ("ballot", "beat", "sender")

    def __init__(self, sender: NodeId, ballot: Ballot, beat: int) -> None:
        self.sender: Final = sender
        self.ballot: Final = ballot
        self.beat: Final = beat

    def fields(self) -> tuple[object, ...]:
        return (self.sender, self.ballot, self.beat)


@final
class Frame(Record):
    """A decoded frame. The body's layout is not checked yet; see `Body`."""

    __slots__ = ("body", "kind", "stamp")

    def __init__(self, kind: int, stamp: Stamp, body: list[object]) -> None:
        self.kind: Final = kind
        self.stamp: Final = stamp
        self.body: Final = body

    def fields(self) -> tuple[object, ...]:
        return (self.kind, self.stamp, self.body)


def pack_frame(kind: int, stamp: Stamp, body: list[object]) -> bytes:
    """Return the bytes of a frame."""
    packed: bytes = msgpack.packb([kind, stamp.sender, stamp.ballot[0], stamp.ballot[1], stamp.beat, body])
    return packed


@final
class FramePacker:
    """Packs frames as `pack_frame` does, with one buffer for all; for one thread only."""

    def __init__(self) -> None:
        self._packer: Final = msgpack.Packer()

    def pack(self, kind: int, sender: NodeId, ballot: Ballot, beat: int, body: list[object]) -> bytes:
        """Return the bytes of a frame."""
        packed: bytes = self._packer.pack([kind, sender, ballot[0], ballot[1], beat, body])
        return packed


def unpack_frame_untrusted(payload: bytes) -> Frame:
    """Return the frame in `payload`.

    Raises:
        DecodeError: these are not the bytes of a frame.
    """
    fields = unpack_untrusted(payload)
    if not isinstance(fields, list) or len(fields) != 6:
        raise DecodeError("a frame is an array of 6")
    kind, sender, counter, node, beat, body = fields
    if not isinstance(kind, int) or not isinstance(body, list):
        raise DecodeError("a frame has an int kind and an array body")
    if not isinstance(sender, bytes) or len(sender) not in (0, NODE_ID_SIZE):
        raise DecodeError("a frame's sender is a node id or empty")
    if not isinstance(counter, int) or not isinstance(beat, int) or not isinstance(node, bytes):
        raise DecodeError("a frame's ballot is (int, bytes) and its beat an int")
    if not 0 <= counter < COUNTER_MAX or not 0 <= beat < COUNTER_MAX or len(node) not in (0, NODE_ID_SIZE):
        raise DecodeError("a frame's ballot or beat is out of range")
    return Frame(kind, Stamp(sender, (counter, node), beat), body)


def pack(value: object) -> bytes:
    """Return `value` (None, bool, int, float, str, bytes, list, tuple, dict of those) as msgpack."""
    packed: bytes = msgpack.packb(value)
    return packed


def unpack_untrusted(payload: bytes) -> object:
    """Return the one msgpack value in `payload`; arrays become lists, map keys must be str, int or bytes.

    Raises:
        DecodeError: not exactly one msgpack value.
    """
    try:
        value: Any = msgpack.unpackb(payload, strict_map_key=False)
    except (ValueError, TypeError, msgpack.exceptions.UnpackException, RecursionError, MemoryError) as error:
        raise DecodeError(f"not msgpack: {error}") from None
    result: object = value
    return result


@final
class Body:
    """Takes the fields of a body one by one, checking each; raises only `DecodeError`.

    Use: ``body = Body(frame.body); sequence = body.take_int()``. Fields behind the last one taken are
    allowed, so that later versions may append.
    """

    def __init__(self, fields: list[object]) -> None:
        self._fields: Final = fields
        self._next = 0

    def _take(self) -> object:
        if self._next >= len(self._fields):
            raise DecodeError(f"a body ends after {len(self._fields)} fields")
        value = self._fields[self._next]
        self._next += 1
        return value

    def take_int(self) -> int:
        """Return the next field, an int in [0, 2**62)."""
        value = self._take()
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < COUNTER_MAX:
            raise DecodeError(f"field {self._next} is not a count")
        return value

    def take_index(self) -> int:
        """Return the next field, an int in [0, 2**31): the number of a part, a task or an attempt."""
        value = self.take_int()
        if value >= INDEX_MAX:
            raise DecodeError(f"field {self._next} is too large for an index")
        return value

    def take_bool(self) -> bool:
        """Return the next field, a bool."""
        value = self._take()
        if not isinstance(value, bool):
            raise DecodeError(f"field {self._next} is not a bool")
        return value

    def take_number(self) -> float:
        """Return the next field, a finite number."""
        value = self._take()
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise DecodeError(f"field {self._next} is not a number")
        number = float(value)
        if not math.isfinite(number):
            raise DecodeError(f"field {self._next} is not finite")
        return number

    def take_bytes(self) -> bytes:
        """Return the next field, bytes."""
        value = self._take()
        if not isinstance(value, bytes):
            raise DecodeError(f"field {self._next} is not bytes")
        return value

    def take_id(self, size: int) -> bytes:
        """Return the next field, bytes of exactly `size`."""
        value = self._take()
        if not isinstance(value, bytes) or len(value) != size:
            raise DecodeError(f"field {self._next} is not an id of {size} bytes")
        return value

    def take_text(self) -> str:
        """Return the next field, a str."""
        value = self._take()
        if not isinstance(value, str):
            raise DecodeError(f"field {self._next} is not text")
        return value

    def take_list(self) -> list[object]:
        """Return the next field, a list."""
        value = self._take()
        if not isinstance(value, list):
            raise DecodeError(f"field {self._next} is not an array")
        return value

    def take_body(self) -> Body:
        """Return the next field, a list, as a body of its own."""
        return Body(self.take_list())

    def take_map(self) -> dict[str, object]:
        """Return the next field, a map with text keys."""
        value = self._take()
        if not isinstance(value, dict):
            raise DecodeError(f"field {self._next} is not a map")
        result: dict[str, object] = {}
        for key, item in value.items():
            if not isinstance(key, str):
                raise DecodeError(f"field {self._next} has a key that is not text")
            result[key] = item
        return result

    def take_any(self) -> object:
        """Return the next field, whatever it is."""
        return self._take()

    def take_ballot(self) -> Ballot:
        """Return the next two fields as a ballot."""
        counter = self.take_int()
        node = self._take()
        if not isinstance(node, bytes) or len(node) not in (0, NODE_ID_SIZE):
            raise DecodeError(f"field {self._next} is not the node of a ballot")
        return (counter, node)

    def has_more(self) -> bool:
        """Return whether fields are left."""
        return self._next < len(self._fields)
