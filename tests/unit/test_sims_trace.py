"""Traces: a digest by which runs are compared, and rows for reading when asked for."""

from __future__ import annotations

from sims.trace import PACKET, Trace


def test_a_digest_can_be_asked_for_at_any_time() -> None:
    trace = Trace()
    empty = trace.digest()
    trace.add(0.0, 1, 0, 4, b"")
    first = trace.digest()
    assert first == trace.digest()
    trace.add(0.0, 1, 0, 4, b"")
    assert len({empty, first, trace.digest()}) == 3
    assert trace.events == 2
    assert len(first) == 32


def test_rows_are_kept_when_asked_for() -> None:
    assert Trace().rows == []
    trace = Trace(keep=True)
    trace.add(0.5, PACKET, 2, 4, b"\x96\x02")
    assert trace.rows == [(0.5, 2, "packet", 4, 2, "ping")]
    plain = Trace()
    plain.add(0.5, PACKET, 2, 4, b"\x96\x02")
    assert plain.digest() == trace.digest()
    assert plain.rows == []


def test_every_field_counts() -> None:
    digests = set()
    for time_s, kind, node, peer, payload in (
        (1.0, 2, 3, 4, b"x"),
        (1.0, 2, 3, 5, b"x"),
        (1.5, 2, 3, 4, b"x"),
        (1.0, 1, 3, 4, b"x"),
        (1.0, 2, 1, 4, b"x"),
        (1.0, 2, 3, 4, b"y"),
    ):
        trace = Trace()
        trace.add(time_s, kind, node, peer, payload)
        digests.add(trace.digest())
    assert len(digests) == 6


def test_long_traces_are_folded_in_pieces() -> None:
    whole, other = Trace(), Trace()
    for number in range(3000):
        whole.add(float(number), PACKET, 1, 2, b"x" * 100)
        other.add(float(number), PACKET, 1, 2, b"x" * (99 if number == 0 else 100))
    assert whole.digest() != other.digest()
    assert whole.events == 3000
