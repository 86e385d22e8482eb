"""Frames and bodies: what is packed is read back; of other bytes only DecodeError comes out."""

from __future__ import annotations

import math
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.core.errors import DecodeError
from swarm.core.ids import NODE_ID_SIZE
from swarm.wire.codec import (
    COUNTER_MAX,
    INDEX_MAX,
    Body,
    Frame,
    Stamp,
    pack,
    pack_frame,
    unpack_frame_untrusted,
    unpack_untrusted,
)

Scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=20)
    | st.binary(max_size=20)
)
Values = st.recursive(
    Scalars,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=5),
    max_leaves=20,
)
NodeIds = st.binary(min_size=NODE_ID_SIZE, max_size=NODE_ID_SIZE)
Counters = st.integers(0, COUNTER_MAX - 1)


@given(
    st.integers(0, 100), NodeIds | st.just(b""), Counters, NodeIds | st.just(b""), Counters, st.lists(Values)
)
def test_a_frame_is_read_back(
    kind: int, sender: bytes, counter: int, node: bytes, beat: int, body: list[object]
) -> None:
    stamp = Stamp(sender, (counter, node), beat)
    assert unpack_frame_untrusted(pack_frame(kind, stamp, body)) == Frame(kind, stamp, body)


@given(Values)
def test_a_value_is_read_back(value: object) -> None:
    assert unpack_untrusted(pack(value)) == value


@given(st.binary(max_size=200))
def test_random_bytes_are_refused_or_read(payload: bytes) -> None:
    try:
        unpack_frame_untrusted(payload)
    except DecodeError:
        return


@given(st.lists(Values, max_size=8))
def test_random_arrays_are_refused_or_read(fields: list[object]) -> None:
    try:
        frame = unpack_frame_untrusted(msgpack.packb(fields))
    except DecodeError:
        return
    assert len(fields) == 6
    assert frame.kind == fields[0]


@given(st.binary(min_size=1, max_size=100), st.integers(0, 99))
def test_a_truncated_frame_is_refused(data: bytes, cut: int) -> None:
    payload = pack_frame(1, Stamp(b"n" * 16, (1, b"n" * 16), 1), [data])
    with pytest.raises(DecodeError):
        unpack_frame_untrusted(payload[: min(cut, len(payload) - 1)])


@pytest.mark.parametrize(
    "fields",
    [
        [1, b"", 0, b"", 0],
        [1, b"", 0, b"", 0, [], 7],
        ["1", b"", 0, b"", 0, []],
        [1, b"x", 0, b"", 0, []],
        [1, "", 0, b"", 0, []],
        [1, b"", -1, b"", 0, []],
        [1, b"", 2**62, b"", 0, []],
        [1, b"", 0, b"x", 0, []],
        [1, b"", 0, "", 0, []],
        [1, b"", 0, b"", -1, []],
        [1, b"", 0, b"", 1.5, []],
        [1, b"", 0, b"", 0, {}],
        {},
        7,
    ],
)
def test_wrong_frames_are_refused(fields: object) -> None:
    with pytest.raises(DecodeError):
        unpack_frame_untrusted(msgpack.packb(fields))


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xc1",
        b"\x91" * 100_000,
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\x81\x90\xc0",
        b"\x81\x80\xc0",
        b"\xa1\xff",
        b"\xd7\xff" + b"\xff" * 8,
        b"\xc7\x0c\xff" + b"\xff" * 12,
        b"\x01\x01",
    ],
)
def test_hostile_bytes_are_refused(payload: bytes) -> None:
    with pytest.raises(DecodeError):
        unpack_untrusted(payload)


# Bodies


def test_fields_are_taken_in_order_and_more_may_follow() -> None:
    body = Body([1, True, 2.5, b"b", b"i" * 16, "t", [1], [2], {"k": 3}, None, 4, b"n" * 16, 5, "later"])
    assert (body.take_int(), body.take_bool(), body.take_number()) == (1, True, 2.5)
    assert (body.take_bytes(), body.take_id(16), body.take_text()) == (b"b", b"i" * 16, "t")
    assert body.take_list() == [1]
    assert body.take_body().take_int() == 2
    assert body.take_map() == {"k": 3}
    assert body.take_any() is None
    assert body.take_ballot() == (4, b"n" * 16)
    assert body.take_index() == 5
    assert body.has_more()
    assert body.take_text() == "later"
    assert not body.has_more()


TAKERS: dict[str, Any] = {
    "int": lambda body: body.take_int(),
    "index": lambda body: body.take_index(),
    "bool": lambda body: body.take_bool(),
    "number": lambda body: body.take_number(),
    "bytes": lambda body: body.take_bytes(),
    "id": lambda body: body.take_id(16),
    "text": lambda body: body.take_text(),
    "list": lambda body: body.take_list(),
    "body": lambda body: body.take_body(),
    "map": lambda body: body.take_map(),
    "any": lambda body: body.take_any(),
    "ballot": lambda body: body.take_ballot(),
}


@pytest.mark.parametrize("taker", TAKERS)
def test_nothing_can_be_taken_from_an_empty_body(taker: str) -> None:
    with pytest.raises(DecodeError, match="ends after 0 fields"):
        TAKERS[taker](Body([]))


@pytest.mark.parametrize(
    ("taker", "value"),
    [
        ("int", -1),
        ("int", COUNTER_MAX),
        ("int", True),
        ("int", 1.0),
        ("int", "1"),
        ("index", INDEX_MAX),
        ("bool", 1),
        ("bool", None),
        ("number", math.nan),
        ("number", math.inf),
        ("number", True),
        ("number", "1"),
        ("bytes", "text"),
        ("id", b"short"),
        ("id", "i" * 16),
        ("text", b"bytes"),
        ("list", (1,)),
        ("list", None),
        ("body", {}),
        ("map", []),
        ("map", {1: 2}),
        ("map", {b"k": 2}),
        ("ballot", 1),
    ],
)
def test_a_field_of_another_type_is_refused(taker: str, value: object) -> None:
    with pytest.raises(DecodeError):
        TAKERS[taker](Body([value, "x"]))


@given(st.sampled_from(sorted(TAKERS)), st.lists(Values, max_size=3))
def test_taking_raises_only_decode_errors(taker: str, fields: list[object]) -> None:
    try:
        TAKERS[taker](Body(fields))
    except DecodeError:
        return
    assert fields
