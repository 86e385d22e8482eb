"""Frames between node and executor: however the stream is cut, the same frames come out, or DecodeError."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.core.errors import DecodeError
from swarm.wire.executor_frames import DONE, FRAME_SIZE_MAX, READY, ExecutorFrameReader, pack_executor_frame
from tests.unit.test_wire_codec import Values

Frames = st.lists(st.tuples(st.integers(1, 6), st.lists(Values, max_size=3)), max_size=6)


@given(Frames, st.lists(st.integers(1, 40), max_size=60))
def test_frames_come_out_of_any_pieces(frames: list[tuple[int, list[object]]], cuts: list[int]) -> None:
    wanted = [[kind, *fields] for kind, fields in frames]
    stream = b"".join([pack_executor_frame(fields) for fields in wanted])
    reader = ExecutorFrameReader()
    found: list[list[object]] = []
    for cut in cuts:
        found += reader.feed(stream[:cut])
        stream = stream[cut:]
    found += reader.feed(stream)
    assert found == wanted


@given(st.lists(st.binary(max_size=30), max_size=10))
def test_random_bytes_are_refused_or_wait(pieces: list[bytes]) -> None:
    reader = ExecutorFrameReader()
    for piece in pieces:
        try:
            frames = reader.feed(piece)
        except DecodeError:
            return
        assert all(isinstance(frame[0], int) for frame in frames)


@pytest.mark.parametrize(
    "payload",
    [
        (FRAME_SIZE_MAX + 1).to_bytes(4, "little"),
        b"\x01\x00\x00\x00\xc1",
        b"\x01\x00\x00\x00\x07",
        b"\x01\x00\x00\x00\x90",
        b"\x02\x00\x00\x00\x91\xa0",
        b"\x00\x00\x00\x00",
        b"\x03\x00\x00\x00\x81\x90\xc0",
    ],
)
def test_what_is_no_frame_is_refused(payload: bytes) -> None:
    with pytest.raises(DecodeError):
        ExecutorFrameReader().feed(payload)


def test_deeply_nested_bytes_are_refused() -> None:
    payload = b"\x91" * 100_000
    with pytest.raises(DecodeError):
        ExecutorFrameReader().feed(len(payload).to_bytes(4, "little") + payload)


def test_the_length_comes_first() -> None:
    assert pack_executor_frame([READY, 7]) == b"\x03\x00\x00\x00\x92\x02\x07"
    reader = ExecutorFrameReader()
    assert reader.feed(pack_executor_frame([DONE, 1, [], 0.5]) + b"\x05") == [[DONE, 1, [], 0.5]]
    assert reader.feed(b"") == []
