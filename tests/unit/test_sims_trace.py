"""Traces: a digest by which runs are compared, and rows for reading when asked for."""

from __future__ import annotations

from sims.trace import Trace


def test_a_digest_can_be_asked_for_at_any_time() -> None:
    trace = Trace()
    empty = trace.digest()
    trace.add(0.0, 1, 0, b"")
    first = trace.digest()
    assert first == trace.digest()
    trace.add(0.0, 1, 0, b"")
    assert len({empty, first, trace.digest()}) == 3
    assert trace.events == 2
    assert len(first) == 32


def test_rows_are_kept_when_asked_for() -> None:
    assert Trace().rows == []
    trace = Trace(keep=True)
    trace.add(0.5, 1, 2, b"abc")
    assert trace.rows == [(0.5, 1, 2, 3)]
    plain = Trace()
    plain.add(0.5, 1, 2, b"abc")
    assert plain.digest() == trace.digest()
    assert plain.rows == []


def test_every_field_counts() -> None:
    digests = set()
    for time_s, kind, node, payload in (
        (1.0, 2, 3, b"x"),
        (1.5, 2, 3, b"x"),
        (1.0, 1, 3, b"x"),
        (1.0, 2, 1, b"x"),
        (1.0, 2, 3, b"y"),
    ):
        trace = Trace()
        trace.add(time_s, kind, node, payload)
        digests.add(trace.digest())
    assert len(digests) == 5
