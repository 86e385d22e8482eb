"""The simulator's clock: events happen in order of time, then in the order in which they were scheduled."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sims.engine import Engine


def test_the_clock_jumps_from_event_to_event() -> None:
    engine = Engine()
    assert engine.next_time() == float("inf")
    engine.schedule(2.0, 1, 7, "late", None)
    engine.schedule(1.0, 2, 8, "early", None)
    assert (engine.next_time(), len(engine)) == (1.0, 2)
    assert engine.pop()[2:] == (2, 8, "early", None)
    assert engine.now == 1.0
    assert engine.pop()[2:] == (1, 7, "late", None)
    assert (engine.now, engine.executed, len(engine)) == (2.0, 2, 0)


def test_nothing_happens_in_the_past() -> None:
    engine = Engine()
    engine.schedule(5.0, 1, 0, None, None)
    engine.pop()
    engine.schedule(1.0, 1, 0, None, None)
    assert engine.pop()[0] == 5.0


@given(st.lists(st.integers(0, 5), max_size=40))
def test_equal_times_keep_their_order(times: list[int]) -> None:
    engine = Engine()
    for number, when in enumerate(times):
        # Contents that cannot be compared: the order of scheduling decides before they are looked at.
        engine.schedule(float(when), number, 0, object(), object())
    happened = [engine.pop()[2] for _ in times]
    assert happened == sorted(range(len(times)), key=lambda number: times[number])
