"""A host's clock, as a function of true time: it drifts, jumps forward, and may stand still in sleep."""

from __future__ import annotations

from typing import final


@final
class HostClock:
    """Seconds that never fall, like CLOCK_BOOTTIME.

    While it has neither drifted nor jumped it is true time itself, without rounding.

    Args:
        drift_ppm: how much faster than true time it runs, parts per million.
    """

    def __init__(self, drift_ppm: float) -> None:
        self._rate = 1.0 + drift_ppm * 1e-6
        self._true_s = 0.0
        self._local_s = 0.0
        self._least_s = 0.0
        self._is_true = drift_ppm == 0.0

    def read(self, true_s: float) -> float:
        """Return what the clock shows at a true time, never less than before."""
        if self._is_true:
            return true_s
        local_s = self._local_s + (true_s - self._true_s) * self._rate
        if local_s < self._least_s:
            local_s = self._least_s
        self._least_s = local_s
        return local_s

    def true_time(self, local_s: float, now: float) -> float:
        """Return the true time, not before `now`, at which the clock will show `local_s`."""
        if self._is_true:
            return local_s if local_s > now else now
        if local_s == float("inf"):
            return local_s
        true_s = self._true_s + (local_s - self._local_s) / self._rate
        return true_s if true_s > now else now

    def reach(self, local_s: float, true_s: float) -> float:
        """Return the clock's time at `true_s`, but at least `local_s`: a timer fires when it is due.

        Rounding may let the clock show a little less than what the timer was set to; true time is never
        rounded.
        """
        shown_s = self.read(true_s)
        if self._is_true:
            return shown_s
        if shown_s < local_s <= shown_s + 1e-6:
            self._least_s = local_s
            return local_s
        return shown_s

    def set_drift(self, drift_ppm: float, true_s: float) -> None:
        """Let the clock run at another rate from now on."""
        self._rebase(true_s)
        self._rate = 1.0 + drift_ppm * 1e-6

    def jump(self, seconds: float, true_s: float) -> None:
        """Move the clock forward by `seconds` >= 0."""
        assert seconds >= 0, "the clock never falls"
        self._rebase(true_s)
        self._local_s += seconds

    def stop(self, from_s: float, until_s: float) -> None:
        """Let the clock stand still between two true times (a suspend that it does not count)."""
        self._rebase(from_s)
        self._true_s = until_s

    def _rebase(self, true_s: float) -> None:
        self._local_s = self.read(true_s)
        self._true_s = true_s
        self._least_s = self._local_s
        self._is_true = False
