"""Deadlines: one next deadline, fired in order of time and of setting, replaced and cancelled at will."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from swarm.core.timers import Timers


def drain(timers: Timers, now: float) -> list[tuple[int, bytes]]:
    due: list[tuple[int, bytes]] = []
    while True:
        key = timers.pop_due(now)
        if key is None:
            return due
        due.append(key)


def test_nothing_is_due() -> None:
    timers = Timers()
    assert timers.next_deadline() == math.inf
    assert timers.pop_due(1e9) is None
    assert len(timers) == 0


def test_due_timers_fire_in_order_of_time_then_of_setting() -> None:
    timers = Timers()
    for subject, when in ((b"c", 2.0), (b"b", 1.0), (b"a", 1.0), (b"d", 3.0)):
        timers.set(1, subject, when)
    assert timers.next_deadline() == 1.0
    assert drain(timers, 2.0) == [(1, b"b"), (1, b"a"), (1, b"c")]
    assert timers.next_deadline() == 3.0


def test_setting_again_replaces_earlier_and_later() -> None:
    timers = Timers()
    timers.set(1, b"", 1.0)
    timers.set(1, b"", 5.0)
    assert timers.next_deadline() == 5.0
    assert timers.pop_due(4.9) is None
    timers.set(1, b"", 2.0)
    assert drain(timers, 10.0) == [(1, b"")]
    assert drain(timers, 10.0) == []


def test_kinds_and_subjects_are_apart() -> None:
    timers = Timers()
    timers.set(1, b"x", 1.0)
    timers.set(2, b"x", 1.0)
    timers.cancel(1, b"x")
    timers.cancel(3, b"x")
    assert not timers.is_set(1, b"x")
    assert timers.is_set(2, b"x")
    assert drain(timers, 1.0) == [(2, b"x")]
    assert not timers.is_set(2, b"x")


def test_replaced_timers_do_not_pile_up() -> None:
    timers = Timers()
    for number in range(10_000):
        timers.set(1, b"", float(number))
    assert len(timers) == 1
    assert len(timers._heap) <= 65
    assert timers.next_deadline() == 9999.0


Steps = st.lists(
    st.tuples(st.sampled_from(["set", "cancel", "pop"]), st.integers(0, 3), st.integers(0, 20)), max_size=300
)


@given(Steps)
def test_as_a_plain_dict_would(steps: list[tuple[str, int, int]]) -> None:
    timers = Timers()
    naive: dict[int, tuple[float, int]] = {}
    for order, (what, kind, when) in enumerate(steps):
        if what == "set":
            timers.set(kind, b"", float(when))
            naive[kind] = (float(when), order)
        elif what == "cancel":
            timers.cancel(kind, b"")
            naive.pop(kind, None)
        else:
            due = sorted([(entry, key) for key, entry in naive.items() if entry[0] <= when])
            key = timers.pop_due(float(when))
            assert key == ((due[0][1], b"") if due else None)
            if due:
                del naive[due[0][1]]
        assert len(timers) == len(naive)
        assert timers.next_deadline() == min([entry[0] for entry in naive.values()], default=math.inf)
