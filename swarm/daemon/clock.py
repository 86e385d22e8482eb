"""The clock of a node: seconds that go on while the machine sleeps, and never go back.

Liveness, beats and leases must count suspended time, which ``time.monotonic`` does not on Linux.
:class:`Watch` turns a raw clock into the `now` that the node sees, and tells when so much time has passed
at once that whatever was believed about the others is stale.
"""

from __future__ import annotations

import time
from typing import Final, Protocol

STALL_S: Final = 3.0
"""A loop that saw nothing for so long was stopped, or the machine slept; above the longest election lease."""

SLEEP_S: Final = 0.5
"""Suspended time that counts as a sleep; well above the noise between two readings of two clocks."""


class Clock(Protocol):
    """A source of time; replaced by tests."""

    def now(self) -> float:
        """Return seconds since some fixed moment, suspended time included."""
        ...

    def suspended_s(self) -> float:
        """Return how long the machine has been suspended since that moment, roughly; never falls."""
        ...


class SystemClock:
    """CLOCK_BOOTTIME where there is one; elsewhere (macOS, BSD) ``time.monotonic``."""

    def __init__(self) -> None:
        self._boottime = getattr(time, "CLOCK_BOOTTIME", None)

    def now(self) -> float:
        """Return seconds since boot, suspended time included."""
        return time.monotonic() if self._boottime is None else time.clock_gettime(self._boottime)

    def suspended_s(self) -> float:
        """Return how long the machine has been suspended since boot; 0 where that is not known."""
        return 0.0 if self._boottime is None else time.clock_gettime(self._boottime) - time.monotonic()


class Watch:
    """Readings of a clock that never decrease, and the gaps between them.

    Must be read at least every second or so (the driver's longest wait), or it sees gaps where none are.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last = clock.now()
        self._suspended = clock.suspended_s()
        self.gap_count = 0

    def read(self) -> tuple[float, float]:
        """Return (now, gap): gap is 0, or the seconds that passed unseen in a stall or a sleep."""
        now = self._clock.now()
        elapsed = now - self._last
        if elapsed < 0:
            return self._last, 0.0
        suspended = self._clock.suspended_s()
        slept = suspended - self._suspended
        self._last = now
        self._suspended = suspended
        if elapsed > STALL_S or slept > SLEEP_S:
            self.gap_count += 1
            return now, max(elapsed, slept)
        return now, 0.0

    def restart(self) -> None:
        """Begin here: what passed since the last reading is no gap."""
        self._last = max(self._last, self._clock.now())
        self._suspended = self._clock.suspended_s()
