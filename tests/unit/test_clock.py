"""The node's clock: never back, and gaps are noticed."""

from __future__ import annotations

from swarm.daemon.clock import SLEEP_S, STALL_S, SystemClock, Watch


class FakeClock:
    """A clock that stands where it is put."""

    def __init__(self) -> None:
        self.time = 100.0
        self.suspended = 7.0

    def now(self) -> float:
        return self.time

    def suspended_s(self) -> float:
        return self.suspended


def test_readings_follow_the_clock() -> None:
    clock = FakeClock()
    watch = Watch(clock)
    assert watch.read() == (100.0, 0.0)
    clock.time = 101.0
    assert watch.read() == (101.0, 0.0)
    assert watch.gap_count == 0


def test_never_decreases() -> None:
    clock = FakeClock()
    watch = Watch(clock)
    clock.time = 99.0
    assert watch.read() == (100.0, 0.0)
    clock.time = 100.5
    assert watch.read() == (100.5, 0.0)


def test_a_stall_is_a_gap() -> None:
    clock = FakeClock()
    watch = Watch(clock)
    clock.time += STALL_S + 0.5
    assert watch.read() == (clock.time, STALL_S + 0.5)
    assert watch.read() == (clock.time, 0.0)
    assert watch.gap_count == 1


def test_a_short_sleep_is_a_gap() -> None:
    clock = FakeClock()
    watch = Watch(clock)
    clock.time += 1.0
    clock.suspended += SLEEP_S + 0.25
    assert watch.read() == (101.0, 1.0)
    assert watch.read() == (101.0, 0.0)


def test_noise_between_the_clocks_is_no_gap() -> None:
    clock = FakeClock()
    watch = Watch(clock)
    for step in range(100):
        clock.time += 1.0
        clock.suspended += 0.001 if step % 2 else -0.001
        assert watch.read()[1] == 0.0


def test_restart_forgets_what_passed() -> None:
    clock = FakeClock()
    watch = Watch(clock)
    clock.time += 60
    clock.suspended += 60
    watch.restart()
    assert watch.read() == (160.0, 0.0)


def test_system_clock_runs() -> None:
    clock = SystemClock()
    first = clock.now()
    assert clock.now() >= first > 0
    assert clock.suspended_s() > -1.0


def test_system_clock_without_boottime() -> None:
    clock = SystemClock()
    clock._boottime = None
    assert clock.now() > 0
    assert clock.suspended_s() == 0.0
