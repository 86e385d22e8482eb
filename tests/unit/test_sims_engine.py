"""The simulator's clock: events happen in order of time, then in the order in which they were scheduled."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sims.engine import Engine, Event, Handler


class Recorder(Handler):
    """Notes what happens, and lets one more event follow each of kind 1."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.seen: list[tuple[float, int]] = []

    def handle(self, event: Event) -> None:
        assert self.engine.now == event.time_s
        self.seen.append((event.time_s, event.kind))
        if event.kind == 1:
            self.engine.schedule(event.time_s + 1.0, 2, event.target, None, None)


def test_the_clock_jumps_from_event_to_event() -> None:
    engine = Engine()
    assert engine.next_time() == float("inf")
    engine.schedule(2.0, 1, 7, "late", None)
    engine.schedule(1.0, 2, 8, "early", b"more")
    assert (engine.next_time(), len(engine)) == (1.0, 2)
    event = engine.pop()
    assert (event.time_s, event.kind, event.target, event.first, event.second) == (
        1.0,
        2,
        8,
        "early",
        b"more",
    )
    assert engine.now == 1.0
    assert engine.pop().first == "late"
    assert (engine.now, engine.executed, len(engine)) == (2.0, 2, 0)
    with pytest.raises(IndexError):
        engine.pop()


def test_nothing_happens_in_the_past() -> None:
    engine = Engine()
    engine.schedule(5.0, 1, 0, None, None)
    engine.pop()
    engine.schedule(1.0, 1, 0, None, None)
    assert engine.pop().time_s == 5.0


def test_a_handler_takes_what_happens_up_to_a_time() -> None:
    engine = Engine()
    recorder = Recorder(engine)
    engine.schedule(1.0, 1, 0, None, None)
    engine.schedule(1.5, 1, 0, None, None)
    engine.run(2.0, recorder)
    assert recorder.seen == [(1.0, 1), (1.5, 1), (2.0, 2)]
    assert (engine.now, engine.next_time()) == (2.0, 2.5)
    engine.run(9.0, recorder)
    assert (engine.now, engine.executed) == (9.0, 4)


@given(st.lists(st.integers(0, 5), max_size=40))
def test_equal_times_keep_their_order(times: list[int]) -> None:
    engine = Engine()
    for number, when in enumerate(times):
        # Contents that cannot be compared: they are never looked at.
        engine.schedule(float(when), number, 0, object(), object())
    happened = [engine.pop().kind for _ in times]
    assert happened == sorted(range(len(times)), key=lambda number: times[number])


@given(st.lists(st.one_of(st.none(), st.floats(0.0, 10.0)), max_size=200))
def test_it_is_a_sorted_list(steps: list[float | None]) -> None:
    engine = Engine()
    naive: list[tuple[float, int]] = []
    for number, step in enumerate(steps):
        if step is not None:
            engine.schedule(step, number, 0, None, None)
            naive.append((max(step, engine.now), number))
        elif naive:
            naive.sort()
            event = engine.pop()
            assert (event.time_s, event.kind) == naive.pop(0)
        assert len(engine) == len(naive)
        assert engine.next_time() == min([when for when, _ in naive], default=float("inf"))
