"""A host's clock: true until it drifts or jumps, never falling, and timers fire when they are due."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from sims.clock import HostClock


def test_a_clock_without_drift_is_true_time_to_the_last_bit() -> None:
    clock = HostClock(0.0)
    for number in range(100):
        assert clock.read(number / 7) == number / 7
        assert clock.true_time(number / 7, 0.0) == number / 7


def test_a_drifting_clock_gains_so_many_millionths() -> None:
    clock = HostClock(500.0)
    assert math.isclose(clock.read(1000.0), 1000.5)
    clock.set_drift(-500.0, 1000.0)
    assert math.isclose(clock.read(2000.0), 1000.5 + 999.5)


def test_a_jump_moves_the_clock_forward_and_timers_with_it() -> None:
    clock = HostClock(0.0)
    clock.jump(30.0, 10.0)
    assert clock.read(10.0) == 40.0
    assert clock.true_time(45.0, 10.0) == 15.0
    assert clock.true_time(35.0, 10.0) == 10.0, "what is overdue is due now"


def test_a_clock_may_stand_still_in_sleep() -> None:
    clock = HostClock(0.0)
    assert clock.read(5.0) == 5.0
    clock.stop(5.0, 65.0)
    assert clock.read(30.0) == 5.0
    assert clock.read(65.0) == 5.0
    assert clock.read(66.0) == 6.0


def test_a_true_clock_is_not_rounded_up_to_a_timer_that_is_almost_due() -> None:
    clock = HostClock(0.0)
    due = math.nextafter(64.05, 65.0)
    assert clock.reach(due, 64.05) == 64.05, "else the next reading would be less than this one"
    assert clock.read(64.05) == 64.05
    clock.set_drift(100.0, 64.05)
    assert clock.reach(due, 64.05) == due
    assert clock.read(64.05) == due


def test_nothing_is_due_at_infinity() -> None:
    clock = HostClock(100.0)
    assert clock.true_time(math.inf, 3.0) == math.inf


@given(
    st.floats(-900.0, 900.0),
    st.lists(st.tuples(st.floats(0.0, 50.0), st.floats(0.0, 20.0), st.floats(0.001, 30.0)), max_size=8),
)
def test_no_clock_falls_and_every_timer_fires(
    drift_ppm: float, steps: list[tuple[float, float, float]]
) -> None:
    clock = HostClock(drift_ppm)
    now = 0.0
    shown = clock.read(now)
    for wait_s, jump_s, timer_s in steps:
        now += wait_s
        clock.jump(jump_s, now)
        local = clock.read(now)
        assert local >= shown
        due = local + timer_s
        fires = clock.true_time(due, now)
        assert fires >= now
        now = fires
        shown = clock.reach(due, now)
        assert shown >= due
